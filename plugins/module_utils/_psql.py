# Copyright: ragops.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""SQL through psql: statements and values by standard input, answers as JSON.

Values are psql variables (``:'name'`` a literal, ``:"name"`` an identifier), so nothing is quoted here.
Passwords reach the server only as SCRAM verifiers: neither its log nor an error message can show one.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import stringprep
import unicodedata
from collections.abc import Mapping
from typing import Any

from ansible_collections.ragops.stack.plugins.module_utils._connection import Runner
from ansible_collections.ragops.stack.plugins.module_utils._errors import RagopsError
from ansible_collections.ragops.stack.plugins.module_utils._redact import redact_text

_ITERATIONS = 4096


class Psql:
    """One login user on one server; each call is one psql process with its own transaction rules."""

    def __init__(self, run: Runner, user: str | None, timeout: float = 60.0, session_role: str | None = None) -> None:
        self._run, self._user, self._timeout, self._session_role = run, user, timeout, session_role

    def command(self, database: str) -> list[str]:
        login = ["-U", self._user] if self._user else []
        return ["psql", "-X", "-q", "-A", "-t", "-w", "-v", "ON_ERROR_STOP=1", *login, "-d", database]

    def execute(self, database: str, sql: str, values: Mapping[str, str] | None = None, what: str = "execute SQL") -> str:
        """Run statements; the error names what was attempted, the database and the server's own words."""
        text = script(sql, values or {}, self._session_role)
        result = self._run(self.command(database), text, self._timeout)
        if result.rc != 0:
            raise RagopsError(f"Failed to {what} in database {database}: {_server_words(result.stderr)}. {_remedy(result.stderr)}".strip())
        return result.stdout

    def query(self, database: str, select: str, values: Mapping[str, str] | None = None, what: str = "query") -> list[dict[str, Any]]:
        """Rows of one SELECT, as dictionaries."""
        out = self.execute(database, f"SELECT coalesce(json_agg(row_to_json(r)), '[]') FROM ({select}) AS r;", values, what)
        rows: list[dict[str, Any]] = json.loads(out or "[]")
        return rows


def script(sql: str, values: Mapping[str, str], session_role: str | None = None) -> str:
    lines = [r"\set QUIET on"]
    lines += [rf"\set {name} {quote_variable(value)}" for name, value in values.items()]
    if session_role:
        lines += [rf"\set session_role {quote_variable(session_role)}", 'SET ROLE :"session_role";']
    # \q ends the script where the server cannot signal the end of standard input
    return "\n".join([*lines, sql, r"\q"]) + "\n"


def quote_variable(value: str) -> str:
    r"""A \set argument: single quotes doubled, backslashes and control characters escaped; NUL is no SQL text."""
    if "\0" in value:
        raise RagopsError("Failed to pass a value to PostgreSQL: it contains a NUL character, which PostgreSQL text cannot hold.")
    escaped = value.replace("\\", "\\\\").replace("'", "''").replace("\n", "\\n").replace("\r", "\\r").replace("\t", "\\t")
    return f"'{escaped}'"


def _server_words(stderr: str) -> str:
    lines = [line.split(": ", 1)[-1] if line.startswith("psql:") else line for line in stderr.splitlines() if line.strip()]
    return redact_text("; ".join(line.strip() for line in lines[:3]) or "psql said nothing").rstrip(".")


_REMEDIES = (
    ("password authentication failed", "The Secret and the server disagree: put the server's password into the Secret, or set the server's"),
    ("does not exist", "Create it first, or correct the name"),
    ("permission denied", "Log in as an account with that right (login_user, superuser_secret)"),
    ("must be owner", "Log in as its owner or a superuser"),
    ("could not connect", "Is the server running and reachable from this namespace?"),
    ("could not translate host name", "Correct the host name"),
    ("Connection refused", "Is the server running and listening on that port?"),
)


def _remedy(stderr: str) -> str:
    return next((f"{words}." for mark, words in _REMEDIES if mark in stderr), "")


# --- SCRAM-SHA-256 verifiers, as PostgreSQL stores them in pg_authid ------------------------------------


def saslprep(password: str) -> str:
    """RFC 4013 as PostgreSQL applies it: a password that the profile forbids is used as it is."""
    mapped = "".join(" " if stringprep.in_table_c12(c) else c for c in password if not stringprep.in_table_b1(c))
    prepared = unicodedata.normalize("NFKC", mapped)
    forbidden = (
        stringprep.in_table_c12,
        stringprep.in_table_c21_c22,
        stringprep.in_table_c3,
        stringprep.in_table_c4,
        stringprep.in_table_c5,
        stringprep.in_table_c6,
        stringprep.in_table_c7,
        stringprep.in_table_c8,
        stringprep.in_table_c9,
        stringprep.in_table_a1,
    )
    if not prepared or any(test(c) for c in prepared for test in forbidden):
        return password
    return prepared


def scram_verifier(password: str, salt: bytes | None = None, iterations: int = _ITERATIONS) -> str:
    salt = salt if salt is not None else os.urandom(16)
    salted = hashlib.pbkdf2_hmac("sha256", saslprep(password).encode(), salt, iterations)
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    stored_key = hashlib.sha256(client_key).digest()
    server_key = hmac.digest(salted, b"Server Key", "sha256")
    b64 = [base64.b64encode(x).decode() for x in (salt, stored_key, server_key)]
    return f"SCRAM-SHA-256${iterations}:{b64[0]}${b64[1]}:{b64[2]}"


def verifier_matches(password: str, verifier: str | None) -> bool:
    """Whether the stored verifier was made from this password; other kinds (md5, none) count as no."""
    if not verifier or not verifier.startswith("SCRAM-SHA-256$"):
        return False
    try:
        _kind, parameters, _keys = verifier.split("$", 2)
        iterations, salt = parameters.split(":", 1)
        return hmac.compare_digest(scram_verifier(password, base64.b64decode(salt), int(iterations)), verifier)
    except ValueError:
        return False
