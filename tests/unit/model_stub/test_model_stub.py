# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The stand-in model: honest answers, the forms LightRAG asks for, and the HTTP API of OpenAI."""

from __future__ import annotations

import base64
import importlib.util
import json
import os
import signal
import struct
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

SOURCE = Path(__file__).resolve().parents[3] / "roles" / "model" / "files" / "model_stub.py"
_spec = importlib.util.spec_from_file_location("model_stub", SOURCE)
assert _spec is not None and _spec.loader is not None
stub = importlib.util.module_from_spec(_spec)
sys.modules["model_stub"] = stub
_spec.loader.exec_module(stub)

KEY = "k-123"
FACT = "The harbour code of station Bafika is HC12AB."
QUESTION = "What is the harbour code of station Bafika? (request 2)"


def rag_prompt(chunks: list[tuple[str, str]], entities: list[tuple[str, str]] = ()) -> str:  # type: ignore[assignment]
    """The system prompt of a LightRAG query, in its shape of version 1.5."""
    return "\n".join(
        [
            "---Role---",
            "You are an expert AI assistant. What is the harbour code of station Bafika? Not in these rules.",
            "---Instructions---",
            "  - The References section should be under heading: `### References`",
            "```",
            "### References",
            "- [1] Document Title One",
            "```",
            "6. Additional Instructions: n/a",
            "---Context---",
            "Knowledge Graph Data (Entity):",
            "```json",
            *(json.dumps({"entity": name, "type": "Other", "description": said}) for name, said in entities),
            "```",
            "Document Chunks (Each entry has a reference_id refer to the `Reference Document List`; the optional ...):",
            "```json",
            *(json.dumps({"reference_id": str(number), "content": text}) for number, (_name, text) in enumerate(chunks, 1)),
            "```",
            "Reference Document List (Each entry starts with a [reference_id] that corresponds to entries in the Document Chunks):",
            "```",
            *(f"[{number}] {name}" for number, (name, _text) in enumerate(chunks, 1)),
            "```",
        ]
    )


def ask(prompt: str, question: str) -> str:
    return str(stub.reply([("system", prompt), ("user", question)]))


# ---- answers -----------------------------------------------------------------------------------------------


def test_it_answers_from_the_context_with_the_reference() -> None:
    said = ask(rag_prompt([("other.txt", "Lighthouses are tall."), ("fact.txt", f"Station Bafika is a lighthouse. {FACT} It was written down.")]), QUESTION)
    assert said == f"{FACT}\n\n### References\n\n- [2] fact.txt"


def test_it_does_not_know_what_the_context_does_not_say() -> None:
    assert ask(rag_prompt([("other.txt", "Lighthouses are tall.")]), QUESTION) == stub.UNKNOWN
    assert ask(rag_prompt([]), QUESTION) == stub.UNKNOWN
    assert stub.reply([("user", QUESTION)]) == stub.UNKNOWN


def test_it_never_says_the_question_or_the_rules() -> None:
    said = ask(rag_prompt([("other.txt", "Nothing here.")]), QUESTION)
    assert "Bafika" not in said and "rules" not in said


def test_an_entity_of_the_graph_is_context_too() -> None:
    assert ask(rag_prompt([], [("Bafika", FACT)]), QUESTION) == FACT


def test_the_same_sentence_is_said_once() -> None:
    said = ask(rag_prompt([("fact.txt", FACT)], [("Bafika", FACT), ("HC12AB", FACT)]), QUESTION)
    assert said.count(FACT) == 1
    assert "[1] fact.txt" in said


def test_a_word_in_common_is_not_enough() -> None:
    assert ask(rag_prompt([("a.txt", "The station is closed.")]), QUESTION) == stub.UNKNOWN


def test_a_plain_context_before_a_question() -> None:
    prompt = "Use the following pieces of context to answer.\nContext:\nThe cup was won by Ann.\nThe sun shone.\nQuestion: Who won the cup?\nHelpful Answer:"
    assert stub.reply([("user", prompt)]) == "The cup was won by Ann."


def test_plurals_and_case_do_not_matter() -> None:
    assert stub.content_words("The Harbours of the STATION") == ["harbour", "station"]


# ---- LightRAG's forms --------------------------------------------------------------------------------------


def test_keywords() -> None:
    prompt = (
        'The JSON object must contain exactly these two keys:\n - `"high_level_keywords"`\n - `"low_level_keywords"`\n'
        f'{{"high_level_keywords": ["<high_level_keyword>"]}}\n---Real Data---\nUser Query: {QUESTION}\n\n---Output---\nOutput:'
    )
    got = json.loads(stub.reply([("user", prompt)]))
    assert got["high_level_keywords"][:4] == ["harbour", "code", "station", "bafika"]
    assert "Bafika" in got["low_level_keywords"]


def test_keywords_of_an_empty_query() -> None:
    assert json.loads(stub.keywords("low_level_keywords User Query: \n\n---Output---")) == {"high_level_keywords": [], "low_level_keywords": []}


RULES = "You are a Knowledge Graph Specialist responsible for extracting entities and relationships from the `---Input Text---` section."


def extraction_prompt(text: str) -> str:
    return f"---Task---\nExtract from the `---Input Text---` section below.\n\n---Input Text---\n```\n{text}\n```\n\n---Output---\n"


def test_extraction_as_rows() -> None:
    got = stub.reply([("system", RULES + " `entity<|#|>`"), ("user", extraction_prompt("Maria Keller works in Oslo. It rains."))]).splitlines()
    assert got == [
        "entity<|#|>Maria Keller<|#|>Other<|#|>Maria Keller works in Oslo.",
        "entity<|#|>Oslo<|#|>Other<|#|>Maria Keller works in Oslo.",
        "relation<|#|>Maria Keller<|#|>Oslo<|#|>named together<|#|>Maria Keller works in Oslo.",
        "<|COMPLETE|>",
    ]


def test_extraction_as_json() -> None:
    rules = RULES + " Return one valid JSON object with `entities` and `relationships` arrays only."
    got = json.loads(stub.reply([("system", rules), ("user", extraction_prompt("Maria Keller works in Oslo."))]))
    assert [entity["name"] for entity in got["entities"]] == ["Maria Keller", "Oslo"]
    assert got["relationships"][0]["source"] == "Maria Keller"


def test_the_second_look_finds_nothing_more() -> None:
    history = [("system", RULES), ("user", extraction_prompt("Maria")), ("assistant", "x"), ("user", "Based on the last extraction task, ...\n---Output---\n")]
    assert stub.reply(history) == "<|COMPLETE|>"
    history[0] = ("system", RULES + " with `entities` and `relationships` arrays")
    assert json.loads(stub.reply(history)) == {"entities": [], "relationships": []}


def test_extraction_is_bounded() -> None:
    text = " ".join(f"Name{number} is here." for number in range(50))
    rows = stub.reply([("system", RULES), ("user", extraction_prompt(text))]).splitlines()
    assert len([row for row in rows if row.startswith("entity")]) == stub.MAX_ENTITIES


def test_summary() -> None:
    rows = "\n".join(json.dumps({"Description": said}) for said in ("A is old.", "A is old.", "A is red."))
    rules = "You are a Knowledge Graph Specialist, proficient in data curation."
    prompt = f"{rules}\n---Input---\nEntity Name: A\n\nDescription List:\n\n```\n{rows}\n```\n\n---Output---\n"
    assert stub.reply([("user", prompt)]) == "A is old. A is red."


# ---- embeddings --------------------------------------------------------------------------------------------


def cosine(one: list[float], two: list[float]) -> float:
    return sum(a * b for a, b in zip(one, two, strict=True))


def test_embeddings_are_unit_vectors_and_shared_words_are_similar() -> None:
    fact, question, other = (stub.embed(text, 256) for text in (FACT, QUESTION, "Bread is baked from flour and water."))
    assert cosine(fact, fact) == pytest.approx(1.0)
    assert cosine(fact, question) > 0.6
    assert abs(cosine(other, question)) < 0.3
    assert stub.embed(FACT, 256) == fact
    assert len(stub.embed("", 8)) == 8


# ---- HTTP --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def base() -> Iterator[str]:
    server = stub.StubServer(stub.Settings(KEY, "127.0.0.1", 0, "ragops-stub", "ragops-stub-embedding", 16))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def call(url: str, body: Any = None, key: str | None = KEY) -> tuple[int, bytes]:
    data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {key}"} if key else {})}
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data, headers), timeout=5) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def test_health_is_open_and_says_that_it_is_a_stand_in(base: str) -> None:
    status, body = call(f"{base}/health", key=None)
    assert (status, json.loads(body)["stand_in"]) == (200, True)


@pytest.mark.parametrize("key", [None, "wrong", KEY + "x"])
def test_everything_else_needs_the_key(base: str, key: str | None) -> None:
    for path, body in (("/v1/models", None), ("/v1/embeddings", {"input": "x"}), ("/v1/chat/completions", {"messages": []})):
        status, text = call(base + path, body, key)
        assert status == 401
        assert json.loads(text)["error"]["code"] == "invalid_api_key"


def test_models(base: str) -> None:
    assert [model["id"] for model in json.loads(call(f"{base}/v1/models")[1])["data"]] == ["ragops-stub", "ragops-stub-embedding"]


def test_chat(base: str) -> None:
    messages = [{"role": "system", "content": rag_prompt([("f", FACT)])}, {"role": "user", "content": [{"type": "text", "text": QUESTION}]}]
    status, body = call(f"{base}/v1/chat/completions", {"model": "m", "messages": messages})
    got = json.loads(body)
    assert status == 200
    assert got["object"] == "chat.completion" and got["model"] == "m"
    assert got["choices"][0]["message"]["content"].startswith(FACT)
    assert got["usage"]["total_tokens"] == got["usage"]["prompt_tokens"] + got["usage"]["completion_tokens"]


def test_chat_as_a_stream(base: str) -> None:
    messages = [{"role": "system", "content": rag_prompt([("f", FACT)])}, {"role": "user", "content": QUESTION}]
    whole = json.loads(call(f"{base}/v1/chat/completions", {"messages": messages})[1])["choices"][0]["message"]["content"]
    body = {"messages": messages, "stream": True, "stream_options": {"include_usage": True}}
    events = call(f"{base}/v1/chat/completions", body)[1].decode().strip().split("\n\n")
    assert events[-1] == "data: [DONE]"
    chunks = [json.loads(event.removeprefix("data: ")) for event in events[:-1]]
    assert "".join(choice["delta"].get("content", "") for chunk in chunks for choice in chunk["choices"]) == whole
    assert chunks[-2]["choices"][0]["finish_reason"] == "stop"
    assert chunks[-1]["usage"]["total_tokens"] > 0


def test_embeddings_as_floats_and_base64(base: str) -> None:
    floats = json.loads(call(f"{base}/v1/embeddings", {"input": ["a b", "c"]})[1])["data"]
    packed = json.loads(call(f"{base}/v1/embeddings", {"input": "a b", "encoding_format": "base64"})[1])["data"]
    assert [row["index"] for row in floats] == [0, 1]
    assert len(floats[0]["embedding"]) == 16
    assert struct.unpack("<16f", base64.b64decode(packed[0]["embedding"])) == pytest.approx(floats[0]["embedding"])
    shorter = json.loads(call(f"{base}/v1/embeddings", {"input": "a", "dimensions": 4})[1])["data"]
    assert len(shorter[0]["embedding"]) == 4


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/v1/nothing", {}, 404),
        ("/v1/chat/completions", b"{", 400),
        ("/v1/chat/completions", b"[]", 400),
        ("/v1/chat/completions", {"messages": "x"}, 400),
        ("/v1/embeddings", {}, 400),
        ("/v1/embeddings", {"input": []}, 400),
        ("/v1/embeddings", {"input": ["a", 1]}, 400),
        ("/v1/embeddings", {"input": "a", "dimensions": 0}, 400),
    ],
)
def test_bad_requests(base: str, path: str, body: Any, status: int) -> None:
    got, text = call(base + path, body)
    assert got == status
    assert json.loads(text)["error"]["message"]


@pytest.mark.parametrize(
    ("env", "said"),
    [({}, "STUB_API_KEY is not set"), ({"STUB_API_KEY": "k", "PORT": "x"}, "whole numbers"), ({"STUB_API_KEY": "k", "STUB_EMBEDDING_DIM": "0"}, "at least 1")],
)
def test_settings_that_will_not_do(env: dict[str, str], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        stub.Settings.from_env(env)


def test_it_names_itself_a_stand_in_and_stops_at_once() -> None:
    env = {**os.environ, "STUB_API_KEY": KEY, "PORT": "0", "HOST": "127.0.0.1"}
    with subprocess.Popen([sys.executable, "-B", str(SOURCE)], env=env, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert "STAND-IN, not a language model" in line
        start = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=5) == 0
        assert time.monotonic() - start < 1.5


def test_without_a_key_it_does_not_start() -> None:
    env = {name: value for name, value in os.environ.items() if name != "STUB_API_KEY"}
    done = subprocess.run([sys.executable, "-B", str(SOURCE)], env=env, capture_output=True, text=True, timeout=10, check=False)
    assert done.returncode == 2
    assert "Failed to start ragops-stub: STUB_API_KEY is not set." in done.stderr
