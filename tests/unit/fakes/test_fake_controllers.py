# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Workloads and the KubeBlocks operator that play along."""

from __future__ import annotations

import base64
import itertools
from typing import Any

import pytest

from tests.fakes import FakeKubeApi, KubeBlocksOperator, Workloads
from tests.fakes.timelines import load

NS = "demo"


def deployment(name: str, **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": NS},
        "spec": {
            "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": {"containers": [{"name": "c", "image": "docker.io/local/x:1"}], **spec}},
        },
    }


def cluster(name: str, **component: Any) -> dict[str, Any]:
    return {
        "apiVersion": "apps.kubeblocks.io/v1",
        "kind": "Cluster",
        "metadata": {"name": name, "namespace": NS},
        "spec": {
            "terminationPolicy": "Delete",
            "componentSpecs": [
                {
                    "name": "postgresql",
                    "componentDef": "minipg",
                    "replicas": 1,
                    "resources": {"requests": {"cpu": "0.5"}},
                    "volumeClaimTemplates": [{"name": "data", "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}],
                    **component,
                }
            ],
        },
    }


@pytest.fixture
def workloads(api: FakeKubeApi) -> Workloads:
    return Workloads(api, delay=0.02)


@pytest.fixture
def operator(api: FakeKubeApi) -> KubeBlocksOperator:
    return KubeBlocksOperator(api, delay=0.05)


def status(api: FakeKubeApi, kind: str, name: str) -> dict[str, Any]:
    return (api.find(kind, name, NS) or {}).get("status") or {}


def events(api: FakeKubeApi, text: str) -> list[dict[str, Any]]:
    return [event for event in api.objects("Event", NS) if text in event["message"]]


def test_a_deployment_becomes_ready_and_rolls(api: FakeKubeApi, workloads: Workloads) -> None:
    api.put(deployment("web"))
    api.until(lambda: status(api, "Deployment", "web").get("availableReplicas") == 1)
    before = api.names("Pod", NS)
    changed = deployment("web")
    changed["spec"]["template"]["spec"]["containers"][0]["image"] = "docker.io/local/x:2"
    api.put(changed)
    api.until(lambda: status(api, "Deployment", "web").get("observedGeneration") == 2 and len(api.names("Pod", NS)) == 1 and api.names("Pod", NS) != before)


def test_a_crash_loop_leaves_its_last_words(api: FakeKubeApi, workloads: Workloads) -> None:
    workloads.fail("web", "CrashLoopBackOff", log="starting\nFATAL: password authentication failed\n")
    api.put(deployment("web"))
    api.until(lambda: api.objects("Pod", NS) and (api.objects("Pod", NS)[0]["status"].get("containerStatuses") or [{}])[0].get("restartCount") == 3)
    state = api.objects("Pod", NS)[0]["status"]["containerStatuses"][0]
    assert state["state"]["waiting"]["reason"] == "CrashLoopBackOff"
    assert state["lastState"]["terminated"]["exitCode"] == 1
    assert events(api, "Back-off restarting failed container")
    workloads.heal("web")
    api.until(lambda: status(api, "Deployment", "web").get("readyReplicas") == 1)


def test_images_quota_claims_and_missing_secrets(api: FakeKubeApi, workloads: Workloads) -> None:
    workloads.fail("image", "ImagePullBackOff")
    workloads.refuse_pods("quota", "exceeded quota: q, requested: pods=1, used: pods=0, limited: pods=0")
    api.put(deployment("image"))
    api.put(deployment("quota"))
    api.put(
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": "data", "namespace": NS},
            "spec": {"storageClassName": "nosuch", "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
        }
    )
    api.put(deployment("claim", volumes=[{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}]))
    secret = deployment("secret")
    secret["spec"]["template"]["spec"]["containers"][0]["env"] = [{"name": "P", "valueFrom": {"secretKeyRef": {"name": "nosuch", "key": "password"}}}]
    api.put(secret)
    api.until(lambda: events(api, "Back-off pulling image"))
    api.until(lambda: any(item["type"] == "ReplicaFailure" for item in status(api, "Deployment", "quota").get("conditions", [])))
    api.until(lambda: events(api, "unbound immediate PersistentVolumeClaims"))
    assert events(api, 'storageclass.storage.k8s.io "nosuch" not found')
    api.until(lambda: events(api, 'secret "nosuch" not found'))
    api.put({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "nosuch", "namespace": NS}, "stringData": {"password": "x"}})
    api.until(lambda: status(api, "Deployment", "secret").get("readyReplicas") == 1)


def test_stateful_sets_and_jobs(api: FakeKubeApi, workloads: Workloads) -> None:
    wanted = deployment("db")
    wanted.update(kind="StatefulSet")
    wanted["spec"].update(
        serviceName="db",
        replicas=2,
        volumeClaimTemplates=[{"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}],
    )
    api.put(wanted)
    api.until(lambda: status(api, "StatefulSet", "db").get("readyReplicas") == 2)
    assert [claim["status"]["phase"] for claim in api.objects("PersistentVolumeClaim", NS)] == ["Bound", "Bound"]
    job = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "j", "namespace": NS},
        "spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "x"}]}}},
    }
    api.put(job)
    api.until(lambda: status(api, "Job", "j").get("succeeded") == 1)
    workloads.fail("bad", "Error", log="boom")
    job["metadata"] = {"name": "bad", "namespace": NS}
    api.put(job)
    api.until(lambda: any(item["type"] == "Failed" for item in status(api, "Job", "bad").get("conditions", [])))


def phases(api: FakeKubeApi, name: str) -> list[tuple[Any, ...]]:
    seen: list[tuple[Any, ...]] = []
    for change in api.machinery.store.log:
        if change.key == ("apps.kubeblocks.io", "clusters") and change.name == name:
            state = change.obj.get("status") or {}
            component = (state.get("components") or {}).get("postgresql")
            step = (
                change.obj["metadata"]["generation"],
                state.get("observedGeneration"),
                state.get("phase"),
                component and (component.get("phase"), component.get("upToDate")),
            )
            if not seen or seen[-1] != step:
                seen.append(step)
    return seen


def test_a_cluster_runs_through_the_observed_states(api: FakeKubeApi, operator: KubeBlocksOperator) -> None:
    operator.password("pg-postgresql-account-postgres", "pl4nted")
    api.put(cluster("pg"))
    api.until(lambda: status(api, "Cluster", "pg").get("phase") == "Running")
    assert phases(api, "pg") == [
        (1, None, None, None),
        (2, None, None, None),
        (2, 1, "Creating", (None, None)),
        (2, 2, "Creating", (None, None)),
        (2, 2, "Creating", ("Creating", True)),
        (2, 2, "Running", ("Running", True)),
    ]
    component = api.get("Cluster", "pg", NS)["spec"]["componentSpecs"][0]
    assert (component["componentDef"], component["serviceVersion"], component["resources"]) == ("minipg-17-0.1.0", "17.0.0", {"requests": {"cpu": "500m"}})
    secret = api.get("Secret", "pg-postgresql-account-postgres", NS)
    assert base64.b64decode(secret["data"]["password"]) == b"pl4nted"
    assert api.get("Pod", "pg-postgresql-0", NS)["metadata"]["labels"]["kubeblocks.io/role"] == "primary"
    assert api.get("Service", "pg-postgresql-postgresql", NS)["spec"]["selector"]["kubeblocks.io/role"] == "primary"


def test_a_changed_cluster_looks_done_before_it_is(api: FakeKubeApi, operator: KubeBlocksOperator) -> None:
    api.put(cluster("pg"))
    api.until(lambda: status(api, "Cluster", "pg").get("phase") == "Running")
    api.change("Cluster", "pg", NS, lambda obj: obj["spec"]["componentSpecs"][0]["resources"]["requests"].update(cpu="600m"), manager="me")
    api.until(lambda: phases(api, "pg")[-1] == (3, 3, "Running", ("Running", True)))
    assert phases(api, "pg")[6:] == [
        (3, 2, "Running", ("Running", True)),
        (3, 2, "Running", ("Running", None)),
        (3, 3, "Running", ("Running", None)),
        (3, 3, "Updating", ("Updating", None)),
        (3, 3, "Updating", ("Updating", True)),
        (3, 3, "Running", ("Running", True)),
    ]


def test_deleting_a_cluster(api: FakeKubeApi, operator: KubeBlocksOperator) -> None:
    api.put(cluster("pg"))
    api.until(lambda: status(api, "Cluster", "pg").get("phase") == "Running")
    api.change("Cluster", "pg", NS, lambda obj: obj["spec"].update(terminationPolicy="DoNotTerminate"))
    api.remove("Cluster", "pg", NS)
    api.settle()
    assert api.get("Cluster", "pg", NS)["metadata"]["deletionTimestamp"]
    api.change("Cluster", "pg", NS, lambda obj: obj["spec"].update(terminationPolicy="WipeOut"))
    api.until(lambda: api.find("Cluster", "pg", NS) is None)
    api.settle()
    for kind in ("Pod", "PersistentVolumeClaim", "Secret", "Service", "Component", "InstanceSet"):
        assert api.names(kind, NS) == [], kind
    assert "kb-minipg-17-0.1.0" in api.names("ServiceAccount", NS)


def test_what_stops_a_cluster(api: FakeKubeApi, operator: KubeBlocksOperator) -> None:
    operator.fail("image", "ImagePullBackOff")
    operator.fail("norole", "NoRole")
    operator.refuse_pods("quota", "exceeded quota: q")
    for manifest in (
        cluster("image"),
        cluster("norole"),
        cluster("quota"),
        cluster("version", serviceVersion="99.0.0"),
        cluster("source", systemAccounts=[{"name": "postgres", "secretRef": {"name": "own", "namespace": NS}}]),
    ):
        api.put(manifest)
    api.until(lambda: status(api, "Cluster", "image").get("phase") == "Failed")
    assert status(api, "Cluster", "image")["components"]["postgresql"]["message"] == {"InstanceSet/image-postgresql": '["image-postgresql-0"]'}
    refused = api.until(lambda: status(api, "Cluster", "version").get("conditions"))
    assert refused[0]["reason"] == "PreCheckFailed"
    assert refused[0]["message"] == 'no matched component definition found with componentDef "minipg" and serviceVersion "99.0.0"'
    assert "observedGeneration" not in status(api, "Cluster", "version")
    api.until(lambda: events(api, 'secrets "own" not found') and events(api, "exceeded quota"))
    assert {status(api, "Cluster", name)["phase"] for name in ("norole", "quota", "source")} == {"Creating"}
    api.put({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "own", "namespace": NS}, "stringData": {"password": "pw"}})
    api.until(lambda: status(api, "Cluster", "source").get("phase") == "Running")
    assert base64.b64decode(api.get("Secret", "source-postgresql-account-postgres", NS)["data"]["password"]) == b"pw"


@pytest.mark.parametrize("name", sorted(load()))
def test_recorded_timelines_replay(api: FakeKubeApi, operator: KubeBlocksOperator, name: str) -> None:
    timeline = operator.replay(name, speed=1e6)
    api.settle()
    steps = list(itertools.takewhile(lambda step: not step.deleting, timeline.steps))
    last = api.get("Cluster", name, "obs")
    assert last["metadata"]["generation"] == steps[-1].generation
    assert (last.get("status") or {}) == steps[-1].status(name)
