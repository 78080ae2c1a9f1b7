# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.kube_api import FakeKubeApi
from tests.fakes.lightrag_server import FakeLightRag
from tests.fakes.workloads import Workloads
from tests.integration.conftest import Call


@pytest.fixture
def rag() -> Iterator[FakeLightRag]:
    with FakeLightRag() as server:
        yield server


@pytest.fixture
def target(rag: FakeLightRag) -> dict[str, Any]:
    return {"url": rag.url, "app_key": rag.key}


DOCUMENTS = [{"source": "a.txt", "text": "alpha"}]


def test_predict_insert_and_find_nothing_to_do(rag: FakeLightRag, target: dict[str, Any], call: Call) -> None:
    args = {**target, "documents": DOCUMENTS}
    predicted = call("lightrag_document", check=True, **args)
    assert [(d["source"], d["operation"]) for d in predicted["documents"]] == [("a.txt", "inserted")]
    assert rag.documents == {}
    done = call("lightrag_document", **args)
    assert (done["changed"], done["documents"][0]["status"]) == (True, "processed")
    assert call("lightrag_document", **args)["changed"] is False


def test_delete_waits_for_a_busy_server(rag: FakeLightRag, target: dict[str, Any], call: Call) -> None:
    call("lightrag_document", documents=DOCUMENTS, **target)
    rag.busy_answers = 2
    args = {**target, "documents": [{"source": "a.txt", "state": "absent"}]}
    assert call("lightrag_document", check=True, **args)["changed"] is True
    assert call("lightrag_document", **args)["changed"] is True
    assert rag.documents == {}
    assert call("lightrag_document", **args)["changed"] is False


@pytest.mark.parametrize(
    ("error", "remedy"),
    [
        ("Error code: 401 - bad key", "refuses the key"),
        ("Connection error.", "cannot be reached"),
        ("Error code: 404 - model x not found", "does not have that model"),
        ("Embedding dimension mismatch", "dimension"),
    ],
)
def test_a_document_that_cannot_be_processed_names_the_cause(rag: FakeLightRag, target: dict[str, Any], call: Call, error: str, remedy: str) -> None:
    rag.fail_with = error
    result = call("lightrag_document", documents=DOCUMENTS, **target)
    assert error.rstrip(".") in result["msg"]
    assert remedy in result["msg"]


@pytest.mark.parametrize(
    ("document", "wanted"),
    [
        ({"source": " ", "text": "x"}, "its source is empty"),
        ({"source": "a", "text": " "}, "it has no text"),
        ({"source": "a", "path": "/nonexistent/file"}, "cannot be read"),
    ],
)
def test_a_bad_document_stops_the_list_before_the_first_write(
    rag: FakeLightRag, target: dict[str, Any], call: Call, document: dict[str, Any], wanted: str
) -> None:
    result = call("lightrag_document", documents=[*DOCUMENTS, document], **target)
    assert wanted in result["msg"]
    assert rag.documents == {}


def test_a_wrong_key_and_a_wrong_server_are_told_apart(rag: FakeLightRag, call: Call) -> None:
    wrong = call("lightrag_query", url=rag.url, app_key="wrong-key-1", query="who?")
    assert "LightRAG answered 403" in wrong["msg"]
    assert "API key is missing or wrong" in wrong["msg"]
    assert "wrong-key-1" not in json.dumps(wrong)
    nobody = call("lightrag_query", url="http://127.0.0.1:9", app_key="x", query="who?")
    assert "Is the application running there" in nobody["msg"]


def test_a_server_behind_a_url_needs_no_cluster(api: FakeKubeApi, rag: FakeLightRag, target: dict[str, Any], call: Call) -> None:
    api.stop()
    assert call("rag_proof", **target)["proof"]["reference"]


def test_a_broken_server_is_named(rag: FakeLightRag, target: dict[str, Any], call: Call) -> None:
    rag.broken_status = 500
    assert "See LightRAG's log" in call("lightrag_query", query="who?", **target)["msg"]


def test_an_empty_question_is_refused(target: dict[str, Any], call: Call) -> None:
    assert "the question is empty" in call("lightrag_query", query=" ", **target)["msg"]


def test_the_proof_and_its_check_mode(rag: FakeLightRag, target: dict[str, Any], call: Call) -> None:
    assert "proof" not in call("rag_proof", check=True, **target)
    proof = call("rag_proof", **target)["proof"]
    assert proof["negative_control"] == "no context"
    assert proof["reference"].startswith("ragops-proof-")
    assert rag.documents == {}, "it leaves nothing behind"


def test_the_proof_cleans_up_after_a_failure(rag: FakeLightRag, target: dict[str, Any], call: Call) -> None:
    rag.fail_with = "Connection error."
    assert "cannot be reached" in call("rag_proof", **target)["msg"]
    assert rag.documents == {}


def behind_service(api: FakeKubeApi, rag: FakeLightRag) -> dict[str, Any]:
    Workloads(api)
    labels = {"app": "rag"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "main", "image": "x", "ports": [{"name": "http", "containerPort": 9621}]}]}}
    metadata = {"name": "rag", "namespace": "demo"}
    api.put({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": {"selector": {"matchLabels": labels}, "template": template}})
    api.put({"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": {"selector": labels, "ports": [{"port": 80, "targetPort": "http"}]}})
    key = base64.b64encode(rag.key.encode()).decode()
    api.put({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "rag-api", "namespace": "demo"}, "data": {"api-key": key}})
    api.forward = lambda _namespace, _pod, port: ("127.0.0.1", rag.port) if port == 9621 else None
    api.until(lambda: api.get("Deployment", "rag", "demo").get("status", {}).get("availableReplicas"))
    return {"namespace": "demo", "service": "rag", "port": 80, "app_key_secret": {"name": "rag-api"}}


def test_a_server_behind_a_service_needs_no_ingress(api: FakeKubeApi, rag: FakeLightRag, call: Call) -> None:
    args = behind_service(api, rag)
    assert call("lightrag_document", documents=DOCUMENTS, **args)["changed"] is True
    result = call("lightrag_query", query="what?", **args)
    assert result["answer"] == "alpha"
    assert api.leaks(rag.key, bodies=False) == []


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        ({"service": "none"}, "Service demo/none: it does not exist"),
        ({"port": 81}, "it has no port 81 (it has: 80)"),
        ({"app_key_secret": {"name": "none"}}, "Secret demo/none: it does not exist"),
        ({"app_key_secret": {"name": "rag-api", "key": "nope"}}, "key nope is missing or empty (it has: api-key)"),
    ],
)
def test_what_is_missing_on_the_way_is_named(api: FakeKubeApi, rag: FakeLightRag, call: Call, change: dict[str, Any], wanted: str) -> None:
    args = {**behind_service(api, rag), **change}
    assert wanted in call("lightrag_query", query="what?", **args)["msg"]


def test_a_file_is_loaded(rag: FakeLightRag, target: dict[str, Any], call: Call, tmp_path: Path) -> None:
    (tmp_path / "b.txt").write_text("bravo")
    call("lightrag_document", documents=[{"source": "b.txt", "path": str(tmp_path / "b.txt")}], **target)
    assert rag.documents["b.txt"]["text"] == "bravo"
