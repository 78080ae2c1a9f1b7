# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Exec and port-forward, as the kubernetes package speaks them."""

from __future__ import annotations

import http.client
import http.server
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import websocket
from kubernetes.client import ApiException
from kubernetes.stream import ws_client

from tests.fakes import ExecReply, FakeKubeApi

NS = "demo"


@pytest.fixture
def pod(api: FakeKubeApi) -> str:
    api.put(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "p", "namespace": NS},
            "spec": {"nodeName": "node-1", "containers": [{"name": "c", "image": "x"}, {"name": "d", "image": "y"}]},
            "status": {
                "phase": "Running",
                "containerStatuses": [{"name": "c", "state": {"running": {}}}, {"name": "d", "state": {"waiting": {"reason": "X"}}}],
            },
        }
    )
    return "p"


def run(client: Any, argv: list[str], stdin: str | None = None, container: str = "c", protocol: str = "", pod_name: str = "p", seconds: float = 2) -> Any:
    query = [("container", container), ("stdout", "true"), ("stderr", "true"), ("stdin", "true" if stdin is not None else "false"), ("tty", "false")]
    query += [("command", word) for word in argv]
    headers = {"authorization": "Bearer x", **({"sec-websocket-protocol": protocol} if protocol else {})}
    ws = ws_client.websocket_call(
        client.configuration,
        "GET",
        f"{client.configuration.host}/api/v1/namespaces/{NS}/pods/{pod_name}/exec",
        query_params=query,
        headers=headers,
        _preload_content=False,
        capture_all=False,
    )
    if stdin is not None:
        ws.write_stdin(stdin)
        ws.close_channel(0)
    ws.run_forever(timeout=seconds)
    return ws


@pytest.mark.parametrize("protocol", ["v5.channel.k8s.io", "v4.channel.k8s.io"])
def test_exec_with_stdin(client: Any, api: FakeKubeApi, pod: str, protocol: str) -> None:
    api.exec_protocols = (protocol,)
    api.exec_handler = lambda ns, name, container, argv, stdin: (3, b"out:" + stdin, f"{ns}/{name}/{container} {argv}")
    ws = run(client, ["psql", "-X"], "select 1;\n\\q\n")
    assert ws.subprotocol == protocol
    assert ws.read_channel(1) == "out:select 1;\n\\q\n"
    assert ws.read_channel(2) == "demo/p/c ['psql', '-X']"
    assert ws.returncode == 3
    assert api.execs[0].stdin == b"select 1;\n\\q\n"


def test_v4_without_an_end_of_input_waits(client: Any, api: FakeKubeApi, pod: str) -> None:
    api.exec_protocols = ("v4.channel.k8s.io",)
    ws = run(client, ["cat"], "no end", seconds=0.2)
    assert ws.is_open()
    assert api.execs == []
    ws.close()


def test_large_output_comes_in_frames(client: Any, api: FakeKubeApi, pod: str) -> None:
    api.exec_handler = lambda *_args: ExecReply(stdout=b"x" * 300_000)
    ws = run(client, ["dump"])
    assert len(ws.read_channel(1)) == 300_000
    assert ws.returncode == 0


def test_what_exec_refuses(client: Any, api: FakeKubeApi, pod: str) -> None:
    options: Any
    for options, text in (({"pod_name": "q"}, "404"), ({"container": "nosuch"}, "400"), ({"container": "d"}, "500")):
        with pytest.raises(ApiException, match=text):
            run(client, ["true"], **options)
    ws = run(client, ["nosuch"])
    assert "executable file not found" in ws.read_channel(3)
    api.exec_handler = lambda *_args: ExecReply(stdout="half", cut=True)
    with pytest.raises(websocket.WebSocketConnectionClosedException):
        run(client, ["x"])


@pytest.fixture
def web() -> Iterator[int]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()


def forward(client: Any, port: int) -> Any:
    return ws_client.portforward_call(
        client.configuration,
        "GET",
        f"{client.configuration.host}/api/v1/namespaces/{NS}/pods/p/portforward",
        query_params=[("ports", str(port))],
        headers={"sec-websocket-protocol": "v4.channel.k8s.io"},
    )


def test_port_forward(client: Any, api: FakeKubeApi, pod: str, web: int) -> None:
    api.forward = lambda namespace, name, port: ("127.0.0.1", web) if port == 8080 else None
    tunnel = forward(client, 8080)
    connection = http.client.HTTPConnection("p")
    connection.sock = tunnel.socket(8080)
    connection.sock.settimeout(5)
    payload = b"y" * 200_000
    connection.request("POST", "/echo", payload)
    assert connection.getresponse().read() == payload
    tunnel.close()


def test_port_forward_to_a_closed_port(client: Any, api: FakeKubeApi, pod: str) -> None:
    tunnel = forward(client, 9)
    assert tunnel.socket(9).recv(1) == b""
    assert "error forwarding port 9" in api.until(lambda: tunnel.error(9))
