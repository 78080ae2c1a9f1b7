# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Scheduler, volume binder and kubelet in one: pods start, or fail in a chosen way, with the states and events a cluster shows."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from . import quantities
from .defaults import containers as all_containers
from .errors import ApiError
from .kube_api import FakeKubeApi
from .machinery import now
from .store import Change

Json = dict[str, Any]

NODE = "node-1"


@dataclass(frozen=True)
class Trouble:
    """How pods of one workload fail.

    reason: ImagePullBackOff, ErrImagePull, InvalidImageName, CrashLoopBackOff, OOMKilled, CreateContainerConfigError, Unschedulable,
    NotReady (runs, never ready), Completed (ends well), Error (ends badly, restartPolicy Never).
    """

    reason: str
    container: str = ""
    message: str = ""
    log: str = ""
    exit_code: int = 1
    restarts: int = 3
    namespace: str = ""


def _condition(kind: str, status: str, reason: str = "", message: str = "") -> Json:
    made: Json = {"type": kind, "status": status, "lastProbeTime": None, "lastTransitionTime": now(), "observedGeneration": 1}
    if reason:
        made["reason"] = reason
    if message:
        made["message"] = message
    return made


def _container_id(*parts: str) -> str:
    return "containerd://" + hashlib.sha256("/".join(parts).encode()).hexdigest()


class Kubelet:
    """One for an API; Kubelet.of(api) makes it on first use."""

    def __init__(self, api: FakeKubeApi, delay: float = 0.05) -> None:
        self.api = api
        self.delay = delay
        self.troubles: dict[str, Trouble] = {}
        self._addresses = 0
        api.on(self._created, "ADDED", "Pod")
        api.on(self._claimed, "ADDED", "PersistentVolumeClaim")

    @classmethod
    def of(cls, api: FakeKubeApi, delay: float | None = None) -> Kubelet:
        known = api.parts.get("kubelet")
        if not isinstance(known, cls):
            known = api.parts["kubelet"] = cls(api)
        if delay is not None:
            known.delay = delay
        return known

    def fail(self, name: str, reason: str, **details: Any) -> None:
        """Pods called `name` or `name`-... fail from now on (those that live are started again)."""
        self.troubles[name] = Trouble(reason, **details)
        self._again(name)

    def heal(self, name: str) -> None:
        self.troubles.pop(name, None)
        self._again(name)

    def _again(self, name: str) -> None:
        for pod in self.api.objects("Pod"):
            if self._named(name, pod["metadata"]["name"]) and not pod["metadata"].get("deletionTimestamp"):
                self._later(0, pod, self._schedule)

    @staticmethod
    def _named(name: str, pod: str) -> bool:
        return pod == name or pod.startswith(f"{name}-")

    def trouble(self, pod: Json) -> Trouble | None:
        meta = pod["metadata"]
        found = [
            (len(name), trouble) for name, trouble in self.troubles.items() if self._named(name, meta["name"]) and trouble.namespace in ("", meta["namespace"])
        ]
        return max(found, key=lambda item: item[0])[1] if found else None

    # stages ---------------------------------------------------------------------------------

    def _later(self, seconds: float, pod: Json, stage: Callable[[Json], None]) -> None:
        meta = pod["metadata"]

        def run() -> None:
            current = self.api.find("Pod", meta["name"], meta["namespace"])
            if current and current["metadata"]["uid"] == meta["uid"] and not current["metadata"].get("deletionTimestamp"):
                try:
                    stage(current)
                except ApiError as error:
                    if error.code not in (404, 409):
                        raise

        self.api.later(seconds, run)

    def _created(self, change: Change) -> None:
        status = change.obj.get("status") or {}
        if status.get("phase", "Pending") == "Pending" and not status.get("conditions"):  # not a finished fixture
            self._later(self.delay * 0.2, change.obj, self._schedule)

    def _claimed(self, change: Change) -> None:
        """A claim that can never be bound says so."""
        claim = change.obj
        wanted = claim["spec"].get("storageClassName")
        if wanted is None:
            self.api.event(
                claim, "FailedBinding", "no persistent volumes available for this claim and no storage class is set", "Normal", "persistentvolume-controller"
            )
        elif wanted and self.api.find("StorageClass", wanted) is None:
            self.api.event(claim, "ProvisioningFailed", f'storageclass.storage.k8s.io "{wanted}" not found', component="persistentvolume-controller")

    def _status(self, pod: Json, **status: Any) -> None:
        self.api.edit("Pod", pod["metadata"]["name"], pod["metadata"]["namespace"], manager="kubelet", status=status)

    def _schedule(self, pod: Json) -> None:
        problem = self._binding_problem(pod)
        trouble = self.trouble(pod)
        if not problem and trouble and trouble.reason == "Unschedulable":
            problem = trouble.message or "0/1 nodes are available: 1 Insufficient memory. preemption: 0/1 nodes are available: 1 No preemption victims found."
        if problem:
            self._status(pod, phase="Pending", conditions=[_condition("PodScheduled", "False", "Unschedulable", problem)], containerStatuses=None)
            self.api.event(pod, "FailedScheduling", problem, component="default-scheduler")
            return
        self._bind(pod)
        self.api.edit("Pod", pod["metadata"]["name"], pod["metadata"]["namespace"], manager="kube-scheduler", spec={"nodeName": NODE})
        waiting = [
            {
                "name": item["name"],
                "image": item["image"],
                "imageID": "",
                "ready": False,
                "started": False,
                "restartCount": 0,
                "lastState": {},
                "state": {"waiting": {"reason": "ContainerCreating"}},
            }
            for item in pod["spec"]["containers"]
        ]
        self._status(
            pod,
            phase="Pending",
            startTime=now(),
            hostIP="172.18.0.2",
            containerStatuses=waiting,
            conditions=[
                _condition("PodScheduled", "True"),
                _condition("Initialized", "True"),
                *(_condition(kind, "False", "ContainersNotReady", self._unready(pod)) for kind in ("Ready", "ContainersReady")),
            ],
        )
        self._later(self.delay * 0.8, pod, self._start)

    @staticmethod
    def _unready(pod: Json, *names: str) -> str:
        return "containers with unready status: [" + " ".join(names or [item["name"] for item in pod["spec"]["containers"]]) + "]"

    def _claims(self, pod: Json) -> list[str]:
        names = [(volume.get("persistentVolumeClaim") or {}).get("claimName") for volume in pod["spec"].get("volumes") or []]
        return [name for name in names if name]

    def _binding_problem(self, pod: Json) -> str:
        namespace = pod["metadata"]["namespace"]
        for name in self._claims(pod):
            claim = self.api.find("PersistentVolumeClaim", name, namespace)
            if claim is None:
                return (
                    f'0/1 nodes are available: persistentvolumeclaim "{name}" not found. preemption: 0/1 nodes are available: '
                    "1 Preemption is not helpful for scheduling."
                )
            wanted = claim["spec"].get("storageClassName")
            if (claim.get("status") or {}).get("phase") != "Bound" and (not wanted or self.api.find("StorageClass", wanted) is None):
                return "0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims. not found"
        return ""

    def _bind(self, pod: Json) -> None:
        namespace = pod["metadata"]["namespace"]
        for name in self._claims(pod):
            claim = self.api.get("PersistentVolumeClaim", name, namespace)
            if (claim.get("status") or {}).get("phase") == "Bound":
                continue
            volume = f"pvc-{claim['metadata']['uid']}"
            size = claim["spec"]["resources"]["requests"]["storage"]
            self.api.put(
                {
                    "apiVersion": "v1",
                    "kind": "PersistentVolume",
                    "metadata": {"name": volume},
                    "spec": {
                        "capacity": {"storage": size},
                        "accessModes": claim["spec"]["accessModes"],
                        "persistentVolumeReclaimPolicy": "Delete",
                        "storageClassName": claim["spec"]["storageClassName"],
                        "claimRef": {"kind": "PersistentVolumeClaim", "namespace": namespace, "name": name, "uid": claim["metadata"]["uid"]},
                    },
                    "status": {"phase": "Bound"},
                },
                manager="kube-controller-manager",
            )
            self.api.edit(
                "PersistentVolumeClaim",
                name,
                namespace,
                manager="kube-controller-manager",
                spec={"volumeName": volume},
                status={"phase": "Bound", "accessModes": claim["spec"]["accessModes"], "capacity": {"storage": size}},
            )

    def _missing_reference(self, pod: Json) -> Trouble | None:
        """A Secret or ConfigMap, or a key of it, that a container needs and that is not there."""
        namespace = pod["metadata"]["namespace"]
        for container in all_containers(pod["spec"]):
            wanted: list[tuple[str, str, str]] = []
            for item in container.get("env") or []:
                for field, kind in (("secretKeyRef", "Secret"), ("configMapKeyRef", "ConfigMap")):
                    ref = (item.get("valueFrom") or {}).get(field)
                    if ref and not ref.get("optional"):
                        wanted.append((kind, ref["name"], ref["key"]))
            for item in container.get("envFrom") or []:
                for field, kind in (("secretRef", "Secret"), ("configMapRef", "ConfigMap")):
                    if item.get(field) and not item[field].get("optional"):
                        wanted.append((kind, item[field]["name"], ""))
            for kind, name, key in wanted:
                found = self.api.find(kind, name, namespace)
                if found is None:
                    return Trouble("CreateContainerConfigError", container["name"], f'{kind.lower()} "{name}" not found')
                if key and key not in {**(found.get("data") or {}), **(found.get("binaryData") or {})}:
                    return Trouble("CreateContainerConfigError", container["name"], f"couldn't find key {key} in {kind} {namespace}/{name}")
        return None

    def _start(self, pod: Json) -> None:
        trouble = self.trouble(pod) or self._missing_reference(pod)
        owners = [ref["kind"] for ref in pod["metadata"].get("ownerReferences") or []]
        if trouble is None and "Job" in owners:
            trouble = Trouble("Completed")
        if trouble is None or trouble.reason == "NotReady":
            self._run(pod, ready=trouble is None)
        elif trouble.reason in ("Completed", "Error"):
            self._end(pod, trouble)
        elif trouble.reason in ("CrashLoopBackOff", "OOMKilled"):
            self._crash(pod, trouble, 1)
        else:
            self._wait(pod, trouble)

    def _address(self) -> str:
        self._addresses += 1
        return f"10.244.{self._addresses // 250}.{self._addresses % 250 + 1}"

    def _states(self, pod: Json, special: dict[str, Json]) -> list[Json]:
        result: list[Json] = []
        for item in pod["spec"]["containers"]:
            state: Json = {
                "name": item["name"],
                "image": item["image"],
                "imageID": f"sha256:{hashlib.sha256(item['image'].encode()).hexdigest()}",
                "containerID": _container_id(pod["metadata"]["uid"], item["name"]),
                "ready": True,
                "started": True,
                "restartCount": 0,
                "lastState": {},
                "state": {"running": {"startedAt": now()}},
            }
            state.update(special.get(item["name"], {}))
            result.append(state)
        return result

    def _inits(self, pod: Json) -> list[Json]:
        return [
            {
                "name": item["name"],
                "image": item["image"],
                "imageID": "",
                "ready": True,
                "started": False,
                "restartCount": 0,
                "lastState": {},
                "state": {"terminated": {"exitCode": 0, "reason": "Completed", "startedAt": now(), "finishedAt": now()}},
            }
            for item in pod["spec"].get("initContainers") or []
        ]

    def _report(self, pod: Json, phase: str, states: list[Json]) -> None:
        unready = [state["name"] for state in states if not state["ready"]]
        ready = [
            _condition(kind, "False", "ContainersNotReady", self._unready(pod, *unready)) if unready else _condition(kind, "True")
            for kind in ("Ready", "ContainersReady")
        ]
        if phase == "Succeeded":
            ready = [_condition(kind, "False", "PodCompleted") for kind in ("Ready", "ContainersReady")]
        inits = self._inits(pod)
        self._status(
            pod,
            phase=phase,
            containerStatuses=states,
            podIP=self._address(),
            observedGeneration=1,
            qosClass="Burstable",
            conditions=[
                _condition("PodReadyToStartContainers", "True"),
                _condition("Initialized", "True"),
                *ready,
                _condition("PodScheduled", "True"),
            ],
            **({"initContainerStatuses": inits} if inits else {}),
        )

    def _run(self, pod: Json, *, ready: bool) -> None:
        special = {} if ready else {item["name"]: {"ready": False} for item in pod["spec"]["containers"][:1]}
        self._report(pod, "Running", self._states(pod, special))
        if not ready:
            self.api.event(pod, "Unhealthy", "Readiness probe failed: HTTP probe failed with statuscode: 503", component="kubelet")

    def _end(self, pod: Json, trouble: Trouble) -> None:
        code = 0 if trouble.reason == "Completed" else trouble.exit_code
        ended = {"exitCode": code, "reason": trouble.reason, "startedAt": now(), "finishedAt": now()}
        states = self._states(pod, {item["name"]: {"ready": False, "started": False, "state": {"terminated": ended}} for item in pod["spec"]["containers"]})
        self._keep_log(pod, pod["spec"]["containers"][0]["name"], trouble.log)
        self._report(pod, "Succeeded" if code == 0 else "Failed", states)

    def _keep_log(self, pod: Json, container: str, text: str) -> None:
        if text:
            meta = pod["metadata"]
            self.api.logs[(meta["namespace"], meta["name"], container)] = text
            self.api.logs[(meta["namespace"], meta["name"], container, "previous")] = text

    def _crash(self, pod: Json, trouble: Trouble, restarts: int) -> None:
        meta = pod["metadata"]
        container = trouble.container or pod["spec"]["containers"][0]["name"]
        oom = trouble.reason == "OOMKilled"
        ended = {
            "exitCode": 137 if oom else trouble.exit_code,
            "reason": "OOMKilled" if oom else "Error",
            "startedAt": now(),
            "finishedAt": now(),
            "containerID": _container_id(meta["uid"], container, str(restarts)),
        }
        seconds = min(10 * 2 ** (restarts - 1), 300)
        text = f"back-off {seconds}s restarting failed container={container} pod={meta['name']}_{meta['namespace']}({meta['uid']})"
        states = self._states(
            pod,
            {
                container: {
                    "ready": False,
                    "started": False,
                    "restartCount": restarts,
                    "lastState": {"terminated": ended},
                    "state": {"waiting": {"reason": "CrashLoopBackOff", "message": text}},
                }
            },
        )
        self._keep_log(pod, container, trouble.log)
        self._report(pod, "Running", states)
        self.api.event(
            pod,
            "BackOff",
            f"Back-off restarting failed container {container} in pod {meta['name']}_{meta['namespace']}({meta['uid']})",
            component="kubelet",
            count=restarts,
        )
        if restarts < trouble.restarts:
            self._later(self.delay, pod, lambda current: self._crash(current, trouble, restarts + 1))

    def _wait(self, pod: Json, trouble: Trouble) -> None:
        container = trouble.container or pod["spec"]["containers"][0]["name"]
        image = next((item["image"] for item in all_containers(pod["spec"]) if item["name"] == container), "?")
        pull = f'failed to pull and unpack image "{image}": failed to resolve reference "{image}": {image}: not found'
        message = trouble.message or {
            "ImagePullBackOff": f'Back-off pulling image "{image}": ErrImagePull: {pull}',
            "ErrImagePull": pull,
            "InvalidImageName": f'Failed to apply default image tag "{image}": couldn\'t parse image name "{image}": invalid reference format',
        }.get(trouble.reason, trouble.reason)
        special: Json = {"ready": False, "started": False, "imageID": "", "state": {"waiting": {"reason": trouble.reason, "message": message}}}
        states = self._states(pod, {container: special})
        self._report(pod, "Pending" if len(states) == 1 else "Running", states)
        if trouble.reason in ("ImagePullBackOff", "ErrImagePull"):
            self.api.event(pod, "Failed", f'Failed to pull image "{image}": {trouble.message or pull}', component="kubelet")
            self.api.event(pod, "Failed", "Error: ErrImagePull", component="kubelet")
            if trouble.reason == "ImagePullBackOff":
                self.api.event(pod, "BackOff", f'Back-off pulling image "{image}"', "Normal", "kubelet")
                self.api.event(pod, "Failed", "Error: ImagePullBackOff", component="kubelet")
        else:
            self.api.event(pod, "Failed", f"Error: {message}", component="kubelet")
        if trouble.reason == "CreateContainerConfigError" and self.trouble(pod) is None:  # heals when the reference appears, as kubelets do
            self._later(self.delay * 2, pod, self._retry_reference)

    def _retry_reference(self, pod: Json) -> None:
        if self._missing_reference(pod) is None:
            self._start(pod)
        else:
            self._later(max(self.delay * 2, 0.1), pod, self._retry_reference)


def is_ready(pod: Json) -> bool:
    return any(item["type"] == "Ready" and item["status"] == "True" for item in (pod.get("status") or {}).get("conditions") or [])


def pod_from(template: Json, name: str, namespace: str, owner: Json, labels: Json | None = None) -> Json:
    """A pod manifest of a template, owned by a controller."""
    template = copy.deepcopy(template)
    meta: Json = {"name": name, "namespace": namespace, "labels": {**((template.get("metadata") or {}).get("labels") or {}), **(labels or {})}}
    if (template.get("metadata") or {}).get("annotations"):
        meta["annotations"] = template["metadata"]["annotations"]
    meta["ownerReferences"] = [owner_reference(owner)]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": template["spec"]}


def owner_reference(owner: Json) -> Json:
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }


def requested(pod: Json, resource: str) -> str:
    total = sum(
        (quantities.parse((item.get("resources") or {}).get("requests", {}).get(resource, "0")) for item in pod["spec"]["containers"]), quantities.parse("0")
    )
    return quantities.canonical(total)
