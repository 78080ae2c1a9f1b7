# Copyright: ragops.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A command in a container: standard input, exit code, time limit.

The command is part of the request's URL, which API servers write to their audit logs: whatever is secret
or long goes through standard input.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.ragops.stack.plugins.module_utils._api import Api
from ansible_collections.ragops.stack.plugins.module_utils._errors import RagopsError, failure

_STDIN, _STDOUT, _STDERR, _ERROR = 0, 1, 2, 3
_CLOSE = 255
_CHUNK = 32 * 1024
_AFTER_EXIT = 2.0  # seconds to wait for output that the exit status overtook


@dataclass(frozen=True)
class ExecResult:
    rc: int
    stdout: str
    stderr: str


def exec_in_pod(
    api: Api,
    namespace: str,
    pod: str,
    container: str | None,
    command: Sequence[str],
    stdin: str = "",
    timeout: float = 60.0,
) -> ExecResult:
    """Run ``command`` and return its exit code and output; raise when it could not be run or took too long.

    Servers older than Kubernetes 1.30 cannot be told that standard input has ended: commands that read it
    need an end of their own there (psql: ``\\q``).
    """
    socket = _open(api, namespace, pod, container, command, want_stdin=bool(stdin))
    try:
        return _talk(socket, stdin.encode(), timeout)
    except TimeoutError:
        reason = f"{command[0]} in container {container or '(first)'} did not end within {timeout:.0f} seconds"
        raise RagopsError(failure("run a command in", "Pod", pod, namespace, reason, "Is the server inside hung or starting? See its log")) from None
    finally:
        socket.close()


def _open(api: Api, namespace: str, pod: str, container: str | None, command: Sequence[str], want_stdin: bool) -> Any:
    # The generated client's connect_get_namespaced_pod_exec costs half a second of imports; the socket is all we need.
    from kubernetes.stream import ws_client

    config = api.dynamic.configuration
    query = [("stdout", "true"), ("stderr", "true"), ("stdin", str(want_stdin).lower()), ("tty", "false")]
    query += [("container", container)] if container else []
    query += [("command", word) for word in command]
    url = ws_client.get_websocket_url(f"{config.host}/api/v1/namespaces/{namespace}/pods/{pod}/exec", query)
    headers = {}
    token = config.get_api_key_with_prefix("authorization")
    if token:
        headers["authorization"] = token
    if not hasattr(ws_client, "V5_CHANNEL_PROTOCOL"):  # clients before 36 speak v4 only
        headers["sec-websocket-protocol"] = "v4.channel.k8s.io"
    try:
        return ws_client.create_websocket(config, url, headers)
    except Exception as exc:
        raise RagopsError(
            failure("run a command in", "Pod", pod, namespace, _handshake_reason(exc), "Is the pod running, and may this account create pods/exec?")
        ) from exc


def _handshake_reason(exc: Exception) -> str:
    body = getattr(exc, "resp_body", None)
    if body:
        try:
            return str(json.loads(body).get("message") or exc)
        except (ValueError, AttributeError):
            pass
    return str(exc)


def _talk(socket: Any, stdin: bytes, timeout: float) -> ExecResult:
    from websocket import ABNF, WebSocketConnectionClosedException, WebSocketTimeoutException

    deadline = time.monotonic() + timeout
    output: dict[int, bytearray] = {_STDOUT: bytearray(), _STDERR: bytearray(), _ERROR: bytearray()}
    for start in range(0, len(stdin), _CHUNK):
        socket.send(bytes([_STDIN]) + stdin[start : start + _CHUNK], opcode=ABNF.OPCODE_BINARY)
    if stdin and _protocol(socket).startswith("v5"):
        socket.send(bytes([_CLOSE, _STDIN]), opcode=ABNF.OPCODE_BINARY)
    while True:
        # The exit status may overtake the last output: read on until the server closes, but not for long.
        left = min(deadline - time.monotonic(), _AFTER_EXIT if output[_ERROR] else timeout)
        if left <= 0:
            raise TimeoutError
        socket.settimeout(left)
        try:
            opcode, data = socket.recv_data(control_frame=False)
        except WebSocketTimeoutException:
            if output[_ERROR]:
                break
            raise TimeoutError from None
        except WebSocketConnectionClosedException:
            break
        if opcode == ABNF.OPCODE_CLOSE:
            break
        if len(data) > 1 and data[0] in output:
            output[data[0]] += data[1:]
    return ExecResult(exit_code(bytes(output[_ERROR])), output[_STDOUT].decode("utf-8", "replace"), output[_STDERR].decode("utf-8", "replace"))


def _protocol(socket: Any) -> str:
    """What the server chose; websocket-client keeps it only among the headers when it was not told what to expect."""
    headers = {str(k).lower(): str(v) for k, v in (socket.getheaders() or {}).items()}
    return headers.get("sec-websocket-protocol", "")


def exit_code(status: bytes) -> int:
    """From the Status object on the error channel; anything but a plain exit code is an error of its own."""
    try:
        parsed = json.loads(status)
    except ValueError:
        raise RagopsError("Failed to run a command in the pod: the connection ended before the command did. Was the pod deleted or restarted?") from None
    if parsed.get("status") == "Success":
        return 0
    for cause in (parsed.get("details") or {}).get("causes") or []:
        if cause.get("reason") == "ExitCode":
            return int(cause["message"])
    raise RagopsError(f"Failed to run a command in the pod: {parsed.get('message', parsed)}.")
