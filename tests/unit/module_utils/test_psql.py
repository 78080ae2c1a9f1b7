# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import base64

import pytest
from ansible_collections.ragops.stack.plugins.module_utils._errors import RagopsError
from ansible_collections.ragops.stack.plugins.module_utils._exec import ExecResult
from ansible_collections.ragops.stack.plugins.module_utils._psql import Psql, quote_variable, saslprep, scram_verifier, script, verifier_matches


def test_values_travel_as_variables_and_the_script_ends_itself() -> None:
    text = script("SELECT :'a';", {"a": "it's"}, session_role="boss")
    assert text.splitlines() == [r"\set QUIET on", r"\set a 'it''s'", r"\set session_role 'boss'", 'SET ROLE :"session_role";', "SELECT :'a';", r"\q"]


@pytest.mark.parametrize(
    ("value", "wanted"),
    [("plain", "'plain'"), ("a'b", "'a''b'"), ("a\\b", r"'a\\b'"), ("a\nb", r"'a\nb'"), ("`id`", "'`id`'"), (":x", "':x'"), ("", "''")],
)
def test_quoting_of_psql_variables(value: str, wanted: str) -> None:
    assert quote_variable(value) == wanted


def test_a_nul_character_is_refused() -> None:
    with pytest.raises(RagopsError, match="NUL"):
        quote_variable("a\0b")


def test_a_verifier_has_postgresqls_shape_and_is_stable_for_a_salt() -> None:
    verifier = scram_verifier("pencil", base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ=="), 4096)
    # RFC 7677's example: same password, salt and iteration count
    assert verifier == "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="


def test_the_right_password_matches_and_others_do_not() -> None:
    verifier = scram_verifier("s3cr3t")
    assert verifier_matches("s3cr3t", verifier)
    assert not verifier_matches("s3cr3T", verifier)
    for other in (None, "", "md5aa", "SCRAM-SHA-256$broken"):
        assert not verifier_matches("s3cr3t", other)


def test_saslprep_normalises_and_leaves_forbidden_text_as_it_is() -> None:
    assert saslprep("I\u00adX") == "IX"
    assert saslprep("\u2168") == "IX"
    assert saslprep("a\u0007b") == "a\u0007b"


def psql(rc: int, out: str, err: str) -> Psql:
    return Psql(lambda command, stdin, timeout: ExecResult(rc, out, err), "postgres")


def test_a_query_gives_rows() -> None:
    assert psql(0, '[{"a": 1}]', "").query("db", "SELECT 1 AS a") == [{"a": 1}]


def test_the_command_line_has_no_sql() -> None:
    seen: list[tuple[list[str], str]] = []

    def run(command: list[str], stdin: str, timeout: float) -> ExecResult:
        seen.append((command, stdin))
        return ExecResult(0, "[]", "")

    Psql(run, "postgres").query("db", "SELECT 'hidden'")
    assert "hidden" not in " ".join(seen[0][0])
    assert "hidden" in seen[0][1]


@pytest.mark.parametrize(
    ("stderr", "wanted"),
    [
        ('psql: error: FATAL:  password authentication failed for user "x"', "Secret and the server disagree"),
        ('ERROR:  permission denied to create extension "vector"', "Log in as an account with that right"),
        ('FATAL:  database "nope" does not exist', "Create it first"),
    ],
)
def test_a_failure_has_the_servers_words_and_a_remedy(stderr: str, wanted: str) -> None:
    with pytest.raises(RagopsError, match=wanted) as caught:
        psql(2, "", stderr).execute("db", "SELECT 1;", what="do it")
    assert str(caught.value).startswith("Failed to do it in database db: ")


def test_a_password_in_an_error_is_masked() -> None:
    with pytest.raises(RagopsError) as caught:
        psql(3, "", "ERROR:  syntax error\nLINE 1: ALTER ROLE x PASSWORD 'hunter22'").execute("db", "x")
    assert "hunter22" not in str(caught.value)
