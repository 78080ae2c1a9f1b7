# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bad input ends before the first write, with its cause and its remedy. One run: each case is a host of its inventory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster.conftest import FILES
from tests.cluster.kube import Json, Kube, wait
from tests.cluster.play import Player, Run, local_variables, write_inventory
from tests.cluster.recorder import Recorder, Request

EXTERNAL = {
    "model_provider": "external",
    "model_base_url": "http://model.example/v1",
    "model_api_key": "not-a-key",
    "model_llm_model": "llm",
    "model_embedding_model": "embedding",
    "model_embedding_dim": 1536,
}
POSTGRESQL = {"lightrag_storage": {"kv": "postgresql", "vector": "postgresql", "graph": "postgresql", "doc_status": "postgresql"}}


@dataclass(frozen=True)
class Case:
    """Variables of a host, and the words that its message has to hold: the cause first, then the remedy."""

    variables: dict[str, Any]
    cause: list[str]
    remedy: list[str]
    prepare: list[Json] = field(default_factory=list)


def storage(**slots: str) -> dict[str, Any]:
    return {"lightrag_storage": {**FILES["lightrag_storage"], **slots}}


def without(variables: dict[str, Any], key: str) -> dict[str, Any]:
    return {k: v for k, v in variables.items() if k != key}


def foreign(plural_kind: str, api: str, name: str, **rest: Any) -> Json:
    return {"apiVersion": api, "kind": plural_kind, "metadata": {"name": name}, **rest}


FOREIGN_DEPLOYMENT = foreign(
    "Deployment",
    "apps/v1",
    "rag-lightrag",
    spec={
        "replicas": 0,
        "selector": {"matchLabels": {"app": "other"}},
        "template": {"metadata": {"labels": {"app": "other"}}, "spec": {"containers": [{"name": "other", "image": "example/other:1"}]}},
    },
)
FOREIGN_SERVICE = foreign("Service", "v1", "rag-model", spec={"ports": [{"port": 80}], "selector": {"app": "other"}})
FOREIGN_CONFIG = foreign("ConfigMap", "v1", "rag-lightrag", data={"theirs": "1"})

CASES = {
    "unreachable": Case({**FILES, "ragops_kubeconfig": "@dead@"}, ["127.0.0.1:1", "refuses the connection"], ["Is the cluster running", "kubeconfig"]),
    "no-such-class": Case({**FILES, "ragops_storage_class": "golden"}, ["StorageClass golden does not exist"], ["Name one of"]),
    "database-provider": Case({**POSTGRESQL, "postgresql_provider": "oracle"}, ["postgresql_provider", "oracle"], ["kubeblocks", "standalone", "external"]),
    "graph-provider": Case({**storage(graph="neo4j"), "neo4j_provider": "aura"}, ["neo4j_provider", "aura"], ["kubeblocks", "standalone", "external"]),
    "model-provider": Case({**FILES, "model_provider": "oracle"}, ["model_provider", "oracle"], ["external", "ollama", "stub"]),
    "engine": Case(storage(kv="oracle"), ["lightrag_storage.kv is 'oracle'", "no engine of LightRAG"], ["Choose one of", "postgresql"]),
    "no-backend": Case(storage(vector="elasticsearch"), ["lightrag_storage.vector is 'elasticsearch'"], ["Choose one of", "postgresql"]),
    "slot": Case(storage(doc_status="neo4j"), ["lightrag_storage.doc_status is 'neo4j'", "cannot keep"], ["Choose one of", "postgresql"]),
    "no-slot": Case(storage(graf="files"), ["lightrag_storage.graf"], ["doc_status, graph, kv, vector"]),
    "no-key": Case({**FILES, **without(EXTERNAL, "model_api_key")}, ["No key for the model endpoint"], ["model_api_key_secret", "model_api_key"]),
    "no-secret": Case(
        {**FILES, **without(EXTERNAL, "model_api_key"), "model_api_key_secret": {"name": "theirs", "key": "key"}},
        ["Secret t-bad-no-secret/theirs", "does not exist"],
        ["Create it"],
    ),
    "no-url": Case({**FILES, **without(EXTERNAL, "model_base_url")}, ["model_base_url is ''"], ["OpenAI-compatible base URL"]),
    "empty-url": Case({**FILES, **EXTERNAL, "model_base_url": ""}, ["model_base_url is ''"], ["OpenAI-compatible base URL"]),
    "empty-key": Case({**FILES, **EXTERNAL, "model_api_key": ""}, ["No key for the model endpoint"], ["model_api_key"]),
    "empty-model": Case({**FILES, **EXTERNAL, "model_llm_model": ""}, ["model_llm_model is not set"], ["Name a model"]),
    "empty-option": Case({**FILES, "lightrag_llm": {"host": ""}}, ["lightrag_llm.host is empty"], ["Leave it out or give it"]),
    "empty-name": Case({**POSTGRESQL, "postgresql_name": ""}, ["postgresql_name is ''"], ["begin with a letter"]),
    "empty-namespace": Case({**FILES, "ragops_namespace": ""}, ["namespace", "empty"], ["et "]),
    "replicas": Case({**FILES, "lightrag_replicas": 2}, ["lightrag_replicas is 2", "races its migrations"], ["Set it to 1"]),
    "rolling": Case({**FILES, "lightrag_strategy": "RollingUpdate"}, ["RollingUpdate", "ReadWriteOnce"], ["Use Recreate"]),
    "no-dimension": Case({**FILES, **without(EXTERNAL, "model_embedding_dim")}, ["model_embedding_dim is ''"], ["length of the vectors"]),
    "big-dimension": Case(
        {**POSTGRESQL, **EXTERNAL, "model_embedding_dim": 3072, "postgresql_provider": "standalone"}, ["3072", "HNSW", "2000"], ["HNSW_HALFVEC"]
    ),
    "terminating": Case(FILES, ["Namespace t-bad-terminating is being deleted"], ["Wait until it is gone"]),
    "foreign-app": Case(FILES, ["Deployment", "rag-lightrag", "not made by ragops.stack"], ["adopt"], [FOREIGN_DEPLOYMENT]),
    "foreign-parent": Case(FILES, ["ConfigMap", "rag-lightrag"], ["name"], [FOREIGN_CONFIG]),
    "foreign-model": Case(FILES, ["Service", "rag-model", "not made by ragops.stack"], ["adopt"], [FOREIGN_SERVICE]),
}
PLURALS = {"Deployment": "deployments", "Service": "services", "ConfigMap": "configmaps"}


def host_of(case: str) -> str:
    return f"t-bad-{case}"


@dataclass(frozen=True)
class Refused:
    run: Run
    requests: list[Request]
    objects: dict[str, set[tuple[str, str]]]  # of the namespaces that were there before


@pytest.fixture(scope="module")
def refused(
    kube: Kube, player: Player, clean: Callable[..., None], recorder: Recorder, recorded_kubeconfig: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Refused]:
    folder = tmp_path_factory.mktemp("refusals")
    clean(*(host_of(name) for name in CASES))
    for name, case in CASES.items():
        if case.prepare:
            kube.make_namespace(host_of(name))
        for obj in case.prepare:
            kube.create({**obj, "metadata": {**obj["metadata"], "namespace": host_of(name)}}, PLURALS[obj["kind"]])
    prepared = [host_of(name) for name, case in CASES.items() if case.prepare]
    before = {n: set(kube.everything(n)) for n in prepared}
    hosts = {host_of(name): dict(case.variables) for name, case in CASES.items()}
    hosts["t-bad-unreachable"]["ragops_kubeconfig"] = str(dead_kubeconfig(folder / "dead"))
    inventory = write_inventory(folder, hosts, recorded_kubeconfig)
    with held_namespace(kube, "t-bad-terminating"), recorder.recording() as requests:
        run = player.run("-i", str(inventory), "playbooks/lightrag.yml", "--limit", "t-bad-*", timeout=600)
    yield Refused(run, requests, before)


def dead_kubeconfig(path: Path) -> Path:
    """Of a cluster that is not running: nothing listens on port 1."""
    cluster = {"name": "dead", "cluster": {"server": "https://127.0.0.1:1"}}
    context = {"name": "dead", "context": {"cluster": "dead", "user": "dead"}}
    user = {"name": "dead", "user": {"token": "none"}}
    config = {"apiVersion": "v1", "kind": "Config", "clusters": [cluster], "contexts": [context], "users": [user], "current-context": "dead"}
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
    return path


@contextmanager
def held_namespace(kube: Kube, name: str) -> Iterator[None]:
    """A namespace that is going away, but cannot: an object in it has a finalizer."""
    kube.make_namespace(name)
    kube.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "held", "namespace": name, "finalizers": ["ragops.test/hold"]}}, "configmaps")
    kube.delete("namespaces", name)
    wait(lambda: kube.get("namespaces", name)["status"]["phase"] == "Terminating", 30, "the namespace to be terminating")
    try:
        yield
    finally:
        kube.patch("configmaps", "held", {"metadata": {"finalizers": []}}, name)


@pytest.mark.parametrize("name", CASES)
def test_refused_with_cause_and_remedy(refused: Refused, name: str) -> None:
    case, task = CASES[name], refused.run.failure(host_of(name))
    print(f"{task.title}\n{task.msg}")
    missing = [words for words in [*case.cause, *case.remedy] if words not in task.msg]
    assert not missing, f"{missing} not in: {task.msg}\n(task {task.title}, {task.path})"
    assert not any(t.changed for t in refused.run.of(host_of(name)))


def test_nothing_was_written(refused: Refused, kube: Kube) -> None:
    writes = [f"{r.method} {r.url}" for r in refused.requests if r.is_write]
    print(f"{len(refused.requests)} requests, {len(writes)} writes")
    assert len(refused.requests) > len(CASES), "the run did not go through the recorder"
    assert not writes
    for name, case in CASES.items():
        if name == "terminating":
            continue
        if case.prepare:
            assert set(kube.everything(host_of(name))) == refused.objects[host_of(name)]
        else:
            assert kube.find("namespaces", host_of(name)) is None


def test_no_default_storage_class(
    kube: Kube, player: Player, clean: Callable[..., None], recorder: Recorder, recorded_kubeconfig: Path, tmp_path: Path
) -> None:
    """For some seconds the cluster has no default class. Claims made meanwhile get theirs afterwards."""
    if local_variables()["ragops_local_mode"] == "given":
        pytest.skip("the default StorageClass of somebody else's cluster is not touched")
    clean("t-bad-class")
    inventory = write_inventory(tmp_path, {"t-bad-class": dict(FILES)}, recorded_kubeconfig)
    with no_default_class(kube) as names, recorder.recording() as requests:
        run = player.run("-i", str(inventory), "playbooks/lightrag.yml", "--limit", "t-bad-class")
    task = run.failure()
    assert "No StorageClass of the cluster is the default one, and none is named" in task.msg
    assert "Set ragops_storage_class to one of" in task.msg
    assert all(name in task.msg for name in names)
    assert not [r for r in requests if r.is_write]
    assert kube.find("namespaces", "t-bad-class") is None


@contextmanager
def no_default_class(kube: Kube) -> Iterator[list[str]]:
    key, api = "storageclass.kubernetes.io/is-default-class", "storage.k8s.io/v1"
    classes = kube.items_of("storageclasses", api=api)
    default = [c["metadata"]["name"] for c in classes if (c["metadata"].get("annotations") or {}).get(key) == "true"]
    assert default, "the cluster has no default StorageClass to begin with"
    try:
        for name in default:
            kube.patch("storageclasses", name, {"metadata": {"annotations": {key: "false"}}}, api=api)
        yield [c["metadata"]["name"] for c in classes]
    finally:
        for name in default:
            kube.patch("storageclasses", name, {"metadata": {"annotations": {key: "true"}}}, api=api)
