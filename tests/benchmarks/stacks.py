# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The stack in other hands: manifests from what our play made, for kubectl and for the plain playbook."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path
from typing import Any

import yaml

from .machine import CommandFailedError

HERE = Path(__file__).resolve().parent
OURS, FLOOR, WAITING, PLAIN = "bench-ours", "bench-floor", "bench-waiting", "bench-plain"
DATABASE = "rag_lightrag"
# What a pod of the floor's second form does instead of crashing while its databases are not there yet.
WAIT = """
until psql -X -q -c "SELECT 1 FROM pg_extension WHERE extname = 'vector'" 2>/dev/null | grep -q 1; do sleep 0.5; done
until (exec 3<>/dev/tcp/rag-neo4j-neo4j/7687) 2>/dev/null; do sleep 0.5; done
"""


def moved(objects: list[dict[str, Any]], source: str, target: str) -> list[dict[str, Any]]:
    """The same objects in another namespace, which their contents name too."""
    loaded: list[dict[str, Any]] = json.loads(re.sub(rf"\b{source}\b", target, json.dumps(objects)))
    return loaded


def floor_manifests(objects: list[dict[str, Any]], folder: Path, namespace: str, image: str, waiting: bool) -> Path:
    """One file with everything, for one `kubectl apply`."""
    documents = copy.deepcopy(moved(objects, OURS, namespace))
    if waiting:
        [deployment] = [o for o in documents if o["kind"] == "Deployment" and o["metadata"]["name"] == "rag-lightrag"]
        pod = deployment["spec"]["template"]["spec"]
        pod["initContainers"] = [_waiter(image)]
    job = (HERE / "floor/database.yml").read_text(encoding="utf-8")
    for name, value in (("namespace", namespace), ("image", image), ("database", DATABASE)):
        job = job.replace("{" + name + "}", value)
    path = folder / f"{namespace}.yml"
    path.write_text(yaml.safe_dump_all([*documents, yaml.safe_load(job)], sort_keys=False), encoding="utf-8")
    path.chmod(0o600)
    return path


def _waiter(image: str) -> dict[str, Any]:
    secret = {"name": "rag-lightrag-postgresql"}
    return {
        "name": "wait",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["bash", "-c", WAIT],
        "env": [
            {"name": "PGHOST", "value": "rag-pg-postgresql-postgresql"},
            {"name": "PGDATABASE", "value": DATABASE},
            {"name": "PGCONNECT_TIMEOUT", "value": "2"},
            {"name": "PGUSER", "valueFrom": {"secretKeyRef": {**secret, "key": "username"}}},
            {"name": "PGPASSWORD", "valueFrom": {"secretKeyRef": {**secret, "key": "password"}}},
        ],
        "securityContext": {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}},
    }


def plain_manifests(objects: list[dict[str, Any]], definitions: list[dict[str, Any]], folder: Path) -> Path:
    """A file an object. Definitions get names of their own: ours stay untouched."""
    folder.mkdir(parents=True, exist_ok=True)
    documents = moved(objects, OURS, PLAIN)
    text = json.dumps([documents, definitions])
    for definition in definitions:
        text = text.replace(definition["metadata"]["name"], plain_definition(definition))
    documents, definitions = json.loads(text)
    for obj in [*documents, *definitions]:
        path = folder / file_name(obj)
        path.write_text(yaml.safe_dump(obj, sort_keys=False), encoding="utf-8")
        path.chmod(0o600)
    return folder


def plain_definition(definition: dict[str, Any]) -> str:
    return f"bench-plain-{definition['spec']['serviceKind']}"


def file_name(obj: dict[str, Any]) -> str:
    if obj["kind"] == "Namespace":
        return "namespace.yml"
    if obj["kind"] == "ComponentDefinition":
        return f"componentdefinition-{obj['spec']['serviceKind']}.yml"
    return f"{obj['kind'].lower()}-{obj['metadata']['name']}.yml"


def check_plain_is_complete(folder: Path) -> None:
    """The plain playbook names its files one by one: it has to make exactly what ours makes."""
    playbook = (HERE / "plain/lightrag.yml").read_text(encoding="utf-8")
    named = set(re.findall(r"plain_manifests \}\}/([\w.-]+\.yml)", playbook))
    there = {path.name for path in folder.glob("*.yml")}
    if named != there:
        raise CommandFailedError(
            "tests/benchmarks/plain/lightrag.yml no longer makes what playbooks/lightrag.yml makes: "
            f"it lacks {sorted(there - named) or 'nothing'}, and has too much of {sorted(named - there) or 'nothing'}. Bring it up to date."
        )
