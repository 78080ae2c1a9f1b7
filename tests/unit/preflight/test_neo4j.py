# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import base64
import json

import pytest
from ansible_collections.ragops.stack.plugins.module_utils import _neo4j
from ansible_collections.ragops.stack.plugins.module_utils._errors import RagopsError
from ansible_collections.ragops.stack.plugins.module_utils._exec import ExecResult

ROWS = {"results": [{"columns": ["name", "n"], "data": [{"row": ["neo4j", 1]}, {"row": ["system", 2]}]}], "errors": []}


def http(body: object, status: str = "200 OK") -> str:
    return f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\n\r\n{json.dumps(body)}"


def test_the_request_survives_the_shell() -> None:
    text = _neo4j.script("RETURN $a", {"a": 'it\'s\n"x" $(id)'}, "neo4j", "neo4j", "p'a$s`w")
    encoded = text.split("'")[1]
    request = base64.b64decode(encoded).decode()
    head, body = request.split("\r\n\r\n")
    assert json.loads(body)["statements"][0]["parameters"] == {"a": 'it\'s\n"x" $(id)'}
    assert f"Content-Length: {len(body.encode())}" in head
    assert base64.b64decode(head.split("Basic ")[1].split("\r\n")[0]).decode() == "neo4j:p'a$s`w"
    assert text.rstrip().endswith("exit 0")


def test_rows() -> None:
    assert _neo4j.answer(http(ROWS)) == [{"name": "neo4j", "n": 1}, {"name": "system", "n": 2}]


def test_a_wrong_password_is_named() -> None:
    errors = [{"code": "Neo.ClientError.Security.Unauthorized", "message": "Invalid username or password."}]
    with pytest.raises(RagopsError, match=r"Failed to log in to Neo4j: Invalid username or password\. The Secret and the server disagree"):
        _neo4j.answer(http({"errors": errors}, "401 Unauthorized"))


@pytest.mark.parametrize(("text", "words"), [("", "answered nothing"), ("HTTP/1.1 503 Unavailable\r\n\r\nno", "answered HTTP/1.1 503 Unavailable")])
def test_no_json_is_named(text: str, words: str) -> None:
    with pytest.raises(RagopsError) as caught:
        _neo4j.answer(text)
    assert words in str(caught.value)


def test_other_errors_keep_the_servers_words() -> None:
    with pytest.raises(RagopsError, match=r"Neo\.ClientError\.Statement\.SyntaxError: bad"):
        _neo4j.answer(http({"errors": [{"code": "Neo.ClientError.Statement.SyntaxError", "message": "bad"}]}))


def test_a_server_that_does_not_listen_is_named() -> None:
    def run(_command: list[str], _stdin: str, _timeout: float) -> ExecResult:
        return ExecResult(7, "", "bash: connect: Connection refused\n")

    with pytest.raises(RagopsError, match="Failed to reach Neo4j in its pod: bash: connect: Connection refused"):
        _neo4j.query(run, "RETURN 1", {}, "neo4j", "neo4j", "x", 5)
