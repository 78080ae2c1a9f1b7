# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fakes import FakeKubeApi


@pytest.fixture
def api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeKubeApi]:
    monkeypatch.setenv("TMPDIR", str(tmp_path))  # discovery caches of the clients
    with FakeKubeApi() as fake:
        fake.namespace("demo")
        yield fake


@pytest.fixture
def client(api: FakeKubeApi, tmp_path: Path) -> Any:
    from kubernetes import config, dynamic

    return dynamic.DynamicClient(config.new_client_from_config(api.kubeconfig(tmp_path / "kubeconfig")), cache_file=str(tmp_path / "discovery.json"))
