# Copyright: ragops.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""When is an object ready? One pure predicate per kind, from a plain dictionary to a verdict."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

READY, PROGRESSING, FAILED, REFUSED, DELETING, GONE = "ready", "progressing", "failed", "refused", "deleting", "gone"


@dataclass(frozen=True)
class Verdict:
    """``grace``: seconds a failure has to last before it counts, because its cause may heal by itself."""

    state: str
    reason: str = ""
    grace: float = 0.0


Predicate = Callable[["dict[str, Any] | None"], Verdict]
_MISSING = Verdict(PROGRESSING, "it does not exist yet")


def condition(obj: dict[str, Any], kind: str) -> dict[str, Any]:
    conditions = (obj.get("status") or {}).get("conditions") or []
    return next((c for c in conditions if c.get("type") == kind), {})


def _observed(obj: dict[str, Any]) -> bool:
    status = obj.get("status") or {}
    return int(status.get("observedGeneration") or 0) >= int(obj["metadata"].get("generation") or 0)


def deployment(obj: dict[str, Any] | None) -> Verdict:
    if obj is None:
        return _MISSING
    status, wanted = obj.get("status") or {}, int((obj.get("spec") or {}).get("replicas", 1))
    progress = condition(obj, "Progressing")
    if _observed(obj) and progress.get("reason") == "ProgressDeadlineExceeded":
        return Verdict(FAILED, str(progress.get("message", "")), grace=5)
    updated, available, total = (int(status.get(k) or 0) for k in ("updatedReplicas", "availableReplicas", "replicas"))
    if _observed(obj) and updated == available == total == wanted:
        return Verdict(READY, f"{available}/{wanted} available")
    return Verdict(PROGRESSING, f"{available}/{wanted} available, {updated} up to date")


def stateful_set(obj: dict[str, Any] | None) -> Verdict:
    if obj is None:
        return _MISSING
    status, wanted = obj.get("status") or {}, int((obj.get("spec") or {}).get("replicas", 1))
    ready, updated = int(status.get("readyReplicas") or 0), int(status.get("updatedReplicas") or 0)
    same = status.get("currentRevision") == status.get("updateRevision") or updated == wanted
    if _observed(obj) and ready == wanted and same:
        return Verdict(READY, f"{ready}/{wanted} ready")
    return Verdict(PROGRESSING, f"{ready}/{wanted} ready")


def daemon_set(obj: dict[str, Any] | None) -> Verdict:
    if obj is None:
        return _MISSING
    status = obj.get("status") or {}
    wanted = int(status.get("desiredNumberScheduled") or 0)
    available, updated = int(status.get("numberAvailable") or 0), int(status.get("updatedNumberScheduled") or 0)
    done = _observed(obj) and available == updated == wanted
    return Verdict(READY if done else PROGRESSING, f"{available}/{wanted} available")


def job(obj: dict[str, Any] | None) -> Verdict:
    if obj is None:
        return _MISSING
    if condition(obj, "Failed").get("status") == "True":
        return Verdict(FAILED, str(condition(obj, "Failed").get("message") or "the Job failed"))
    done = condition(obj, "Complete").get("status") == "True"
    return Verdict(READY, "complete") if done else Verdict(PROGRESSING, "running")


def pod(obj: dict[str, Any] | None) -> Verdict:
    if obj is None:
        return _MISSING
    phase = (obj.get("status") or {}).get("phase", "Pending")
    if phase == "Failed":
        return Verdict(FAILED, str((obj["status"]).get("message") or "the pod failed"))
    ready = condition(obj, "Ready").get("status") == "True"
    return Verdict(READY if ready else PROGRESSING, f"phase {phase}")


def component_definition(obj: dict[str, Any] | None) -> Verdict:
    """ComponentDefinition, ComponentVersion, ClusterDefinition: by phase only, a message may be stale."""
    if obj is None:
        return _MISSING
    phase = (obj.get("status") or {}).get("phase")
    if phase == "Available" and _observed(obj):
        return Verdict(READY, "Available")
    if phase == "Unavailable":
        return Verdict(FAILED, str((obj.get("status") or {}).get("message") or "Unavailable"), grace=10)
    return Verdict(PROGRESSING, f"phase {phase or 'not set: the operator has not looked at it'}")


def kubeblocks_cluster(obj: dict[str, Any] | None) -> Verdict:
    """A KubeBlocks Cluster.

    Phase and observedGeneration alone are wrong for up to a second after each edit: the phase is still that
    of the old spec. Each component of the spec has to be up to date and Running as well, and a restore is
    finished only when its annotation is gone. PreCheckFailed may pass by itself just after an addon changed.
    """
    if obj is None:
        return _MISSING
    if obj["metadata"].get("deletionTimestamp"):
        return Verdict(DELETING, "it is being deleted")
    status, spec = obj.get("status") or {}, obj.get("spec") or {}
    phase, components = status.get("phase") or "", status.get("components") or {}
    current = status.get("observedGeneration") == obj["metadata"].get("generation")
    provisioning = condition(obj, "ProvisioningStarted")
    if provisioning.get("status") == "False" and provisioning.get("reason") == "PreCheckFailed" and not current:
        return Verdict(REFUSED, str(provisioning.get("message", "")), grace=10)
    names = [c["name"] for c in spec.get("componentSpecs") or []] + [s["name"] for s in spec.get("shardings") or []]
    states = {n: components.get(n) or {} for n in names}
    up_to_date = current and all(s.get("upToDate") is True for s in states.values())
    restoring = "kubeblocks.io/restore-from-backup" in (obj["metadata"].get("annotations") or {})
    stopped = bool(names) and all(c.get("stop") for c in spec.get("componentSpecs") or [])
    final = "Stopped" if stopped else "Running"
    if up_to_date and phase == final and all(s.get("phase") == final for s in states.values()):
        return Verdict(PROGRESSING, "data is being restored") if restoring else Verdict(READY, final)
    if up_to_date and phase in ("Failed", "Abnormal"):
        bad = [f"{n} is {s.get('phase')}" for n, s in states.items() if s.get("phase") != "Running"]
        return Verdict(FAILED, f"phase {phase} ({', '.join(bad) or 'no component named'})", grace=30)
    waiting = [f"{n} {s.get('phase') or 'not created'}" for n, s in states.items() if s.get("phase") != final or not s.get("upToDate")]
    return Verdict(PROGRESSING, f"{phase or 'not looked at by the operator yet'}{': ' if waiting else ''}{', '.join(waiting)}")


def exists(obj: dict[str, Any] | None) -> Verdict:
    return _MISSING if obj is None else Verdict(READY, "exists")


def gone(obj: dict[str, Any] | None) -> Verdict:
    if obj is None:
        return Verdict(READY, "gone")
    finalizers = obj["metadata"].get("finalizers") or []
    return Verdict(PROGRESSING, f"still there{', held by ' + ', '.join(finalizers) if finalizers else ''}")


_PREDICATES: dict[str, Predicate] = {
    "Deployment": deployment,
    "StatefulSet": stateful_set,
    "DaemonSet": daemon_set,
    "Job": job,
    "Pod": pod,
    "Cluster": kubeblocks_cluster,
    "ComponentDefinition": component_definition,
    "ComponentVersion": component_definition,
    "ClusterDefinition": component_definition,
}


def predicate_for(kind: str) -> Predicate | None:
    """None: this kind is ready as soon as it is stored (a claim may wait for its first pod, a Service for its endpoints)."""
    return _PREDICATES.get(kind)
