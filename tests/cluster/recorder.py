# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A proxy in front of the API server that notes every request: what an audit log would hold, on any cluster."""

from __future__ import annotations

import base64
import contextlib
import select
import socket
import ssl
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import yaml

_WRITES = ("POST", "PUT", "PATCH", "DELETE")
# POSTs that ask something.
_QUESTIONS = ("selfsubjectaccessreviews", "selfsubjectrulesreviews", "selfsubjectreviews", "tokenreviews")


@dataclass(frozen=True)
class Request:
    method: str
    url: str
    headers: str
    body: str = ""  # of DELETE only

    @property
    def parsed(self) -> Any:
        return urlsplit(self.url)

    @property
    def is_write(self) -> bool:
        """One that changes something when it succeeds."""
        if self.method not in _WRITES or self._is_dry_run:
            return False
        return self.parsed.path.rsplit("/", 1)[-1] not in _QUESTIONS

    @property
    def _is_dry_run(self) -> bool:
        """The server does not look at the query of a DELETE that has a body."""
        if self.method == "DELETE" and self.body:
            return '"dryRun"' in self.body and '"All"' in self.body
        return "All" in parse_qs(self.parsed.query).get("dryRun", [])

    @property
    def is_exec(self) -> bool:
        return str(self.parsed.path).endswith("/exec")


@dataclass
class Recorder:
    """Plain HTTP on this side (on the loopback), the kubeconfig's login on the other."""

    kubeconfig: Path
    requests: list[Request] = field(default_factory=list)

    def __post_init__(self) -> None:
        loaded = yaml.safe_load(self.kubeconfig.read_text(encoding="utf-8"))
        context = next(c["context"] for c in loaded["contexts"] if c["name"] == loaded["current-context"])
        cluster = next(c["cluster"] for c in loaded["clusters"] if c["name"] == context["cluster"])
        user = next(u["user"] for u in loaded["users"] if u["name"] == context["user"])
        target = urlsplit(cluster["server"])
        self._host, self._port = target.hostname or "", target.port or 443
        self._token = user.get("token", "")
        self._tls = _tls(cluster, user)
        self._listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._accept, daemon=True).start()

    def write_kubeconfig(self, path: Path) -> Path:
        """One that leads through this proxy and holds no login."""
        server = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        names = {"clusters": [{"name": "proxy", "cluster": {"server": server}}], "users": [{"name": "proxy", "user": {}}]}
        contexts = [{"name": "proxy", "context": {"cluster": "proxy", "user": "proxy"}}]
        path.write_text(yaml.safe_dump({"apiVersion": "v1", "kind": "Config", **names, "contexts": contexts, "current-context": "proxy"}), encoding="utf-8")
        return path

    def close(self) -> None:
        self._listener.close()

    @contextlib.contextmanager
    def recording(self) -> Iterator[list[Request]]:
        """The requests of a while."""
        begin = len(self.requests)
        noted: list[Request] = []
        yield noted
        noted += self.requests[begin:]

    def _accept(self) -> None:
        while True:
            try:
                near, _peer = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(near,), daemon=True).start()

    def _serve(self, near: socket.socket) -> None:
        with contextlib.suppress(OSError), near:
            head, rest = _head(near)
            if not head:
                return
            first, *lines = head.decode("latin-1").split("\r\n")
            method, url, version = first.split(" ", 2)
            rest = _whole(near, lines, rest) if method == "DELETE" else rest
            self.requests.append(Request(method, url, "\n".join(lines), rest.decode("utf-8", "replace") if method == "DELETE" else ""))
            upgrade = any(line.lower().startswith("upgrade:") for line in lines)
            keep = [line for line in lines if not line.lower().startswith(("host:", *(() if upgrade else ("connection:",))))]
            keep.append(f"Host: {self._host}:{self._port}")
            if not upgrade:  # one request a connection, so that none goes by unseen
                keep.append("Connection: close")
            if self._token:
                keep.append(f"Authorization: Bearer {self._token}")
            with socket.create_connection((self._host, self._port)) as raw, self._tls.wrap_socket(raw, server_hostname=self._host) as far:
                far.sendall("\r\n".join([f"{method} {url} {version}", *keep, "", ""]).encode("latin-1") + rest)
                _relay(near, far)


def _tls(cluster: dict[str, Any], user: dict[str, Any]) -> ssl.SSLContext:
    authority = base64.b64decode(cluster["certificate-authority-data"]).decode() if "certificate-authority-data" in cluster else None
    context = ssl.create_default_context(cafile=cluster.get("certificate-authority"), cadata=authority)
    if cluster.get("insecure-skip-tls-verify"):
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if "client-certificate-data" in user:
        with tempfile.NamedTemporaryFile("wb", suffix=".pem") as file:
            file.write(base64.b64decode(user["client-certificate-data"]) + b"\n" + base64.b64decode(user["client-key-data"]))
            file.flush()
            context.load_cert_chain(file.name)
    elif "client-certificate" in user:
        context.load_cert_chain(user["client-certificate"], user["client-key"])
    return context


def _head(near: socket.socket) -> tuple[bytes, bytes]:
    data = b""
    while b"\r\n\r\n" not in data:
        more = near.recv(65536)
        if not more:
            return b"", b""
        data += more
    head, _, rest = data.partition(b"\r\n\r\n")
    return head, rest


def _whole(near: socket.socket, lines: list[str], begun: bytes) -> bytes:
    """The body, which may come in pieces."""
    sizes = [int(line.partition(":")[2]) for line in lines if line.lower().startswith("content-length:")]
    while sizes and len(begun) < sizes[0]:
        more = near.recv(65536)
        if not more:
            break
        begun += more
    return begun


def _relay(near: socket.socket, far: ssl.SSLSocket) -> None:
    """One thread for both ways: a TLS connection does not take two."""
    with contextlib.suppress(OSError):
        while True:
            ready = [far] if far.pending() else select.select([near, far], [], [])[0]
            if near in ready:
                data = near.recv(65536)
                if not data:
                    return
                far.settimeout(None)
                far.sendall(data)
            if far in ready:
                far.settimeout(0)
                try:
                    data = far.recv(65536)
                except ssl.SSLWantReadError:  # it was no data of ours
                    continue
                if not data:
                    return
                near.sendall(data)
