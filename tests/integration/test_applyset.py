# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import base64
import gzip
import json
from typing import Any

import pytest
from ansible_collections.ragops.stack.plugins.module_utils import _wait

from tests.fakes.kube_api import FakeKubeApi
from tests.fakes.workloads import Workloads
from tests.integration.conftest import Call


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_wait, "FATAL_AFTER", 0.5)
    monkeypatch.setattr(_wait, "EXPLAIN_EVERY", 0.2)


def config(name: str = "page", **data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data or {"a": "1"}}


def claim(name: str = "store") -> dict[str, Any]:
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name}, "spec": spec}


def web(image: str = "example/web:1") -> dict[str, Any]:
    labels = {"app": "web"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "main", "image": image}]}}
    spec = {"replicas": 1, "selector": {"matchLabels": labels}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": spec}


def maps(api: FakeKubeApi) -> list[str]:
    return [n for n in api.names("ConfigMap", "demo") if n != "kube-root-ca.crt"]


def operations(result: dict[str, Any]) -> dict[str, str]:
    assert not result.get("failed"), result.get("msg")
    return {f"{o['kind']} {o['name']}": o["operation"] for o in result["objects"]}


def test_predict_apply_and_find_nothing_to_do(api: FakeKubeApi, workloads: Workloads, call: Call) -> None:
    args: dict[str, Any] = {"name": "set", "namespace": "demo", "objects": [web(), config(), claim()]}
    predicted = call("applyset", check=True, **args)
    assert operations(predicted) == {"ConfigMap page": "created", "PersistentVolumeClaim store": "created", "Deployment web": "created"}
    assert predicted["changed"] is True
    assert maps(api) == [] == api.names("Deployment", "demo")

    done = call("applyset", **args)
    assert operations(done) == operations(predicted)
    assert [e["after_header"] for e in done["diff"]] == [e["after_header"] for e in predicted["diff"]]
    assert done["revision"] == 1
    assert api.get("Deployment", "web", "demo")["status"]["availableReplicas"] == 1

    before = len(api.writes())
    again = call("applyset", **args)
    assert again["changed"] is False
    assert set(operations(again).values()) == {"unchanged"}
    assert again["diff"] == []
    assert again["revision"] == 1
    assert all("dryRun=All" in r.query for r in api.writes()[before:]), "a run without change writes nothing"


def test_a_removed_field_is_removed(api: FakeKubeApi, call: Call) -> None:
    call("applyset", name="set", namespace="demo", objects=[config(a="1", b="2")])
    result = call("applyset", name="set", namespace="demo", objects=[config(a="1")])
    assert operations(result) == {"ConfigMap page": "updated"}
    assert api.get("ConfigMap", "page", "demo")["data"] == {"a": "1"}


def test_drift_is_corrected(api: FakeKubeApi, call: Call) -> None:
    call("applyset", name="set", namespace="demo", objects=[config(a="1")])
    api.edit("ConfigMap", "page", "demo", data={"a": "changed by hand"}, manager="kubectl-edit")
    result = call("applyset", name="set", namespace="demo", objects=[config(a="1")])
    assert operations(result) == {"ConfigMap page": "updated"}
    assert "changed by hand" in str(result["diff"][0]["before"])
    assert api.get("ConfigMap", "page", "demo")["data"] == {"a": "1"}


def test_prune_takes_what_left_the_list_but_never_volumes(api: FakeKubeApi, call: Call) -> None:
    call("applyset", name="set", namespace="demo", objects=[config("one"), config("two"), claim()])
    api.put({**config("foreign"), "metadata": {"name": "foreign", "namespace": "demo"}})
    args: dict[str, Any] = {"name": "set", "namespace": "demo", "objects": [config("one")]}
    predicted = operations(call("applyset", check=True, **args))
    assert predicted == {"ConfigMap one": "unchanged", "ConfigMap two": "pruned", "PersistentVolumeClaim store": "kept"}
    assert "two" in maps(api)
    assert operations(call("applyset", **args)) == predicted
    assert {"one", "foreign"} <= set(maps(api))
    assert "two" not in maps(api)
    assert api.names("PersistentVolumeClaim", "demo") == ["store"]
    told = operations(call("applyset", delete_volumes=True, **args))
    assert told["PersistentVolumeClaim store"] == "pruned"
    assert api.names("PersistentVolumeClaim", "demo") == []


def test_a_foreign_object_stops_the_set_before_the_first_write(api: FakeKubeApi, call: Call) -> None:
    api.put({**config("page"), "metadata": {"name": "page", "namespace": "demo"}})
    before = len(api.writes())
    result = call("applyset", name="set", namespace="demo", objects=[config("another"), config("page")])
    assert result["failed"]
    assert result["msg"].startswith("Failed to apply ConfigMap demo/page: an object of that name exists and was not made by ragops.stack.")
    assert "adopt: true" in result["msg"]
    assert all("dryRun=All" in r.query for r in api.writes()[before:])
    assert operations(call("applyset", name="set", namespace="demo", objects=[config("page")], adopt=True)) == {"ConfigMap page": "updated"}


def test_an_object_of_another_set_is_refused(call: Call) -> None:
    call("applyset", name="one", namespace="demo", objects=[config()])
    result = call("applyset", name="two", namespace="demo", objects=[config()])
    assert "belongs to another applyset" in result["msg"]


def test_a_refused_object_stops_the_set_before_the_first_write(api: FakeKubeApi, call: Call) -> None:
    api.refuse("Deployment", 'admission webhook "policy.example" denied the request: no owner label')
    result = call("applyset", name="set", namespace="demo", objects=[config(), web()])
    assert "Failed to apply Deployment demo/web: " in result["msg"]
    assert "no owner label" in result["msg"]
    assert maps(api) == []


def test_absent_keeps_volumes_and_the_next_install_takes_them_back(api: FakeKubeApi, workloads: Workloads, call: Call) -> None:
    args: dict[str, Any] = {"name": "set", "namespace": "demo"}
    call("applyset", objects=[web(), config(), claim()], **args)
    uid = api.get("PersistentVolumeClaim", "store", "demo")["metadata"]["uid"]
    predicted = call("applyset", state="absent", check=True, **args)
    assert operations(predicted) == {"ConfigMap page": "pruned", "Deployment web": "pruned", "PersistentVolumeClaim store": "kept"}
    assert api.names("Deployment", "demo") == ["web"]
    assert operations(call("applyset", state="absent", **args)) == operations(predicted)
    assert maps(api) == [] == api.names("Deployment", "demo")
    assert call("applyset", state="absent", **args)["changed"] is False
    assert operations(call("applyset", objects=[web(), config(), claim()], **args))["PersistentVolumeClaim store"] == "unchanged"
    assert api.get("PersistentVolumeClaim", "store", "demo")["metadata"]["uid"] == uid


def test_revisions_are_kept_few_and_hold_the_list(api: FakeKubeApi, call: Call) -> None:
    for number in range(5):
        call("applyset", name="set", namespace="demo", objects=[config(n=str(number))], revision_history=3)
    revisions = [c for c in api.objects("ConfigMap", "demo") if c["metadata"]["name"].startswith("set-revision-")]
    assert sorted(r["metadata"]["name"] for r in revisions) == ["set-revision-3", "set-revision-4", "set-revision-5"]
    newest = next(r for r in revisions if r["metadata"]["name"] == "set-revision-5")
    recorded = json.loads(gzip.decompress(base64.b64decode(newest["data"]["objects.json.gz"])))
    assert recorded[0]["data"] == {"n": "4"}


def test_an_image_that_cannot_be_pulled_ends_the_wait_early_with_the_cause(api: FakeKubeApi, workloads: Workloads, call: Call) -> None:
    workloads.fail("web", "ImagePullBackOff")
    result = call("applyset", name="set", namespace="demo", objects=[web("example/none:1")], wait_timeout=60)
    assert "Failed to start Deployment demo/web: image example/none:1 of container main cannot be pulled" in result["msg"]
    assert result["findings"][0]["fatal"] is True


def test_a_crash_loop_is_reported_with_its_last_words(workloads: Workloads, call: Call) -> None:
    workloads.fail("web", "CrashLoopBackOff", log="ok\nFATAL: password authentication failed for user x\n")
    result = call("applyset", name="set", namespace="demo", objects=[web()], wait_timeout=60)
    assert "FATAL: password authentication failed for user x" in result["msg"]


def test_a_quota_is_reported(workloads: Workloads, call: Call) -> None:
    workloads.refuse_pods("web", "exceeded quota: small, requested: pods=1, used: pods=0, limited: pods=0")
    result = call("applyset", name="set", namespace="demo", objects=[web()], wait_timeout=60)
    assert "exceeded quota: small" in result["msg"]
    assert "ResourceQuota" in result["msg"]


def test_time_is_up(workloads: Workloads, call: Call) -> None:
    workloads.fail("web", "NotReady")
    result = call("applyset", name="set", namespace="demo", objects=[web()], wait_timeout=1)
    assert "not ready after 1 seconds (0/1 available" in result["msg"]


def test_a_lost_api_server_during_the_wait_is_survived(api: FakeKubeApi, workloads: Workloads, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    workloads.fail("web", "NotReady")

    def lose_it_first(*args: Any, **options: Any) -> None:
        api.fault(times=6, drop=True)
        api.later(2, lambda: workloads.heal("web"))
        _wait.wait_for(*args, **options)

    monkeypatch.setattr("ansible_collections.ragops.stack.plugins.modules.applyset.wait_for", lose_it_first)
    assert operations(call("applyset", name="set", namespace="demo", objects=[web()], wait_timeout=30)) == {"Deployment web": "created"}


def test_a_missing_right_is_named(api: FakeKubeApi, call: Call) -> None:
    api.forbid("patch", "configmaps")
    result = call("applyset", name="set", namespace="demo", objects=[config()])
    assert "cannot patch resource" in result["msg"]
    assert "Grant the missing verb" in result["msg"]


def test_an_unreachable_cluster_is_named(api: FakeKubeApi, call: Call) -> None:
    api.stop()
    result = call("applyset", name="set", namespace="demo", objects=[config()])
    assert "refuses the connection" in result["msg"] or "does not answer" in result["msg"]
    assert "kubectl cluster-info" in result["msg"]
