# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pods as the kubelet and the API server treat them: containers, logs, states."""

from __future__ import annotations

from typing import Any

from .errors import ApiError, bad_request

Json = dict[str, Any]
#: (namespace, pod, container) or (namespace, pod, container, "previous") -> text
Logs = dict[tuple[str, ...], str]

_WAITING = {
    "ImagePullBackOff": "trying and failing to pull image",
    "ErrImagePull": "image can't be pulled",
    "PodInitializing": "PodInitializing",
    "ContainerCreating": "ContainerCreating",
    "CreateContainerConfigError": "CreateContainerConfigError",
    "InvalidImageName": "InvalidImageName",
}


def container_names(pod: Json) -> list[str]:
    return [item["name"] for item in pod["spec"].get("containers") or []]


def pick_container(pod: Json, asked: str) -> str:
    known = container_names(pod)
    init = [item["name"] for item in pod["spec"].get("initContainers") or []]
    name = pod["metadata"]["name"]
    if not asked:
        default = (pod["metadata"].get("annotations") or {}).get("kubectl.kubernetes.io/default-container")
        if len(known) == 1 or default in known:
            return str(default if default in known else known[0])
        listed = f"[{' '.join(known)}]" + (f" or one of the init containers: [{' '.join(init)}]" if init else "")
        raise bad_request(f"a container name must be specified for pod {name}, choose one of: {listed}")
    if asked not in known + init:
        raise bad_request(f"container {asked} is not valid for pod {name}")
    return asked


def container_status(pod: Json, container: str) -> Json:
    status = pod.get("status") or {}
    for item in [*(status.get("containerStatuses") or []), *(status.get("initContainerStatuses") or [])]:
        if item.get("name") == container:
            return dict(item)
    return {}


def check_running(pod: Json, what: str, container: str = "") -> None:
    name, phase = pod["metadata"]["name"], (pod.get("status") or {}).get("phase")
    if phase in ("Succeeded", "Failed") and what == "exec":
        raise bad_request(f"cannot exec into a container in a completed pod; current phase is {phase}")
    if not pod["spec"].get("nodeName"):
        raise bad_request(f"pod {name} does not have a host assigned")
    if what == "port-forward":
        if phase != "Running":
            raise bad_request(f"unable to forward port because pod is not running. Current status={phase}")
        return
    state = container_status(pod, container).get("state")
    if state is not None and "running" not in state:
        raise ApiError(500, f'Internal error occurred: unable to upgrade connection: container not found ("{container}")')


def read_log(pod: Json, query: dict[str, list[str]], logs: Logs) -> bytes:
    container = pick_container(pod, (query.get("container") or [""])[-1])
    namespace, name = pod["metadata"].get("namespace", ""), pod["metadata"]["name"]
    previous = (query.get("previous") or ["false"])[-1].lower() in ("true", "1")
    status = container_status(pod, container)
    key = (namespace, name, container)
    if previous:
        text = logs.get((*key, "previous"))
        if text is None and "terminated" not in (status.get("lastState") or {}):
            raise bad_request(f'previous terminated container "{container}" in pod "{name}" not found')
        text = text or ""
    else:
        waiting = (status.get("state") or {}).get("waiting")
        text = logs.get(key)
        if text is None and waiting and waiting.get("reason") != "CrashLoopBackOff":
            why = _WAITING.get(waiting["reason"], waiting["reason"])
            raise bad_request(f'container "{container}" in pod "{name}" is waiting to start: {why}')
        text = text if text is not None else logs.get((*key, "previous"), "")
    tail = (query.get("tailLines") or [""])[-1]
    if tail.isdigit():
        lines = text.splitlines(keepends=True)
        text = "".join(lines[len(lines) - min(int(tail), len(lines)) :])
    return text.encode()
