# Copyright: ragops.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A list of objects as one unit: server-side apply, prune, diff, revisions (ApplySet, KEP-3659).

Everything is planned by server-side dry run before the first write, so a refused object stops the whole set.
The parent is a ConfigMap of the set's name; members carry its id as a label.
"""

from __future__ import annotations

import base64
import copy
import gzip
import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from ansible_collections.ragops.stack.plugins.module_utils._api import Api
from ansible_collections.ragops.stack.plugins.module_utils._errors import RagopsError, explain_exception, failure, http_status
from ansible_collections.ragops.stack.plugins.module_utils._module import FIELD_MANAGER, MANAGED_BY
from ansible_collections.ragops.stack.plugins.module_utils._redact import redact_object

PART_OF = "applyset.kubernetes.io/part-of"
ID_LABEL = "applyset.kubernetes.io/id"
TOOLING = "applyset.kubernetes.io/tooling"
CONTAINS = "applyset.kubernetes.io/contains-group-kinds"
REVISION_OF = "ragops.stack/revision-of"
REVISION = "ragops.stack/revision"

CREATED, UPDATED, UNCHANGED, PRUNED, KEPT = "created", "updated", "unchanged", "pruned", "kept"

# Applied in this order, removed in the reverse; kinds not named come with the workloads.
_ORDER = (
    "ServiceAccount",
    "Role",
    "RoleBinding",
    "LimitRange",
    "ResourceQuota",
    "NetworkPolicy",
    "ConfigMap",
    "Secret",
    "PersistentVolumeClaim",
    "Service",
    "Deployment",
    "StatefulSet",
    "DaemonSet",
    "Job",
    "CronJob",
    "PodDisruptionBudget",
    "HorizontalPodAutoscaler",
    "Ingress",
    "HTTPRoute",
)
_KEEP_UNLESS_TOLD = ("PersistentVolumeClaim",)
_THREADS = 8


@dataclass
class Step:
    """What will happen to one object."""

    operation: str
    desired: dict[str, Any] | None  # None: it leaves
    live: dict[str, Any] | None
    predicted: dict[str, Any] | None

    @property
    def reference(self) -> dict[str, Any]:
        return self.desired or self.live or {}

    @property
    def key(self) -> tuple[str, str]:
        return self.reference["kind"], self.reference["metadata"]["name"]


def set_id(name: str, namespace: str) -> str:
    """As the specification computes it: base64url(sha256(name.namespace.kind.group)) of the parent."""
    digest = hashlib.sha256(f"{name}.{namespace}.ConfigMap.".encode()).digest()
    return f"applyset-{base64.urlsafe_b64encode(digest).decode().rstrip('=')}-v1"


def rank(kind: str) -> int:
    return _ORDER.index(kind) if kind in _ORDER else _ORDER.index("Deployment")


def group_kind(definition: dict[str, Any]) -> str:
    group = definition["apiVersion"].rpartition("/")[0]
    return f"{definition['kind']}.{group}" if group else str(definition["kind"])


def split_group_kind(text: str) -> tuple[str, str]:
    kind, _dot, group = text.partition(".")
    return kind, group


def check_objects(objects: Sequence[Any], namespace: str) -> list[dict[str, Any]]:
    """Copies with the namespace set; refuses what cannot be a member."""
    checked: list[dict[str, Any]] = []
    seen: set[tuple[str, str]] = set()
    for number, given in enumerate(objects):
        if not isinstance(given, dict) or not given.get("kind") or not given.get("apiVersion") or not (given.get("metadata") or {}).get("name"):
            raise RagopsError(f"Failed to read objects[{number}]: it needs apiVersion, kind and metadata.name. Correct the manifest.")
        obj = copy.deepcopy(given)
        kind, name = obj["kind"], obj["metadata"]["name"]
        if obj["metadata"].setdefault("namespace", namespace) != namespace:
            reason = f"it names namespace {obj['metadata']['namespace']}, the set is in {namespace}"
            raise RagopsError(failure("apply", kind, name, namespace, reason, "Use one applyset for each namespace"))
        if kind == "Secret" and (obj.get("data") or obj.get("stringData")):
            reason = "it carries values, and module arguments end up in logs"
            raise RagopsError(failure("apply", kind, name, namespace, reason, "Use ragops.stack.generated_secret"))
        if (group_kind(obj), name) in seen:
            raise RagopsError(failure("apply", kind, name, namespace, "it is in the list twice", "Remove one of them"))
        seen.add((group_kind(obj), name))
        checked.append(obj)
    return sorted(checked, key=lambda o: rank(o["kind"]))


class ApplySet:
    def __init__(self, api: Api, name: str, namespace: str, *, adopt: bool = False) -> None:
        self.api, self.name, self.namespace, self.adopt = api, name, namespace, adopt
        self.id = set_id(name, namespace)

    # --- reading ---------------------------------------------------------------------------------

    def parent(self) -> dict[str, Any] | None:
        found = self.api.get("ConfigMap", self.name, self.namespace)
        if found is not None and (found["metadata"].get("labels") or {}).get(ID_LABEL) != self.id:
            reason = "a ConfigMap of that name exists and is not this applyset's"
            raise RagopsError(failure("use applyset", "ConfigMap", self.name, self.namespace, reason, "Choose another name"))
        return found

    def members(self, parent: dict[str, Any] | None, more: Iterable[str] = ()) -> list[dict[str, Any]]:
        """All objects that carry the set's label, of the kinds the parent remembers and of ``more``."""
        kinds = set(more)
        if parent is not None:
            kinds |= set(filter(None, ((parent["metadata"].get("annotations") or {}).get(CONTAINS) or "").split(",")))
        kinds.add("PersistentVolumeClaim")  # they outlive the parent

        def list_kind(text: str) -> list[dict[str, Any]]:
            kind, group = split_group_kind(text)
            resource = self._preferred(kind, group)
            if resource is None:
                return []
            items = self.api.list(kind, self.namespace, resource.group_version, label_selector=f"{PART_OF}={self.id}")
            return [{**item, "kind": kind, "apiVersion": resource.group_version} for item in items]

        with ThreadPoolExecutor(_THREADS) as pool:
            return [item for items in pool.map(list_kind, sorted(kinds)) for item in items]

    def _preferred(self, kind: str, group: str) -> Any:
        from kubernetes.dynamic.exceptions import ResourceNotFoundError

        try:
            found = self.api.dynamic.resources.search(kind=kind, group=group)
        except ResourceNotFoundError:
            return None
        found = [r for r in found if r.kind == kind and r.group == group]
        return next((r for r in found if r.preferred), found[0] if found else None)

    # --- planning --------------------------------------------------------------------------------

    def label(self, definition: dict[str, Any]) -> dict[str, Any]:
        labels = definition["metadata"].setdefault("labels", {}) or {}
        definition["metadata"]["labels"] = {**MANAGED_BY, **labels, PART_OF: self.id}
        return definition

    def plan(self, objects: Sequence[dict[str, Any]], *, prune: bool, delete_volumes: bool) -> list[Step]:
        desired = [self.label(o) for o in objects]
        parent = self.parent()
        with ThreadPoolExecutor(_THREADS) as pool:
            steps = list(pool.map(self._plan_one, desired))
        if prune:
            names = {(group_kind(o), o["metadata"]["name"]) for o in desired}
            for member in self.members(parent, {group_kind(o) for o in desired}):
                if (group_kind(member), member["metadata"]["name"]) in names or member["metadata"].get("deletionTimestamp"):
                    continue
                keep = member["kind"] in _KEEP_UNLESS_TOLD and not delete_volumes
                steps.append(Step(KEPT if keep else PRUNED, None, member, None))
        return steps

    def _plan_one(self, desired: dict[str, Any]) -> Step:
        kind, name = desired["kind"], desired["metadata"]["name"]
        live = self.api.get(kind, name, self.namespace, desired["apiVersion"])
        if live is not None:
            self._refuse_foreign(live, kind, name)
        try:
            predicted = self.api.apply(desired, FIELD_MANAGER, dry_run=True)
        except Exception as exc:
            if http_status(exc) == 404 and live is None:
                # The namespace does not exist: in check mode that is only so because nothing was written before.
                return Step(CREATED, desired, None, desired)
            reason, remedy = explain_exception(exc, self.api.host)
            raise RagopsError(failure("apply", kind, name, self.namespace, reason, remedy)) from exc
        if live is None:
            return Step(CREATED, desired, None, predicted)
        same = comparable(predicted) == comparable(live)
        return Step(UNCHANGED if same else UPDATED, desired, live, predicted)

    def _refuse_foreign(self, live: dict[str, Any], kind: str, name: str) -> None:
        owner = (live["metadata"].get("labels") or {}).get(PART_OF)
        if owner == self.id or self.adopt:
            return
        whose = "belongs to another applyset" if owner else "exists and was not made by ragops.stack"
        remedy = "Choose another name, remove it, or set adopt: true to take it over"
        raise RagopsError(failure("apply", kind, name, self.namespace, f"an object of that name {whose}", remedy))

    # --- writing ---------------------------------------------------------------------------------

    def execute(self, steps: Sequence[Step], history: int) -> int:
        """Write what the plan says; returns the number of the revision in force."""
        changed = [s for s in steps if s.operation in (CREATED, UPDATED, PRUNED)]
        kinds = sorted({group_kind(s.reference) for s in steps})
        parent = self._ensure_parent(kinds)
        revision = int((parent["metadata"].get("annotations") or {}).get(REVISION) or 0)
        if not changed and revision:
            return revision
        for step in sorted((s for s in changed if s.desired), key=lambda s: rank(s.key[0])):
            self._apply_one(step)
        for step in sorted((s for s in changed if not s.desired), key=lambda s: -rank(s.key[0])):
            live = step.live or {}
            self.api.delete(live["kind"], live["metadata"]["name"], self.namespace, live["apiVersion"])
        return self._record(parent, [s.desired for s in steps if s.desired], revision + 1, history, kinds)

    def _apply_one(self, step: Step) -> None:
        desired = step.desired or {}
        try:
            self.api.apply(desired, FIELD_MANAGER)
        except Exception as exc:
            reason, remedy = explain_exception(exc, self.api.host)
            raise RagopsError(failure("apply", step.key[0], step.key[1], self.namespace, reason, remedy)) from exc

    def _ensure_parent(self, kinds: Sequence[str], revision: int | None = None) -> dict[str, Any]:
        live = self.parent()
        annotations = dict(((live or {}).get("metadata") or {}).get("annotations") or {})
        known = set(filter(None, annotations.get(CONTAINS, "").split(",")))
        wanted = {TOOLING: "ragops.stack/v1", CONTAINS: ",".join(sorted(known | set(kinds)))}
        current = annotations.get(REVISION)
        if revision is not None or current is not None:
            wanted[REVISION] = str(revision if revision is not None else current)
        if live is not None and all(annotations.get(k) == v for k, v in wanted.items()):
            return live
        return self.api.apply(
            {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {
                    "name": self.name,
                    "namespace": self.namespace,
                    "labels": {**MANAGED_BY, ID_LABEL: self.id},
                    "annotations": wanted,
                },
            },
            FIELD_MANAGER,
        )

    def _record(self, parent: dict[str, Any], objects: Sequence[dict[str, Any]], revision: int, history: int, kinds: Sequence[str]) -> int:
        if history > 0:
            text = json.dumps([redact_object(o) for o in objects], sort_keys=True)
            self.api.apply(
                {
                    "apiVersion": "v1",
                    "kind": "ConfigMap",
                    "metadata": {
                        "name": f"{self.name}-revision-{revision}",
                        "namespace": self.namespace,
                        "labels": {**MANAGED_BY, REVISION_OF: self.name, REVISION: str(revision)},
                        "ownerReferences": [_owner(parent)],
                    },
                    "data": {"objects.json.gz": base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode()},
                },
                FIELD_MANAGER,
            )
        self._ensure_parent(kinds, revision)
        self._forget_revisions(lambda number: number <= revision - history)
        return revision

    def _forget_revisions(self, old: Callable[[int], bool]) -> None:
        for found in self.api.list("ConfigMap", self.namespace, label_selector=f"{REVISION_OF}={self.name}"):
            if old(int(found["metadata"]["labels"].get(REVISION) or 0)):
                self.api.delete("ConfigMap", found["metadata"]["name"], self.namespace)

    # --- removing --------------------------------------------------------------------------------

    def plan_removal(self, *, delete_volumes: bool) -> list[Step]:
        steps = []
        for member in self.members(self.parent()):
            if member["metadata"].get("deletionTimestamp"):
                continue
            keep = member["kind"] in _KEEP_UNLESS_TOLD and not delete_volumes
            steps.append(Step(KEPT if keep else PRUNED, None, member, None))
        return steps

    def remove(self, steps: Sequence[Step]) -> None:
        for step in sorted((s for s in steps if s.operation == PRUNED), key=lambda s: -rank(s.key[0])):
            live = step.live or {}
            self.api.delete(live["kind"], live["metadata"]["name"], self.namespace, live["apiVersion"])
        self._forget_revisions(lambda _number: True)
        self.api.delete("ConfigMap", self.name, self.namespace)


def _owner(parent: dict[str, Any]) -> dict[str, Any]:
    metadata = parent["metadata"]
    return {"apiVersion": "v1", "kind": "ConfigMap", "name": metadata["name"], "uid": metadata["uid"]}


def comparable(obj: dict[str, Any]) -> dict[str, Any]:
    """What an apply can change: no bookkeeping of the server, no status."""
    clean = {k: v for k, v in obj.items() if k not in ("status", "apiVersion", "kind")}
    metadata = dict(clean.get("metadata") or {})
    for key in ("managedFields", "resourceVersion", "generation", "uid", "creationTimestamp", "selfLink"):
        metadata.pop(key, None)
    annotations = {k: v for k, v in (metadata.get("annotations") or {}).items() if k != "deployment.kubernetes.io/revision"}
    metadata["annotations"] = annotations
    clean["metadata"] = metadata
    return clean


def diff_of(steps: Sequence[Step]) -> list[dict[str, Any]]:
    """One entry for each object that changes, secrets masked, the server's bookkeeping left out."""
    entries = []
    for step in steps:
        if step.operation in (UNCHANGED, KEPT):
            continue
        kind, name = step.key
        before = _shown(step.live, None) if step.live else {}
        after = _shown(step.predicted, step.live) if step.predicted else {}
        entries.append({"before_header": f"{kind} {name}", "after_header": f"{kind} {name} ({step.operation})", "before": before, "after": after})
    return entries


def _shown(obj: dict[str, Any] | None, other: dict[str, Any] | None) -> dict[str, Any]:
    redacted = redact_object(obj, other)
    clean = comparable(redacted)
    return {"apiVersion": redacted.get("apiVersion"), "kind": redacted.get("kind"), **clean}
