# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controllers of Deployments, StatefulSets, DaemonSets and Jobs, short of everything but what clients see."""

from __future__ import annotations

import copy
import hashlib
import json
from typing import Any

from .errors import ApiError
from .kube_api import FakeKubeApi
from .kubelet import NODE, Kubelet, is_ready, owner_reference, pod_from
from .machinery import now
from .store import Change

Json = dict[str, Any]

_MANAGER = "kube-controller-manager"


def template_hash(template: Json) -> str:
    return hashlib.sha256(json.dumps(template, sort_keys=True).encode()).hexdigest()[:10]


class Workloads:
    """Workloads become ready after `delay` seconds, or fail as told.

    workloads = Workloads(api, delay=0.05)
    workloads.fail("web", "CrashLoopBackOff", log="FATAL: password authentication failed")
    workloads.refuse_pods("web", 'exceeded quota: q, requested: pods=1, used: pods=0, limited: pods=0')
    """

    def __init__(self, api: FakeKubeApi, delay: float = 0.05) -> None:
        self.api = api
        self.kubelet = Kubelet.of(api, delay)
        self._refused: dict[str, str] = {}
        for kind in ("Deployment", "StatefulSet", "DaemonSet", "Job", "CronJob"):
            for event in ("ADDED", "MODIFIED"):
                api.on(lambda change, kind=kind: self._reconcile(kind, change.namespace, change.name), event, kind)  # type: ignore[misc]
        for event in ("ADDED", "MODIFIED", "DELETED"):
            api.on(self._pod_changed, event, "Pod")

    def fail(self, name: str, reason: str, **details: Any) -> None:
        """See kubelet.Trouble for the reasons."""
        self.kubelet.fail(name, reason, **details)

    def heal(self, name: str) -> None:
        self._refused.pop(name, None)
        self.kubelet.heal(name)
        for kind in ("Deployment", "StatefulSet", "DaemonSet", "Job"):
            for obj in self.api.objects(kind):
                if obj["metadata"]["name"] == name:
                    self._reconcile(kind, obj["metadata"]["namespace"], name)

    def refuse_pods(self, name: str, why: str) -> None:
        """Pods of this workload are refused by the API (quota, pod security, LimitRange): no pod, only an event and a condition."""
        self._refused[name] = why

    # reconciling ----------------------------------------------------------------------------

    def _reconcile(self, kind: str, namespace: str, name: str) -> None:
        obj = self.api.find(kind, name, namespace)
        if obj is None or obj["metadata"].get("deletionTimestamp"):
            return
        try:
            {"Deployment": self._deployment, "StatefulSet": self._stateful_set, "DaemonSet": self._daemon_set, "Job": self._job, "CronJob": lambda _obj: None}[
                kind
            ](obj)
        except ApiError as error:
            if error.code not in (403, 404, 409):  # things go away while we look
                raise

    def _pod_changed(self, change: Change) -> None:
        for ref in change.obj["metadata"].get("ownerReferences") or []:
            if ref["kind"] == "ReplicaSet":
                owner = self.api.find("ReplicaSet", ref["name"], change.namespace)
                for upper in (owner or {}).get("metadata", {}).get("ownerReferences") or []:
                    self._reconcile(upper["kind"], change.namespace, upper["name"])
            elif ref["kind"] in ("StatefulSet", "DaemonSet", "Job"):
                self._reconcile(ref["kind"], change.namespace, ref["name"])

    def _owned(self, kind: str, owner: Json) -> list[Json]:
        return [
            obj
            for obj in self.api.objects(kind, owner["metadata"]["namespace"])
            if any(ref["uid"] == owner["metadata"]["uid"] for ref in obj["metadata"].get("ownerReferences") or [])
        ]

    def _live_pods(self, owner: Json) -> list[Json]:
        return [pod for pod in self._owned("Pod", owner) if not pod["metadata"].get("deletionTimestamp")]

    def _make_pod(self, owner: Json, pod: Json, workload: str) -> bool:
        why = self._refused.get(workload)
        try:
            if why:
                raise ApiError(403, f'pods "{pod["metadata"]["name"]}" is forbidden: {why}')
            self.api.put(pod, manager=_MANAGER)
        except ApiError as error:
            if error.code == 409:
                return True
            text = (
                f"Error creating: {error.message}"
                if owner["kind"] != "StatefulSet"
                else (f"create Pod {pod['metadata']['name']} in StatefulSet {owner['metadata']['name']} failed error: {error.message}")
            )
            events, uid = self.api.objects("Event", owner["metadata"]["namespace"]), owner["metadata"]["uid"]
            if not any(event["message"] == text and event["involvedObject"].get("uid") == uid for event in events):
                self.api.event(owner, "FailedCreate", text, component=f"{owner['kind'].lower()}-controller")
            return False
        return True

    def _write_status(self, obj: Json, status: Json) -> None:
        """Times of conditions that stay as they were are kept, so that nothing is written when nothing changed."""
        before = {item["type"]: item for item in (obj.get("status") or {}).get("conditions") or []}
        for item in status.get("conditions") or []:
            old = before.get(item["type"])
            same = bool(old) and all(old.get(key) == item.get(key) for key in ("status", "reason", "message"))  # type: ignore[union-attr]
            for key in ("lastTransitionTime", "lastUpdateTime"):
                item[key] = old[key] if same and old and key in old else now()

        def alter(current: Json) -> None:
            current["status"] = status

        self.api.change(obj["kind"], obj["metadata"]["name"], obj["metadata"]["namespace"], alter, manager=_MANAGER, subresource="status")

    def _deployment(self, obj: Json) -> None:
        meta, spec = obj["metadata"], obj["spec"]
        wanted, digest = spec["replicas"], template_hash(spec["template"])
        sets = self._owned("ReplicaSet", obj)
        current = next((item for item in sets if item["metadata"]["labels"].get("pod-template-hash") == digest), None)
        revision = str(max([int((item["metadata"].get("annotations") or {}).get("deployment.kubernetes.io/revision", "0")) for item in sets], default=0) + 1)
        if current is None:
            template = copy.deepcopy(spec["template"])
            template.setdefault("metadata", {}).setdefault("labels", {})["pod-template-hash"] = digest
            current = self.api.put(
                {
                    "apiVersion": "apps/v1",
                    "kind": "ReplicaSet",
                    "metadata": {
                        "name": f"{meta['name']}-{digest}",
                        "namespace": meta["namespace"],
                        "labels": template["metadata"]["labels"],
                        "annotations": {"deployment.kubernetes.io/revision": revision},
                        "ownerReferences": [owner_reference(obj)],
                    },
                    "spec": {"replicas": wanted, "selector": {"matchLabels": template["metadata"]["labels"]}, "template": template},
                },
                manager=_MANAGER,
            )
            if (meta.get("annotations") or {}).get("deployment.kubernetes.io/revision") != revision:
                self.api.edit(
                    "Deployment", meta["name"], meta["namespace"], manager=_MANAGER, metadata={"annotations": {"deployment.kubernetes.io/revision": revision}}
                )
        old_pods = [pod for item in sets if item["metadata"]["uid"] != current["metadata"]["uid"] for pod in self._live_pods(item)]
        if spec["strategy"]["type"] == "Recreate" and old_pods:
            for pod in old_pods:
                self.api.remove("Pod", pod["metadata"]["name"], meta["namespace"])
            old_pods = []
        pods = self._live_pods(current)
        refused = False
        for _missing in range(wanted - len(pods)):
            suffix = hashlib.sha256(f"{current['metadata']['uid']}{len(pods)}{self.api.machinery.store.version}".encode()).hexdigest()[:5]
            made = pod_from(current["spec"]["template"], f"{current['metadata']['name']}-{suffix}", meta["namespace"], current)
            if not self._make_pod(current, made, meta["name"]):
                refused = True
                break
            pods = self._live_pods(current)
        for pod in pods[wanted:]:
            self.api.remove("Pod", pod["metadata"]["name"], meta["namespace"])
        pods = pods[:wanted]
        ready = sum(is_ready(pod) for pod in pods)
        if ready == wanted:
            for pod in old_pods:
                self.api.remove("Pod", pod["metadata"]["name"], meta["namespace"])
            old_pods = []
        self._deployment_status(obj, current, wanted, ready, len(pods), len(old_pods), self._refused.get(meta["name"]) if refused else None)

    def _deployment_status(self, obj: Json, current: Json, wanted: int, ready: int, made: int, old: int, why: str | None) -> None:
        done = ready >= wanted and not old
        status: Json = {"observedGeneration": obj["metadata"]["generation"]}
        for key, number in (
            ("replicas", made + old),
            ("updatedReplicas", made),
            ("readyReplicas", ready + old),
            ("availableReplicas", ready + old),
            ("unavailableReplicas", max(wanted - ready - old, 0)),
        ):
            if number:
                status[key] = number
        available = ready + old >= max(wanted * 3 // 4, 1 if wanted else 0)
        name = current["metadata"]["name"]
        status["conditions"] = [
            {
                "type": "Available",
                "status": "True" if available else "False",
                "reason": "MinimumReplicasAvailable" if available else "MinimumReplicasUnavailable",
                "message": "Deployment has minimum availability." if available else "Deployment does not have minimum availability.",
            },
            {
                "type": "Progressing",
                "status": "True",
                "reason": "NewReplicaSetAvailable" if done else "ReplicaSetUpdated",
                "message": f'ReplicaSet "{name}" has successfully progressed.' if done else f'ReplicaSet "{name}" is progressing.',
            },
        ]
        if why:
            status["conditions"].append(
                {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": f'pods "{name}-xxxxx" is forbidden: {why}'}
            )
        self._write_status(obj, status)
        self._write_status(
            self.api.get("ReplicaSet", name, obj["metadata"]["namespace"]),
            {
                "observedGeneration": current["metadata"]["generation"],
                "replicas": made,
                "fullyLabeledReplicas": made,
                "readyReplicas": ready,
                "availableReplicas": ready,
            },
        )

    def _stateful_set(self, obj: Json) -> None:
        meta, spec = obj["metadata"], obj["spec"]
        revision = f"{meta['name']}-{template_hash(spec['template'])}"
        pods = {pod["metadata"]["name"]: pod for pod in self._live_pods(obj)}
        wanted = [f"{meta['name']}-{number}" for number in range(spec["replicas"])]
        for name, pod in pods.items():
            stale = pod["metadata"]["labels"].get("controller-revision-hash") != revision
            if name not in wanted or (stale and spec["updateStrategy"]["type"] != "OnDelete"):
                self.api.remove("Pod", name, meta["namespace"])
        terminating = {pod["metadata"]["name"] for pod in self._owned("Pod", obj) if pod["metadata"].get("deletionTimestamp")}
        for number, name in enumerate(wanted):
            if name not in pods and name not in terminating and not self._make_member(obj, name, revision, number):
                break
            if spec["podManagementPolicy"] == "OrderedReady" and not is_ready(pods.get(name, {})):
                break
        pods = {pod["metadata"]["name"]: pod for pod in self._live_pods(obj)}
        ready = sum(is_ready(pod) for pod in pods.values())
        updated = sum(pod["metadata"]["labels"].get("controller-revision-hash") == revision for pod in pods.values())
        current = revision if updated == len(pods) and ready == spec["replicas"] else (obj.get("status") or {}).get("currentRevision", revision)
        status: Json = {
            "observedGeneration": meta["generation"],
            "replicas": len(pods),
            "currentRevision": current,
            "updateRevision": revision,
            "collisionCount": 0,
            "availableReplicas": ready,
        }
        kept = updated if current == revision else len(pods) - updated
        for key, value in (("readyReplicas", ready), ("updatedReplicas", updated), ("currentReplicas", kept)):
            if value:
                status[key] = value
        self._write_status(obj, status)

    def _make_member(self, obj: Json, name: str, revision: str, number: int) -> bool:
        meta, spec = obj["metadata"], obj["spec"]
        labels = {"controller-revision-hash": revision, "statefulset.kubernetes.io/pod-name": name, "apps.kubernetes.io/pod-index": str(number)}
        pod = pod_from(spec["template"], name, meta["namespace"], obj, labels)
        pod["spec"].update(hostname=name, subdomain=spec.get("serviceName", ""))
        for claim in spec.get("volumeClaimTemplates") or []:
            claimed = f"{claim['metadata']['name']}-{name}"
            if self.api.find("PersistentVolumeClaim", claimed, meta["namespace"]) is None:
                self.api.put(
                    {
                        "apiVersion": "v1",
                        "kind": "PersistentVolumeClaim",
                        "metadata": {
                            "name": claimed,
                            "namespace": meta["namespace"],
                            "labels": {**(claim["metadata"].get("labels") or {}), **(spec["selector"].get("matchLabels") or {})},
                        },
                        "spec": copy.deepcopy(claim["spec"]),
                    },
                    manager=_MANAGER,
                )
            volumes = [volume for volume in pod["spec"].get("volumes") or [] if volume["name"] != claim["metadata"]["name"]]
            pod["spec"]["volumes"] = [{"name": claim["metadata"]["name"], "persistentVolumeClaim": {"claimName": claimed}}, *volumes]
        return self._make_pod(obj, pod, meta["name"])

    def _daemon_set(self, obj: Json) -> None:
        pods = self._live_pods(obj)
        if not pods:
            suffix = hashlib.sha256(obj["metadata"]["uid"].encode()).hexdigest()[:5]
            name, namespace = obj["metadata"]["name"], obj["metadata"]["namespace"]
            self._make_pod(obj, pod_from(obj["spec"]["template"], f"{name}-{suffix}", namespace, obj), name)
            pods = self._live_pods(obj)
        ready = sum(is_ready(pod) for pod in pods)
        self._write_status(
            obj,
            {
                "observedGeneration": obj["metadata"]["generation"],
                "desiredNumberScheduled": 1,
                "currentNumberScheduled": len(pods),
                "numberMisscheduled": 0,
                "numberReady": ready,
                "numberAvailable": ready,
                "updatedNumberScheduled": len(pods),
                **({} if ready else {"numberUnavailable": 1}),
            },
        )

    def _job(self, obj: Json) -> None:
        meta, spec = obj["metadata"], obj["spec"]
        if spec.get("suspend") or any(item["type"] in ("Complete", "Failed") for item in (obj.get("status") or {}).get("conditions") or []):
            return
        pods = self._owned("Pod", obj)
        phases = [(pod.get("status") or {}).get("phase") for pod in pods]
        status: Json = {"startTime": (obj.get("status") or {}).get("startTime", now()), "ready": 0}
        if phases.count("Succeeded") >= spec["completions"]:
            status.update(
                succeeded=phases.count("Succeeded"),
                completionTime=now(),
                conditions=[
                    {"type": "SuccessCriteriaMet", "status": "True", "reason": "CompletionsReached", "message": "Reached expected number of succeeded pods"},
                    {"type": "Complete", "status": "True", "reason": "CompletionsReached", "message": "Reached expected number of succeeded pods"},
                ],
            )
        elif phases.count("Failed") > min(spec["backoffLimit"], 2):
            text = "Job has reached the specified backoff limit"
            status.update(
                failed=phases.count("Failed"),
                conditions=[
                    {"type": "FailureTarget", "status": "True", "reason": "BackoffLimitExceeded", "message": text},
                    {"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded", "message": text},
                ],
            )
            self.api.event(obj, "BackoffLimitExceeded", text, component="job-controller")
        elif all(phase in ("Succeeded", "Failed") for phase in phases):
            suffix = hashlib.sha256(f"{meta['uid']}{len(pods)}".encode()).hexdigest()[:5]
            if self._make_pod(obj, pod_from(spec["template"], f"{meta['name']}-{suffix}", meta["namespace"], obj), meta["name"]):
                status["active"] = 1
        else:
            status["active"] = sum(phase not in ("Succeeded", "Failed") for phase in phases)
            if phases.count("Failed"):
                status["failed"] = phases.count("Failed")
        self._write_status(obj, status)


__all__ = ["NODE", "Workloads", "template_hash"]
