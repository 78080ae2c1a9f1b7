# Copyright: ragops.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The connection contract (docs/architecture.md), and the way into the server that stands behind one."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterator
from typing import Any

from ansible_collections.ragops.stack.plugins.module_utils._api import Api
from ansible_collections.ragops.stack.plugins.module_utils._errors import RagopsError, failure, http_status
from ansible_collections.ragops.stack.plugins.module_utils._exec import ExecResult, exec_in_pod
from ansible_collections.ragops.stack.plugins.module_utils._module import MANAGED_BY
from ansible_collections.ragops.stack.plugins.module_utils._progress import Progress
from ansible_collections.ragops.stack.plugins.module_utils._readiness import pod as pod_ready
from ansible_collections.ragops.stack.plugins.module_utils._wait import Target, wait_for

SECRET_OPTIONS: dict[str, Any] = {
    "name": {"type": "str", "required": True},
    "username_key": {"type": "str", "default": "username", "no_log": False},
    "password_key": {"type": "str", "default": "password", "no_log": False},
}
CONNECTION_OPTIONS: dict[str, Any] = {
    "engine": {"type": "str"},
    "host": {"type": "str"},
    "port": {"type": "int"},
    "database": {"type": "str"},
    "tls": {"type": "bool"},
    "namespace": {"type": "str"},
    "secret": {"type": "dict", "options": SECRET_OPTIONS, "no_log": False},
    "superuser_secret": {"type": "dict", "options": SECRET_OPTIONS, "no_log": False},
    "provider": {"type": "str", "choices": ["kubeblocks", "standalone", "external"], "default": "kubeblocks"},
    "cluster": {"type": "str"},
    "component": {"type": "str"},
    "container": {"type": "str"},
    "client_image": {"type": "str"},
}

# command, standard input, time limit -> result
Runner = Callable[[list[str], str, float], ExecResult]


def pod_runner(api: Api, namespace: str, pod: str, container: str | None) -> Runner:
    def run(command: list[str], stdin: str, timeout: float) -> ExecResult:
        return exec_in_pod(api, namespace, pod, container, command, stdin, timeout)

    return run


def writable_pod(api: Api, namespace: str, cluster: str, component: str) -> str:
    """The pod of a KubeBlocks component that takes writes: by role, not by name; an engine without roles has one pod."""
    selector = f"app.kubernetes.io/instance={cluster},apps.kubeblocks.io/component-name={component}"
    pods = api.list("Pod", namespace, label_selector=selector)
    roles = {p["metadata"]["name"]: (p["metadata"].get("labels") or {}).get("kubeblocks.io/role") for p in pods}
    primary = [name for name, role in roles.items() if role in ("primary", "leader")]
    if len(primary) == 1:
        return primary[0]
    if len(roles) == 1 and not any(roles.values()):
        return next(iter(roles))
    if not roles:
        reason, remedy = f"component {component} has no pod", "Is the Cluster Running? kubectl get cluster,pods"
    else:
        reason, remedy = f"no single primary among {roles}", "Wait until the Cluster is Running, or switch over"
    raise RagopsError(failure("find the writable pod of", "Cluster", cluster, namespace, reason, remedy))


@contextlib.contextmanager
def way_in(api: Api, connection: dict[str, Any], progress: Progress, environment: list[dict[str, Any]] | None = None) -> Iterator[Runner]:
    """A runner of client commands beside the server: in its own pod, or in a client pod that lives as long as this block."""
    namespace, provider = connection["namespace"], connection.get("provider") or "kubeblocks"
    cluster, container = connection.get("cluster") or "", connection.get("container")
    if provider == "kubeblocks":
        component = connection.get("component") or connection.get("engine") or ""
        yield pod_runner(api, namespace, writable_pod(api, namespace, cluster, component), container)
    elif provider == "standalone":
        yield pod_runner(api, namespace, f"{cluster}-0", container)
    else:
        with _client_pod(api, connection, environment or [], progress) as pod:
            yield pod_runner(api, namespace, pod, "client")


@contextlib.contextmanager
def _client_pod(api: Api, connection: dict[str, Any], environment: list[dict[str, Any]], progress: Progress) -> Iterator[str]:
    """A short-lived pod with the engine's client, for a server outside the cluster; credentials only by reference."""
    namespace, image = connection["namespace"], connection.get("client_image")
    if not image:
        raise RagopsError(
            f"Failed to reach the external {connection.get('engine')} server {connection.get('host')}: no client_image is given. "
            "Name an image with the engine's client in connection.client_image"
        )
    name = "ragops-client-" + hashlib.sha256(repr(sorted(map(str, connection.items()))).encode()).hexdigest()[:8]
    definition = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"generateName": f"{name}-", "namespace": namespace, "labels": {**MANAGED_BY, "app.kubernetes.io/component": "client"}},
        "spec": {
            "restartPolicy": "Never",
            "activeDeadlineSeconds": 900,
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "terminationGracePeriodSeconds": 0,
            "securityContext": {"runAsNonRoot": True, "runAsUser": 65534, "runAsGroup": 65534, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [
                {
                    "name": "client",
                    "image": image,
                    "command": ["sleep", "900"],
                    "env": environment,
                    "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
                    "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"memory": "128Mi"}},
                }
            ],
        },
    }
    pod = str(api.create(definition)["metadata"]["name"])
    try:
        wait_for(api, [Target("Pod", pod, namespace, pod_ready)], 180, progress)
        yield pod
    finally:
        api.delete("Pod", pod, namespace)


def secret_values(api: Api, namespace: str, name: str, keys: list[str]) -> dict[str, str]:
    """The named keys of a Secret; a missing Secret, key or an empty value is refused by name."""
    import base64

    try:
        secret = api.get("Secret", name, namespace)
    except Exception as exc:
        if http_status(exc) == 403:
            raise RagopsError(failure("read", "Secret", name, namespace, "this account may not get it", "Grant get on secrets")) from exc
        raise
    if secret is None:
        raise RagopsError(failure("read", "Secret", name, namespace, "it does not exist", "Create it, or correct the name"))
    data = secret.get("data") or {}
    missing = [k for k in keys if not data.get(k)]
    if missing:
        present = ", ".join(sorted(data)) or "none"
        raise RagopsError(
            failure("read", "Secret", name, namespace, f"key {missing[0]} is missing or empty (it has: {present})", "Add the key, or name another one")
        )
    return {k: base64.b64decode(data[k]).decode() for k in keys}
