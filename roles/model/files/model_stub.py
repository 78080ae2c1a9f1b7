# Copyright: ragops.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""ragops-stub: a small deterministic stand-in for a language model, with the HTTP API of OpenAI.

It is no language model. It answers a question only with sentences of the context it was given: those that
share the most words with the question. Where none does, it says that it does not know. So what comes out of
an application in front of it was really stored and really found. Embeddings are a hashed bag of words: equal
text gives equal vectors, shared words give similarity.

Served: /v1/chat/completions (also as a stream), /v1/embeddings (floats or base64), /v1/models, /health.
The prompts of LightRAG 1.5 for keywords, extraction and summaries get the forms they ask for.

Environment: STUB_API_KEY (required: the Bearer key), PORT (8000), HOST (0.0.0.0), STUB_MODEL (ragops-stub),
STUB_EMBEDDING_MODEL (ragops-stub-embedding), STUB_EMBEDDING_DIM (256).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import itertools
import json
import math
import os
import re
import signal
import struct
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

UNKNOWN = "I do not know: the context does not say."
MAX_BODY_BYTES = 64 * 1024 * 1024
MAX_SENTENCES = 3
MAX_ENTITIES = 12
DELIMITER, COMPLETE = "<|#|>", "<|COMPLETE|>"

STOP_WORDS = frozenset(
    re.findall(
        r"\w+",
        """a about all am an and any are as at be been but by can could did do does for from had has have how i if in
        into is it its me my no not of on or our please s say should so tell than that the their them then there
        these they this to was we were what when where which who whom whose why will with would you your""",
    )
)


# ---- words -------------------------------------------------------------------------------------------------


def content_words(text: str) -> list[str]:
    """Lower-case words that carry meaning, in order; a plural counts as its singular."""
    words = (_singular(word) for word in re.findall(r"\w+", text.lower()))
    return [word for word in words if word not in STOP_WORDS]


def _singular(word: str) -> str:
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word


def sentences(text: str) -> list[str]:
    """The sentences and lines of a text."""
    parts = re.split(r"(?<=[.!?])\s+|\n+", text)
    return [part.strip() for part in parts if part.strip()]


def names(text: str) -> list[str]:
    """What looks like a name: words that begin with a capital (several in a row are one name) or hold a digit."""
    found: dict[str, None] = {}
    for sentence in sentences(text):
        run: list[str] = []
        for word in [*re.findall(r"[\w-]+", sentence), ""]:
            if word and (word[0].isupper() or any(char.isdigit() for char in word)) and word.lower() not in STOP_WORDS:
                run.append(word)
                continue
            if run and len(" ".join(run)) > 2:
                found[" ".join(run)] = None
            run = []
    return list(found)


# ---- embeddings --------------------------------------------------------------------------------------------


def embed(text: str, dim: int) -> list[float]:
    """A hashed bag of words of length 1."""
    vector = [0.0] * dim
    words = content_words(text) or re.findall(r"\w+", text.lower()) or ["empty"]
    for word in set(words):
        digest = hashlib.sha256(word.encode()).digest()
        for offset in range(0, 24, 6):
            index = int.from_bytes(digest[offset : offset + 4], "big") % dim
            vector[index] += 1.0 if digest[offset + 4] & 1 else -1.0
    norm = math.sqrt(sum(value * value for value in vector)) or 1.0
    return [value / norm for value in vector]


def to_base64(vector: list[float]) -> str:
    """Little-endian float32, as the OpenAI client decodes it."""
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()


# ---- the context of a prompt -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Passage:
    """A piece of the given context, and the reference it carries there."""

    text: str
    reference: str = ""


def passages(context: str) -> list[Passage]:
    """The pieces of a context: values of JSON lines (LightRAG writes one object a line), else the text itself."""
    found: list[Passage] = []
    for line in context.splitlines():
        record = _json_object(line)
        if record is None:
            if not _is_frame(line):
                found.append(Passage(line.strip()))
            continue
        reference = str(record.get("reference_id") or "")
        found.extend(Passage(str(record[key]), reference) for key in ("content", "description") if record.get(key))
    return found


def references(context: str) -> dict[str, str]:
    """`[1] title` lines of the reference list of a LightRAG context."""
    tail = context.rpartition("Reference Document List")[2]
    return {number: title.strip() for number, title in re.findall(r"^\[(\w+)\]\s+(.+)$", tail, re.MULTILINE)}


def _json_object(line: str) -> dict[str, Any] | None:
    if not line.lstrip().startswith("{"):
        return None
    try:
        record = json.loads(line)
    except ValueError:
        return None
    return record if isinstance(record, dict) else None


def _is_frame(line: str) -> bool:
    """Headings, fences and the reference list hold the context, but are none of it."""
    text = line.strip()
    return (
        not text
        or text.startswith(("```", "---", "#"))
        or re.match(r"\[\w+\]\s", text) is not None
        or re.match(r"(Knowledge Graph Data|Document Chunks|Reference Document List)\b.*:$", text) is not None
    )


def split_prompt(messages: list[tuple[str, str]]) -> tuple[str, str]:
    """Context and question of a conversation of (role, text); without a marked context there is none."""
    question = next((text for role, text in reversed(messages) if role == "user"), "")
    for role, text in messages:
        if role in ("system", "developer") and "---Context---" in text:
            return text.partition("---Context---")[2], question
    asked = re.search(r"^\s*(?:question|user query)\s*:\s*(.+?)\s*(?:^\s*(?:helpful )?answer\s*:.*)?\Z", question, re.I | re.M | re.S)
    if asked:
        before = question[: asked.start()]
        marked = re.search(r"^\s*(?:context|sources)\s*:\s*(.*)", before, re.I | re.M | re.S)
        return (marked.group(1) if marked else before.partition("\n")[2]), asked.group(1)
    return "", question


# ---- answers -----------------------------------------------------------------------------------------------


def answer(context: str, question: str) -> str:
    """The sentences of the context that share the most words with the question, and their references."""
    asked = set(content_words(question))
    enough = max(1, math.ceil(len(asked) / 3))
    scored: list[tuple[int, str, str]] = []
    for passage in passages(context):
        for sentence in sentences(passage.text):
            shared = len(asked & set(content_words(sentence)))
            if shared >= enough:
                scored.append((shared, sentence, passage.reference))
    if not asked or not scored:
        return UNKNOWN
    best = max(score for score, _sentence, _reference in scored)
    chosen: dict[str, str] = {}
    for score, sentence, reference in scored:
        if score == best:
            chosen[sentence] = chosen.get(sentence) or reference
    picked = list(chosen.items())[:MAX_SENTENCES]
    titles = references(context)
    cited = dict.fromkeys(reference for _sentence, reference in picked if reference in titles)
    lines = [" ".join(sentence for sentence, _reference in picked)]
    if cited:
        lines += ["", "### References", "", *(f"- [{number}] {titles[number]}" for number in cited)]
    return "\n".join(lines)


def keywords(prompt: str) -> str:
    """LightRAG's keyword form, from the words of the query alone."""
    query = prompt.rpartition("User Query:")[2].partition("\n---Output---")[0].strip()
    high = list(dict.fromkeys(content_words(query)))[:8]
    low = names(query)[:8] or high
    return json.dumps({"high_level_keywords": high, "low_level_keywords": low}, ensure_ascii=False)


def extraction(prompt: str, as_json: bool) -> str:
    """LightRAG's entities and relations: the names in the text, each described by its own sentence."""
    text = re.sub(r"^\s*```\w*\n|\n```\s*$", "", prompt.rpartition("---Input Text---")[2].rpartition("---Output---")[0].strip())
    entities: dict[str, str] = {}
    relations: dict[tuple[str, str], str] = {}
    for sentence in sentences(text):
        here = [name for name in names(sentence) if name in entities or len(entities) < MAX_ENTITIES]
        for name in here:
            entities.setdefault(name, sentence)
        for pair in itertools.pairwise(here):
            relations.setdefault(pair, sentence)
    if as_json:
        return json.dumps(
            {
                "entities": [{"name": name, "type": "Other", "description": said} for name, said in entities.items()],
                "relationships": [{"source": one, "target": two, "keywords": "named together", "description": said} for (one, two), said in relations.items()],
            },
            ensure_ascii=False,
        )
    rows = [DELIMITER.join(("entity", name, "Other", said)) for name, said in entities.items()]
    rows += [DELIMITER.join(("relation", one, two, "named together", said)) for (one, two), said in relations.items()]
    return "\n".join([*rows, COMPLETE])


def summary(prompt: str) -> str:
    """LightRAG's summary of descriptions: each of them once."""
    listed = prompt.rpartition("Description List:")[2].rpartition("---Output---")[0]
    said = [str(record.get("Description") or record.get("description") or "") for record in map(_json_object, listed.splitlines()) if record]
    return " ".join(dict.fromkeys(text for text in said if text)) or UNKNOWN


def reply(messages: list[tuple[str, str]]) -> str:
    """What to say to a conversation: the form a known prompt asks for, else an answer from the context."""
    last = messages[-1][1] if messages else ""
    rules = "\n".join(text for role, text in messages if role in ("system", "developer"))
    if "high_level_keywords" in last and "User Query:" in last:
        return keywords(last)
    if "Knowledge Graph Specialist" in rules and "extracting entities" in rules:
        as_json = "`entities` and `relationships`" in rules
        if "---Input Text---\n" in last:
            return extraction(last, as_json)
        # the second look asks what the first one missed
        return '{"entities": [], "relationships": []}' if as_json else COMPLETE
    if "Description List:" in last and "Knowledge Graph Specialist" in last:
        return summary(last)
    return answer(*split_prompt(messages))


# ---- HTTP --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Settings:
    """What the environment says."""

    api_key: str
    host: str
    port: int
    model: str
    embedding_model: str
    embedding_dim: int

    @classmethod
    def from_env(cls, env: dict[str, str]) -> Settings:
        """Raises ValueError with the remedy when the environment will not do."""
        key = env.get("STUB_API_KEY", "")
        if not key:
            raise ValueError("STUB_API_KEY is not set. Give the key that clients have to send as 'Authorization: Bearer KEY'.")
        try:
            port, dim = int(env.get("PORT", "8000")), int(env.get("STUB_EMBEDDING_DIM", "256"))
        except ValueError as error:
            raise ValueError(f"PORT and STUB_EMBEDDING_DIM must be whole numbers: {error}.") from error
        if dim < 1:
            raise ValueError("STUB_EMBEDDING_DIM must be at least 1.")
        return cls(
            key,
            env.get("HOST", "0.0.0.0"),  # noqa: S104 - it serves other pods
            port,
            env.get("STUB_MODEL", "ragops-stub"),
            env.get("STUB_EMBEDDING_MODEL", "ragops-stub-embedding"),
            dim,
        )


class BadRequestError(Exception):
    """The request cannot be served; the text goes to the client."""


def read_messages(payload: dict[str, Any]) -> list[tuple[str, str]]:
    """(role, text) of each message; parts of a message that are no text are left out."""
    raw = payload.get("messages")
    if not isinstance(raw, list) or not raw or not all(isinstance(item, dict) for item in raw):
        raise BadRequestError("'messages' must be a non-empty list of objects.")
    found = []
    for item in raw:
        content = item.get("content") or ""
        if isinstance(content, list):
            content = " ".join(str(part.get("text") or "") for part in content if isinstance(part, dict))
        found.append((str(item.get("role") or "user"), str(content)))
    return found


def chat(payload: dict[str, Any], settings: Settings) -> dict[str, Any]:
    """A chat.completion."""
    messages = read_messages(payload)
    text = reply(messages)
    return {
        **_head("chat.completion", payload, settings),
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
        "usage": _usage((content for _role, content in messages), text),
    }


def chat_events(payload: dict[str, Any], settings: Settings) -> Iterator[str]:
    """The same as server-sent events, a line of text an event."""
    whole = chat(payload, settings)
    head = {**_head("chat.completion.chunk", payload, settings), "id": whole["id"]}

    def event(delta: dict[str, str], finish: str | None = None) -> str:
        return f"data: {json.dumps({**head, 'choices': [{'index': 0, 'delta': delta, 'finish_reason': finish}]})}\n\n"

    yield event({"role": "assistant", "content": ""})
    for line in whole["choices"][0]["message"]["content"].splitlines(keepends=True):
        yield event({"content": line})
    yield event({}, "stop")
    if (payload.get("stream_options") or {}).get("include_usage"):
        yield f"data: {json.dumps({**head, 'choices': [], 'usage': whole['usage']})}\n\n"
    yield "data: [DONE]\n\n"


def embeddings(payload: dict[str, Any], settings: Settings) -> dict[str, Any]:
    """A list of embeddings."""
    raw = payload.get("input")
    texts: list[str] = [text for text in (raw if isinstance(raw, list) else [raw]) if isinstance(text, str)]
    if not texts or (isinstance(raw, list) and len(texts) != len(raw)):
        raise BadRequestError("'input' must be a text or a non-empty list of texts.")
    dim = payload.get("dimensions", settings.embedding_dim)
    if not isinstance(dim, int) or dim < 1:
        raise BadRequestError("'dimensions' must be a positive whole number.")
    vectors = [embed(text, dim) for text in texts]
    packed = payload.get("encoding_format") == "base64"
    usage = _usage(texts, "")
    return {
        "object": "list",
        "model": payload.get("model") or settings.embedding_model,
        "data": [{"object": "embedding", "index": index, "embedding": to_base64(vector) if packed else vector} for index, vector in enumerate(vectors)],
        "usage": {"prompt_tokens": usage["prompt_tokens"], "total_tokens": usage["prompt_tokens"]},
    }


def models(settings: Settings) -> dict[str, Any]:
    """The models on offer."""
    served = dict.fromkeys((settings.model, settings.embedding_model))
    return {"object": "list", "data": [{"id": name, "object": "model", "created": 0, "owned_by": "ragops.stack"} for name in served]}


def _head(kind: str, payload: dict[str, Any], settings: Settings) -> dict[str, Any]:
    digest = hashlib.sha256(json.dumps(payload, sort_keys=True).encode()).hexdigest()[:24]
    return {"id": f"chatcmpl-{digest}", "object": kind, "created": int(time.time()), "model": payload.get("model") or settings.model}


def _usage(prompts: Iterable[str], text: str) -> dict[str, int]:
    asked, said = sum(len(prompt.split()) for prompt in prompts), len(text.split())
    return {"prompt_tokens": asked, "completion_tokens": said, "total_tokens": asked + said}


class Handler(BaseHTTPRequestHandler):
    """One request."""

    protocol_version = "HTTP/1.1"
    server: StubServer

    def do_GET(self) -> None:
        path = self.path.partition("?")[0].rstrip("/")
        if path == "/health":
            self._json(200, {"status": "ok", "model": self.server.settings.model, "stand_in": True})
        elif self._authorised():
            if path == "/v1/models":
                self._json(200, models(self.server.settings))
            else:
                self._error(404, f"There is nothing at {path}.")

    def do_POST(self) -> None:
        payload_bytes = self._body()
        if payload_bytes is None or not self._authorised():
            return
        path, settings = self.path.partition("?")[0].rstrip("/"), self.server.settings
        try:
            payload = json.loads(payload_bytes or b"{}")
            if not isinstance(payload, dict):
                raise BadRequestError("The body must be a JSON object.")
            if path == "/v1/embeddings":
                self._json(200, embeddings(payload, settings))
            elif path != "/v1/chat/completions":
                self._error(404, f"There is nothing at {path}.")
            elif payload.get("stream"):
                self._send(200, "".join(chat_events(payload, settings)).encode(), "text/event-stream")
            else:
                self._json(200, chat(payload, settings))
        except (BadRequestError, ValueError) as error:
            self._error(400, str(error))

    def _body(self) -> bytes | None:
        try:
            length = int(self.headers.get("Content-Length") or 0)
        except ValueError:
            length = -1
        if 0 <= length <= MAX_BODY_BYTES:
            return self.rfile.read(length)
        self.close_connection = True
        self._error(413, f"Content-Length must be a number up to {MAX_BODY_BYTES}.")
        return None

    def _authorised(self) -> bool:
        sent = self.headers.get("Authorization") or ""
        if hmac.compare_digest(sent.encode(), f"Bearer {self.server.settings.api_key}".encode()):
            return True
        self._error(401, "Incorrect API key provided.", "invalid_api_key")
        return False

    def _error(self, status: int, message: str, code: str | None = None) -> None:
        self._json(status, {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": code}})

    def _json(self, status: int, payload: dict[str, Any]) -> None:
        self._send(status, json.dumps(payload).encode(), "application/json")

    def _send(self, status: int, data: bytes, content_type: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is the base class's
        if not self.path.startswith("/health"):
            # one write, so that threads do not mix their lines
            sys.stdout.write(f"{self.client_address[0]} {format % args}\n")
            sys.stdout.flush()


class StubServer(ThreadingHTTPServer):
    """The server; a thread a request, none of which keeps the process alive."""

    daemon_threads = True

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        super().__init__((settings.host, settings.port), Handler)


def main() -> int:
    try:
        settings = Settings.from_env(dict(os.environ))
    except ValueError as error:
        print(f"Failed to start ragops-stub: {error}", file=sys.stderr)
        return 2
    server = StubServer(settings)

    def stop(_signal: int, _frame: object) -> None:
        # shutdown() waits for serve_forever(), which runs in this very thread
        threading.Thread(target=server.shutdown, daemon=True).start()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    print(
        f"{settings.model}: a deterministic STAND-IN, not a language model. It answers only from the context of each prompt. "
        f"Port {server.server_port}, embeddings of {settings.embedding_dim} dimensions.",
        flush=True,
    )
    server.serve_forever(poll_interval=0.1)
    server.server_close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
