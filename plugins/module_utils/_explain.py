# Copyright: ragops.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Why is this not ready? Cause and remedy, in plain words, most telling first.

``collect`` reads what surrounds an object (pods, claims, events, last log lines); ``diagnose`` is pure and
turns that snapshot into findings.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, field
from typing import Any

from ansible_collections.ragops.stack.plugins.module_utils._api import Api
from ansible_collections.ragops.stack.plugins.module_utils._errors import api_status, http_status
from ansible_collections.ragops.stack.plugins.module_utils._readiness import condition
from ansible_collections.ragops.stack.plugins.module_utils._redact import redact_text

_LOG_LINES = 15
_CRASHES_THAT_COUNT = 2  # restarts before a crash loop is called one: a first crash may be a race at start-up
# Log lines that name the reason of a crash; the last one wins, a traceback's last line is its message.
_TELLING = re.compile(r"error|fatal|panic|exception|denied|refused|invalid|failed|cannot|not found|unknown", re.I)


@dataclass(frozen=True)
class Finding:
    """``fatal``: waiting will not cure it."""

    subject: str
    cause: str
    remedy: str
    fatal: bool = False

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass
class Snapshot:
    kind: str
    name: str
    namespace: str | None
    objects: list[dict[str, Any]] = field(default_factory=list)  # the object itself and its controllers
    pods: list[dict[str, Any]] = field(default_factory=list)
    claims: list[dict[str, Any]] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)  # warnings about any of the above
    logs: dict[tuple[str, str], str] = field(default_factory=dict)  # (pod, container) -> last lines
    classes: list[dict[str, Any]] = field(default_factory=list)


def explain(api: Api, kind: str, name: str, namespace: str | None) -> list[Finding]:
    return diagnose(collect(api, kind, name, namespace))


# --- reading -------------------------------------------------------------------------------------


def collect(api: Api, kind: str, name: str, namespace: str | None) -> Snapshot:
    snapshot = Snapshot(kind, name, namespace)
    obj = api.get(kind, name, namespace)
    if obj is not None:
        snapshot.objects.append(obj)
    if namespace is None:
        return snapshot
    if kind == "Pod":
        snapshot.pods = [obj] if obj else []
    else:
        snapshot.objects += _controllers(api, kind, name, namespace)
        selector = _pod_selector(kind, name, obj)
        snapshot.pods = api.list("Pod", namespace, label_selector=selector) if selector else []
    snapshot.claims = _claims(api, namespace, snapshot.pods)
    if snapshot.claims:
        snapshot.classes = api.list("StorageClass")
    names = {(o["kind"], o["metadata"]["name"]) for o in snapshot.objects if o.get("kind")}
    names |= {("Pod", p["metadata"]["name"]) for p in snapshot.pods}
    names |= {("PersistentVolumeClaim", c["metadata"]["name"]) for c in snapshot.claims}
    for event in api.list("Event", namespace, field_selector="type=Warning"):
        about = event.get("involvedObject") or {}
        if (about.get("kind"), about.get("name")) in names or (about.get("kind") == "ReplicaSet" and str(about.get("name")).startswith(f"{name}-")):
            snapshot.events.append(event)
    snapshot.logs = _crash_logs(api, namespace, snapshot.pods)
    return snapshot


def _pod_selector(kind: str, name: str, obj: dict[str, Any] | None) -> str:
    if kind == "Cluster":
        return f"app.kubernetes.io/instance={name},app.kubernetes.io/managed-by=kubeblocks"
    labels = (((obj or {}).get("spec") or {}).get("selector") or {}).get("matchLabels") or {}
    return ",".join(f"{k}={v}" for k, v in sorted(labels.items()))


def _controllers(api: Api, kind: str, name: str, namespace: str) -> list[dict[str, Any]]:
    """The operator reports on Component and InstanceSet, not on the Cluster."""
    if kind != "Cluster":
        return []
    found: list[dict[str, Any]] = []
    for sub in ("Component", "InstanceSet"):
        found += [{**item, "kind": sub} for item in api.list(sub, namespace, label_selector=f"app.kubernetes.io/instance={name}")]
    return found


def _claims(api: Api, namespace: str, pods: list[dict[str, Any]]) -> list[dict[str, Any]]:
    wanted = {
        (v.get("persistentVolumeClaim") or {}).get("claimName")
        for p in pods
        if (p.get("status") or {}).get("phase") == "Pending"
        for v in (p.get("spec") or {}).get("volumes") or []
    } - {None}
    return [c for c in api.list("PersistentVolumeClaim", namespace) if c["metadata"]["name"] in wanted] if wanted else []


def _container_states(pod: dict[str, Any]) -> list[dict[str, Any]]:
    status = pod.get("status") or {}
    return [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]


def _crash_logs(api: Api, namespace: str, pods: list[dict[str, Any]]) -> dict[tuple[str, str], str]:
    logs: dict[tuple[str, str], str] = {}
    for pod in pods:
        for state in _container_states(pod):
            waiting = ((state.get("state") or {}).get("waiting") or {}).get("reason")
            ended = (state.get("state") or {}).get("terminated") or (state.get("lastState") or {}).get("terminated")
            if not ended and waiting != "CrashLoopBackOff":
                continue
            key = (pod["metadata"]["name"], state["name"])
            running = "running" in (state.get("state") or {})
            try:
                logs[key] = api.pod_log(key[0], namespace, key[1], lines=_LOG_LINES, previous=running)
            except Exception as exc:
                if http_status(exc) not in (400, 403, 404):  # no log kept, or not ours to read
                    raise
                logs[key] = f"(log not readable: {api_status(exc).get('message', exc)})"
    return logs


# --- judging -------------------------------------------------------------------------------------


def diagnose(snapshot: Snapshot) -> list[Finding]:
    findings: list[Finding] = []
    for pod in snapshot.pods:
        findings += _pod_findings(snapshot, pod)
    findings += _event_findings(snapshot)
    findings += _definition_findings(snapshot)
    unique: dict[str, Finding] = {}
    for finding in findings:
        unique.setdefault(finding.cause, finding)
    return sorted(unique.values(), key=lambda f: not f.fatal)


def telling_line(log: str) -> str:
    """The log line that most likely names the reason."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    hits = [line for line in lines if _TELLING.search(line)]
    return redact_text((hits or lines or [""])[-1])[:300]


def _pod_findings(snapshot: Snapshot, pod: dict[str, Any]) -> list[Finding]:
    name = pod["metadata"]["name"]
    findings: list[Finding] = []
    scheduled = condition(pod, "PodScheduled")
    if scheduled.get("status") == "False":
        findings.append(_unscheduled(snapshot, pod, str(scheduled.get("message", ""))))
    for state in _container_states(pod):
        finding = _container_finding(snapshot, name, state)
        if finding:
            findings.append(finding)
    return findings


def _container_finding(snapshot: Snapshot, pod: str, state: dict[str, Any]) -> Finding | None:
    waiting = (state.get("state") or {}).get("waiting") or {}
    reason, message = waiting.get("reason", ""), str(waiting.get("message", ""))
    container, image, subject = state["name"], state.get("image", "?"), f"Pod {pod}"
    if reason in ("ImagePullBackOff", "ErrImagePull", "InvalidImageName", "ErrImageNeverPull"):
        why = f" ({message})" if message and reason != "ImagePullBackOff" else ""
        return Finding(
            subject,
            f"image {image} of container {container} cannot be pulled{why}",
            "Correct the image name or tag, make the registry reachable, or add a pull secret (ragops_image_pull_secrets)",
            fatal=reason != "ErrImagePull",
        )
    if reason == "CreateContainerConfigError":
        return Finding(subject, f"container {container} cannot be made: {message}", "Create the Secret or ConfigMap (or its key) that it names", fatal=True)
    restarts = int(state.get("restartCount") or 0)
    ended = (state.get("lastState") or {}).get("terminated") or (state.get("state") or {}).get("terminated") or {}
    if ended.get("reason") == "OOMKilled":
        return Finding(
            subject, f"container {container} was killed: it needed more memory than its limit", "Raise its memory limit", fatal=restarts >= _CRASHES_THAT_COUNT
        )
    if restarts and ended.get("exitCode") not in (None, 0):
        words = telling_line(snapshot.logs.get((pod, container), ""))
        said = f'; its last words: "{words}"' if words else ""
        return Finding(
            subject,
            f"container {container} crashed {restarts} time{'s' if restarts > 1 else ''} (exit code {ended['exitCode']}){said}",
            f"See all of it: kubectl logs -n {snapshot.namespace} {pod} -c {container} --previous",
            fatal=restarts >= _CRASHES_THAT_COUNT and reason == "CrashLoopBackOff",
        )
    return None


def _unscheduled(snapshot: Snapshot, pod: dict[str, Any], message: str) -> Finding:
    subject = f"Pod {pod['metadata']['name']}"
    known = {c["metadata"]["name"] for c in snapshot.classes}
    default = [
        c["metadata"]["name"]
        for c in snapshot.classes
        if ((c["metadata"].get("annotations") or {}).get("storageclass.kubernetes.io/is-default-class")) == "true"
    ]
    for claim in snapshot.claims:
        wanted = (claim.get("spec") or {}).get("storageClassName")
        title = f"claim {claim['metadata']['name']}"
        if (claim.get("status") or {}).get("phase") == "Bound":
            continue
        if wanted and wanted not in known:
            return Finding(
                subject,
                f"{title} asks for StorageClass {wanted}, which does not exist",
                f"Use one of: {', '.join(sorted(known)) or '(the cluster has none)'}",
                fatal=True,
            )
        if not wanted and not default:
            return Finding(
                subject,
                f"{title} names no StorageClass and the cluster has no default one",
                "Set ragops_storage_class, or mark a StorageClass as default",
                fatal=True,
            )
    if "nsufficient" in message:
        return Finding(subject, f"no node has room for it: {message}", "Add capacity or lower the resource requests", fatal=False)
    if "taint" in message or "didn't match" in message:
        return Finding(subject, f"no node may take it: {message}", "Set tolerations, node selector or affinity to match the nodes", fatal=False)
    return Finding(subject, f"it cannot be scheduled: {message}", "See: kubectl describe pod", fatal=False)


# Messages of events that waiting will not cure, each with its remedy.
_EVENTS = (
    (re.compile(r"exceeded quota"), "Raise the namespace's ResourceQuota, or ask for less"),
    (re.compile(r"violates PodSecurity"), "Lower the namespace's pod-security level, or use images and settings that satisfy it"),
    (re.compile(r"(minimum|maximum) (cpu|memory).* usage per|forbidden.*LimitRange"), "Fit the requests to the namespace's LimitRange"),
    (re.compile(r"admission webhook .* denied"), "Ask the owner of that admission webhook what it wants, or exempt this namespace"),
    (re.compile(r"secrets? .*not found"), "Create the Secret it names"),
    (re.compile(r"system account .* not defined"), "Name an account that the ComponentDefinition has"),
    (re.compile(r"FailedMount|MountVolume.* not found"), "Create the Secret, ConfigMap or claim it names"),
    (re.compile(r"StorageClass .*not found|storageclass.* not found"), "Set ragops_storage_class to an existing StorageClass"),
)


def _event_findings(snapshot: Snapshot) -> list[Finding]:
    findings = []
    for event in sorted(snapshot.events, key=lambda e: str(e.get("lastTimestamp") or e.get("eventTime") or ""), reverse=True):
        message, about = redact_text(str(event.get("message", ""))), event.get("involvedObject") or {}
        for pattern, remedy in _EVENTS:
            if pattern.search(message):
                fatal = "MountVolume" not in message
                findings.append(Finding(f"{about.get('kind')} {about.get('name')}", message[:400], remedy, fatal=fatal))
                break
    return findings


def _definition_findings(snapshot: Snapshot) -> list[Finding]:
    findings = []
    for obj in snapshot.objects:
        for kind in ("ReplicaFailure", "InstanceFailure"):
            found = condition(obj, kind)
            if kind == "ReplicaFailure" and found.get("status") == "True":
                message = redact_text(str(found.get("message", "")))
                remedy = next((r for p, r in _EVENTS if p.search(message)), "See the reason above")
                findings.append(Finding(f"{obj.get('kind')} {obj['metadata']['name']}", message[:400], remedy, fatal=True))
    if not findings and snapshot.kind == "Cluster" and snapshot.objects and not (snapshot.objects[0].get("status") or {}):
        findings.append(
            Finding(
                f"Cluster {snapshot.name}",
                "the KubeBlocks operator has not looked at it",
                "Is the operator running? kubectl get pods -n kb-system",
                fatal=False,
            )
        )
    return findings
