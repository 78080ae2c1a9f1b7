# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.ragops.stack.plugins.filter.image import FilterModule

image = FilterModule().filters()["image"]


@pytest.mark.parametrize(
    ("reference", "registry", "expected"),
    [
        ("docker.io/pgvector/pgvector:0.8.0-pg17", "", "docker.io/pgvector/pgvector:0.8.0-pg17"),
        ("docker.io/pgvector/pgvector:0.8.0-pg17", "m.example.org:5000", "m.example.org:5000/pgvector/pgvector:0.8.0-pg17"),
        ("ghcr.io/hkuds/lightrag:v1", "m.example.org/hub/", "m.example.org/hub/hkuds/lightrag:v1"),
        ("redis:7", "m.example.org", "m.example.org/library/redis:7"),
        ("docker.io/neo4j:5", "m.example.org", "m.example.org/library/neo4j:5"),
        ("docker.io/library/neo4j:5", "m.example.org", "m.example.org/library/neo4j:5"),
        ("localhost/app:1", "m.example.org", "m.example.org/app:1"),
        ("quay.io/app@sha256:abc", "m.example.org", "m.example.org/app@sha256:abc"),
        ("myorg/app:1", "m.example.org", "m.example.org/myorg/app:1"),
    ],
)
def test_image(reference: str, registry: str, expected: str) -> None:
    assert image(reference, registry) == expected


@pytest.mark.parametrize(("reference", "registry"), [("", "m"), (None, ""), ("a:1", "https://m.example.org"), ("a:1", " m")])
def test_image_refuses_nonsense(reference: str | None, registry: str) -> None:
    with pytest.raises(AnsibleFilterError):
        image(reference, registry)
