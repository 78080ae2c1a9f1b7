# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from ansible_collections.ragops.stack.plugins.module_utils import _crds
from ansible_collections.ragops.stack.plugins.module_utils._errors import RagopsError
from ansible_collections.ragops.stack.plugins.module_utils._preflight import Reader

PLAIN = """\
# a comment
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata:
  annotations:
    controller-gen.kubebuilder.io/version: v0.14.0
  labels:
    app.kubernetes.io/name: kubeblocks
  name: clusters.apps.kubeblocks.io
spec:
  group: apps.kubeblocks.io
  names: {kind: Cluster, plural: clusters}
  versions:
  - name: v1
    schema:
      openAPIV3Schema:
        description: |-
          metadata:
            name: not-this-one
"""
BARE = PLAIN.replace("  annotations:\n    controller-gen.kubebuilder.io/version: v0.14.0\n", "").replace("clusters.", "components.")


def test_parse_reads_every_document_by_its_own_name() -> None:
    documents = _crds.parse(f"---\n{PLAIN}---\n# only a comment\n---\n{BARE}", "x.yaml")
    assert [d.name for d in documents] == ["clusters.apps.kubeblocks.io", "components.apps.kubeblocks.io"]


@pytest.mark.parametrize("text", [PLAIN, BARE])
def test_stamp_adds_the_digest_and_changes_nothing_else(text: str) -> None:
    document = _crds.parse(text, "x.yaml")[0]
    before, after = yaml.safe_load(text), yaml.safe_load(document.stamped())
    assert after["metadata"].pop("annotations") == {**before["metadata"].pop("annotations", {}), _crds.SHA: document.digest}
    assert after == before


def test_stamp_notes_the_url() -> None:
    document = _crds.Document("a.b", PLAIN, "28 https://example.org/crds.yaml")
    assert yaml.safe_load(document.stamped())["metadata"]["annotations"][_crds.SOURCE] == "28 https://example.org/crds.yaml"


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(yaml.safe_load(PLAIN)),
        yaml.safe_dump(yaml.safe_load(PLAIN), indent=4),
        PLAIN.replace("  annotations:\n    controller-gen.kubebuilder.io/version: v0.14.0\n", "  annotations: {}\n"),
        json.dumps({"kind": "List", "apiVersion": "v1", "items": [yaml.safe_load(PLAIN)]}),
    ],
    ids=["json", "other indentation", "inline annotations", "list"],
)
def test_parse_takes_other_spellings(text: str) -> None:
    (document,) = _crds.parse(text, "x")
    assert document.name == "clusters.apps.kubeblocks.io"
    stamped = yaml.safe_load(document.stamped())
    assert stamped["metadata"]["annotations"][_crds.SHA] == document.digest
    assert stamped["spec"] == yaml.safe_load(PLAIN)["spec"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "it holds none"),
        ("kind: Addon\nmetadata:\n  name: x\n", "something else (Addon)"),
        ("<html>not found</html>", "something else"),
        ("a: b: c", "Is it a YAML file"),
        ("kind: CustomResourceDefinition\nmetadata:\n  labels: {}\n", "something else"),
    ],
)
def test_parse_refuses_what_is_no_definition(text: str, words: str) -> None:
    with pytest.raises(RagopsError, match=r"Failed to read the definitions in x\.yaml") as caught:
        _crds.parse(text, "x.yaml")
    assert words in str(caught.value)


def test_read_local_takes_a_folder_but_not_its_subfolders(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(PLAIN)
    (tmp_path / "b.yml").write_text(BARE)
    (tmp_path / "README.md").write_text("no")
    (tmp_path / "snapshot").mkdir()
    (tmp_path / "snapshot" / "c.yaml").write_text(PLAIN.replace("clusters.", "other."))
    assert [d.name for d in _crds.read_local(str(tmp_path))] == ["clusters.apps.kubeblocks.io", "components.apps.kubeblocks.io"]


def test_read_local_names_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(RagopsError, match="no such file or folder"):
        _crds.read_local(str(tmp_path / "nothing"))
    with pytest.raises(RagopsError, match="no YAML files"):
        _crds.read_local(str(tmp_path))


def live(document: _crds.Document, *, owner: str = "ragops.stack", **metadata: Any) -> dict[str, Any]:
    annotations = {_crds.SHA: document.digest, **({_crds.SOURCE: document.source} if document.source else {})}
    fields = [{"manager": owner, "operation": "Apply", "fieldsV1": {"f:spec": {"f:versions": {}}}}]
    return {"name": document.name, "annotations": annotations, "managedFields": fields, **metadata}


def test_plan_sends_only_what_is_new_or_different() -> None:
    cluster, component = _crds.parse(f"{PLAIN}---\n{BARE}", "x")
    plan = _crds.plan([cluster, component], {cluster.name: live(cluster)}, replace=True)
    assert plan.operations == {cluster.name: "unchanged", component.name: "created"}
    assert plan.send == [component]


def test_plan_replaces_another_text_and_what_somebody_else_replaced() -> None:
    (document,) = _crds.parse(PLAIN, "x")
    other = live(document)
    other["annotations"][_crds.SHA] = "0" * 64
    assert _crds.plan([document], {document.name: other}, replace=True).operations == {document.name: "replaced"}
    assert _crds.plan([document], {document.name: live(document, owner="kubectl")}, replace=True).send == [document]


def test_plan_keeps_what_exists_when_it_may_not_replace() -> None:
    (document,) = _crds.parse(PLAIN, "x")
    plan = _crds.plan([document], {document.name: {"name": document.name}}, replace=False)
    assert plan.operations == {document.name: "kept"}
    assert plan.send == []


def test_plan_refuses_a_definition_that_is_going_away() -> None:
    (document,) = _crds.parse(PLAIN, "x")
    with pytest.raises(RagopsError, match="it is being deleted"):
        _crds.plan([document], {document.name: live(document, deletionTimestamp="2026-01-01T00:00:00Z")}, replace=True)


def test_a_url_is_not_downloaded_while_all_of_it_is_in_place(monkeypatch: pytest.MonkeyPatch) -> None:
    url = "https://example.org/crds.yaml"
    documents = [_crds.Document(d.name, d.text, f"2 {url}") for d in _crds.parse(f"{PLAIN}---\n{BARE}", url)]
    calls: list[str] = []

    def download(source: str) -> list[_crds.Document]:
        calls.append(source)
        return documents

    monkeypatch.setattr(_crds, "download", download)
    there = {d.name: live(d) for d in documents}
    assert set(_crds.gather([url], there, replace=True).operations.values()) == {"unchanged"}
    assert calls == []
    del there[documents[0].name]
    assert _crds.gather([url], there, replace=True).send == [documents[0]]
    assert calls == [url]


class Api:
    """Just enough of the dynamic client: answers by path, and a record of what was written."""

    def __init__(self, answers: dict[str, Any]) -> None:
        self.answers, self.sent = answers, []
        self.configuration = SimpleNamespace(host="https://api")

    def request(self, method: str, path: str, body: Any = None, **params: Any) -> Any:
        if method != "get":
            self.sent.append((method, path, body, params))
            return SimpleNamespace(data=b"{}")
        if path not in self.answers:
            error = Exception("not found")
            error.status = 404  # type: ignore[attr-defined]
            raise error
        return SimpleNamespace(data=json.dumps(self.answers[path]).encode())


def test_apply_sends_the_text_by_server_side_apply() -> None:
    api, documents = Api({}), _crds.parse(f"{PLAIN}---\n{BARE}", "x")
    _crds.apply(api, documents)
    assert len(api.sent) == 2
    method, path, body, params = next(s for s in api.sent if s[1].endswith("clusters.apps.kubeblocks.io"))
    assert (method, params["content_type"]) == ("patch", "application/apply-patch+yaml")
    assert ("force", "true") in params["query_params"]
    assert body == documents[0].stamped()
    assert path == f"{_crds.PATH}/clusters.apps.kubeblocks.io"


def test_apply_names_the_definition_that_failed() -> None:
    class Refusing(Api):
        def request(self, method: str, path: str, body: Any = None, **params: Any) -> Any:
            error = Exception("no")
            error.status, error.body = 403, json.dumps({"message": 'cannot patch resource "customresourcedefinitions"'})  # type: ignore[attr-defined]
            raise error

    with pytest.raises(RagopsError, match=r"Failed to apply CustomResourceDefinition clusters\.apps\.kubeblocks\.io: cannot patch"):
        _crds.apply(Refusing({}), _crds.parse(PLAIN, "x"))


SERVED = {
    "/apis/apps.kubeblocks.io": {"versions": [{"groupVersion": "apps.kubeblocks.io/v1"}]},
    "/apis/apps.kubeblocks.io/v1": {"resources": [{"name": "clusters"}, {"name": "components"}]},
}


def test_wait_served_returns_and_times_out() -> None:
    _crds.wait_served(Reader(Api(SERVED)), ["clusters.apps.kubeblocks.io"], 1)
    with pytest.raises(RagopsError, match=r"Failed to serve CustomResourceDefinition x\.apps\.kubeblocks\.io"):
        _crds.wait_served(Reader(Api(SERVED)), ["x.apps.kubeblocks.io"], 0)


def test_deleting_is_refused_while_objects_are_left() -> None:
    left_over = {"items": [{"metadata": {"namespace": "rag", "name": "rag-pg"}}]}
    api = Api({**SERVED, "/apis/apps.kubeblocks.io/v1/clusters": left_over, "/apis/apps.kubeblocks.io/v1/components": {"items": []}})
    names = ["clusters.apps.kubeblocks.io", "components.apps.kubeblocks.io"]
    left = _crds.objects_left(Reader(api), names)
    assert left == {"clusters.apps.kubeblocks.io": ["rag/rag-pg"]}
    with pytest.raises(RagopsError, match=r"clusters\.apps\.kubeblocks\.io \(rag/rag-pg\)"):
        _crds.refuse_while_used(left)
    _crds.refuse_while_used({})


def test_in_groups_takes_the_group_and_those_below_it() -> None:
    names = {"clusters.apps.kubeblocks.io": {}, "a.kubeblocks.io": {}, "b.notkubeblocks.io": {}, "volumesnapshots.snapshot.storage.k8s.io": {}}
    assert _crds.in_groups(names, "kubeblocks.io") == ["a.kubeblocks.io", "clusters.apps.kubeblocks.io"]
