# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""HTTP in front of the machinery: paths, verbs, streams."""

from __future__ import annotations

import contextlib
import json
import re
import select
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote, urlsplit

import yaml

from . import errors, pods, views, websocket
from .errors import ApiError
from .machinery import APPLY_PATCH, JSON_PATCH, PODS, Write
from .resources import ResourceType
from .selectors import Predicate, field_selector, label_selector

if TYPE_CHECKING:
    from .kube_api import FakeKubeApi

Json = dict[str, Any]

VERSION = {
    "major": "1",
    "minor": "34",
    "emulationMajor": "1",
    "emulationMinor": "34",
    "minCompatibilityMajor": "1",
    "minCompatibilityMinor": "33",
    "gitVersion": "v1.34.4",
    "gitCommit": "0" * 40,
    "gitTreeState": "clean",
    "buildDate": "2026-02-10T00:00:00Z",
    "goVersion": "go1.24.12",
    "compiler": "gc",
    "platform": "linux/amd64",
}
# Types whose deletion answers with the object instead of a Status.
_RETURNS_DELETED = {
    ("", name)
    for name in (
        "pods",
        "services",
        "serviceaccounts",
        "persistentvolumes",
        "persistentvolumeclaims",
        "resourcequotas",
        "podtemplates",
    )
}


@dataclass
class ApiRequest:
    """One entry of the request log."""

    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: bytes
    verb: str = ""
    status: int = 0
    started: float = field(default_factory=time.monotonic)

    @property
    def user_agent(self) -> str:
        return self.headers.get("user-agent", "")

    @property
    def dry_run(self) -> bool:
        asked = "All" in self.query.get("dryRun", []) and not (self.method == "DELETE" and self.body)
        return asked or b'"dryRun"' in self.body

    @property
    def content_type(self) -> str:
        return self.headers.get("content-type", "").partition(";")[0].strip()

    def json(self) -> Any:
        return yaml.safe_load(self.body) if self.body else None

    def __str__(self) -> str:
        return f"{self.method} {self.path} {self.query} -> {self.status}"


@dataclass(frozen=True)
class Target:
    rtype: ResourceType
    namespace: str | None
    name: str
    subresource: str


def _true(values: list[str]) -> bool:
    return bool(values) and values[-1].lower() in ("true", "1", "t")


class Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True
    request_queue_size = 64

    def __init__(self, api: FakeKubeApi, port: int = 0) -> None:
        self.api = api
        self.closing = threading.Event()
        self._connections: set[socket.socket] = set()
        self._lock = threading.Lock()
        super().__init__(("127.0.0.1", port), Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._connections.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that go away are part of the play."""

    def cut_connections(self) -> None:
        with self._lock:
            connections = list(self._connections)
        for connection in connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "FakeKubeApi"
    disable_nagle_algorithm = True
    wbufsize = -1
    server: Server

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        pass

    @property
    def api(self) -> FakeKubeApi:
        return self.server.api

    # one request ----------------------------------------------------------------------------

    def _serve(self) -> None:
        parts = urlsplit(self.path)
        length = int(self.headers.get("content-length") or 0)
        request = ApiRequest(
            self.command,
            unquote(parts.path),
            parse_qs(parts.query, keep_blank_values=True),
            {key.lower(): value for key, value in self.headers.items()},
            self.rfile.read(length) if length else b"",
        )
        self.api.requests.append(request)
        try:
            if not self._fault(request):
                return
            if self.api.require_token and request.headers.get("authorization") != f"Bearer {self.api.token}":
                raise ApiError(401, "Unauthorized")
            self._route(request)
        except ApiError as error:
            self._send(request, error.code, error.status(), {"Retry-After": f"{error.retry_after:g}"} if error.retry_after is not None else {})
        except (BrokenPipeError, ConnectionResetError, websocket.GoneError):
            self.close_connection = True
        except Exception as error:
            self.api.scheduler.errors.append(error)
            self._send(request, 500, ApiError(500, f"Internal error occurred: {error!r} (a fault of the fake API)").status())

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def do_PUT(self) -> None:
        self._serve()

    def do_PATCH(self) -> None:
        self._serve()

    def do_DELETE(self) -> None:
        self._serve()

    def _fault(self, request: ApiRequest) -> bool:
        """False: the connection was dropped."""
        for fault in list(self.api.faults):
            if not fault.takes(request.method, request.path):
                continue
            if fault.delay:
                self.server.closing.wait(fault.delay)
            if fault.drop:
                self.close_connection = True
                with contextlib.suppress(OSError):
                    self.connection.shutdown(socket.SHUT_RDWR)
                return False
            if fault.status:
                raise fault.error()
        return True

    def _send(self, request: ApiRequest, status: int, body: Any, headers: dict[str, str] | None = None, content_type: str = "application/json") -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        request.status = status
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(data)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)
        self.wfile.flush()

    def _route(self, request: ApiRequest) -> None:
        path = [part for part in request.path.split("/") if part]
        registry = self.api.machinery.registry
        document: Json | None = None
        if path == ["version"]:
            document = dict(VERSION, **self.api.version)
        elif path and path[0] in ("healthz", "livez", "readyz"):
            self._send(request, 200, b"ok", content_type="text/plain")
            return
        elif path == ["api"]:
            document = {
                "kind": "APIVersions",
                "versions": ["v1"],
                "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": urlsplit(self.api.url).netloc}],
            }
        elif path == ["apis"]:
            document = registry.groups()
        elif path[:1] == ["api"] and len(path) == 2:
            document = registry.resources("", path[1])
        elif path[:1] == ["apis"] and len(path) == 2:
            document = registry.group(path[1])
        elif path[:1] == ["apis"] and len(path) == 3:
            document = registry.resources(path[1], path[2])
        else:
            target = self._target(path)
            if target:
                self._resource(request, target)
                return
        if document is None:
            raise ApiError(404, "the server could not find the requested resource", details={})
        self._send(request, 200, document)

    def _target(self, path: list[str]) -> Target | None:
        if path[:2] == ["api", "v1"]:
            group, version, rest = "", "v1", path[2:]
        elif path[:1] == ["apis"] and len(path) > 3:
            group, version, rest = path[1], path[2], path[3:]
        else:
            return None
        namespace: str | None = None
        if rest[0] == "namespaces" and len(rest) > 2 and not (group == "" and rest[2] in ("status", "finalize") and len(rest) == 3):
            namespace, rest = rest[1], rest[2:]
        rtype = self.api.machinery.registry.by_path(group, version, rest[0])
        if rtype is None or len(rest) > 3 or (namespace is not None and not rtype.namespaced):
            return None
        return Target(rtype, namespace, rest[1] if len(rest) > 1 else "", rest[2] if len(rest) > 2 else "")

    # resources ------------------------------------------------------------------------------

    def _resource(self, request: ApiRequest, target: Target) -> None:
        request.verb = self._verb(request, target)
        rtype = target.rtype
        resource = f"{rtype.plural}/{target.subresource}" if target.subresource else rtype.plural
        if any(rule.covers(request.verb, resource, target.namespace, target.name) for rule in self.api.prohibitions):
            raise errors.cannot(self.api.user, request.verb, rtype, target.namespace, target.name, target.subresource)
        if rtype.virtual:
            self._review(request, target)
        elif target.subresource:
            self._subresource(request, target)
        elif target.name:
            self._object(request, target)
        else:
            self._collection(request, target)

    @staticmethod
    def _verb(request: ApiRequest, target: Target) -> str:
        if request.method == "GET":
            if _true(request.query.get("watch", [])):
                return "watch"
            if target.subresource in ("exec", "attach", "portforward"):
                return "create" if "upgrade" in request.headers.get("connection", "").lower() else "get"
            return "get" if target.name else "list"
        if request.method == "DELETE":
            return "delete" if target.name else "deletecollection"
        return {"POST": "create", "PUT": "update", "PATCH": "patch"}[request.method]

    def _body(self, request: ApiRequest) -> Any:
        if request.content_type == "application/vnd.kubernetes.protobuf":  # kubectl create and helm send it
            raise errors.unsupported_media(["application/json", "application/yaml"])
        try:
            return json.loads(request.body) if request.body else {}
        except ValueError:
            try:
                return yaml.safe_load(request.body)
            except yaml.YAMLError as error:
                raise errors.bad_request(f"error decoding body: {error}") from error

    def _write(self, request: ApiRequest, subresource: str = "", body: Any = None) -> Write:
        dry = list(request.query.get("dryRun", []))
        if request.method == "DELETE" and body:
            dry = []  # a real server takes the options of a deletion from its body alone, when it has one
        if isinstance(body, dict) and isinstance(body.get("dryRun"), list):
            dry += body["dryRun"]
        if any(value != "All" for value in dry):
            raise ApiError(422, f' "" is invalid: dryRun: Unsupported value: {dry}: supported values: "All"', "Invalid")
        manager = (request.query.get("fieldManager") or [""])[-1] or request.user_agent.partition("/")[0] or "unknown"
        return Write(manager[:128], dry_run=bool(dry), subresource=subresource)

    def _view(self, request: ApiRequest) -> str:
        return views.wanted_view(request.headers.get("accept", ""))

    def _answer(self, request: ApiRequest, target: Target, obj: Json, status: int = 200) -> None:
        warnings = self.api.warnings_for(target.rtype.kind) if request.method != "GET" else []
        headers = {"Warning": ", ".join(f"299 - {json.dumps(text)}" for text in warnings)} if warnings else {}
        self._send(request, status, views.one(target.rtype, obj, self._view(request)), headers)

    def _selection(self, request: ApiRequest, rtype: ResourceType) -> Predicate:
        labels = label_selector((request.query.get("labelSelector") or [""])[-1])
        fields = field_selector((request.query.get("fieldSelector") or [""])[-1], rtype)
        return lambda obj: labels(obj) and fields(obj)

    def _collection(self, request: ApiRequest, target: Target) -> None:
        rtype, machinery = target.rtype, self.api.machinery
        if request.verb == "watch":
            self._watch(request, target, self._selection(request, rtype))
        elif request.verb == "list":
            limit = int((request.query.get("limit") or ["0"])[-1] or 0)
            found, meta = machinery.listing(rtype, target.namespace, self._selection(request, rtype), limit, (request.query.get("continue") or [""])[-1])
            self._send(request, 200, views.many(rtype, found, meta, self._view(request)))
        elif request.verb == "create":
            if rtype.namespaced and target.namespace is None:
                raise ApiError(405, "the server does not allow this method on the requested resource", details={})
            body = self._typed_body(request, rtype)
            obj = machinery.create(rtype, target.namespace or "", body, self._write(request))
            self._answer(request, target, obj, 201)
        elif request.verb == "deletecollection":
            options = self._delete_options(request)
            write = self._write(request, body=options)
            found, meta = machinery.listing(rtype, target.namespace, self._selection(request, rtype))
            for obj in found:
                with contextlib.suppress(ApiError):
                    machinery.delete(rtype, obj["metadata"].get("namespace") or "", obj["metadata"]["name"], options, write)
            self._send(request, 200, views.many(rtype, found, meta, self._view(request)))
        else:
            raise ApiError(405, "the server does not allow this method on the requested resource", details={})

    def _typed_body(self, request: ApiRequest, rtype: ResourceType) -> Json:
        body = self._body(request)
        if not isinstance(body, dict):
            raise errors.bad_request("object expected")
        for key, wanted in (("kind", rtype.kind), ("apiVersion", rtype.api_version)):
            if body.get(key, wanted) != wanted:
                raise errors.bad_request(
                    f"the {'API version' if key == 'apiVersion' else key} in the data ({body[key]}) does not match the expected "
                    f"{'API version' if key == 'apiVersion' else key} ({wanted})"
                )
        return views.event_in(body) if rtype.group == "events.k8s.io" else body

    def _delete_options(self, request: ApiRequest) -> Json:
        options = self._body(request) or {}
        for name in ("propagationPolicy", "gracePeriodSeconds", "orphanDependents"):
            if name in request.query:
                value: Any = request.query[name][-1]
                options[name] = int(value) if name == "gracePeriodSeconds" else _true([value]) if name == "orphanDependents" else value
        return dict(options)

    def _object(self, request: ApiRequest, target: Target) -> None:
        rtype, machinery, namespace = target.rtype, self.api.machinery, target.namespace or ""
        if request.verb == "watch":
            self._watch(request, target, lambda obj: bool(obj["metadata"]["name"] == target.name))
        elif request.verb == "get":
            self._answer(request, target, machinery.stored(rtype, namespace, target.name))
        elif request.verb == "update":
            self._answer(request, target, machinery.update(rtype, namespace, target.name, self._typed_body(request, rtype), self._write(request)))
        elif request.verb == "patch":
            self._patch(request, target)
        elif request.verb == "delete":
            options = self._delete_options(request)
            obj, gone = machinery.delete(rtype, namespace, target.name, options, self._write(request, body=options))
            if gone and rtype.key not in _RETURNS_DELETED:
                details: Json = {"name": target.name, "kind": rtype.plural, "uid": obj["metadata"]["uid"]}
                if rtype.group:
                    details["group"] = rtype.group
                self._send(request, 200, {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details})
            else:
                self._answer(request, target, obj)
        else:
            raise ApiError(405, "the server does not allow this method on the requested resource", details={})

    def _patch(self, request: ApiRequest, target: Target) -> None:
        body = self._body(request)
        content_type = request.content_type
        if content_type == JSON_PATCH and not isinstance(body, list):
            raise errors.bad_request("error decoding patch: json: cannot unmarshal object into Go value of type jsonpatch.Patch")
        force = request.query.get("force", [])
        problem = ""
        if content_type == APPLY_PATCH and not (request.query.get("fieldManager") or [""])[-1]:
            problem = "fieldManager: Required value: is required for apply patch"
        elif content_type != APPLY_PATCH and force:
            problem = "force: Forbidden: may not be specified for non-apply patch"
        if problem:
            field, _colon, text = problem.partition(": ")
            cause = {"reason": "FieldValueRequired" if field == "fieldManager" else "FieldValueForbidden", "message": text, "field": field}
            raise ApiError(
                422, f'PatchOptions.meta.k8s.io "" is invalid: {problem}', "Invalid", {"group": "meta.k8s.io", "kind": "PatchOptions", "causes": [cause]}
            )
        obj, created = self.api.machinery.patch(
            target.rtype,
            target.namespace or "",
            target.name,
            content_type,
            body,
            self._write(request, target.subresource),
            force=_true(force),
        )
        self._answer(request, target, obj, 201 if created else 200)

    def _subresource(self, request: ApiRequest, target: Target) -> None:
        rtype, machinery, namespace = target.rtype, self.api.machinery, target.namespace or ""
        if target.subresource not in rtype.subresources:
            raise ApiError(404, "the server could not find the requested resource", details={})
        if target.subresource in ("status", "finalize"):
            if request.verb == "get":
                self._answer(request, target, machinery.stored(rtype, namespace, target.name))
            elif request.verb == "patch":
                self._patch(request, target)
            else:
                self._answer(request, target, machinery.update(rtype, namespace, target.name, self._typed_body(request, rtype), self._write(request, "status")))
        elif target.subresource == "scale":
            self._scale(request, target)
        elif target.subresource == "eviction":
            machinery.delete(rtype, namespace, target.name, {}, self._write(request))
            self._send(request, 201, {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201})
        elif rtype.key == PODS and target.subresource == "log":
            pod = machinery.stored(rtype, namespace, target.name)
            self._send(request, 200, pods.read_log(pod, request.query, self.api.logs), content_type="text/plain")
        elif rtype.key == PODS:
            self._stream(request, target, machinery.stored(rtype, namespace, target.name))

    def _scale(self, request: ApiRequest, target: Target) -> None:
        machinery = self.api.machinery
        obj = machinery.stored(target.rtype, target.namespace or "", target.name)
        if request.verb != "get":
            replicas = (self._body(request).get("spec") or {}).get("replicas", obj["spec"].get("replicas", 1))
            obj = machinery.update(target.rtype, target.namespace or "", target.name, views.scaled(obj, replicas), self._write(request, "scale"))
        self._send(request, 200, views.scale(obj))

    def _review(self, request: ApiRequest, target: Target) -> None:
        body = self._body(request)
        if target.rtype.kind == "SelfSubjectReview":
            body["status"] = {"userInfo": {"username": self.api.user, "groups": ["system:authenticated"]}}
        else:
            asked = (body.get("spec") or {}).get("resourceAttributes") or {}
            resource = "/".join(part for part in (asked.get("resource", ""), asked.get("subresource", "")) if part)
            denied = any(rule.covers(asked.get("verb", ""), resource, asked.get("namespace"), asked.get("name", "")) for rule in self.api.prohibitions)
            body["status"] = {"allowed": not denied}
        self._send(request, 201, {"kind": target.rtype.kind, "apiVersion": target.rtype.api_version, **body})

    # watch ----------------------------------------------------------------------------------

    def _chunk(self, data: bytes) -> None:
        self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        self.wfile.flush()

    def _client_gone(self) -> bool:
        readable, _w, _x = select.select([self.connection], [], [], 0)
        if not readable:
            return False
        try:
            return self.connection.recv(1, socket.MSG_PEEK) == b""
        except OSError:
            return True

    def _watch(self, request: ApiRequest, target: Target, holds: Predicate) -> None:
        api, rtype, view = self.api, target.rtype, self._view(request)
        store = api.machinery.store
        asked = (request.query.get("resourceVersion") or [""])[-1]
        seconds = float((request.query.get("timeoutSeconds") or ["1800"])[-1])
        namespace = target.namespace
        request.status = 200
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.flush()

        def event(kind: str, obj: Json) -> None:
            self._chunk(json.dumps({"type": kind, "object": views.one(rtype, obj, view) if kind != "ERROR" else obj}).encode() + b"\n")

        with store.lock:
            since = store.version
            first = store.items(rtype.key, namespace) if asked in ("", "0") else []
        if asked not in ("", "0"):
            if not asked.isdigit():
                event("ERROR", errors.bad_request(f'invalid resource version "{asked}"').status())
                self._chunk(b"")
                return
            since = int(asked)
        if since < store.oldest:
            event("ERROR", errors.expired(since, store.oldest).status())
            self._chunk(b"")
            return
        for obj in first:
            if holds(obj):
                event("ADDED", obj)
        began, cuts = store.oldest, api.watch_cuts
        for change in store.changes(since, time.monotonic() + seconds):
            if self.server.closing.is_set() or api.watch_cuts != cuts:
                self.close_connection = True
                with contextlib.suppress(OSError):
                    self.connection.shutdown(socket.SHUT_RDWR)
                return
            if store.oldest != began:
                event("ERROR", errors.expired(since, store.oldest).status())
                break
            if change is None:
                if self._client_gone():
                    self.close_connection = True
                    return
                continue
            if change.key != rtype.key or (namespace is not None and change.namespace != namespace):
                continue
            kind = self._seen_as(change.type, holds(change.obj), change.old is not None and holds(change.old))
            if kind:
                event(kind, change.obj)
        self._chunk(b"")

    @staticmethod
    def _seen_as(kind: str, matches: bool, matched: bool) -> str:
        """A selector makes objects come and go that only change."""
        if kind == "DELETED":
            return "DELETED" if matched else ""
        if kind == "ADDED":
            return "ADDED" if matches else ""
        return {(True, True): "MODIFIED", (True, False): "ADDED", (False, True): "DELETED", (False, False): ""}[matches, matched]

    # exec and port-forward ------------------------------------------------------------------

    def _upgrade(self, request: ApiRequest, protocols: tuple[str, ...]) -> tuple[websocket.ServerSocket, str]:
        if request.headers.get("upgrade", "").lower() != "websocket":
            raise errors.bad_request("Upgrade request required")
        offered = [item.strip() for item in re.split(r",", request.headers.get("sec-websocket-protocol", "")) if item.strip()]
        chosen = next((protocol for protocol in offered if protocol in protocols), None)
        if chosen is None:
            raise ApiError(403, f"unable to upgrade: unable to negotiate protocol: client supports {offered}, server accepts {list(protocols)}", "Forbidden")
        request.status = 101
        self.close_connection = True
        self.send_response(101, "Switching Protocols")
        self.send_header("Upgrade", "websocket")
        self.send_header("Connection", "Upgrade")
        self.send_header("Sec-WebSocket-Accept", websocket.accept_key(request.headers.get("sec-websocket-key", "")))
        self.send_header("Sec-WebSocket-Protocol", chosen)
        self.end_headers()
        self.wfile.flush()
        return websocket.ServerSocket(self.connection, self.rfile), chosen

    def _stream(self, request: ApiRequest, target: Target, pod: Json) -> None:
        api, query, namespace = self.api, request.query, target.namespace or ""
        if target.subresource == "portforward":
            ports = [int(port) for value in query.get("ports", []) for port in value.split(",")]
            if not ports:
                raise errors.bad_request("at least one port is required")
            pods.check_running(pod, "port-forward")
            ws, _protocol = self._upgrade(request, (websocket.V4,))
            connect: Callable[[int], socket.socket] = lambda port: api.connect_forward(namespace, target.name, port)  # noqa: E731
            websocket.serve_port_forward(ws, ports, connect, f"{namespace}/{target.name}")
            return
        if target.subresource != "exec":
            raise errors.bad_request("attach is not played by the fake API")
        argv = query.get("command", [])
        if not argv:
            raise errors.bad_request("you must specify at least 1 command for the pod")
        container = pods.pick_container(pod, (query.get("container") or [""])[-1])
        pods.check_running(pod, "exec", container)
        flags = {name: _true(query.get(name, [])) for name in ("stdin", "stdout", "stderr", "tty")}
        if not (flags["stdin"] or flags["stdout"] or flags["stderr"]):
            raise errors.bad_request("you must specify at least one of stdin, stdout, stderr")
        ws, protocol = self._upgrade(request, api.exec_protocols)

        def run(stdin: bytes) -> websocket.Reply:
            api.execs.append(websocket.ExecCall(namespace, target.name, container, tuple(argv), stdin, protocol, flags["tty"]))
            return api.exec_handler(namespace, target.name, container, list(argv), stdin)

        websocket.serve_exec(
            ws,
            run,
            protocol=protocol,
            stdin=flags["stdin"],
            stdout=flags["stdout"],
            stderr=flags["stderr"],
            closing=self.server.closing,
            ended=api.stdin_ended,
        )
