# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The fake API as the dynamic client of the kubernetes package sees it. What is asserted here was seen on a real 1.34 server."""

from __future__ import annotations

import json
import threading
import time
from typing import Any

import pytest
from kubernetes.client import ApiException
from kubernetes.dynamic import exceptions

from tests.fakes import FakeKubeApi

NS = "demo"


def config_map(**data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": NS}, "data": data}


def deployment(name: str = "web", **container: Any) -> dict[str, Any]:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": NS},
        "spec": {
            "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": {"containers": [{"name": "c", "image": "docker.io/local/x:1", **container}]}},
        },
    }


def apply(client: Any, obj: dict[str, Any], manager: str = "me", **options: Any) -> Any:
    resource = client.resources.get(api_version=obj["apiVersion"], kind=obj["kind"])
    return resource.server_side_apply(body=obj, name=obj["metadata"]["name"], namespace=NS, field_manager=manager, **options)


def message(error: Any) -> str:
    return str(json.loads(error.value.body)["message"])


def test_discovery_serves_all_kinds(client: Any) -> None:
    for api_version, kind in (
        ("v1", "Pod"),
        ("apps/v1", "StatefulSet"),
        ("batch/v1", "CronJob"),
        ("networking.k8s.io/v1", "NetworkPolicy"),
        ("policy/v1", "PodDisruptionBudget"),
        ("apps.kubeblocks.io/v1", "Cluster"),
        ("workloads.kubeblocks.io/v1", "InstanceSet"),
        ("operations.kubeblocks.io/v1alpha1", "OpsRequest"),
    ):
        assert client.resources.get(api_version=api_version, kind=kind).kind == kind


def test_errors_are_statuses(client: Any) -> None:
    resource = client.resources.get(api_version="v1", kind="ConfigMap")
    error: Any
    with pytest.raises(exceptions.NotFoundError) as error:
        resource.get(name="a", namespace=NS)
    assert message(error) == 'configmaps "a" not found'
    with pytest.raises(exceptions.NotFoundError) as error:
        resource.create(body={"metadata": {"name": "a"}}, namespace="nowhere")
    resource.create(body=config_map(x="1"), namespace=NS)
    with pytest.raises(exceptions.ConflictError) as error:
        resource.create(body=config_map(x="1"), namespace=NS)
    assert json.loads(error.value.body)["reason"] == "AlreadyExists"
    stale = config_map(x="2")
    stale["metadata"]["resourceVersion"] = "1"
    with pytest.raises(exceptions.ConflictError) as error:
        resource.replace(body=stale, namespace=NS)
    assert "the object has been modified" in message(error)
    with pytest.raises(exceptions.UnprocessibleEntityError):
        resource.create(body={"metadata": {"name": "Bad_Name"}}, namespace=NS)
    with pytest.raises(exceptions.BadRequestError):
        resource.create(body={"metadata": {"name": "b"}, "data": {"x": 1}}, namespace=NS)


def test_apply_owns_merges_and_conflicts(client: Any) -> None:
    first = apply(client, config_map(x="1", y="2"))
    assert apply(client, config_map(x="1", y="2")).metadata.resourceVersion == first.metadata.resourceVersion
    with pytest.raises(exceptions.ConflictError) as error:
        apply(client, config_map(x="9", y="9"), "you")
    assert message(error) == 'Apply failed with 2 conflicts: conflicts with "me":\n- .data.x\n- .data.y'
    assert apply(client, config_map(x="1", z="3"), "you").data.to_dict() == {"x": "1", "y": "2", "z": "3"}
    assert apply(client, config_map(y="2")).data.to_dict() == {"x": "1", "y": "2", "z": "3"}, "x has another owner"
    assert apply(client, config_map(z="3"), "you").data.to_dict() == {"y": "2", "z": "3"}, "nobody owns x any more"
    resource = client.resources.get(api_version="v1", kind="ConfigMap")
    resource.patch(body={"data": {"y": "theirs"}}, name="a", namespace=NS, content_type="application/merge-patch+json", field_manager="editor")
    with pytest.raises(exceptions.ConflictError) as error:
        apply(client, config_map(y="2"))
    assert message(error) == 'Apply failed with 1 conflict: conflict with "editor" using v1: .data.y'
    assert apply(client, config_map(y="2"), force_conflicts=True).data.y == "2"


def test_apply_of_a_deployment_is_defaulted_and_stays_unchanged(client: Any) -> None:
    wanted = deployment(
        resources={"requests": {"cpu": "1000m", "memory": "1024Mi"}},
        env=[{"name": "A", "value": "1"}, {"name": "B", "value": ""}],
        ports=[{"containerPort": 80}],
    )
    first = apply(client, wanted).to_dict()
    container = first["spec"]["template"]["spec"]["containers"][0]
    assert first["spec"]["replicas"] == 1
    assert first["spec"]["template"]["spec"]["restartPolicy"] == "Always"
    assert container["resources"] == {"requests": {"cpu": "1", "memory": "1Gi"}}
    assert container["env"] == [{"name": "A", "value": "1"}, {"name": "B"}]
    assert container["ports"] == [{"containerPort": 80, "protocol": "TCP"}]
    assert apply(client, wanted).to_dict() == first
    del wanted["spec"]["template"]["spec"]["containers"][0]["env"][0]
    changed = apply(client, wanted).to_dict()
    assert changed["metadata"]["generation"] == 2
    assert changed["spec"]["template"]["spec"]["containers"][0]["env"] == [{"name": "B"}]


def test_a_list_of_a_custom_resource_is_atomic(client: Any, api: FakeKubeApi) -> None:
    cluster = {
        "apiVersion": "apps.kubeblocks.io/v1",
        "kind": "Cluster",
        "metadata": {"name": "pg", "namespace": NS},
        "spec": {"terminationPolicy": "Delete", "componentSpecs": [{"name": "postgresql", "componentDef": "minipg", "replicas": 1}]},
    }
    apply(client, cluster)
    api.change("Cluster", "pg", NS, lambda obj: obj["spec"]["componentSpecs"][0].update(componentDef="minipg-17-0.1.0"), manager="kubeblocks")
    with pytest.raises(exceptions.ConflictError) as error:
        apply(client, cluster)
    assert message(error) == 'Apply failed with 1 conflict: conflict with "kubeblocks" using apps.kubeblocks.io/v1: .spec.componentSpecs'
    assert apply(client, cluster, force_conflicts=True).metadata.generation == 3
    resource = client.resources.get(api_version="apps.kubeblocks.io/v1", kind="Cluster")
    with pytest.raises(exceptions.DynamicApiError) as unsupported:
        resource.patch(body={"spec": {}}, name="pg", namespace=NS)  # strategic merge
    assert unsupported.value.status == 415


def test_dry_run_answers_and_stores_nothing(client: Any, api: FakeKubeApi) -> None:
    resource = client.resources.get(api_version="v1", kind="ConfigMap")
    version = api.machinery.store.version
    assert apply(client, config_map(x="1"), dry_run="All").data.x == "1"
    assert resource.create(body=config_map(x="1"), namespace=NS, dry_run="All").metadata.uid
    assert api.machinery.store.version == version
    apply(client, config_map(x="1"))
    version = api.machinery.store.version
    patched = resource.patch(body={"data": {"x": "2"}}, name="a", namespace=NS, content_type="application/merge-patch+json", dry_run="All")
    assert patched.data.x == "2"
    assert resource.delete(name="a", namespace=NS, dry_run="All").status == "Success"
    assert api.machinery.store.version == version
    assert api.get("ConfigMap", "a", NS)["data"] == {"x": "1"}


def test_patches(client: Any) -> None:
    apply(client, deployment(env=[{"name": "A", "value": "1"}]))
    resource = client.resources.get(api_version="apps/v1", kind="Deployment")
    strategic = {"spec": {"template": {"spec": {"containers": [{"name": "c", "env": [{"name": "N", "value": "n"}]}]}}}}
    patched = resource.patch(body=strategic, name="web", namespace=NS).to_dict()
    assert patched["spec"]["template"]["spec"]["containers"][0]["env"] == [{"name": "N", "value": "n"}, {"name": "A", "value": "1"}]
    steps = [{"op": "test", "path": "/spec/replicas", "value": 1}, {"op": "replace", "path": "/spec/replicas", "value": 3}]
    assert resource.patch(body=steps, name="web", namespace=NS, content_type="application/json-patch+json").spec.replicas == 3
    with pytest.raises(exceptions.UnprocessibleEntityError):
        resource.patch(body=steps, name="web", namespace=NS, content_type="application/json-patch+json")


def test_watch_follows_a_selection(client: Any, api: FakeKubeApi) -> None:
    resource = client.resources.get(api_version="v1", kind="ConfigMap")
    version = resource.get(namespace=NS).metadata.resourceVersion
    seen: list[tuple[str, str]] = []

    def follow() -> None:
        watch = resource.watch(namespace=NS, label_selector="mine=yes", resource_version=version, timeout=1)
        seen.extend((event["type"], event["raw_object"]["metadata"]["name"]) for event in watch)

    thread = threading.Thread(target=follow)
    thread.start()
    api.put({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "other", "namespace": NS}})
    api.put({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "one", "namespace": NS, "labels": {"mine": "yes"}}})
    api.edit("ConfigMap", "one", NS, data={"x": "1"})
    api.edit("ConfigMap", "one", NS, metadata={"labels": {"mine": "no"}})
    api.edit("ConfigMap", "other", NS, metadata={"labels": {"mine": "yes"}})
    api.remove("ConfigMap", "other", NS)
    thread.join(10)
    assert seen == [("ADDED", "one"), ("MODIFIED", "one"), ("DELETED", "one"), ("ADDED", "other"), ("DELETED", "other")]


def test_watch_of_forgotten_history_is_gone(client: Any, api: FakeKubeApi) -> None:
    resource = client.resources.get(api_version="v1", kind="ConfigMap")
    version = resource.get(namespace=NS).metadata.resourceVersion
    api.expire_watches()
    with pytest.raises(ApiException) as error:
        list(resource.watch(namespace=NS, resource_version=version, timeout=1))
    assert error.value.status == 410


def test_delete_with_finalizers_owners_and_namespace(client: Any, api: FakeKubeApi) -> None:
    owner = apply(client, config_map(x="1"))
    child = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "child", "namespace": NS, "ownerReferences": [{"apiVersion": "v1", "kind": "ConfigMap", "name": "a", "uid": owner.metadata.uid}]},
    }
    apply(client, child)
    held = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "held", "namespace": NS, "finalizers": ["example.org/f"]}}
    apply(client, held)
    resource = client.resources.get(api_version="v1", kind="ConfigMap")
    assert resource.delete(name="a", namespace=NS).kind == "Status"
    api.until(lambda: api.find("Secret", "child", NS) is None)
    assert resource.delete(name="held", namespace=NS).metadata.deletionTimestamp
    assert resource.get(name="held", namespace=NS).metadata.finalizers == ["example.org/f"]
    client.resources.get(api_version="v1", kind="Namespace").delete(name=NS)
    with pytest.raises(exceptions.ForbiddenError) as error:
        apply(client, config_map(x="1"))
    assert message(error) == f'configmaps "a" is forbidden: unable to create new content in namespace {NS} because it is being terminated'
    api.until(lambda: any(item["type"] == "NamespaceFinalizersRemaining" for item in api.get("Namespace", NS)["status"].get("conditions", [])))
    resource.patch(body=[{"op": "remove", "path": "/metadata/finalizers"}], name="held", namespace=NS, content_type="application/json-patch+json")
    api.until(lambda: api.find("Namespace", NS) is None)
    assert api.machinery.store.everything(NS) == []


def test_foreground_deletion_waits_for_dependents(client: Any, api: FakeKubeApi) -> None:
    owner = apply(client, config_map(x="1"))
    apply(
        client,
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {
                "name": "child",
                "namespace": NS,
                "finalizers": ["example.org/f"],
                "ownerReferences": [{"apiVersion": "v1", "kind": "ConfigMap", "name": "a", "uid": owner.metadata.uid, "blockOwnerDeletion": True}],
            },
        },
    )
    client.resources.get(api_version="v1", kind="ConfigMap").delete(name="a", namespace=NS, body={"propagationPolicy": "Foreground"})
    time.sleep(0.1)
    assert api.get("ConfigMap", "a", NS)["metadata"]["finalizers"] == ["foregroundDeletion"]
    api.release("Secret", "child", NS, "example.org/f")
    api.until(lambda: api.find("ConfigMap", "a", NS) is None)


def test_metadata_only_and_paging(client: Any, api: FakeKubeApi) -> None:
    for number in range(5):
        api.put({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": f"s{number}", "namespace": NS}, "stringData": {"password": "planted"}})
    resource = client.resources.get(api_version="v1", kind="Secret")
    accept = {"Accept": "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io,application/json"}
    listed = resource.get(namespace=NS, header_params=dict(accept)).to_dict()
    assert listed["kind"] == "PartialObjectMetadataList"
    assert set(listed["items"][0]) == {"kind", "apiVersion", "metadata"}
    page = json.loads(resource.get(namespace=NS, limit=3, serialize=False).data)
    assert "kind" not in page["items"][0], "items of typed lists do not name their kind"
    rest = resource.get(namespace=NS, limit=3, _continue=page["metadata"]["continue"]).to_dict()
    assert [item["metadata"]["name"] for item in page["items"] + rest["items"]] == [f"s{number}" for number in range(5)]


def test_selectors(client: Any, api: FakeKubeApi) -> None:
    pod = api.put({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": NS}, "spec": {"containers": [{"name": "c", "image": "x"}]}})
    api.event(pod, "FailedScheduling", "no room")
    events = client.resources.get(api_version="v1", kind="Event")
    assert len(events.get(namespace=NS, field_selector="involvedObject.name=p,type=Warning").items) == 1
    assert events.get(namespace=NS, field_selector="involvedObject.name!=p").items == []
    newer = client.resources.get(api_version="events.k8s.io/v1", kind="Event").get(namespace=NS, field_selector="regarding.name=p").items
    assert newer[0].note == "no room"
    with pytest.raises(exceptions.BadRequestError):
        client.resources.get(api_version="v1", kind="ConfigMap").get(namespace=NS, field_selector="data.x=1")


def test_definitions_register_their_kind(client: Any, api: FakeKubeApi) -> None:
    crd = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "things.example.org"},
        "spec": {
            "group": "example.org",
            "scope": "Namespaced",
            "names": {"kind": "Thing", "plural": "things"},
            "versions": [{"name": "v1", "served": True, "storage": True, "subresources": {"status": {}}}],
        },
    }
    made = client.resources.get(api_version="apiextensions.k8s.io/v1", kind="CustomResourceDefinition").create(body=crd)
    assert any(item.type == "Established" and item.status == "True" for item in made.status.conditions)
    thing = {"apiVersion": "example.org/v1", "kind": "Thing", "metadata": {"name": "t", "namespace": NS}, "spec": {"a": 1}, "status": {"phase": "x"}}
    resource = client.resources.get(api_version="example.org/v1", kind="Thing")
    assert resource.create(body=thing, namespace=NS).status is None
    patched = resource.status.patch(
        body={"status": {"phase": "y"}, "spec": {"a": 2}},
        name="t",
        namespace=NS,
        content_type="application/merge-patch+json",
    )
    assert (patched.status.phase, patched.spec.a, patched.metadata.generation) == ("y", 1, 1)
    api.remove("CustomResourceDefinition", "things.example.org", "")
    api.until(lambda: api.find("CustomResourceDefinition", "things.example.org") is None)
    assert not any(item.group == "example.org" for item in api.machinery.registry)


def test_faults_and_refusals(client: Any, api: FakeKubeApi) -> None:
    resource = client.resources.get(api_version="v1", kind="ConfigMap")
    api.fault(r"/configmaps$", "GET", status=500, times=1)
    with pytest.raises(ApiException):
        resource.get(namespace=NS)
    resource.get(namespace=NS)
    dropped = api.fault(r"/configmaps$", "GET", drop=True, times=1)
    resource.get(namespace=NS)  # urllib3 tries a read again
    assert dropped.hits == 1
    slow = api.fault(r"/configmaps$", status=429, times=1, retry_after=0)
    resource.get(namespace=NS)
    assert slow.hits == 1
    api.forbid("create", "configmaps", NS)
    with pytest.raises(exceptions.ForbiddenError) as error:
        resource.create(body=config_map(), namespace=NS)
    assert message(error) == (f'configmaps is forbidden: User "kubernetes-admin" cannot create resource "configmaps" in API group "" in the namespace "{NS}"')
    api.refuse("Secret", "exceeded quota: q, requested: secrets=1, used: secrets=1, limited: secrets=1")
    with pytest.raises(exceptions.ForbiddenError) as error:
        apply(client, {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "namespace": NS}}, dry_run="All")
    assert "exceeded quota" in message(error)


def test_an_api_server_that_goes_and_comes_back(client: Any, api: FakeKubeApi) -> None:
    resource = client.resources.get(api_version="v1", kind="ConfigMap")
    apply(client, config_map(x="1"))
    api.stop()
    with pytest.raises(Exception, match=r"refused|aborted|Max retries"):
        resource.get(name="a", namespace=NS)
    api.start()
    assert resource.get(name="a", namespace=NS).data.x == "1"


def test_the_log_finds_planted_secrets(client: Any, api: FakeKubeApi) -> None:
    apply(client, {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "namespace": NS}, "stringData": {"p": "pl4nted"}})
    assert api.leaks("pl4nted") == []
    apply(client, config_map(x="pl4nted"))
    assert api.leaks("pl4nted") == [f"body: PATCH /api/v1/namespaces/{NS}/configmaps/a"]
    assert len(api.calls("PATCH")) == 2
    assert api.calls(verb="patch")[0].user_agent.startswith("OpenAPI-Generator")
