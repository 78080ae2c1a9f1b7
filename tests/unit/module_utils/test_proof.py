# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The proof has to fail whenever the application does not really answer from what it was told."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.ragops.stack.plugins.module_utils._errors import RagopsError
from ansible_collections.ragops.stack.plugins.module_utils._proof import make_nonce, prove


class Honest:
    """Answers from what it was told."""

    def __init__(self) -> None:
        self.documents: dict[str, str] = {}
        self.calls: list[str] = []

    def login(self) -> None:
        self.calls.append("login")

    def ask(self, question: str) -> dict[str, Any]:
        self.calls.append("ask")
        for source, text in self.documents.items():
            return {"answer": text, "references": [{"file_path": source}]}
        return {"answer": "I do not know.", "references": []}

    def tell(self, source: str, text: str) -> str:
        self.calls.append("tell")
        self.documents[source] = text
        return "ticket"

    def wait(self, ticket: str, source: str) -> None:
        self.calls.append("wait")

    def forget(self, source: str, timeout: float | None = None) -> None:
        self.calls.append("forget")
        del self.documents[source]


def test_an_honest_application_is_proven_and_left_empty() -> None:
    app, nonce = Honest(), make_nonce()
    proof = prove(app, nonce)
    assert nonce.code in proof["answer"]
    assert nonce.code not in proof["question"]
    assert proof["reference"] == nonce.source
    assert set(proof["seconds"]) == {"login", "negative", "insert", "process", "query", "delete", "total"}
    assert app.calls == ["login", "ask", "tell", "wait", "ask", "forget"]
    assert app.documents == {}


class KnowsAll(Honest):
    def __init__(self, code: str) -> None:
        super().__init__()
        self.code = code

    def ask(self, question: str) -> dict[str, Any]:
        return {"answer": self.code, "references": []}


class Forgetful(Honest):
    def tell(self, source: str, text: str) -> str:
        super().tell(source, "nothing of it")
        return "ticket"


class NoReference(Honest):
    def ask(self, question: str) -> dict[str, Any]:
        return {**super().ask(question), "references": []}


class Broken(Honest):
    def wait(self, ticket: str, source: str) -> None:
        raise RagopsError("Failed to process document: no model.")


def test_one_that_knew_before_is_refused() -> None:
    nonce = make_nonce()
    with pytest.raises(RagopsError, match="before it was written"):
        prove(KnowsAll(nonce.code), nonce)


@pytest.mark.parametrize(("app", "wanted"), [(Forgetful(), "does not have it"), (NoReference(), "refers to no document"), (Broken(), "no model")])
def test_one_that_does_not_answer_from_the_document_is_refused_and_cleaned(app: Honest, wanted: str) -> None:
    with pytest.raises(RagopsError, match=wanted):
        prove(app, make_nonce())
    assert app.documents == {}


class CannotDelete(Broken):
    def forget(self, source: str, timeout: float | None = None) -> None:
        assert timeout is not None
        assert timeout <= 60, "a failure is not kept waiting"
        raise RagopsError("Failed to delete 1 documents: not done.")


def test_what_could_not_be_cleaned_is_named_beside_the_first_failure() -> None:
    nonce = make_nonce()
    with pytest.raises(RagopsError, match="no model") as caught:
        prove(CannotDelete(), nonce)
    assert nonce.source in str(caught.value)


def test_questions_differ_so_that_no_cache_can_answer() -> None:
    nonce = make_nonce()
    assert nonce.question(1) != nonce.question(2)
    assert make_nonce().code != make_nonce().code
