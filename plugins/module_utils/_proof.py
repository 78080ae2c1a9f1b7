# Copyright: ragops.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The proof that a stack answers: a fact nobody could guess is asked for in vain, written, found, and removed.

Any application fits that can be asked, told and made to forget.
"""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from typing import Any, Protocol

from ansible_collections.ragops.stack.plugins.module_utils._errors import RagopsError
from ansible_collections.ragops.stack.plugins.module_utils._redact import redact_text

CLEAN_UP_SECONDS = 30.0  # after a failure the document is removed if that is quickly done
_SYLLABLES = ("ba", "de", "fi", "go", "hu", "ka", "le", "mi", "no", "pu", "ra", "se", "ti", "vo", "zu")


@dataclass(frozen=True)
class Nonce:
    """A made-up place and its made-up code: the question names the place, only the document knows the code."""

    place: str
    code: str

    @property
    def source(self) -> str:
        return f"ragops-proof-{self.code.lower()}.txt"

    @property
    def text(self) -> str:
        return (
            f"Station {self.place} is a lighthouse on an island. "
            f"The harbour code of station {self.place} is {self.code}. "
            f"Station {self.place} was written down to prove that this system answers."
        )

    def question(self, number: int) -> str:
        """Worded anew each time: an application may answer a repeated question from its cache."""
        return f"What is the harbour code of station {self.place}? (request {number})"


def make_nonce() -> Nonce:
    place = "".join(secrets.choice(_SYLLABLES) for _i in range(4)).capitalize()
    return Nonce(place=place, code=f"HC{secrets.token_hex(5).upper()}")


class App(Protocol):
    """What the proof needs of an application."""

    def login(self) -> None: ...

    def ask(self, question: str) -> dict[str, Any]: ...

    def tell(self, source: str, text: str) -> str: ...

    def wait(self, ticket: str, source: str) -> None: ...

    def forget(self, source: str, timeout: float | None = None) -> None: ...


def prove(app: App, nonce: Nonce) -> dict[str, Any]:
    """Seconds for each stage, question and answer; raises where a stage does not hold. Cleans up in any case."""
    seconds: dict[str, float] = {}
    start = time.monotonic()

    def timed(stage: str, begin: float) -> None:
        seconds[stage] = round(time.monotonic() - begin, 2)

    app.login()
    timed("login", start)
    begin = time.monotonic()
    before = app.ask(nonce.question(1))
    if nonce.code in before["answer"]:
        raise RagopsError("Failed to prove the answer: it knew the fact before it was written. Something returns made-up or cached answers.")
    timed("negative", begin)
    written = False
    try:
        begin = time.monotonic()
        ticket = app.tell(nonce.source, nonce.text)
        written = True
        timed("insert", begin)
        begin = time.monotonic()
        app.wait(ticket, nonce.source)
        timed("process", begin)
        begin = time.monotonic()
        question = nonce.question(2)
        after = app.ask(question)
        timed("query", begin)
        reference = check_answer(nonce, after)
    except RagopsError as exc:
        left = _clean_up(app, nonce) if written else ""
        raise RagopsError(f"{exc}{left}", **exc.details) from exc
    begin = time.monotonic()
    app.forget(nonce.source)
    timed("delete", begin)
    timed("total", start)
    return {
        "question": question,
        "answer": after["answer"],
        "reference": reference,
        "negative_control": before["answer"][:300],
        "seconds": seconds,
    }


def check_answer(nonce: Nonce, got: dict[str, Any]) -> str:
    """The reference that names our document."""
    if nonce.code not in got["answer"]:
        said = redact_text(got["answer"])[:300] or "(nothing)"
        raise RagopsError(
            f'Failed to prove the answer: the fact was ingested, but the answer does not have it. It said: "{said}". '
            "Does the embedding model of the store match the one in use, and does the language model follow its context?"
        )
    for reference in got["references"]:
        if nonce.source in str(reference.get("file_path") or reference):
            return nonce.source
    raise RagopsError(
        f"Failed to prove the answer: it has the fact, but refers to {got['references'] or 'no document'} instead of {nonce.source}. "
        "Does something beside the document store answer?"
    )


def _clean_up(app: App, nonce: Nonce) -> str:
    """What is left behind; the failure that led here stays the one to report."""
    try:
        app.forget(nonce.source, CLEAN_UP_SECONDS)
    except RagopsError:
        # LightRAG for one cannot delete while its model endpoint refuses it.
        return f" The proof's document {nonce.source} could not be deleted: delete it when the cause is cured."
    return ""
