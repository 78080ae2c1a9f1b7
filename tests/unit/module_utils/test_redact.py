# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.ragops.stack.plugins.module_utils._redact import MASK, redact_object, redact_text


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://rag:hunter22@db:5432/x",
        "redis://:hunter22@cache:6379",
        "password=hunter22",
        "POSTGRES_PASSWORD: hunter22",
        '{"api_key": "hunter22"}',
        "Authorization: Bearer hunter22hunter22",
        "ALTER ROLE x PASSWORD 'hunter22'",
        "token = hunter22",
    ],
)
def test_credentials_in_text_are_masked(text: str) -> None:
    shown = redact_text(text)
    assert "hunter22" not in shown
    assert MASK in shown


def test_given_values_are_masked_wherever_they_stand() -> None:
    assert redact_text("xx s3cr3t yy", ["s3cr3t"]) == f"xx {MASK} yy"


def test_ordinary_text_is_left_alone() -> None:
    text = 'FATAL: database "lightrag" does not exist; connect to http://db:5432/path'
    assert redact_text(text) == text


def test_a_changed_secret_value_is_told_apart_without_being_shown() -> None:
    before = {"kind": "Secret", "data": {"a": "MQ==", "b": "Mg=="}}
    after = {"kind": "Secret", "data": {"a": "MQ==", "b": "Mw=="}}
    assert redact_object(after, before)["data"] == {"a": MASK, "b": f"{MASK} (changed)"}
    assert after["data"]["b"] == "Mw=="


def test_last_applied_configuration_of_kubectl_may_hold_values_and_is_dropped() -> None:
    annotations = {"kubectl.kubernetes.io/last-applied-configuration": "{...}", "x": "y"}
    shown = redact_object({"kind": "ConfigMap", "metadata": {"annotations": annotations}})
    assert shown["metadata"]["annotations"] == {"x": "y"}
