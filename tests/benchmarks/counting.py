# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Counts the requests that a command sends to the API server, by standing between them.

A connection carries one request here, which makes the rest a pair of pipes: watches and websockets pass as they are.
Runs through it are for counting only; their time is not used.
"""

from __future__ import annotations

import contextlib
import re
import select
import socket
import ssl
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

_HEAD_END = b"\r\n\r\n"
_RESOURCE = re.compile(r"^/(?:api/v1|apis/[^/]+/[^/]+)(?:/namespaces/(?P<ns>[^/]+)(?=/))?/(?P<plural>[^/]+)(?:/(?P<name>[^/]+))?(?:/(?P<sub>[^/]+))?$")


@dataclass(frozen=True)
class Request:
    verb: str
    what: str
    agent: str


def classify(method: str, target: str, agent: str) -> Request:
    """``GET /api/v1/namespaces/x/pods?watch=1`` is ``watch pods``; what tells about the API itself is ``discover``."""
    url = urlsplit(target)
    found = _RESOURCE.match(url.path.rstrip("/"))
    if not found:
        return Request("discover", url.path, agent)
    plural = found["plural"] + (f"/{found['sub']}" if found["sub"] else "")
    if found["sub"] in ("exec", "portforward", "proxy", "log"):
        return Request(found["sub"], found["plural"], agent)
    if method == "GET":
        if re.search(r"(^|&)watch=(1|true|True)", url.query):
            return Request("watch", plural, agent)
        return Request("get" if found["name"] else "list", plural, agent)
    verb = {"POST": "create", "PUT": "replace", "PATCH": "patch", "DELETE": "delete"}.get(method, method.lower())
    return Request(f"{verb} (dry run)" if "dryRun=All" in url.query else verb, plural, agent)


@dataclass
class Seen:
    """What was seen since ``clear``."""

    seen: list[Request] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, request: Request) -> None:
        with self.lock:
            self.seen.append(request)

    def clear(self) -> None:
        with self.lock:
            self.seen.clear()

    def by_verb(self) -> dict[str, int]:
        with self.lock:
            return dict(Counter(r.verb for r in self.seen).most_common())

    def by_request(self) -> dict[str, int]:
        with self.lock:
            return dict(Counter(f"{r.verb} {r.what}" for r in self.seen).most_common())


class CountingProxy:
    """Listens on a port of this machine, in clear, and passes on with the credentials of the kubeconfig."""

    def __init__(self, kubeconfig: Path, context: str | None = None) -> None:
        from kubernetes import client, config

        configuration = client.Configuration()
        config.load_kube_config(config_file=str(kubeconfig), context=context, client_configuration=configuration)
        url = urlsplit(configuration.host)
        self._upstream = (str(url.hostname), url.port or 443)
        self._host = url.netloc
        # kubernetes' client knows the ways to log in; a token is asked for at each request, since it may expire.
        self._authorization = lambda: configuration.get_api_key_with_prefix("authorization")
        self._tls = _tls(configuration)
        self.counter = Seen()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open = True

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def write_kubeconfig(self, path: Path) -> Path:
        """Without credentials: the proxy has them."""
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "counted",
            "clusters": [{"name": "counted", "cluster": {"server": self.url}}],
            "users": [{"name": "counted", "user": {}}],
            "contexts": [{"name": "counted", "context": {"cluster": "counted", "user": "counted"}}],
        }
        path.write_text(yaml.safe_dump(content), encoding="utf-8")
        return path

    @contextlib.contextmanager
    def running(self) -> Iterator[CountingProxy]:
        threading.Thread(target=self._accept, daemon=True).start()
        try:
            yield self
        finally:
            self._open = False
            self._listener.close()

    def _accept(self) -> None:
        while self._open:
            try:
                connection, _address = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError), client:
            data = b""
            while _HEAD_END not in data:
                more = client.recv(65536)
                if not more:
                    return
                data += more
            head, _end, rest = data.partition(_HEAD_END)
            lines = head.decode("latin-1").split("\r\n")
            method, target, _version = lines[0].split(" ", 2)
            headers = [tuple(part.strip() for part in line.split(":", 1)) for line in lines[1:]]
            named = {name.lower(): value for name, value in headers}
            self.counter.add(classify(method, target, named.get("user-agent", "")))
            with contextlib.ExitStack() as stack:
                raw = stack.enter_context(socket.create_connection(self._upstream, timeout=30))
                raw.settimeout(None)
                upstream = stack.enter_context(self._tls.wrap_socket(raw, server_hostname=self._upstream[0])) if self._tls else raw
                upstream.sendall(self._head(lines[0], headers, upgrade="upgrade" in named) + rest)
                _pass_on(client, upstream)

    def _head(self, first: str, headers: list[Any], upgrade: bool) -> bytes:
        kept = [(n, v) for n, v in headers if n.lower() not in ("host", "authorization") and (upgrade or n.lower() != "connection")]
        kept.append(("Host", self._host))
        if not upgrade:
            kept.append(("Connection", "close"))
        token = self._authorization()
        if token:
            kept.append(("Authorization", token))
        return "\r\n".join([first, *(f"{n}: {v}" for n, v in kept)]).encode("latin-1") + _HEAD_END


def _tls(configuration: Any) -> ssl.SSLContext | None:
    if not configuration.host.startswith("https"):
        return None
    context = ssl.create_default_context(cafile=configuration.ssl_ca_cert)
    if not configuration.verify_ssl:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if configuration.cert_file:
        context.load_cert_chain(configuration.cert_file, configuration.key_file)
    return context


def _pass_on(client: socket.socket, upstream: socket.socket) -> None:
    """Both ways until either side ends. In one thread: OpenSSL does not let two use a connection at once."""
    while True:
        waiting = [upstream] if isinstance(upstream, ssl.SSLSocket) and upstream.pending() else select.select([client, upstream], [], [])[0]
        for source, sink in ((client, upstream), (upstream, client)):
            if source not in waiting:
                continue
            source.settimeout(0)
            try:
                data = source.recv(65536)
            except (BlockingIOError, ssl.SSLWantReadError):
                continue
            finally:
                source.settimeout(None)
            if not data:
                return
            sink.sendall(data)
