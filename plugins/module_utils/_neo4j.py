# Copyright: ragops.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Cypher in the server's own pod: over its HTTP interface, with nothing but bash, the login by standard input.

The image's own client starts a Java machine for every statement and is missing from slim images.
"""

from __future__ import annotations

import base64
import json
from typing import Any

from ansible_collections.ragops.stack.plugins.module_utils._connection import Runner
from ansible_collections.ragops.stack.plugins.module_utils._errors import RagopsError
from ansible_collections.ragops.stack.plugins.module_utils._redact import redact_text

COMMAND = ["/bin/bash", "-s"]
HTTP_PORT = 7474


def script(statement: str, parameters: dict[str, Any], database: str, username: str, password: str) -> str:
    """A shell script that sends one HTTP request and prints the answer."""
    body = json.dumps({"statements": [{"statement": statement, "parameters": parameters}]})
    login = base64.b64encode(f"{username}:{password}".encode()).decode()
    request = (
        f"POST /db/{database}/tx/commit HTTP/1.0\r\nAuthorization: Basic {login}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body.encode())}\r\n\r\n{body}"
    )
    encoded = base64.b64encode(request.encode()).decode()
    # exit: servers before Kubernetes 1.30 cannot be told that standard input has ended
    return f"exec 4<>/dev/tcp/127.0.0.1/{HTTP_PORT} || exit 7\nbase64 -d <<< '{encoded}' >&4\ncat <&4\nexit 0\n"


def answer(text: str) -> list[dict[str, Any]]:
    """Rows of the answer; raises with the server's own words."""
    head, _blank, body = text.replace("\r\n", "\n").partition("\n\n")
    status = head.split("\n", 1)[0]
    try:
        parsed = json.loads(body)
    except ValueError:
        raise RagopsError(f"Failed to query Neo4j: the server answered {status or 'nothing'}. Is it still starting? See its log.") from None
    errors = parsed.get("errors") or []
    if errors:
        code, words = str(errors[0].get("code", "")), redact_text(str(errors[0].get("message", "")))
        if "Unauthorized" in code or " 401" in status:
            remedy = (
                "The Secret and the server disagree, for the password of the first start stays: put the server's password into the Secret, or set the server's."
            )
            raise RagopsError(f"Failed to log in to Neo4j: {words.rstrip('.')}. {remedy}")
        raise RagopsError(f"Failed to query Neo4j: {code}: {words}")
    result = (parsed.get("results") or [{}])[0]
    columns = result.get("columns") or []
    return [dict(zip(columns, entry.get("row") or [], strict=False)) for entry in result.get("data") or []]


def query(run: Runner, statement: str, parameters: dict[str, Any], database: str, username: str, password: str, timeout: float) -> list[dict[str, Any]]:
    result = run(COMMAND, script(statement, parameters, database, username, password), timeout)
    if result.rc != 0:
        words = redact_text(result.stderr.strip().splitlines()[-1]) if result.stderr.strip() else f"exit code {result.rc}"
        raise RagopsError(f"Failed to reach Neo4j in its pod: {words}. Is the server running? See its log.", stderr=redact_text(result.stderr))
    return answer(result.stdout)
