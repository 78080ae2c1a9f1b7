# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json

import pytest
from ansible_collections.ragops.stack.plugins.module_utils._errors import explain_exception, failure, sentence


class ApiError(Exception):
    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status, self.reason, self.body = status, message, json.dumps({"kind": "Status", "message": message})


def test_a_failure_names_act_object_cause_and_remedy() -> None:
    text = failure("apply", "Service", "web", "demo", "it exists", "Choose another name.")
    assert text == "Failed to apply Service demo/web: it exists. Choose another name."


@pytest.mark.parametrize(("given", "wanted"), [("a", "a."), ("a.", "a."), ("why?", "why?"), ("", "")])
def test_a_sentence_ends_once(given: str, wanted: str) -> None:
    assert sentence(given) == wanted


def test_the_servers_own_words_come_out_of_its_status() -> None:
    reason, _remedy = explain_exception(ApiError(422, "Service is invalid: spec.ports: Required value"))
    assert reason == "the API server answered 422: Service is invalid: spec.ports: Required value"


def test_missing_rights_and_refused_admission_have_different_remedies() -> None:
    _reason, rights = explain_exception(ApiError(403, 'User "u" cannot list resource "secrets"'))
    _reason, quota = explain_exception(ApiError(403, "exceeded quota: q"))
    assert "Grant" in rights
    assert "quota" in quota


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("Max retries exceeded: [Errno 111] Connection refused", "refuses the connection"),
        ("[Errno -2] Name or service not known", "does not resolve"),
        ("read timed out", "does not answer in time"),
        ("CERTIFICATE_VERIFY_FAILED", "did not sign"),
    ],
)
def test_an_unreachable_server_is_named_with_its_address(text: str, wanted: str) -> None:
    reason, remedy = explain_exception(OSError(text), "https://127.0.0.1:6443")
    assert wanted in reason
    assert "https://127.0.0.1:6443" in reason
    assert remedy


def test_an_expired_login_is_named() -> None:
    reason, remedy = explain_exception(ApiError(401, "Unauthorized"))
    assert "401" in reason
    assert "Renew" in remedy
