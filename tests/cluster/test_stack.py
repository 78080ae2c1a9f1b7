# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One LightRAG on PostgreSQL and Neo4j, through its life: predicted, deployed, read back, hurt, removed, brought back, wiped.

The tests build on each other in the order of this file; one stack serves them all.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
import secrets
import signal
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster.conftest import MakeStack
from tests.cluster.hunter import ArgvWatch, Hunter
from tests.cluster.kube import Json, Kube, wait
from tests.cluster.lightrag import LightRag
from tests.cluster.play import Run, Stack
from tests.cluster.recorder import Recorder, Request

NAMESPACE = "t-stack"
APPS = "apps/v1"
KUBEBLOCKS = "apps.kubeblocks.io/v1"
# Tasks that check mode cannot predict, each with its reason. None.
UNPREDICTABLE: dict[str, str] = {}


@dataclass
class Deployed:
    """A stack that was predicted first, and how both runs went."""

    stack: Stack
    app: LightRag
    predicted: Run
    predicted_requests: list[Request]
    namespace_after_prediction: Json | None
    run: Run
    requests: list[Request]
    argv: ArgvWatch
    facts: Path


@dataclass(frozen=True)
class Fact:
    """A document that only these tests know."""

    source: str
    text: str
    code: str
    place: str

    def question(self) -> str:
        """Worded anew each time, so that no cache of answers knows it."""
        return f"What is the harbour code of station {self.place}? (asked as {secrets.token_hex(4)})"


@pytest.fixture(scope="module")
def deployed(kube: Kube, make_stack: MakeStack, recorder: Recorder, recorded_kubeconfig: Path, tmp_path_factory: pytest.TempPathFactory) -> Deployed:
    stack = make_stack(NAMESPACE, recorded_kubeconfig)
    with recorder.recording() as predicted_requests:
        predicted = stack.run("lightrag", "--check", "--diff")
    namespace = kube.find("namespaces", NAMESPACE)
    facts = tmp_path_factory.mktemp("facts")
    cache = {"ANSIBLE_CACHE_PLUGIN": "ansible.builtin.jsonfile", "ANSIBLE_CACHE_PLUGIN_CONNECTION": str(facts)}
    with recorder.recording() as requests, ArgvWatch() as argv:
        run = stack.run("lightrag", "-vvv", "--diff", env=cache)
    run.ok()
    return Deployed(stack, LightRag(kube, NAMESPACE), predicted, predicted_requests, namespace, run, requests, argv, facts)


@pytest.fixture(scope="module")
def fact(deployed: Deployed) -> Fact:
    """Inserted through LightRAG's API."""
    place, code = f"Kap{secrets.token_hex(3)}", f"HC{secrets.token_hex(4).upper()}"
    text = f"Station {place} is a lighthouse. The harbour code of station {place} is {code}. Station {place} is kept by Marta Holm."
    made = Fact(f"{place}.txt", text, code, place)
    deployed.app.insert(made.source, made.text)
    return made


# --- predicted and deployed ------------------------------------------------------------------------


def test_check_mode_writes_nothing(deployed: Deployed) -> None:
    deployed.predicted.ok()
    assert len(deployed.predicted_requests) > 20, "the run did not go through the recorder"
    assert not [f"{r.method} {r.url}" for r in deployed.predicted_requests if r.is_write]
    assert deployed.namespace_after_prediction is None


def test_check_mode_predicts_every_change(deployed: Deployed) -> None:
    predicted, done = deployed.predicted.changed(), deployed.run.changed()
    print(f"predicted and done: {sorted(predicted & done)}")
    assert done - predicted - set(UNPREDICTABLE) == set(), "changed, but not predicted"
    assert predicted - done - set(UNPREDICTABLE) == set(), "predicted, but not changed"
    assert len(done) >= 8


def test_the_proof_was_made(deployed: Deployed) -> None:
    [task] = deployed.run.named("Write a made-up fact, ask for it, and remove it")
    proof = task.result["proof"]
    print(proof)
    match = re.fullmatch(r"ragops-proof-(hc[0-9a-f]+)\.txt", proof["reference"])
    assert match
    code = match[1].upper()
    assert code in proof["answer"]
    assert code not in proof["negative_control"]
    assert set(proof["seconds"]) == {"login", "negative", "insert", "process", "query", "delete", "total"}
    stages = [v for k, v in proof["seconds"].items() if k != "total"]
    assert 0 < proof["seconds"]["process"] <= proof["seconds"]["total"] <= sum(stages) + 1
    for words in (proof["answer"].splitlines()[0], "asked_before", proof["reference"]):
        assert words in deployed.run.output, "the run does not show the proof"
    left = deployed.app.documents()
    assert proof["reference"] not in left, "the proof left its document behind"


def test_the_second_run_changes_nothing(deployed: Deployed) -> None:
    run = deployed.stack.run("lightrag").ok()
    assert run.changed() == set()
    assert re.search(r"changed=0\b", run.output)


def test_then_there_is_no_difference(deployed: Deployed) -> None:
    run = deployed.stack.run("lightrag", "--check", "--diff").ok()
    assert run.changed() == set()
    assert run.diffs() == []


# --- read back from the API server ------------------------------------------------------------------


@pytest.mark.parametrize("name", ["rag-pg", "rag-neo4j"])
def test_clusters_run(deployed: Deployed, kube: Kube, name: str) -> None:
    cluster = kube.get("clusters", name, NAMESPACE, KUBEBLOCKS)
    status = cluster["status"]
    assert status["phase"] == "Running"
    assert status["observedGeneration"] == cluster["metadata"]["generation"]
    components = [c["name"] for c in cluster["spec"]["componentSpecs"]]
    assert components
    for component in components:
        assert status["components"][component]["phase"] == "Running"
        assert status["components"][component]["upToDate"] is True
    assert cluster["spec"]["terminationPolicy"] == "Delete"
    assert cluster["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "ragops.stack"


def test_claims_are_bound_and_sized(deployed: Deployed, kube: Kube) -> None:
    claims = {c["metadata"]["name"]: c for c in kube.items_of("persistentvolumeclaims", NAMESPACE)}
    assert set(claims) == {"rag-lightrag-rag-storage", "rag-lightrag-inputs", "data-rag-pg-postgresql-0", "data-rag-neo4j-neo4j-0"}
    for claim in claims.values():
        assert claim["status"]["phase"] == "Bound"
        assert claim["status"]["capacity"]["storage"] == "1Gi"


def test_deployment(deployed: Deployed, kube: Kube) -> None:
    spec = kube.get("deployments", "rag-lightrag", NAMESPACE, APPS)["spec"]
    assert spec["replicas"] == 1
    assert spec["strategy"]["type"] == "Recreate"
    pod = spec["template"]["spec"]
    assert pod["enableServiceLinks"] is False
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] >= 1000
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    [container] = pod["containers"]
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert container["securityContext"]["allowPrivilegeEscalation"] is False
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert container["resources"]["requests"] == {"cpu": "10m", "memory": "256Mi"}
    assert container["resources"]["limits"] == {"cpu": "2", "memory": "1536Mi"}
    assert container["startupProbe"]["httpGet"]["path"] == "/health"
    assert container["startupProbe"]["periodSeconds"] * container["startupProbe"]["failureThreshold"] >= 200
    for probe in ("readinessProbe", "livenessProbe"):
        assert "/documents/status_counts" in " ".join(container[probe]["exec"]["command"]), f"the {probe} does not ask the database"
    mounts = {m["mountPath"]: m["name"] for m in container["volumeMounts"]}
    volumes = {v["name"]: v for v in pod["volumes"]}
    for path, claim in (("/app/data/rag_storage", "rag-lightrag-rag-storage"), ("/app/data/inputs", "rag-lightrag-inputs")):
        assert volumes[mounts[path]]["persistentVolumeClaim"]["claimName"] == claim
    assert not [m for m in mounts if m in ("/app", "/app/data", "/app/data/tiktoken")], "a volume hides files of the image"
    assert "ragops.stack/secrets" in spec["template"]["metadata"]["annotations"], "a changed Secret would not roll the pod"


def test_every_pod_is_hardened(deployed: Deployed, kube: Kube) -> None:
    """The level `restricted` of the Pod Security Standards takes all of them: asked of the API server by a dry run."""
    pods = kube.pods(NAMESPACE)
    assert len(pods) == 4
    status, text = kube.call(
        "PATCH",
        f"/api/v1/namespaces/{NAMESPACE}",
        {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}},
        {"dryRun": "All"},
        {"Content-Type": "application/merge-patch+json"},
    )
    assert status == 200, text
    for pod in pods:
        for container in pod["spec"]["containers"]:
            probe = kube.kubectl("exec", "-n", NAMESPACE, pod["metadata"]["name"], "-c", container["name"], "--", "cat", "/proc/1/status")
            fields = dict(line.split(":", 1) for line in probe.splitlines() if ":" in line)
            uids = set(fields["Uid"].split())
            assert "0" not in uids, f"{pod['metadata']['name']} runs as root"
            assert int(fields["CapEff"], 16) == 0
            assert int(fields["CapBnd"], 16) == 0


def test_pods_fit_the_restricted_standard(deployed: Deployed, kube: Kube) -> None:
    """The same pods are accepted by a namespace that enforces it."""
    scratch = f"{NAMESPACE}-restricted"
    kube.remove_namespaces(scratch)
    labels = {"ragops-test": "true", "pod-security.kubernetes.io/enforce": "restricted"}
    kube.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": scratch, "labels": labels}}, "namespaces")
    try:
        wait(lambda: kube.find("serviceaccounts", "default", scratch), 30, "the service account")
        for pod in kube.pods(NAMESPACE):
            spec = {k: v for k, v in pod["spec"].items() if k not in ("serviceAccountName", "serviceAccount", "nodeName")}
            body = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": pod["metadata"]["name"], "namespace": scratch}, "spec": spec}
            status, text = kube.call("POST", f"/api/v1/namespaces/{scratch}/pods", body, {"dryRun": "All"})
            assert status == 201, text
    finally:
        kube.remove_namespaces(scratch)


SECRET_NAME = re.compile(r"PASSWORD|SECRET|TOKEN|API_KEY|USERNAME|_USER$|ACCOUNTS|CREDENTIAL")
PLAIN_LOOKALIKES = ("TOKEN_EXPIRE_HOURS", "EMBEDDING_TOKEN_LIMIT")


def test_credentials_come_by_reference_only(deployed: Deployed, kube: Kube) -> None:
    env = kube.get("deployments", "rag-lightrag", NAMESPACE, APPS)["spec"]["template"]["spec"]["containers"][0]["env"]
    references = {e["name"]: e["valueFrom"]["secretKeyRef"] for e in env if "valueFrom" in e}
    plain = {e["name"]: e.get("value", "") for e in env if "valueFrom" not in e}
    wanted = {"POSTGRES_USER", "POSTGRES_PASSWORD", "NEO4J_USERNAME", "NEO4J_PASSWORD", "LIGHTRAG_API_KEY", "TOKEN_SECRET"}
    wanted |= {"LLM_BINDING_API_KEY", "EMBEDDING_BINDING_API_KEY"}
    assert wanted <= set(references)
    assert not [n for n in plain if SECRET_NAME.search(n) and n not in PLAIN_LOOKALIKES]
    assert not [n for n, v in plain.items() if v == ""], "LightRAG takes an empty value for a value"
    held = {v for s in kube.items_of("secrets", NAMESPACE) for k, v in kube.values(s["metadata"]["name"], NAMESPACE).items() if "user" not in k}
    assert not [n for n, v in plain.items() if v in held]
    for reference in references.values():
        assert kube.values(reference["name"], NAMESPACE)[reference["key"]]
    assert plain["WHITELIST_PATHS"] == "/health"
    assert plain["NEO4J_URI"].startswith("bolt://")
    assert plain["NEO4J_DATABASE"] == "neo4j"
    app_user = kube.values(references["POSTGRES_PASSWORD"]["name"], NAMESPACE)
    assert app_user["password"] != kube.values("rag-pg-superuser", NAMESPACE)["password"], "LightRAG has the superuser's password"


def test_members_of_the_applyset(deployed: Deployed, kube: Kube) -> None:
    """As KEP-3659 says."""
    objects = kube.everything(NAMESPACE)
    members = {
        "rag-lightrag": {"serviceaccounts", "persistentvolumeclaims", "services", "deployments"},
        "rag-model": {"serviceaccounts", "configmaps", "services", "deployments"},
    }
    for name, plurals in members.items():
        parent = objects[("configmaps", name)]["metadata"]
        digest = hashlib.sha256(f"{name}.{NAMESPACE}.ConfigMap.".encode()).digest()
        identity = f"applyset-{base64.urlsafe_b64encode(digest).decode().rstrip('=')}-v1"
        assert parent["labels"]["applyset.kubernetes.io/id"] == identity
        assert parent["annotations"]["applyset.kubernetes.io/tooling"].startswith("ragops.stack/")
        kinds = parent["annotations"]["applyset.kubernetes.io/contains-group-kinds"].split(",")
        part_of = {key: o for key, o in objects.items() if (o["metadata"].get("labels") or {}).get("applyset.kubernetes.io/part-of") == identity}
        assert {plural for plural, _name in part_of} == plurals
        assert kinds == sorted(kinds)
        assert {k.split(".")[0].lower() + "s" for k in kinds} == plurals
        for obj in part_of.values():
            assert obj["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "ragops.stack"
            assert obj["metadata"]["labels"]["app.kubernetes.io/instance"] == name
            assert "ragops.stack" in {f["manager"] for f in obj["metadata"]["managedFields"] if f["operation"] == "Apply"}


# --- read back from the databases and the app -------------------------------------------------------


def pg(kube: Kube, sql: str, database: str = "rag_lightrag") -> list[list[str]]:
    return kube.psql(NAMESPACE, "rag-pg-postgresql-0", database, sql)


def cypher(kube: Kube, statement: str) -> str:
    """Over HTTP inside the pod, with its own credentials; the script goes by standard input."""
    script = f"""
body='{{"statements":[{{"statement":"{statement}"}}]}}'
exec 4<> /dev/tcp/127.0.0.1/7474
login=$(printf '%s:%s' "$DB_ADMIN_USER" "$DB_ADMIN_PASSWORD" | base64 -w0)
printf 'POST /db/neo4j/tx/commit HTTP/1.0\\r\\nAuthorization: Basic %s\\r\\nContent-Type: application/json\\r\\nContent-Length: %s\\r\\n\\r\\n%s' \
  "$login" "${{#body}}" "$body" >&4
timeout 20 cat <&4
"""
    answer = kube.kubectl("exec", "-i", "-n", NAMESPACE, "rag-neo4j-neo4j-0", "-c", "neo4j", "--", "bash", "-s", stdin=script)
    assert '"errors":[]' in answer, answer
    return answer


def nodes(kube: Kube) -> int:
    match = re.search(r'"row":\[(\d+)\]', cypher(kube, "MATCH (n) RETURN count(n)"))
    assert match
    return int(match[1])


def test_the_database_user_is_least_privileged(deployed: Deployed, kube: Kube) -> None:
    rows = pg(kube, "SELECT rolsuper, rolcreaterole, rolcreatedb, rolreplication, rolbypassrls, rolcanlogin FROM pg_roles WHERE rolname = 'rag_lightrag';")
    assert rows == [["f", "f", "f", "f", "f", "t"]]
    owner = pg(kube, "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = 'rag_lightrag';")
    assert owner == [["rag_lightrag"]]
    assert pg(kube, "SELECT count(*) FROM pg_auth_members m JOIN pg_roles r ON r.oid = m.member WHERE r.rolname = 'rag_lightrag';") == [["0"]]
    stored = pg(kube, "SELECT left(rolpassword, 13) FROM pg_authid WHERE rolname IN ('rag_lightrag', 'postgres');")
    assert stored == [["SCRAM-SHA-256"], ["SCRAM-SHA-256"]]


def test_the_extension_is_in_public(deployed: Deployed, kube: Kube) -> None:
    rows = pg(kube, "SELECT e.extname, n.nspname, pg_get_userbyid(e.extowner) FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace;")
    assert ["vector", "public", "postgres"] in rows


def test_a_document_is_in_both_databases(deployed: Deployed, fact: Fact, kube: Kube) -> None:
    tables = {row[0] for row in pg(kube, "SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tableowner = 'rag_lightrag';")}
    print(sorted(tables))
    for stem in ("lightrag_doc_full", "lightrag_doc_chunks", "lightrag_doc_status", "lightrag_vdb_chunks", "lightrag_vdb_entity"):
        assert any(t.startswith(stem) for t in tables), f"no table {stem} in {sorted(tables)}"
    assert pg(kube, f"SELECT count(*) FROM lightrag_doc_status WHERE file_path = '{fact.source}' AND status = 'processed';") == [["1"]]
    chunks = next(t for t in tables if t.startswith("lightrag_vdb_chunks"))
    assert pg(kube, f"SELECT count(*) > 0 FROM {chunks} WHERE content_vector IS NOT NULL AND content LIKE '%{fact.code}%';") == [["t"]]
    assert fact.place.lower() in cypher(kube, "MATCH (n) RETURN n.entity_id").lower()
    deployed.app.answers(fact.question(), fact.code, timeout=20)
    files = kube.kubectl("exec", "-n", NAMESPACE, kube.pod(NAMESPACE, "app.kubernetes.io/name=lightrag"), "--", "find", "/app/data/rag_storage", "-size", "+1k")
    assert not re.search(r"(graph_|vdb_|kv_store_)", files), f"LightRAG keeps data in files: {files}"


def test_nobody_gets_in_without_the_key(deployed: Deployed) -> None:
    app = deployed.app
    assert app.call("GET", "/auth/verify", key="").status == 403
    assert app.call("GET", "/auth/verify", key="wrong-key").status == 403
    assert app.call("GET", "/auth/verify").status == 200
    for path in ("/api/tags", "/api/version", "/documents/status_counts", "/graph/label/list"):
        assert app.call("GET", path, key="").status in (401, 403), path
    assert app.call("GET", "/api/tags").status == 200
    health = app.call("GET", "/health", key="")
    assert health.status == 200
    assert "working_directory" not in health.text, "/health shows the configuration to anybody"
    assert len(app.key) >= 32


# --- secrets ----------------------------------------------------------------------------------------


def generated(kube: Kube, namespace: str) -> dict[str, str]:
    """Every value of a Secret of the namespace that is worth hiding."""
    found: dict[str, str] = {}
    for secret in kube.items_of("secrets", namespace):
        name = secret["metadata"]["name"]
        values = kube.values(name, namespace)
        found |= {f"{name}.{k}": v for k, v in values.items() if "user" not in k.lower() and len(v) >= 8 and secret.get("type") == "Opaque"}
    return found


def test_no_generated_secret_is_anywhere_else(deployed: Deployed, kube: Kube) -> None:
    values = generated(kube, NAMESPACE)
    print(f"looking for {sorted(values)}")
    assert {"rag-lightrag-api.api-key", "rag-lightrag-api.token-secret", "rag-lightrag-postgresql.password", "rag-model.api-key"} <= set(values)
    assert {"rag-pg-superuser.password", "rag-neo4j-superuser.password"} <= set(values)
    hunter = Hunter()
    hunter.add("output of the run at -vvv --diff", deployed.run.output)
    hunter.add("output of the prediction", deployed.predicted.output)
    hunter.add("results of the tasks", [vars(t) for t in deployed.run.tasks])
    hunter.add("URLs and headers of API requests", [[r.url, r.headers] for r in deployed.requests])
    hunter.add("command lines", sorted(deployed.argv.seen))
    hunter.add_files(deployed.facts)
    hunter.add_cluster(kube, [NAMESPACE, "kb-system"])
    print(f"{len(hunter.places)} places, {len(deployed.requests)} requests, {len(deployed.argv.seen)} command lines in {deployed.argv.samples} samples")
    assert len(deployed.requests) > 100
    assert any("ansible-playbook" in line for line in deployed.argv.seen)
    assert any(p.startswith("Helm release kb-system/") for p in hunter.places)
    assert any(p.startswith("log t-stack/rag-pg-postgresql-0") for p in hunter.places)
    assert any("-revision-" in p for p in hunter.places)
    assert hunter.find(values) == []


# --- hurt -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "selector",
    [
        "app.kubernetes.io/instance=rag-pg,apps.kubeblocks.io/component-name=postgresql",
        "app.kubernetes.io/instance=rag-neo4j,apps.kubeblocks.io/component-name=neo4j",
        "app.kubernetes.io/name=lightrag",
    ],
    ids=["postgresql", "neo4j", "lightrag"],
)
def test_data_survives_the_pod(deployed: Deployed, fact: Fact, kube: Kube, selector: str) -> None:
    before = nodes(kube)
    name = kube.pod(NAMESPACE, selector)
    old = kube.get("pods", name, NAMESPACE)["metadata"]["uid"]
    kube.delete("pods", name, NAMESPACE)

    def renewed() -> bool:
        pods = [p for p in kube.pods(NAMESPACE, selector) if p["metadata"]["uid"] != old]
        return any(c["type"] == "Ready" and c["status"] == "True" for p in pods for c in p.get("status", {}).get("conditions", []))

    start = time.monotonic()
    wait(renewed, 180, "the new pod")
    print(f"{name}: a new pod was ready after {time.monotonic() - start:.0f} s")
    deployed.app.answers(fact.question(), fact.code)
    print(f"answered after {time.monotonic() - start:.0f} s")
    assert nodes(kube) == before > 0
    labels = deployed.app.call("GET", "/graph/label/list")
    assert labels.status == 200
    assert fact.place.lower() in labels.text.lower(), "LightRAG does not read its graph"


# --- used by others ---------------------------------------------------------------------------------


def access(deployed: Deployed, port: int, duration: int) -> list[str]:
    more = ["-e", f"access_port={port}", "-e", f"access_duration={duration}"]
    return ["-i", str(deployed.stack.inventory), "playbooks/access.yml", "--limit", NAMESPACE, *more]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(scope="module")
def opened(deployed: Deployed) -> Iterator[str]:
    """URL of playbook access, until Ctrl-C."""
    port = free_port()
    with deployed.stack.player.started(access(deployed, port, 900)) as (process, folder, _command):

        def listening() -> bool:
            assert process.poll() is None, (folder / "output.txt").read_text()
            return listens(port)

        wait(listening, 60, "playbook access to listen")
        yield f"http://127.0.0.1:{port}"
        os.killpg(process.pid, signal.SIGINT)
        process.wait(timeout=30)
        wait(lambda: not listens(port), 10, "the port to be closed")


def test_access_says_how_and_ends_by_itself(deployed: Deployed) -> None:
    port = free_port()
    run = deployed.stack.player.run(*access(deployed, port, 3), timeout=60).ok()
    assert f"http://127.0.0.1:{port}/webui/" in run.output
    assert "rag-lightrag-api" in run.output
    assert deployed.app.key not in run.output
    assert not listens(port)
    assert run.changed() == set()


@pytest.fixture
def elsewhere(deployed: Deployed, tmp_path: Path) -> Callable[[str, str], Run]:
    """Runs verify for somebody who has a URL and a key, but no cluster and no kubeconfig."""
    host = {"ansible_connection": "local", "ansible_python_interpreter": "{{ ansible_playbook_python }}"}
    (tmp_path / "hosts.yml").write_text(yaml.safe_dump({"ragops": {"hosts": {"elsewhere": host}}}))

    def run(url: str, key: str) -> Run:
        env = {"HOME": str(tmp_path), "LIGHTRAG_API_KEY": key}
        return deployed.stack.player.run("-i", str(tmp_path / "hosts.yml"), "playbooks/verify.yml", "-e", f"lightrag_url={url}", env=env)

    return run


def test_verify_ours(deployed: Deployed) -> None:
    run = deployed.stack.run("verify").ok()
    assert run.changed() == set()
    [task] = run.named("Write a made-up fact, ask for it, and remove it")
    assert task.result["proof"]["seconds"]["total"] > 0


def test_verify_one_that_somebody_else_runs(deployed: Deployed, opened: str, elsewhere: Callable[[str, str], Run]) -> None:
    run = elsewhere(opened, deployed.app.key).ok()
    [task] = run.named("Write a made-up fact, ask for it, and remove it")
    code = task.result["proof"]["reference"].removeprefix("ragops-proof-").removesuffix(".txt").upper()
    assert code in task.result["proof"]["answer"]
    assert deployed.app.key not in run.output


def test_verify_with_a_wrong_key(opened: str, elsewhere: Callable[[str, str], Run]) -> None:
    run = elsewhere(opened, "wrong-key-1234")
    assert run.code == 2
    message = run.failure().msg
    assert "Failed to log in to LightRAG" in message
    assert "403" in message
    assert "The API key is missing or wrong" in message
    assert "wrong-key-1234" not in run.output


def test_verify_where_nobody_listens(elsewhere: Callable[[str, str], Run]) -> None:
    run = elsewhere("http://127.0.0.1:1", "any-key-1234")
    assert run.code == 2
    assert "127.0.0.1:1" in run.failure().msg


@pytest.mark.parametrize("change", ["model_embedding_model=another", "model_embedding_dim=128"])
def test_another_embedding_is_refused(deployed: Deployed, fact: Fact, kube: Kube, recorder: Recorder, change: str) -> None:
    with recorder.recording() as requests:
        run = deployed.stack.run("lightrag", "-e", change)
    message = run.failure().msg
    assert "stores vectors of ragops-stub-embedding" in message
    assert "256 dimensions" in message
    assert "lightrag_allow_reembedding" in message
    assert not [r for r in requests if r.is_write]
    deployed.app.answers(fact.question(), fact.code, timeout=20)


# --- removed and brought back -----------------------------------------------------------------------

# What a namespace has by itself.
OWN = {("serviceaccounts", "default"), ("configmaps", "kube-root-ca.crt")}
# A kept volume may hold the database already; nobody can ask while no server runs on it.
UNKNOWABLE = {"ragops.stack.lightrag : Make the database and its owner"}
THEIRS: dict[str, Json] = {
    "configmaps": {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "theirs"}, "data": {"a": "1"}},
    "secrets": {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "theirs"}, "stringData": {"a": "1"}},
    "services": {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "theirs"}, "spec": {"ports": [{"port": 80}]}},
    "persistentvolumeclaims": {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "theirs"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}},
    },
}


@dataclass(frozen=True)
class Kept:
    claims: dict[str, str]
    secrets: dict[str, str]
    theirs: dict[tuple[str, str], Any]


def claims_of(kube: Kube) -> dict[str, str]:
    return {c["metadata"]["name"]: c["metadata"]["uid"] for c in kube.items_of("persistentvolumeclaims", NAMESPACE) if c["metadata"]["name"] != "theirs"}


@pytest.fixture(scope="module")
def kept(deployed: Deployed, kube: Kube) -> Kept:
    """What has to be there after an uninstall; somebody else's objects are made first."""
    theirs: dict[tuple[str, str], Any] = {}
    for plural, obj in THEIRS.items():
        made = kube.create({**obj, "metadata": {**obj["metadata"], "namespace": NAMESPACE}}, plural)
        theirs[(plural, "theirs")] = made.get("spec") or made.get("data")
    wanted = {"rag-lightrag-api", "rag-lightrag-postgresql", "rag-model", "rag-pg-superuser", "rag-neo4j-superuser"}
    values = {k: v for k, v in generated(kube, NAMESPACE).items() if k.split(".")[0] in wanted}
    assert {k.split(".")[0] for k in values} == wanted
    return Kept(claims_of(kube), values, theirs)


def untouched(kube: Kube, kept: Kept) -> None:
    for (plural, name), content in kept.theirs.items():
        obj = kube.get(plural, name, NAMESPACE)
        assert not obj["metadata"].get("deletionTimestamp")
        assert (obj.get("spec") or obj.get("data")) == content


def left_of_us(kube: Kube) -> set[tuple[str, str]]:
    """All but what is somebody else's.

    The operator disowns the accounts that its pods ran as instead of deleting them; they are bound to nothing.
    """
    bound = {s["name"] for b in kube.items_of("rolebindings", NAMESPACE, "rbac.authorization.k8s.io/v1") for s in b.get("subjects", [])}
    return {
        (plural, name)
        for plural, name in kube.everything(NAMESPACE)
        if (plural, name) not in OWN and name != "theirs" and not (plural == "serviceaccounts" and name.startswith("kb-ragops-") and name not in bound)
    }


def predicted_run(deployed: Deployed, recorder: Recorder, playbook: str, *arguments: str) -> tuple[Run, Run]:
    """Check mode, which writes nothing, and then the run."""
    with recorder.recording() as requests:
        predicted = deployed.stack.run(playbook, "--check", *arguments).ok()
    assert not [f"{r.method} {r.url}" for r in requests if r.is_write], "check mode writes"
    return predicted, deployed.stack.run(playbook, *arguments).ok()


def test_uninstall_keeps_the_data(deployed: Deployed, fact: Fact, kept: Kept, kube: Kube, recorder: Recorder) -> None:
    predicted, run = predicted_run(deployed, recorder, "uninstall")
    assert run.changed() == predicted.changed() != set()
    assert kube.items_of("clusters", NAMESPACE, KUBEBLOCKS) == []
    secret_names = {k.split(".")[0] for k in kept.secrets}
    assert left_of_us(kube) == {("persistentvolumeclaims", c) for c in kept.claims} | {("secrets", s) for s in secret_names}
    assert claims_of(kube) == kept.claims
    assert generated(kube, NAMESPACE).items() >= kept.secrets.items()
    untouched(kube, kept)
    again = deployed.stack.run("uninstall").ok()
    assert again.changed() == set()


def test_installed_again_it_still_knows(deployed: Deployed, fact: Fact, kept: Kept, kube: Kube, recorder: Recorder) -> None:
    predicted, run = predicted_run(deployed, recorder, "lightrag")
    assert run.changed() <= predicted.changed()
    assert predicted.changed() - run.changed() <= UNKNOWABLE
    deployed.app.answers(fact.question(), fact.code)
    assert generated(kube, NAMESPACE).items() >= kept.secrets.items()
    assert claims_of(kube) == kept.claims
    assert nodes(kube) > 0
    untouched(kube, kept)


def volumes_of(kube: Kube) -> set[str]:
    """Claims of the namespace that a volume still belongs to. Nobody has used theirs, so it may have none."""
    claimed = [v["spec"].get("claimRef", {}) for v in kube.items_of("persistentvolumes")]
    return {c["name"] for c in claimed if c.get("namespace") == NAMESPACE} | {"theirs"}


def test_wiped(deployed: Deployed, kept: Kept, kube: Kube, recorder: Recorder) -> None:
    predicted, run = predicted_run(deployed, recorder, "uninstall", "-e", "ragops_delete_data=true")
    assert run.changed() == predicted.changed()
    assert left_of_us(kube) == set()
    untouched(kube, kept)
    assert kube.find("namespaces", NAMESPACE) is not None
    wait(lambda: volumes_of(kube) == {"theirs"}, 120, "the volumes to be reclaimed")
    again = deployed.stack.run("uninstall", "-e", "ragops_delete_data=true").ok()
    assert again.changed() == set()


def test_the_operator_stays(deployed: Deployed, kube: Kube) -> None:
    """It may serve others."""
    deployment = kube.get("deployments", "kubeblocks", "kb-system", APPS)
    assert deployment["status"]["availableReplicas"] == 1
