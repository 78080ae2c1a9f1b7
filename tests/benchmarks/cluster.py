# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The cluster that the benchmarks run on: through kubectl, which no contestant's time includes unless it uses it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from .machine import CommandFailedError

ROOT = Path(__file__).resolve().parents[2]
STATE = ROOT / "local/.state"
VENV = Path(sys.prefix)
OUR_MANAGER = "ragops.stack"
# Labels by which an applyset keeps its own books: the stack does not need what carries the first two.
BOOKKEEPING = ("applyset.kubernetes.io/id", "ragops.stack/revision-of")
MEMBERSHIP = "applyset.kubernetes.io/part-of"


@dataclass(frozen=True)
class Cluster:
    """Where `make up` left its kubeconfig and its variables."""

    kubeconfig: Path = STATE / "kubeconfig"
    variables_file: Path = STATE / "vars.yml"

    @cached_property
    def variables(self) -> dict[str, Any]:
        loaded: dict[str, Any] = yaml.safe_load(self.variables_file.read_text(encoding="utf-8"))
        return loaded

    def tool(self, *command: str, check: bool = True) -> str:
        """kubectl or helm of the project's own environment."""
        done = subprocess.run([str(VENV / "bin" / command[0]), "--kubeconfig", str(self.kubeconfig), *command[1:]], capture_output=True, text=True, check=False)
        if check and done.returncode != 0:
            raise CommandFailedError(f"{' '.join(command)} failed: {done.stderr.strip()}")
        return done.stdout

    def kubectl(self, *arguments: str, check: bool = True) -> str:
        return self.tool("kubectl", *arguments, check=check)

    def items(self, *arguments: str) -> list[dict[str, Any]]:
        found = json.loads(self.kubectl("get", *arguments, "-o", "json", "--ignore-not-found") or "{}")
        return found.get("items", [found] if found else [])

    def remove(self, namespace: str) -> None:
        """With all that is in it, and wait until its volumes are cleaned up too: that is work which the next run would feel."""
        if not self.items("namespace", namespace):
            return
        # The operator takes its finalizers off only while the Clusters' namespace still takes writes.
        self.kubectl("delete", "clusters.apps.kubeblocks.io", "--all", "-n", namespace, "--wait", "--timeout=180s")
        self.kubectl("delete", "namespace", namespace, "--wait", "--timeout=180s")
        for volume in self.items("persistentvolume"):
            if volume["spec"].get("claimRef", {}).get("namespace") == namespace:
                self.kubectl("wait", "--for=delete", f"persistentvolume/{volume['metadata']['name']}", "--timeout=120s")

    def operator(self) -> dict[str, Any]:
        """The Helm release of the operator, as a playbook with kubernetes.core has to name it."""
        for release in json.loads(self.tool("helm", "list", "-A", "-o", "json")):
            if re.match(r"kubeblocks-\d", release["chart"]):
                values = json.loads(self.tool("helm", "get", "values", release["name"], "-n", release["namespace"], "-o", "json"))
                return {
                    "name": release["name"],
                    "namespace": release["namespace"],
                    "chart_ref": self.variables["kubeblocks_chart_ref"],
                    "values": values or {},
                }
        raise CommandFailedError("There is no Helm release of the operator. Run make demo once, so that it is installed, then make bench.")

    def milestones(self, namespace: str, begun: float) -> dict[str, float]:
        """When each pod was created and became ready, in seconds after ``begun`` (the API server counts whole seconds)."""
        when: dict[str, float] = {}
        for pod in self.items("pods", "-n", namespace):
            name = re.sub(r"(-[0-9a-f]{6,10})?-[a-z0-9]{5}$|-\d+$", "", pod["metadata"]["name"])
            conditions = {c["type"]: c for c in pod["status"].get("conditions", []) if c["status"] == "True"}
            when[f"{name} created"] = _seconds(pod["metadata"]["creationTimestamp"]) - begun
            if "Ready" in conditions:
                when[f"{name} ready"] = _seconds(conditions["Ready"]["lastTransitionTime"]) - begun
            restarts = sum(s["restartCount"] for s in pod["status"].get("containerStatuses", []))
            if restarts:
                when[f"{name} restarts (how many)"] = restarts
        return when

    def export(self, namespace: str) -> list[dict[str, Any]]:
        """What our play made there, as somebody would write it by hand: only the fields that we set, none of our book-keeping."""
        kinds = self.kubectl("api-resources", "--namespaced", "--verbs=list,create", "-o", "name").split()
        skip = {"events", "events.events.k8s.io", "pods", "leases.coordination.k8s.io"}
        found = self.items(",".join(k for k in kinds if k not in skip), "-n", namespace, "--show-managed-fields")
        objects = [o for o in (_written_by_hand(item) for item in found) if o is not None]
        space = self.items("namespace", namespace)[0]
        labels = {k: v for k, v in space["metadata"].get("labels", {}).items() if k != "kubernetes.io/metadata.name"}
        return [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace, **({"labels": labels} if labels else {})}}, *objects]

    def export_definitions(self, objects: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """The ComponentDefinitions that the exported Clusters name."""
        names = {c["componentDef"] for o in objects if o["kind"] == "Cluster" for c in o["spec"]["componentSpecs"]}
        found = [self.items("componentdefinitions.apps.kubeblocks.io", name, "--show-managed-fields")[0] for name in sorted(names)]
        return [o for o in (_written_by_hand(item) for item in found) if o is not None]


def _seconds(timestamp: str) -> float:
    return datetime.fromisoformat(timestamp.replace("Z", "+00:00")).timestamp()


def _written_by_hand(found: dict[str, Any]) -> dict[str, Any] | None:
    metadata = found["metadata"]
    labels = metadata.get("labels") or {}
    ours = [m for m in metadata.get("managedFields", []) if m["manager"] == OUR_MANAGER and "subresource" not in m]
    if not ours or any(label in labels for label in BOOKKEEPING):
        return None
    kept: dict[str, Any] = {}
    for entry in ours:
        kept = _merge(kept, owned(found, entry["fieldsV1"]))
    if all(entry["operation"] == "Update" for entry in ours):
        # Not server-side applied: a controller that writes defaults into a list of ours counts as the owner of the whole list.
        kept = {**{key: value for key, value in found.items() if key not in ("metadata", "status")}, "metadata": kept.get("metadata", {})}
    kept.pop("status", None)
    identity = {key: metadata[key] for key in ("name", "namespace") if key in metadata}
    about = {key: dict(value) for key, value in kept.get("metadata", {}).items() if key in ("labels", "annotations") and value}
    about.get("labels", {}).pop(MEMBERSHIP, None)
    return {"apiVersion": found["apiVersion"], "kind": found["kind"], **kept, "metadata": {**identity, **about}}


def owned(value: Any, fields: dict[str, Any]) -> Any:
    """The part of ``value`` that a ``fieldsV1`` of managedFields names."""
    below = {key: sub for key, sub in fields.items() if key != "."}
    if not below:
        return value
    if isinstance(value, dict):
        return {key[2:]: owned(value[key[2:]], sub) for key, sub in below.items() if key.startswith("f:") and key[2:] in value}
    if isinstance(value, list):
        return [owned(entry, sub) for key, sub in below.items() for entry in _entries(value, key)]
    return value


def _entries(value: list[Any], key: str) -> Iterator[Any]:
    wanted = json.loads(key[2:])
    for position, entry in enumerate(value):
        if (key.startswith("i:") and position == wanted) or (key.startswith("v:") and entry == wanted):
            yield entry
        elif key.startswith("k:") and all(entry.get(k) == v for k, v in wanted.items()):
            yield entry
            return


def _merge(one: Any, other: Any) -> Any:
    if isinstance(one, dict) and isinstance(other, dict):
        return {key: _merge(one[key], other[key]) if key in one and key in other else one.get(key, other.get(key)) for key in {**one, **other}}
    return other
