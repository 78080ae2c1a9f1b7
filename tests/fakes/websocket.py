# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The server's side of RFC 6455, and on it exec and port-forward as a kubelet speaks them."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import socket
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]

V5 = "v5.channel.k8s.io"
V4 = "v4.channel.k8s.io"
STDIN, STDOUT, STDERR, ERROR, CLOSE = 0, 1, 2, 3, 255
TEXT, BINARY, CLOSING, PING, PONG = 1, 2, 8, 9, 10
_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_CHUNK = 32 * 1024


def accept_key(key: str) -> str:
    return base64.b64encode(hashlib.sha1((key + _GUID).encode()).digest()).decode()


class GoneError(Exception):
    """The other side is gone."""


class ServerSocket:
    """Messages over an upgraded connection; writing is safe from several threads."""

    def __init__(self, sock: socket.socket, reader: Any) -> None:
        self._sock = sock
        self._reader = reader
        self._lock = threading.Lock()
        self._closed = False

    def _exactly(self, count: int) -> bytes:
        try:
            data = self._reader.read(count)
        except (OSError, ValueError) as error:
            raise GoneError from error
        if data is None or len(data) < count:
            raise GoneError
        return bytes(data)

    def _frame(self) -> tuple[bool, int, bytes]:
        first, second = self._exactly(2)
        length = second & 0x7F
        if length == 126:
            length = struct.unpack(">H", self._exactly(2))[0]
        elif length == 127:
            length = struct.unpack(">Q", self._exactly(8))[0]
        if not second & 0x80:  # RFC 6455 5.1: a client masks every frame
            self.close(1002)
            raise GoneError
        mask = self._exactly(4)
        data = self._exactly(length)
        if length:
            key = (mask * (length // 4 + 1))[:length]
            data = (int.from_bytes(data, "big") ^ int.from_bytes(key, "big")).to_bytes(length, "big")
        return bool(first & 0x80), first & 0x0F, data

    def receive(self) -> bytes:
        """The next whole data message; GoneError at the end."""
        message = b""
        while True:
            final, opcode, data = self._frame()
            if opcode == CLOSING:
                self.close()
                raise GoneError
            if opcode == PING:
                self._write(PONG, data)
            elif opcode != PONG:
                message += data
                if final:
                    return message

    def _write(self, opcode: int, data: bytes) -> None:
        size = len(data)
        if size < 126:
            head = struct.pack(">BB", 0x80 | opcode, size)
        elif size < 1 << 16:
            head = struct.pack(">BBH", 0x80 | opcode, 126, size)
        else:
            head = struct.pack(">BBQ", 0x80 | opcode, 127, size)
        with self._lock:
            if self._closed:
                raise GoneError
            try:
                self._sock.sendall(head + data)
            except OSError as error:
                raise GoneError from error

    def send(self, channel: int, data: bytes) -> None:
        self._write(BINARY, bytes([channel]) + data)

    def close(self, code: int = 1000) -> None:
        with contextlib.suppress(GoneError):
            self._write(CLOSING, struct.pack(">H", code))
        with self._lock:
            self._closed = True

    def cut(self) -> None:
        """Gone without a word."""
        with self._lock:
            self._closed = True
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)


@dataclass
class ExecReply:
    """What a command does."""

    rc: int = 0
    stdout: bytes | str = b""
    stderr: bytes | str = b""
    #: the command could not be started: the runtime's words
    error: str | None = None
    #: never ends; the client has to give up
    hang: bool = False
    #: the connection breaks after the output, before the status
    cut: bool = False
    delay: float = 0.0


@dataclass(frozen=True)
class ExecCall:
    """What was asked; kept for tests."""

    namespace: str
    pod: str
    container: str
    argv: tuple[str, ...]
    stdin: bytes
    protocol: str
    tty: bool = False


Reply = ExecReply | tuple[int, bytes | str, bytes | str]
ExecHandler = Callable[[str, str, str, list[str], bytes], Reply]


def stdin_ended(data: bytes) -> bool:
    """v4 has no end of file: psql ends at its own \\q."""
    return data.rstrip().endswith(b"\\q")


def _status(reply: ExecReply) -> Json:
    if reply.error is not None:
        return {
            "metadata": {},
            "status": "Failure",
            "reason": "InternalError",
            "code": 500,
            "message": f"Internal error occurred: error executing command in container: {reply.error}",
            "details": {"causes": [{"message": f"error executing command in container: {reply.error}"}]},
        }
    if reply.rc == 0:
        return {"metadata": {}, "status": "Success"}
    return {
        "metadata": {},
        "status": "Failure",
        "reason": "NonZeroExitCode",
        "message": f"command terminated with non-zero exit code: exit status {reply.rc}",
        "details": {"causes": [{"reason": "ExitCode", "message": str(reply.rc)}]},
    }


def _bytes(data: bytes | str) -> bytes:
    return data.encode() if isinstance(data, str) else data


def read_stdin(ws: ServerSocket, protocol: str, ended: Callable[[bytes], bool]) -> bytes:
    data = b""
    while True:
        message = ws.receive()
        if not message:
            continue
        if protocol == V5 and message[0] == CLOSE:
            if message[1:2] == bytes([STDIN]):
                return data
        elif message[0] == STDIN:
            data += message[1:]
            if protocol == V4 and ended(data):
                return data


def serve_exec(
    ws: ServerSocket,
    run: Callable[[bytes], Reply],
    *,
    protocol: str,
    stdin: bool,
    stdout: bool,
    stderr: bool,
    closing: threading.Event,
    ended: Callable[[bytes], bool] = stdin_ended,
) -> None:
    # The kubelet greets with an empty message on the lowest channel it may write.
    ws.send(STDOUT if stdout else STDERR if stderr else ERROR, b"")
    try:
        answer = run(read_stdin(ws, protocol, ended) if stdin else b"")
        reply = answer if isinstance(answer, ExecReply) else ExecReply(*answer)
    except GoneError:
        raise
    except Exception as error:
        reply = ExecReply(error=f"exec handler of the test: {error!r}")
    if reply.delay:
        closing.wait(reply.delay)
    for channel, wanted, data in ((STDOUT, stdout, _bytes(reply.stdout)), (STDERR, stderr, _bytes(reply.stderr))):
        for start in range(0, len(data) if wanted else 0, _CHUNK):
            ws.send(channel, data[start : start + _CHUNK])
    if reply.hang:
        with contextlib.suppress(GoneError):
            while not closing.is_set():
                ws.receive()
        return
    if reply.cut:
        ws.cut()
        return
    ws.send(ERROR, json.dumps(_status(reply)).encode())
    ws.close()


def serve_port_forward(ws: ServerSocket, ports: list[int], connect: Callable[[int], socket.socket], where: str) -> None:
    """Two channels a port: data at 2i, errors at 2i+1; each begins with the port number, little endian."""
    remotes: dict[int, socket.socket] = {}
    for index, port in enumerate(ports):
        for channel in (2 * index, 2 * index + 1):
            ws.send(channel, struct.pack("<H", port))
    open_ports = set(range(len(ports)))
    lock = threading.Lock()

    def finished(index: int) -> None:
        with lock:
            open_ports.discard(index)
            if not open_ports:
                ws.close()
                time.sleep(0.05)
                ws.cut()

    def pump(index: int, remote: socket.socket) -> None:
        with contextlib.suppress(OSError, GoneError):
            while data := remote.recv(_CHUNK):
                ws.send(2 * index, data)
        finished(index)

    for index, port in enumerate(ports):
        try:
            remotes[index] = connect(port)
        except OSError as error:
            text = f"error forwarding port {port} to pod {where}: failed to connect to localhost:{port} inside namespace: dial tcp4 127.0.0.1:{port}: {error}"
            ws.send(2 * index + 1, text.encode())
            threading.Thread(target=finished, args=(index,), daemon=True).start()
            continue
        threading.Thread(target=pump, args=(index, remotes[index]), daemon=True).start()
    try:
        while True:
            message = ws.receive()
            index = message[0] // 2 if message else -1
            if message and message[0] % 2 == 0 and index in remotes:
                with contextlib.suppress(OSError):
                    remotes[index].sendall(message[1:])
    except GoneError:
        pass
    finally:
        for remote in remotes.values():
            with contextlib.suppress(OSError):
                remote.shutdown(socket.SHUT_RDWR)
            remote.close()
