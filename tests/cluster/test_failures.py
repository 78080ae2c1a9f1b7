# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What goes wrong while a stack comes up ends within its time-out with the real cause, deletes nothing, and heals by a re-run.

Each case is a host: all fail in one run, all are cured in the next.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.conftest import FILES
from tests.cluster.kube import Json, Kube
from tests.cluster.lightrag import LightRag
from tests.cluster.model import POSTGRESQL_PLAIN, postgresql_server
from tests.cluster.play import Player, Run, write_inventory
from tests.cluster.recorder import Recorder, Request

TIMEOUT = 150
POSTGRESQL = {"lightrag_storage": {"kv": "postgresql", "vector": "postgresql", "graph": "postgresql", "doc_status": "postgresql"}}
EXTERNAL = {
    **POSTGRESQL,
    "postgresql_provider": "external",
    "postgresql_host": "their-pg.t-fail-password.svc",
    "postgresql_secret": {"name": "their-pg", "username_key": "username", "password_key": "password"},
    "postgresql_superuser_secret": {"name": "their-pg", "username_key": "username", "password_key": "password"},
}


@dataclass(frozen=True)
class Case:
    """Variables that fail and variables that cure, the task that has to say it, and its words."""

    broken: dict[str, Any]
    cured: dict[str, Any]
    task: str
    words: list[str]


CASES = {
    "t-fail-image": Case(
        {**FILES, "lightrag_image": "ragops.local/no-such-image:1"},
        FILES,
        "Wait until LightRAG is up",
        ["image ragops.local/no-such-image:1", "cannot be pulled", "Correct the image name or tag"],
    ),
    "t-fail-crash": Case(
        {**FILES, "lightrag_server": {"ssl": True, "ssl_certfile": "/nowhere/tls.crt", "ssl_keyfile": "/nowhere/tls.key"}},
        FILES,
        "Wait until LightRAG is up",
        ["container lightrag crashed", "exit code", "last words", "/nowhere/tls.crt", "kubectl logs -n t-fail-crash"],
    ),
    "t-fail-quota": Case(FILES, FILES, "Wait until LightRAG is up", ["exceeded quota", "few", "quota"]),
    "t-fail-pgvector": Case(
        {**POSTGRESQL, "postgresql_provider": "standalone", "postgresql_image": POSTGRESQL_PLAIN},
        {**POSTGRESQL, "postgresql_provider": "standalone"},
        "Check that the server answers and has what is needed",
        ["vector", "pgvector"],
    ),
    "t-fail-password": Case(
        EXTERNAL,
        EXTERNAL,
        "Check that the server answers and has what is needed",
        ["password authentication failed", "put the server's password into the Secret"],
    ),
}


@dataclass
class Broken:
    first: Run
    requests: list[Request]
    leftovers: dict[str, dict[tuple[str, str], Json]]
    cured: Run


@pytest.fixture(scope="module")
def broken(
    kube: Kube, player: Player, clean: Callable[..., None], recorder: Recorder, recorded_kubeconfig: Path, tmp_path_factory: pytest.TempPathFactory
) -> Broken:
    clean(*CASES)
    for name in ("t-fail-quota", "t-fail-password"):
        kube.make_namespace(name)
    # the model's pod takes the one place
    kube.create(
        {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "few", "namespace": "t-fail-quota"}, "spec": {"hard": {"pods": "1"}}},
        "resourcequotas",
    )
    password = f"right-{secrets.token_hex(8)}"
    postgresql_server(kube, "t-fail-password", password)
    kube.secret("their-pg", "t-fail-password", username="postgres", password="wrong-password-1")
    common = {"ragops_wait_timeout": TIMEOUT}
    first = write_inventory(tmp_path_factory.mktemp("broken"), {n: {**common, **c.broken} for n, c in CASES.items()}, recorded_kubeconfig)
    with recorder.recording() as requests:
        failed = player.run("-i", str(first), "playbooks/lightrag.yml", "--limit", "t-fail-*", timeout=600)
    leftovers = {name: kube.everything(name) for name in CASES}
    kube.delete("resourcequotas", "few", "t-fail-quota")
    kube.secret("their-pg", "t-fail-password", username="postgres", password=password)
    second = write_inventory(tmp_path_factory.mktemp("cured"), {n: {**common, **c.cured} for n, c in CASES.items()}, recorded_kubeconfig)
    cured = player.run("-i", str(second), "playbooks/lightrag.yml", "--limit", "t-fail-*", timeout=600)
    return Broken(failed, requests, leftovers, cured)


@pytest.mark.parametrize("name", CASES)
def test_the_cause_is_named_in_time(broken: Broken, name: str) -> None:
    case, task = CASES[name], broken.first.failure(name)
    print(f"{task.title}, {task.seconds:.0f} s\n{task.msg}")
    assert task.name == case.task, task.msg
    first_line = task.msg.splitlines()[0]
    assert first_line.startswith("Failed to ")
    missing = [words for words in case.words if words not in task.msg]
    assert not missing, f"{missing} not in: {task.msg}"
    assert task.seconds < TIMEOUT
    assert "wrong-password-1" not in broken.first.output


def test_nothing_is_half_deleted(broken: Broken) -> None:
    deleted = [r.parsed.path for r in broken.requests if r.method == "DELETE" and r.is_write]
    print(deleted)
    # the short-lived pod that asks an external server
    assert not [path for path in deleted if not re.search(r"/pods/ragops-client-[a-z0-9-]+$", path)]
    for name, objects in broken.leftovers.items():
        going = [key for key, obj in objects.items() if obj["metadata"].get("deletionTimestamp") and key[0] != "pods"]
        assert not going, name


@pytest.mark.parametrize("name", CASES)
def test_a_rerun_after_the_cure_converges(broken: Broken, kube: Kube, name: str) -> None:
    assert not broken.cured.failed(name), broken.cured.failure(name).msg
    [task] = broken.cured.named("Write a made-up fact, ask for it, and remove it", name)
    assert task.result["proof"]["seconds"]["total"] > 0
    assert kube.get("deployments", "rag-lightrag", name, "apps/v1")["status"]["availableReplicas"] == 1


def test_a_wrong_update_loses_nothing(broken: Broken, kube: Kube, player: Player, recorded_kubeconfig: Path, tmp_path: Path) -> None:
    """A stack that worked gets an image that does not exist: its document is there again after the cure."""
    name, code = "t-fail-image", f"HC{secrets.token_hex(4).upper()}"
    app = LightRag(kube, name)
    app.insert("before.txt", f"The harbour code of station Mirkel is {code}.")
    claims = {c["metadata"]["name"]: c["metadata"]["uid"] for c in kube.items_of("persistentvolumeclaims", name)}
    inventory = write_inventory(tmp_path / "again", {name: {"ragops_wait_timeout": TIMEOUT, **CASES[name].broken}}, recorded_kubeconfig)
    task = player.run("-i", str(inventory), "playbooks/lightrag.yml", "--limit", name).failure()
    assert "no-such-image:1" in task.msg
    inventory = write_inventory(tmp_path / "cured", {name: dict(FILES)}, recorded_kubeconfig)
    player.run("-i", str(inventory), "playbooks/lightrag.yml", "--limit", name).ok()
    app.answers("What is the harbour code of station Mirkel?", code, timeout=60)
    assert {c["metadata"]["name"]: c["metadata"]["uid"] for c in kube.items_of("persistentvolumeclaims", name)} == claims
