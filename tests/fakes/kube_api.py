# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An in-memory Kubernetes API for tests: real HTTP on a free port, no cluster behind it.

with FakeKubeApi() as api:
    api.namespace("demo")
    kubeconfig = api.kubeconfig(tmp_path / "kubeconfig")
    ...
    assert api.get("ConfigMap", "settings", "demo")["data"] == {...}
"""

from __future__ import annotations

import base64
import contextlib
import copy
import hashlib
import os
import re
import socket
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

import yaml

from . import errors, kubeconfig, websocket
from .errors import ApiError
from .faults import Fault, Prohibition
from .http_server import ApiRequest, Server
from .machinery import Hook, Machinery, Write
from .pods import Logs
from .resources import ResourceType
from .scheduler import Scheduler

Json = dict[str, Any]
Forward = Callable[[str, str, int], "tuple[str, int] | None"]


def _no_command(namespace: str, pod: str, container: str, argv: list[str], stdin: bytes) -> websocket.Reply:
    return websocket.ExecReply(error=f'exec: "{argv[0]}": executable file not found in $PATH: unknown')


class FakeKubeApi:
    """See the module's head; everything public here is meant for tests."""

    def __init__(self, *, kubeblocks: bool = True, default_storage_class: bool = True) -> None:
        self.machinery = Machinery(kubeblocks=kubeblocks)
        if not default_storage_class:
            self.remove("StorageClass", "standard")
        #: what came in, in order
        self.requests: list[ApiRequest] = []
        #: exec: who answers, which protocols the server speaks, what was asked
        self.exec_handler: websocket.ExecHandler = _no_command
        self.exec_protocols: tuple[str, ...] = (websocket.V5, websocket.V4)
        self.stdin_ended: Callable[[bytes], bool] = websocket.stdin_ended
        self.execs: list[websocket.ExecCall] = []
        #: port-forward: (namespace, pod, port) -> local address, or None to refuse
        self.forward: Forward = lambda namespace, pod, port: None
        #: (namespace, pod, container[, "previous"]) -> log text
        self.logs: Logs = {}
        self.faults: list[Fault] = []
        self.prohibitions: list[Prohibition] = []
        self.user = "kubernetes-admin"
        self.token = "fake-token"
        self.require_token = False
        #: laid over what /version says
        self.version: dict[str, str] = {}
        self.watch_cuts = 0
        self._warnings: list[tuple[str, str]] = []
        #: helpers that exist once for an API (the kubelet)
        self.parts: dict[str, object] = {}
        self._server: Server | None = None
        self._port = 0

    # life -----------------------------------------------------------------------------------

    def __enter__(self) -> FakeKubeApi:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()
        self.scheduler.stop()
        if kind is None and self.scheduler.errors:
            raise AssertionError(f"the fake API met {len(self.scheduler.errors)} errors of its own or of hooks") from self.scheduler.errors[0]

    def start(self) -> None:
        """Listen; after stop() on the same port again, as an API server that comes back."""
        self._server = Server(self, self._port)
        self._port = self._server.server_address[1]
        self._drop_discovery_caches()
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, name="fake-kube-api", daemon=True).start()
        with contextlib.suppress(RuntimeError):  # started before
            self.scheduler.start()

    def stop(self) -> None:
        """No longer there: connections end, new ones are refused. Objects stay."""
        if self._server is None:
            return
        server, self._server = self._server, None
        server.closing.set()
        server.shutdown()
        server.cut_connections()
        server.server_close()

    def _drop_discovery_caches(self) -> None:
        """The clients cache discovery by URL; a port that an earlier fake had must not bring its types back."""
        names = [f"osrcp-{hashlib.md5(self.url.encode(), usedforsecurity=False).hexdigest()}.json"]
        users = [str(os.getuid())]
        with contextlib.suppress(OSError):
            users.append(os.getlogin())
        names += [f"k8srcp-{hashlib.sha256(f'{self.url}-{user}'.encode()).hexdigest()}.json" for user in users]
        for name in names:
            (Path(tempfile.gettempdir()) / name).unlink(missing_ok=True)

    @property
    def scheduler(self) -> Scheduler:
        return self.machinery.scheduler

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def kubeconfig(self, path: Path | str, *, context: str = "fake", namespace: str = "default") -> str:
        """Write a kubeconfig there and give its path back."""
        return kubeconfig.write(path, self.url, context=context, namespace=namespace, token=self.token)

    def settle(self, timeout: float = 5.0) -> bool:
        """Wait until the controllers have nothing left to do."""
        return self.scheduler.settle(timeout)

    def until(self, holds: Callable[[], Any], timeout: float = 5.0) -> Any:
        """Wait for something to become true, and give it back."""
        end = time.monotonic() + timeout
        while not (value := holds()):
            if time.monotonic() > end:
                raise AssertionError(f"not so within {timeout:g} s")
            time.sleep(0.01)
        return value

    # objects --------------------------------------------------------------------------------

    def type(self, kind: str, api_version: str | None = None) -> ResourceType:
        return self.machinery.type(kind, api_version)

    def namespace(self, name: str) -> Json:
        return self.put({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})

    def put(self, manifest: Json | str, namespace: str = "default", manager: str = "fixture") -> Json:
        """Create the object or put it in the place of the one of that name; status included. YAML text may hold several; the last is returned."""
        if isinstance(manifest, str):
            kept: Json = {}
            for document in yaml.safe_load_all(manifest):
                if document:
                    kept = self.put(document, namespace, manager)
            return kept
        rtype = self.type(manifest["kind"], manifest.get("apiVersion"))
        space = manifest["metadata"].get("namespace") or namespace if rtype.namespaced else ""
        write = Write(manager, trusted=True)
        name = manifest["metadata"].get("name")
        old = self.machinery.store.get(rtype.key, space, name) if name else None
        if old is not None:
            if "status" in old and "status" not in manifest:
                manifest = {**manifest, "status": old["status"]}
            return copy.deepcopy(self.machinery.update(rtype, space, manifest["metadata"]["name"], manifest, write))
        return copy.deepcopy(self.machinery.create(rtype, space, manifest, write))

    def edit(self, kind: str, name: str, namespace: str = "default", *, manager: str = "fixture", api_version: str | None = None, **sections: Any) -> Json:
        """Merge sections (spec=..., status=..., metadata=...) into an object, as a controller would."""
        rtype = self.type(kind, api_version)
        space = namespace if rtype.namespaced else ""
        obj, _created = self.machinery.patch(
            rtype,
            space,
            name,
            "application/merge-patch+json",
            copy.deepcopy(sections),
            Write(manager, trusted=True, subresource="status" if set(sections) == {"status"} else ""),
        )
        return copy.deepcopy(obj)

    def change(
        self,
        kind: str,
        name: str,
        namespace: str,
        alter: Callable[[Json], object],
        *,
        manager: str = "fixture",
        api_version: str | None = None,
        subresource: str = "",
    ) -> Json:
        """Change an object by a function, under the lock."""
        rtype = self.type(kind, api_version)
        space = namespace if rtype.namespaced else ""
        with self.machinery.store.lock:
            obj = copy.deepcopy(self.machinery.stored(rtype, space, name))
            alter(obj)
            return copy.deepcopy(self.machinery.update(rtype, space, name, obj, Write(manager, trusted=True, subresource=subresource)))

    def find(self, kind: str, name: str, namespace: str = "default", api_version: str | None = None) -> Json | None:
        rtype = self.type(kind, api_version)
        return copy.deepcopy(self.machinery.store.get(rtype.key, namespace if rtype.namespaced else "", name))

    def get(self, kind: str, name: str, namespace: str = "default", api_version: str | None = None) -> Json:
        found = self.find(kind, name, namespace, api_version)
        if found is None:
            raise errors.not_found(self.type(kind, api_version), name)
        return found

    def objects(self, kind: str, namespace: str | None = None, api_version: str | None = None) -> list[Json]:
        return copy.deepcopy(self.machinery.store.items(self.type(kind, api_version).key, namespace))

    def names(self, kind: str, namespace: str | None = None) -> list[str]:
        return [obj["metadata"]["name"] for obj in self.objects(kind, namespace)]

    def remove(self, kind: str, name: str, namespace: str = "default", api_version: str | None = None, **options: Any) -> None:
        rtype = self.type(kind, api_version)
        self.machinery.delete(rtype, namespace if rtype.namespaced else "", name, options, Write("fixture", trusted=True))

    def release(self, kind: str, name: str, namespace: str, finalizer: str, api_version: str | None = None) -> None:
        """Take a finalizer off; the last one of a deleted object ends it."""
        self.machinery.drop_finalizer(self.type(kind, api_version), (namespace, name), finalizer)

    def event(self, obj: Json, reason: str, message: str, kind: str = "Warning", component: str = "fake", count: int = 1) -> Json:
        """A v1 Event about an object."""
        from .machinery import now

        meta = obj["metadata"]
        stamp = now()
        return self.put(
            {
                "apiVersion": "v1",
                "kind": "Event",
                "metadata": {"name": f"{meta['name']}.{os.urandom(8).hex()}", "namespace": meta.get("namespace", "default")},
                "involvedObject": {
                    "apiVersion": obj.get("apiVersion", "v1"),
                    "kind": obj["kind"],
                    "name": meta["name"],
                    "namespace": meta.get("namespace", ""),
                    "uid": meta.get("uid", ""),
                    "resourceVersion": meta.get("resourceVersion", ""),
                },
                "reason": reason,
                "message": message,
                "type": kind,
                "count": count,
                "firstTimestamp": stamp,
                "lastTimestamp": stamp,
                "eventTime": None,
                "source": {"component": component},
                "reportingComponent": component,
                "reportingInstance": "",
            },
            manager=component,
        )

    def on(self, hook: Hook, event: str | None = None, kind: str | None = None) -> None:
        """Script: call hook(change) after a change (event: ADDED, MODIFIED, DELETED) of a kind."""
        self.machinery.on(hook, event, kind)

    def later(self, seconds: float, action: Callable[[], object]) -> None:
        self.scheduler.later(seconds, action)

    # what goes wrong ------------------------------------------------------------------------

    def fault(
        self,
        path: str = "",
        method: str = "",
        *,
        status: int = 500,
        times: int | None = 1,
        drop: bool = False,
        delay: float = 0.0,
        retry_after: float | None = None,
        message: str = "",
    ) -> Fault:
        """The next `times` requests that match (regex on the path) fail; drop: the connection ends; status=0 with delay: only slow."""
        fault = Fault(path, method, status, times, drop, delay, retry_after, message)
        self.faults.append(fault)
        return fault

    def forbid(self, verb: str = "", resource: str = "", namespace: str = "", name: str = "") -> Prohibition:
        """Take a right away: resource is the plural, with /subresource if any."""
        rule = Prohibition(verb, resource, namespace, name)
        self.prohibitions.append(rule)
        return rule

    def refuse(
        self, kind: str, message: str, *, code: int = 403, operation: str = "", field: str = "", when: Callable[[Json], bool] = lambda obj: True
    ) -> None:
        """An admission that says no, dry runs included: code 403 (quota, policy), 422 (with field), 500 (a dead webhook) ..."""
        wanted = self.type(kind).key

        def admission(op: str, rtype: ResourceType, obj: Json, _old: Json | None) -> None:
            if rtype.key != wanted or (operation and op != operation) or (not operation and op == "DELETE") or not when(obj):
                return
            name = obj["metadata"].get("name", "")
            if code == 403:
                raise errors.forbidden(rtype, name, message)
            if code == 422:
                raise errors.invalid(rtype, name, [(field or "spec", message, "FieldValueInvalid")])
            raise ApiError(code, message)

        self.machinery.admissions.append(admission)

    def warn(self, kind: str, text: str) -> None:
        """A Warning header on every write of a kind."""
        self._warnings.append((kind, text))

    def warnings_for(self, kind: str) -> list[str]:
        return [text for wanted, text in self._warnings if wanted == kind]

    def expire_watches(self) -> None:
        """410 Gone to open watches and to everyone who asks for what was."""
        self.machinery.store.forget_history()

    def cut_watches(self) -> None:
        """End the connections of open watches in mid-stream."""
        with self.machinery.store.lock:
            self.watch_cuts += 1
            self.machinery.store.changed.notify_all()

    def connect_forward(self, namespace: str, pod: str, port: int) -> socket.socket:
        address = self.forward(namespace, pod, port)
        if address is None:
            raise ConnectionRefusedError("connect: connection refused")
        return socket.create_connection(address, timeout=10)

    # what was asked -------------------------------------------------------------------------

    def calls(self, method: str = "", path: str = "", verb: str = "") -> list[ApiRequest]:
        """Requests by method, path (regex) and verb (get, list, watch, create, ...)."""
        return [
            request
            for request in list(self.requests)
            if (not method or request.method == method) and (not verb or request.verb == verb) and re.search(path, request.path)
        ]

    def writes(self) -> list[ApiRequest]:
        """Requests that meant to change something (no dry runs)."""
        return [request for request in list(self.requests) if request.method != "GET" and not request.dry_run and "selfsubject" not in request.path]

    def leaks(self, secret: str, *, bodies: bool = True) -> list[str]:
        """Where a planted secret was seen, plain or in base64: URLs, headers, exec commands, and bodies other than of Secrets."""
        needles = [secret, base64.b64encode(secret.encode()).decode()]
        found: list[str] = []
        for request in list(self.requests):
            line = f"{request.method} {request.path}"
            if any(needle in text for needle in needles for text in (request.path, repr(request.query))):
                found.append(f"url: {line}")
            if any(needle in value for needle in needles for value in request.headers.values()):
                found.append(f"header: {line}")
            if bodies and "/secrets" not in request.path and any(needle.encode() in request.body for needle in needles):
                found.append(f"body: {line}")
        found.extend(f"argv: {call.argv}" for call in list(self.execs) if any(needle in part for needle in needles for part in call.argv))
        return found
