# Copyright: ragops.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A local TCP port that leads to a Service or Pod through the API server: no Ingress, no kubectl."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from typing import Any

from ansible_collections.ragops.stack.plugins.module_utils._api import Api
from ansible_collections.ragops.stack.plugins.module_utils._errors import RagopsError, failure
from ansible_collections.ragops.stack.plugins.module_utils._readiness import READY
from ansible_collections.ragops.stack.plugins.module_utils._readiness import pod as pod_ready

_CHUNK = 64 * 1024


def backend_of_service(api: Api, namespace: str, service: str, port: int | str) -> tuple[str, int]:
    """(a ready pod behind the Service, the container port)."""
    found = api.get("Service", service, namespace)
    if found is None:
        raise RagopsError(failure("forward a port to", "Service", service, namespace, "it does not exist", "Is the application installed in this namespace?"))
    spec = found.get("spec") or {}
    ports = spec.get("ports") or []
    chosen = next((p for p in ports if port in (p.get("port"), p.get("name"))), None)
    if chosen is None:
        offered = ", ".join(str(p.get("port")) for p in ports) or "none"
        raise RagopsError(failure("forward a port to", "Service", service, namespace, f"it has no port {port} (it has: {offered})", "Use one of those"))
    selector = ",".join(f"{k}={v}" for k, v in sorted((spec.get("selector") or {}).items()))
    pods = api.list("Pod", namespace, label_selector=selector) if selector else []
    for candidate in pods:
        if pod_ready(candidate).state == READY and not candidate["metadata"].get("deletionTimestamp"):
            return candidate["metadata"]["name"], container_port(candidate, chosen.get("targetPort") or chosen["port"])
    raise RagopsError(failure("forward a port to", "Service", service, namespace, "no ready pod stands behind it", "See: kubectl get pods"))


def container_port(pod: dict[str, Any], target: int | str) -> int:
    """A named target port looked up in the pod."""
    if not isinstance(target, str) or target.isdigit():
        return int(target)
    for container in (pod.get("spec") or {}).get("containers") or []:
        for port in container.get("ports") or []:
            if port.get("name") == target:
                return int(port["containerPort"])
    raise RagopsError(failure("forward a port to", "Pod", pod["metadata"]["name"], pod["metadata"]["namespace"], f"it has no port named {target}"))


class Forwarder:
    """Listens on a local port; each connection gets a tunnel of its own, to a pod that is ready at that moment."""

    def __init__(
        self, api: Api, namespace: str, *, service: str | None = None, pod: str | None = None, port: int, address: str = "127.0.0.1", local_port: int = 0
    ):
        self.api, self.namespace, self.service, self.pod, self.port = api, namespace, service, pod, port
        self.connections = 0
        self.trouble: Exception | None = None
        self._closed = False
        self._listener = socket.create_server((address, local_port))
        self.address, self.local_port = self._listener.getsockname()[:2]
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://{self.address}:{self.local_port}"

    def close(self) -> None:
        self._closed = True
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def backend(self) -> tuple[str, int]:
        if self.pod:
            return self.pod, self.port
        return backend_of_service(self.api, self.namespace, self.service or "", self.port)

    def _accept(self) -> None:
        while not self._closed:
            try:
                client, _peer = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        try:
            tunnel, remote = self._tunnel()
        except Exception as exc:
            self.trouble = exc
            client.close()
            return
        self.connections += 1
        upward = threading.Thread(target=_pump, args=(client, remote), daemon=True)
        upward.start()
        _pump(remote, client)
        client.close()
        tunnel.close()
        upward.join(timeout=1)

    def _tunnel(self) -> tuple[Any, Any]:
        # kubernetes.stream.portforward wants the generated CoreV1Api, half a second of imports; this is what it calls.
        from kubernetes.stream import ws_client

        pod, port = self.backend()
        config = self.api.dynamic.configuration
        headers = {"sec-websocket-protocol": "v4.channel.k8s.io"}
        token = config.get_api_key_with_prefix("authorization")
        if token:
            headers["authorization"] = token
        url = f"{config.host}/api/v1/namespaces/{self.namespace}/pods/{pod}/portforward"
        tunnel = ws_client.portforward_call(config, "GET", url, query_params=[("ports", str(port))], headers=headers)
        return tunnel, tunnel.socket(port)


def _pump(source: Any, sink: Any) -> None:
    with contextlib.suppress(OSError, ValueError):
        while data := source.recv(_CHUNK):
            sink.sendall(data)
    # Half of the conversation is over: the other side has to learn it to end its own.
    with contextlib.suppress(OSError, ValueError):
        sink.shutdown(socket.SHUT_WR)


@contextlib.contextmanager
def forwarded(api: Api, namespace: str, *, service: str, port: int) -> Iterator[Forwarder]:
    forwarder = Forwarder(api, namespace, service=service, port=port)
    try:
        forwarder.backend()  # a missing Service is an error now, not a reset connection later
        yield forwarder
    finally:
        forwarder.close()
