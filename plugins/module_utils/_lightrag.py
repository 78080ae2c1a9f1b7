# Copyright: ragops.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""LightRAG's HTTP API (1.4 and 1.5): documents and questions."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from typing import Any

from ansible_collections.ragops.stack.plugins.module_utils._api import Api
from ansible_collections.ragops.stack.plugins.module_utils._connection import secret_values
from ansible_collections.ragops.stack.plugins.module_utils._errors import RagopsError, sentence
from ansible_collections.ragops.stack.plugins.module_utils._http import Answer, HttpClient, application
from ansible_collections.ragops.stack.plugins.module_utils._module import Session
from ansible_collections.ragops.stack.plugins.module_utils._redact import redact_text

MODES = ["local", "global", "hybrid", "naive", "mix", "bypass"]
TARGET_OPTIONS: dict[str, Any] = {
    "url": {"type": "str"},
    "namespace": {"type": "str"},
    "service": {"type": "str"},
    "port": {"type": "int", "default": 9621},
    "app_key": {"type": "str", "no_log": True},
    "app_key_secret": {
        "type": "dict",
        "no_log": False,
        "options": {"name": {"type": "str", "required": True}, "key": {"type": "str", "default": "api-key", "no_log": False}},
    },
    "app_validate_certs": {"type": "bool", "default": True},
    "app_ca_path": {"type": "path"},
}
TARGET_RULES: dict[str, Any] = {
    "required_one_of": [("url", "service")],
    "mutually_exclusive": [("url", "service"), ("app_key", "app_key_secret")],
    "required_by": {"service": "namespace", "app_key_secret": "namespace"},
}
_DONE, _FAILED = "processed", "failed"
_POLL = 0.4  # LightRAG has no way to be told; its own web page asks every few seconds
_PAGE = 200


class Server:
    """``with Server(session) as rag``: LightRAG as the module's parameters name it, logged in by its key."""

    def __init__(self, session: Session) -> None:
        self._session, self._stack = session, contextlib.ExitStack()

    def __enter__(self) -> LightRag:
        params, key, secret = self._session.params, self._session.params["app_key"], self._session.params["app_key_secret"]
        api = Api(self._session.dynamic) if params["service"] or secret else None
        if secret and api:
            key = secret_values(api, params["namespace"], secret["name"], [secret["key"]])[secret["key"]]
        client = self._stack.enter_context(application(api, params, {"X-API-Key": key} if key else {}))
        return LightRag(client, self._session.progress.say)

    def __exit__(self, *problem: Any) -> None:
        self._stack.close()


class LightRag:
    def __init__(self, client: HttpClient, say: Callable[[str], None]) -> None:
        self.client, self._say = client, say

    def _call(self, what: str, method: str, path: str, body: Any = None, accept: tuple[int, ...] = (200,), timeout: float = 60.0) -> Answer:
        answer = self.client.call(method, path, body, timeout)
        if answer.status in accept:
            return answer
        remedy = ""
        if answer.status in (401, 403):
            remedy = "The API key is missing or wrong: name the Secret that LightRAG was installed with, or give its key"
        elif answer.status == 404:
            remedy = "Is this a LightRAG server, and does the URL include its prefix?"
        elif answer.status >= 500:
            remedy = "See LightRAG's log for the cause"
        raise RagopsError(f"Failed to {what}: LightRAG answered {answer.status}: {sentence(redact_text(answer.text)[:300])} {remedy}".strip())

    def verify_login(self) -> None:
        """The one route that always checks credentials; /health answers anybody and never asks a database."""
        self._call("log in to LightRAG", "GET", "/auth/verify")

    def status_counts(self) -> dict[str, int]:
        answer = self._call("count the documents", "GET", "/documents/status_counts")
        counts = answer.body.get("status_counts", answer.body)
        return {str(k).lower(): int(v) for k, v in counts.items()}

    # --- documents -------------------------------------------------------------------------------

    def insert(self, source: str, text: str) -> str | None:
        """The track id, or None where a document of that source is already there."""
        body = {"text": text, "file_source": source}
        answer = self._call(f"insert document {source}", "POST", "/documents/text", body, accept=(200, 409))
        if answer.status == 409 or answer.body.get("status") == "duplicated":
            return None
        return str(answer.body["track_id"])

    def tracked(self, track_id: str) -> list[dict[str, Any]]:
        return list(self._call("follow a document", "GET", f"/documents/track_status/{track_id}").body.get("documents") or [])

    def find(self, sources: set[str]) -> dict[str, dict[str, Any]]:
        """Documents by source, page by page until all are found or the list ends."""
        found: dict[str, dict[str, Any]] = {}
        page = 1
        while sources - set(found):
            body = {"page": page, "page_size": _PAGE, "sort_field": "updated_at", "sort_direction": "desc"}
            answer = self._call("list the documents", "POST", "/documents/paginated", body).body
            for document in answer.get("documents") or []:
                if document.get("file_path") in sources:
                    found.setdefault(document["file_path"], document)
            if not (answer.get("pagination") or {}).get("has_next"):
                break
            page += 1
        return found

    def wait_processed(self, track_id: str, source: str, timeout: float) -> dict[str, Any]:
        deadline = time.monotonic() + timeout
        status = "unknown"
        while time.monotonic() < deadline:
            documents = self.tracked(track_id)
            if documents:
                status = str(documents[0].get("status", "")).lower()
                if status == _DONE:
                    return documents[0]
                if status == _FAILED:
                    raise RagopsError(_why_failed(source, documents[0]))
            self._say(f"document {source} is {status}")
            time.sleep(_POLL)
        raise RagopsError(
            f"Failed to process document {source}: still {status} after {timeout:.0f} seconds. "
            "Does the model endpoint answer? Look at LightRAG's log; a slow model needs a longer wait_timeout."
        )

    def delete(self, documents: list[dict[str, Any]], timeout: float) -> None:
        """Delete and wait until they are gone; LightRAG does one destructive thing at a time and says busy to the rest."""
        ids = [d["id"] for d in documents]
        body = {"doc_ids": ids, "delete_file": False, "delete_llm_cache": True}
        deadline = time.monotonic() + timeout
        while True:
            answer = self._call("delete documents", "DELETE", "/documents/delete_document", body).body
            if answer.get("status") == "deletion_started":
                break
            if answer.get("status") == "not_allowed" or time.monotonic() > deadline:
                raise RagopsError(
                    f"Failed to delete {len(ids)} documents: LightRAG says {answer.get('message') or answer.get('status')}. Try again when it is idle."
                )
            self._say("LightRAG is busy with other documents")
            time.sleep(_POLL)
        tracks = {str(d["track_id"]) for d in documents if d.get("track_id")}
        while time.monotonic() < deadline:
            left = [d for t in tracks for d in self.tracked(t) if d["id"] in ids]
            if not left and not self.busy():
                return
            self._say(f"{len(left)} documents are being deleted")
            time.sleep(_POLL)
        raise RagopsError(f"Failed to delete {len(ids)} documents: not done after {timeout:.0f} seconds. See LightRAG's log.")

    def busy(self) -> bool:
        return bool(self._call("ask for the pipeline's state", "GET", "/documents/pipeline_status").body.get("busy"))

    # --- questions -------------------------------------------------------------------------------

    def query(self, question: str, mode: str, timeout: float, **options: Any) -> dict[str, Any]:
        body = {"query": question, "mode": mode, "include_references": True, **{k: v for k, v in options.items() if v is not None}}
        answer = self._call("ask LightRAG", "POST", "/query", body, timeout=timeout).body
        return {"answer": str(answer.get("response", "")), "references": list(answer.get("references") or [])}


def _why_failed(source: str, document: dict[str, Any]) -> str:
    said = redact_text(str(document.get("error_msg") or "no reason given"))[:400]
    low = said.lower()
    if "401" in low or "authentication" in low or "api key" in low or "bad key" in low:
        remedy = "The model endpoint refuses the key: correct the Secret of the model role"
    elif "connection" in low or "resolve" in low or "timeout" in low or "timed out" in low:
        remedy = "The model endpoint cannot be reached from the pod: check its base URL and network policies"
    elif "404" in low or ("model" in low and "not" in low):
        remedy = "The endpoint does not have that model: correct its name"
    elif "dimension" in low:
        remedy = "The embedding dimension does not fit what the store holds: set the model's true dimension, or re-index"
    else:
        remedy = "See LightRAG's log"
    return f"Failed to process document {source}: {sentence(said)} {remedy}."
