# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The planted-password hunt: secrets that are given, by value and by reference, turn up nowhere but in their Secrets."""

from __future__ import annotations

import base64
import gzip
import secrets
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml

from tests.cluster.conftest import MakeStack
from tests.cluster.hunter import ArgvWatch, Hunter
from tests.cluster.kube import Kube
from tests.cluster.model import model_endpoint
from tests.cluster.play import Run, Stack
from tests.cluster.recorder import Recorder, Request

NAMESPACE, THEIRS = "t-hunt", "t-hunt-model"


def planted(name: str) -> str:
    """No two alike, and full of what shells, URLs, SQL, YAML and templates stumble over."""
    return f"{name}'\"$(id)%41{{x}}\\;-{secrets.token_hex(8)}"


@dataclass
class Hunt:
    stack: Stack
    secrets: dict[str, str]
    runs: list[Run] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    argv: ArgvWatch = field(default_factory=ArgvWatch)
    facts: Path = Path()


@pytest.fixture(scope="module")
def hunt(kube: Kube, make_stack: MakeStack, recorder: Recorder, recorded_kubeconfig: Path, tmp_path_factory: pytest.TempPathFactory) -> Hunt:
    values = {name: planted(name) for name in ("model", "model2", "pg", "app", "token", "account", "langfuse")}
    stack = make_stack(
        NAMESPACE,
        recorded_kubeconfig,
        lightrag_storage={"kv": "postgresql", "vector": "postgresql", "graph": "postgresql", "doc_status": "postgresql"},
        postgresql_provider="standalone",
        postgresql_superuser_secret={"name": "planted-pg", "username_key": "who", "password_key": "what"},
        # every statement goes to the server's log
        postgresql_parameters={"log_statement": "all", "log_connections": "on"},
        model_provider="external",
        model_base_url=f"http://their-model.{THEIRS}.svc:8000/v1",
        model_llm_model="their-llm",
        model_embedding_model="their-embedding",
        model_embedding_dim=256,
        lightrag_api_key_secret={"name": "planted-app", "key": "key"},
        lightrag_auth={
            "accounts_secret": {"name": "planted-app", "key": "accounts"},
            "token_secret": {"name": "planted-app", "key": "token"},
        },
    )
    kube.remove_namespaces(THEIRS)
    kube.make_namespace(THEIRS)
    kube.make_namespace(NAMESPACE)
    model_endpoint(kube, THEIRS, values["model"])
    kube.secret("planted-pg", NAMESPACE, who="postgres", what=values["pg"])
    # LightRAG splits accounts at commas and colons
    values["account"] = f"acc-{secrets.token_hex(12)}"
    kube.secret("planted-app", NAMESPACE, key=values["app"], token=values["token"], accounts=f"admin:{values['account']}")
    made = Hunt(stack, values, facts=tmp_path_factory.mktemp("facts"))
    cache = {"ANSIBLE_CACHE_PLUGIN": "ansible.builtin.jsonfile", "ANSIBLE_CACHE_PLUGIN_CONNECTION": str(made.facts)}
    folder = tmp_path_factory.mktemp("vault")
    with recorder.recording() as made.requests, made.argv:
        for key in ("model", "model2"):
            given = {"model_api_key": values[key], "lightrag_secret_env": {"LANGFUSE_SECRET_KEY": values["langfuse"]}}
            (folder / f"{key}.yml").write_text(yaml.safe_dump(given), encoding="utf-8")
            made.runs.append(stack.run("lightrag", "-vvv", "--diff", "-e", f"@{folder / f'{key}.yml'}", "-e", "ragops_wait_timeout=120", env=cache))
    return made


def test_given_secrets_work(hunt: Hunt, kube: Kube) -> None:
    """Odd characters and all: the server took them, the model took its key, and a question was answered."""
    run = hunt.runs[0].ok()
    [task] = run.named("Write a made-up fact, ask for it, and remove it")
    assert task.result["proof"]["seconds"]["total"] > 0
    env = kube.get("deployments", "rag-lightrag", NAMESPACE, "apps/v1")["spec"]["template"]["spec"]["containers"][0]["env"]
    references = {e["name"]: e["valueFrom"]["secretKeyRef"] for e in env if "valueFrom" in e}
    assert references["LIGHTRAG_API_KEY"] == {"name": "planted-app", "key": "key"}
    assert references["AUTH_ACCOUNTS"] == {"name": "planted-app", "key": "accounts"}
    assert kube.values(references["LANGFUSE_SECRET_KEY"]["name"], NAMESPACE)["LANGFUSE_SECRET_KEY"] == hunt.secrets["langfuse"]
    assert kube.psql(NAMESPACE, "rag-pg-0", "postgres", "SELECT 1;") == [["1"]]


def test_a_changed_secret_rolls_the_pod_and_a_wrong_key_is_explained(hunt: Hunt, kube: Kube) -> None:
    """The second run gives a key that the model endpoint does not know."""
    run = hunt.runs[1]
    assert "ragops.stack.lightrag : Apply the objects of LightRAG" in run.changed()
    sums = {
        r["metadata"]["annotations"].get("deployment.kubernetes.io/revision")
        for r in kube.items_of("replicasets", NAMESPACE, "apps/v1", "app.kubernetes.io/name=lightrag")
    }
    assert sums == {"1", "2"}
    task = run.failure()
    print(task.msg)
    assert task.name == "Write a made-up fact, ask for it, and remove it"
    assert "401" in task.msg or "Unauthorized" in task.msg or "key" in task.msg.lower()
    assert task.seconds < 2 * 120  # the limit is for each stage


def test_no_planted_secret_is_anywhere_else(hunt: Hunt, kube: Kube) -> None:
    values = dict(hunt.secrets)
    for secret in ("rag-lightrag-postgresql", "rag-model", "rag-lightrag-env"):
        values |= {
            f"{secret}.{k}": v for k, v in (kube.values(secret, NAMESPACE) if kube.find("secrets", secret, NAMESPACE) else {}).items() if k != "username"
        }
    print(f"looking for {sorted(values)}")
    hunter = Hunter()
    for number, run in enumerate(hunt.runs, 1):
        hunter.add(f"output of run {number} at -vvv --diff", run.output)
        hunter.add(f"results of run {number}", [vars(t) for t in run.tasks])
    hunter.add("URLs and headers of API requests", [[r.url, r.headers] for r in hunt.requests])
    hunter.add("command lines", sorted(hunt.argv.seen))
    hunter.add_files(hunt.facts)
    hunter.add_cluster(kube, [NAMESPACE, THEIRS, "kb-system"])
    log = hunter.places["log t-hunt/rag-pg-0/postgresql"]
    assert "CREATE ROLE" in log, "the server does not log its statements, so the log would prove nothing"
    assert any("psql" in r.url for r in hunt.requests if r.is_exec)
    print(f"{len(hunter.places)} places, {len(hunt.requests)} requests, {len(hunt.argv.seen)} command lines in {hunt.argv.samples} samples")
    assert hunter.find(values) == []


def test_the_hunter_finds_what_is_planted(kube: Kube, hunt: Hunt) -> None:
    """In each kind of place once, as it stands there in practice."""
    secret = planted("bait")
    packed = base64.b64encode(gzip.compress(f'{{"password": {secret!r}}}'.encode())).decode()
    encoded = base64.b64encode(secret.encode()).decode()
    kube.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "bait", "namespace": THEIRS}, "data": {"packed": packed}}, "configmaps")
    release = base64.b64encode(gzip.compress(f'{{"config": {{"key": "{encoded}"}}}}'.encode())).decode()
    helm = {"name": "sh.helm.release.v1.bait.v1", "namespace": THEIRS, "labels": {"owner": "helm"}}
    kube.create({"apiVersion": "v1", "kind": "Secret", "metadata": helm, "stringData": {"release": release}}, "secrets")
    with ArgvWatch() as argv:
        subprocess.run([sys.executable, "-c", "import time; time.sleep(0.3)", secret], check=True)
        time.sleep(0.1)
    hunter = Hunter()
    hunter.add("output", f"changed: {secret}")
    hunter.add("clean", "nothing here")
    hunter.add("results", {"args": [secret]})
    hunter.add("requests", [f"https://server/exec?command={secret.replace(' ', '+')}"])
    hunter.add("command lines", sorted(argv.seen))
    hunter.add_cluster(kube, [THEIRS])
    found = set(hunter.find({"bait": secret}))
    wanted = {"output", "results", "requests", "command lines", f"configmaps {THEIRS}/bait", f"Helm release {THEIRS}/sh.helm.release.v1.bait.v1"}
    assert {f"bait in {place}" for place in wanted} <= found
    assert "bait in clean" not in found
