# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from ansible_collections.ragops.stack.plugins.module_utils import _wait

from tests.fakes.kube_api import FakeKubeApi
from tests.integration.conftest import Call


def component(**more: Any) -> dict[str, Any]:
    claim = {"name": "data", "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}
    return {
        "name": "postgresql",
        "componentDef": "minipg-17-0.1.0",
        "serviceVersion": "17.0.0",
        "replicas": 1,
        "resources": {"requests": {"cpu": "0.5", "memory": "0.5Gi"}},
        "volumeClaimTemplates": [claim],
        **more,
    }


ARGS: dict[str, Any] = {"name": "pg", "namespace": "demo", "components": [component()], "wait_timeout": 20}


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_wait, "FATAL_AFTER", 0.5)
    monkeypatch.setattr(_wait, "EXPLAIN_EVERY", 0.2)


def test_predict_create_and_find_nothing_to_do(api: FakeKubeApi, operator: Any, call: Call) -> None:
    predicted = call("kubeblocks_cluster", check=True, **ARGS)
    assert predicted["changed"] is True
    assert api.names("Cluster", "demo") == []

    done = call("kubeblocks_cluster", **ARGS)
    assert done.get("msg") is None
    assert done["cluster"]["phase"] == "Running"
    assert done["cluster"]["state"] == "ready"
    generation = api.get("Cluster", "pg", "demo")["metadata"]["generation"]

    again = call("kubeblocks_cluster", **ARGS)
    assert again["changed"] is False
    assert api.get("Cluster", "pg", "demo")["metadata"]["generation"] == generation, "the operator's write-back must not be reverted"


def test_a_change_is_made_once_and_waited_for(api: FakeKubeApi, operator: Any, call: Call) -> None:
    call("kubeblocks_cluster", **ARGS)
    bigger = {**ARGS, "components": [component(resources={"requests": {"memory": "1Gi"}})]}
    assert call("kubeblocks_cluster", check=True, **bigger)["changed"] is True
    done = call("kubeblocks_cluster", **bigger)
    assert done["changed"] is True
    assert done["cluster"]["state"] == "ready"
    requests = api.get("Cluster", "pg", "demo")["spec"]["componentSpecs"][0]["resources"]["requests"]
    assert requests["memory"] == "1Gi"
    assert requests["cpu"] in ("0.5", "500m"), "fields that were not named stay"
    assert call("kubeblocks_cluster", **bigger)["changed"] is False


def test_a_foreign_cluster_is_refused(api: FakeKubeApi, call: Call) -> None:
    api.put(
        {
            "apiVersion": "apps.kubeblocks.io/v1",
            "kind": "Cluster",
            "metadata": {"name": "pg", "namespace": "demo"},
            "spec": {"terminationPolicy": "Delete", "componentSpecs": [component()]},
        }
    )
    for extra in ({}, {"state": "absent"}):
        result = call("kubeblocks_cluster", **{**ARGS, **extra})
        assert "was not made by ragops.stack" in result["msg"]
    assert api.names("Cluster", "demo") == ["pg"]


def test_deletion_protection_is_respected_before_the_api_would_accept(api: FakeKubeApi, operator: Any, call: Call) -> None:
    call("kubeblocks_cluster", **{**ARGS, "termination_policy": "DoNotTerminate"})
    result = call("kubeblocks_cluster", name="pg", namespace="demo", state="absent")
    assert "DoNotTerminate" in result["msg"]
    assert "deletionTimestamp" not in api.get("Cluster", "pg", "demo")["metadata"]


def test_absent_waits_until_it_is_gone(api: FakeKubeApi, operator: Any, call: Call) -> None:
    call("kubeblocks_cluster", **ARGS)
    args: dict[str, Any] = {"name": "pg", "namespace": "demo", "state": "absent", "wait_timeout": 20}
    assert call("kubeblocks_cluster", check=True, **args)["changed"] is True
    assert api.names("Cluster", "demo") == ["pg"]
    assert call("kubeblocks_cluster", **args)["changed"] is True
    assert api.names("Cluster", "demo") == []
    assert call("kubeblocks_cluster", **args)["changed"] is False


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        ({"name": "a-name-of-more-than-16"}, "at most 16"),
        ({"components": []}, "components is empty"),
        ({"components": [{"replicas": 1}]}, "a component has no name"),
    ],
)
def test_bad_arguments_are_refused(change: dict[str, Any], wanted: str, api: FakeKubeApi, call: Call) -> None:
    assert wanted in call("kubeblocks_cluster", **{**ARGS, **change})["msg"]
    assert api.names("Cluster", "demo") == []


def test_an_operator_that_does_nothing_is_told_from_a_slow_start(call: Call) -> None:
    result = call("kubeblocks_cluster", **{**ARGS, "wait_timeout": 1})
    assert "operator has not looked at it" in result["msg"]


def test_growth_that_the_storage_class_does_not_allow_is_refused(api: FakeKubeApi, operator: Any, call: Call) -> None:
    call("kubeblocks_cluster", **ARGS)
    grown = component()
    grown["volumeClaimTemplates"][0]["spec"]["resources"]["requests"]["storage"] = "5Gi"
    result = call("kubeblocks_cluster", **{**ARGS, "components": [grown]})
    assert "allows no expansion" in result["msg"]


def test_info_judges_by_every_component(api: FakeKubeApi, operator: Any, call: Call) -> None:
    call("kubeblocks_cluster", **ARGS)
    found = call("kubeblocks_cluster_info", namespace="demo")["clusters"]
    assert [(c["name"], c["state"]) for c in found] == [("pg", "ready")]
    assert call("kubeblocks_cluster_info", namespace="demo", name="other")["clusters"] == []


def secret(namespace: str, cluster: str, password: str) -> dict[str, Any]:
    labels = {
        "app.kubernetes.io/instance": cluster,
        "apps.kubeblocks.io/component-name": "postgresql",
        "apps.kubeblocks.io/system-account": "postgres",
    }
    metadata = {"name": f"{cluster}-postgresql-account-postgres", "namespace": namespace, "labels": labels}
    data = {k: base64.b64encode(v.encode()).decode() for k, v in (("username", "postgres"), ("password", password))}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": "Opaque", "data": data}


def test_credentials_of_a_hundred_clusters_in_one_call_and_only_by_reference(api: FakeKubeApi, call: Call) -> None:
    for number in range(100):
        namespace = f"tenant-{number % 10}"
        if number < 10:
            api.namespace(namespace)
        api.put(secret(namespace, f"pg{number}", f"hidden-{number}"))
    before = len(api.calls(path="/secrets"))
    result = call("kubeblocks_credentials_info")
    assert len(result["credentials"]) == 100
    assert len(api.calls(path="/secrets")) - before == 1
    assert "hidden-" not in json.dumps(result)
    assert result["credentials"][0]["secret"] == {"name": "pg0-postgresql-account-postgres", "username_key": "username", "password_key": "password"}


def test_credentials_values_only_on_request(api: FakeKubeApi, call: Call) -> None:
    api.put(secret("demo", "pg", "hidden-1"))
    wanted = {"clusters": [{"name": "pg", "namespace": "demo"}]}
    assert "password" not in call("kubeblocks_credentials_info", **wanted)["credentials"][0]
    assert call("kubeblocks_credentials_info", values=True, **wanted)["credentials"][0]["password"] == "hidden-1"


def test_credentials_of_a_missing_cluster(api: FakeKubeApi, call: Call) -> None:
    wanted = {"clusters": [{"name": "pg", "namespace": "demo"}]}
    assert "Failed to find the credentials of Cluster demo/pg" in call("kubeblocks_credentials_info", **wanted)["msg"]
    assert call("kubeblocks_credentials_info", allow_missing=True, **wanted)["credentials"] == []
