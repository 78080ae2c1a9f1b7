# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import base64
import hashlib
from typing import Any

import pytest
from ansible_collections.ragops.stack.plugins.module_utils import _applyset as applyset
from ansible_collections.ragops.stack.plugins.module_utils._errors import RagopsError


def manifest(kind: str, name: str, **more: Any) -> dict[str, Any]:
    return {"apiVersion": {"Deployment": "apps/v1"}.get(kind, "v1"), "kind": kind, "metadata": {"name": name}, **more}


def test_the_id_follows_the_specification() -> None:
    raw = base64.urlsafe_b64encode(hashlib.sha256(b"web.demo.ConfigMap.").digest()).decode().rstrip("=")
    assert applyset.set_id("web", "demo") == f"applyset-{raw}-v1"
    assert len(applyset.set_id("web", "demo")) <= 63, "it has to fit a label"


def test_workloads_come_after_what_they_need() -> None:
    objects = [manifest(k, "x") for k in ("Deployment", "Service", "PersistentVolumeClaim", "ConfigMap", "ServiceAccount")]
    kinds = [o["kind"] for o in applyset.check_objects(objects, "demo")]
    assert kinds == ["ServiceAccount", "ConfigMap", "PersistentVolumeClaim", "Service", "Deployment"]


def test_the_namespace_is_filled_in_and_the_input_left_alone() -> None:
    given = manifest("Service", "web")
    assert applyset.check_objects([given], "demo")[0]["metadata"]["namespace"] == "demo"
    assert "namespace" not in given["metadata"]


@pytest.mark.parametrize(
    ("objects", "wanted"),
    [
        ([{"kind": "Service"}], r"objects\[0\].*apiVersion, kind and metadata.name"),
        (["text"], r"objects\[0\]"),
        ([manifest("Service", "a"), manifest("Service", "a")], "twice"),
        ([manifest("Secret", "s", data={"a": "MQ=="})], "generated_secret"),
        ([manifest("Secret", "s", stringData={"a": "1"})], "generated_secret"),
        ([{"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a", "namespace": "other"}}], "names namespace other"),
    ],
)
def test_what_cannot_be_a_member_is_refused(objects: list[Any], wanted: str) -> None:
    with pytest.raises(RagopsError, match=wanted):
        applyset.check_objects(objects, "demo")


def test_the_servers_bookkeeping_is_no_change() -> None:
    a = manifest("Service", "web", spec={"x": 1})
    metadata = {"name": "web", "resourceVersion": "5", "uid": "u", "generation": 3, "managedFields": [{}], "creationTimestamp": "t"}
    b = {**a, "metadata": metadata, "status": {"loadBalancer": {}}}
    assert applyset.comparable(a) == applyset.comparable(b)
    assert applyset.comparable(a) != applyset.comparable({**b, "spec": {"x": 2}})


def test_the_diff_shows_what_changes_and_nothing_else() -> None:
    live, predicted = manifest("Secret", "s", data={"a": "b2xk"}), manifest("Secret", "s", data={"a": "bmV3"})
    steps = [
        applyset.Step(applyset.UNCHANGED, manifest("Service", "web"), manifest("Service", "web"), manifest("Service", "web")),
        applyset.Step(applyset.UPDATED, predicted, live, predicted),
        applyset.Step(applyset.PRUNED, None, manifest("ConfigMap", "old"), None),
    ]
    entries = applyset.diff_of(steps)
    assert [e["after_header"] for e in entries] == ["Secret s (updated)", "ConfigMap old (pruned)"]
    assert "bmV3" not in str(entries)
    assert "b2xk" not in str(entries)
    assert entries[1]["after"] == {}
