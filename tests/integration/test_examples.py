# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every example of every module's documentation runs: in check mode, and for real where the in-memory API can play along."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import ROOT
from tests.fakes.kube_api import FakeKubeApi
from tests.fakes.lightrag_server import FakeLightRag
from tests.fakes.workloads import Workloads
from tests.integration.conftest import Call

Json = dict[str, Any]

MODULES = sorted(p.stem for p in (ROOT / "plugins/modules").glob("[a-z]*.py"))
# What stands behind these is not in memory (a database server, ten minutes of listening): check mode only.
# The real cluster runs the same modules through the roles.
CHECK_ONLY = {"kubeblocks_cluster", "kubeblocks_definition", "neo4j_info", "port_forward", "postgresql_database", "postgresql_ext"}
CONNECTION = {
    "engine": "neo4j",
    "provider": "kubeblocks",
    "host": "rag-neo4j-neo4j.demo.svc",
    "port": 7687,
    "database": "neo4j",
    "tls": False,
    "namespace": "demo",
    "secret": {"name": "rag-neo4j-superuser", "username_key": "username", "password_key": "password"},
    "cluster": "rag-neo4j",
    "component": "neo4j",
    "container": "neo4j",
}


def examples(module: str) -> list[Json]:
    """The tasks as the documentation shows them."""
    source = (ROOT / f"plugins/modules/{module}.py").read_text(encoding="utf-8")
    match = re.search(r'^EXAMPLES = r"""(.*?)"""', source, re.M | re.S)
    assert match, f"{module} has no EXAMPLES"
    tasks: list[Json] = yaml.safe_load(match[1])
    return tasks


def own(module: str) -> list[Json]:
    return [task for task in examples(module) if f"ragops.stack.{module}" in task]


def filled(value: Any, stand_ins: dict[str, Any]) -> Any:
    """Variables, downloads and hosts of the examples by what stands in for them."""
    if isinstance(value, dict):
        return {k: filled(v, stand_ins) for k, v in value.items()}
    if isinstance(value, list):
        return [filled(v, stand_ins) for v in value]
    return stand_ins.get(value, value) if isinstance(value, str) else value


@pytest.fixture
def world(api: FakeKubeApi, tmp_path: Path) -> Iterator[dict[str, Any]]:
    """What the examples assume: a LightRAG behind a Service, an operator, a file of definitions; the stand-ins for their words."""
    Workloads(api)
    api.namespace("kb-system")
    with FakeLightRag() as rag:
        for name, namespace in (("rag-lightrag", "demo"), ("kubeblocks", "kb-system")):
            labels = {"app": name}
            container = {"name": "main", "image": "x", "ports": [{"name": "http", "containerPort": 9621}]}
            spec = {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}}}
            api.put({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "namespace": namespace}, "spec": spec})
        service = {"selector": {"app": "rag-lightrag"}, "ports": [{"port": 9621, "targetPort": "http"}]}
        api.put({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "rag-lightrag", "namespace": "demo"}, "spec": service})
        key = base64.b64encode(rag.key.encode()).decode()
        api.put({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "rag-lightrag-api", "namespace": "demo"}, "data": {"api-key": key}})
        api.forward = lambda _namespace, _pod, port: ("127.0.0.1", rag.port) if port == 9621 else None
        api.until(lambda: api.get("Deployment", "rag-lightrag", "demo").get("status", {}).get("availableReplicas"))
        for cluster, component, account in (("rag-pg", "postgresql", "postgres"), ("rag-neo4j", "neo4j", "neo4j")):
            api.put(account_secret(cluster, component, account))
        for name, group in (("ours", "examples.ragops.test"), ("snapshots", "snapshot.examples.ragops.test")):
            (tmp_path / name).mkdir()
            (tmp_path / name / "crd.yaml").write_text(yaml.safe_dump(definition(group)), encoding="utf-8")
        yield {
            "{{ vault_openai_api_key }}": "value-from-a-vault",
            "{{ neo4j_connection }}": CONNECTION,
            "{{ lookup('ansible.builtin.env', 'RAG_KEY') }}": rag.key,
            "https://rag.example.com": rag.url,
            "https://github.com/apecloud/kubeblocks/releases/download/v1.0.2/kubeblocks_crds.yaml": str(tmp_path / "ours/crd.yaml"),
            "/opt/charts/kubeblocks/crds/snapshot": str(tmp_path / "snapshots"),
        }


def account_secret(cluster: str, component: str, account: str) -> Json:
    """As the operator makes it."""
    labels = {"app.kubernetes.io/instance": cluster, "apps.kubeblocks.io/component-name": component, "apps.kubeblocks.io/system-account": account}
    data = {key: base64.b64encode(value.encode()).decode() for key, value in (("username", account), ("password", "not-told"))}
    metadata = {"name": f"{cluster}-{component}-account-{account}", "namespace": "demo", "labels": labels}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": data}


def definition(group: str) -> Json:
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"things.{group}"},
        "spec": {
            "group": group,
            "names": {"kind": "Thing", "plural": "things", "singular": "thing", "listKind": "ThingList"},
            "scope": "Namespaced",
            "versions": [{"name": "v1", "served": True, "storage": True, "schema": schema}],
        },
    }


@pytest.mark.parametrize("module", MODULES)
def test_examples_are_tasks_of_this_module(module: str) -> None:
    tasks = examples(module)
    assert own(module), f"{module} has no example of itself"
    for task in tasks:
        assert task["name"][0].isupper()
        actions = [key for key in task if key.count(".") == 2]
        assert len(actions) == 1, f"an action by its full name is missing in: {task}"


@pytest.mark.parametrize("module", MODULES)
def test_examples_run(module: str, world: dict[str, Any], call: Call) -> None:
    for task in own(module):
        args = filled(task[f"ragops.stack.{module}"], world)
        left = re.findall(r"\{\{.*?\}\}|example\.com|https://github\.com", yaml.safe_dump(args))
        assert not left, f"the test has no stand-in for {left}"
        predicted = call(module, check=True, **args)
        assert not predicted.get("failed"), f"{task['name']} (check mode): {predicted['msg']}"
        if module in CHECK_ONLY:
            continue
        done = call(module, **args)
        assert not done.get("failed"), f"{task['name']}: {done['msg']}"
        assert done["changed"] == predicted["changed"], f"{task['name']}: check mode did not predict it"
        again = call(module, **args)
        assert again["changed"] is False, f"{task['name']}: the second run changes something"


def test_a_wrong_example_is_noticed(world: dict[str, Any], call: Call) -> None:
    """The test above would not pass with an option that the module does not have."""
    args = filled(own("lightrag_query")[0]["ragops.stack.lightrag_query"], world)
    assert call("lightrag_query", check=True, **args, question="?")["failed"] is True
