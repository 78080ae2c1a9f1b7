# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import base64
import gzip
import io
import json
import tarfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.ragops.stack.plugins.module_utils import _preflight
from ansible_collections.ragops.stack.plugins.module_utils._errors import RagopsError


class Api:
    """Answers GET by path; an int is an HTTP error."""

    def __init__(self, answers: dict[str, Any]) -> None:
        self.answers, self.asked = answers, []
        self.configuration = SimpleNamespace(host="https://api")

    def request(self, method: str, path: str, **params: Any) -> Any:
        assert method == "get"
        self.asked.append((path, params))
        answer = self.answers.get(path, 404)
        if isinstance(answer, int):
            error = Exception(str(answer))
            error.status = answer  # type: ignore[attr-defined]
            raise error
        return SimpleNamespace(data=json.dumps(answer).encode())


def read(answers: dict[str, Any]) -> _preflight.Reader:
    return _preflight.Reader(Api(answers))


def test_server_version() -> None:
    assert _preflight.server(read({"/version": {"gitVersion": "v1.34.4+k3s1"}})) == {"host": "https://api", "version": "1.34.4+k3s1", "minor": "1.34"}


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (404, {"exists": False, "phase": ""}),
        (403, {"exists": True, "phase": ""}),
        ({"metadata": {"name": "rag", "labels": {"a": "b"}}, "status": {"phase": "Active"}}, {"exists": True, "phase": "Active"}),
        ({"metadata": {"name": "rag", "deletionTimestamp": "x"}, "status": {"phase": "Active"}}, {"exists": True, "phase": "Terminating"}),
    ],
)
def test_namespace_state(answer: Any, expected: dict[str, Any]) -> None:
    state = _preflight.namespace_state(read({"/api/v1/namespaces/rag": answer}), "rag")
    assert {k: state[k] for k in expected} == expected


def storage_class(name: str, created: str, *, default: bool) -> dict[str, Any]:
    notes = {_preflight.DEFAULT_CLASS: "true"} if default else {}
    return {"metadata": {"name": name, "creationTimestamp": created, "annotations": notes}, "provisioner": "p"}


def test_the_newest_of_several_default_classes_counts() -> None:
    items = [storage_class("old", "2025", default=True), storage_class("new", "2026", default=True), storage_class("x", "2027", default=False)]
    classes = _preflight.storage_classes(read({"/apis/storage.k8s.io/v1/storageclasses": {"items": items}}))
    assert _preflight.default_class(classes) == "new"
    assert _preflight.default_class([c for c in classes if not c["default"]]) == ""


def test_what_may_not_be_read_is_unknown_and_noted() -> None:
    denied = read({"/apis/storage.k8s.io/v1/storageclasses": 403})
    assert _preflight.storage_classes(denied) == []
    assert denied.denied == ["/apis/storage.k8s.io/v1/storageclasses"]


def test_other_errors_are_not_swallowed() -> None:
    with pytest.raises(Exception, match="500"):
        _preflight.server(read({"/version": 500}))


def test_served_crds_asks_each_group_once() -> None:
    api = Api(
        {
            "/apis/apps.kubeblocks.io": {"versions": [{"groupVersion": "apps.kubeblocks.io/v1"}]},
            "/apis/apps.kubeblocks.io/v1": {"resources": [{"name": "clusters"}, {"name": "clusters/status"}]},
        }
    )
    names = ["clusters.apps.kubeblocks.io", "others.apps.kubeblocks.io", "backups.dataprotection.kubeblocks.io"]
    assert _preflight.served_crds(_preflight.Reader(api), names) == dict(zip(names, [True, False, False], strict=True))
    assert len([a for a in api.asked if a[0] == "/apis/apps.kubeblocks.io"]) == 1


def test_objects_by_name_and_by_label() -> None:
    pod = {"kind": "Pod", "metadata": {"name": "a", "managedFields": [1], "labels": {"app.kubernetes.io/managed-by": "ragops.stack"}}}
    api = Api({"/api/v1/namespaces/n/pods": {"items": [pod]}, "/apis/apps/v1/namespaces/n/statefulsets/s": 404})
    wanted = [
        {"api_version": "v1", "plural": "pods", "namespace": "n", "label_selector": "a=b"},
        {"api_version": "apps/v1", "plural": "statefulsets", "namespace": "n", "name": "s"},
    ]
    (found,) = _preflight.objects(_preflight.Reader(api), wanted)
    assert found["ours"] is True
    assert "managedFields" not in found["metadata"]
    assert ("labelSelector", "a=b") in api.asked[0][1]["query_params"]


def test_objects_of_somebody_else_are_not_ours() -> None:
    answers = {"/api/v1/namespaces/n/pods/p": {"metadata": {"name": "p", "labels": {"app.kubernetes.io/managed-by": "Helm"}}}}
    assert _preflight.objects(read(answers), [{"api_version": "v1", "plural": "pods", "namespace": "n", "name": "p"}])[0]["ours"] is False


def test_secrets_are_not_read_as_objects() -> None:
    with pytest.raises(RagopsError, match="values would be shown"):
        _preflight.objects(read({}), [{"api_version": "v1", "plural": "secrets", "namespace": "n"}])


def test_secrets_show_keys_and_never_values() -> None:
    secret = {"metadata": {"name": "db", "labels": {}}, "data": {"password": base64.b64encode(b"hunter2").decode(), "username": ""}}
    answers = {"/api/v1/namespaces/n/secrets/db": secret, "/api/v1/namespaces/n/secrets/no": 403}
    names = [{"namespace": "n", "name": name} for name in ("db", "no", "gone")]
    db, no, gone = _preflight.secrets(read(answers), names)
    assert (db["exists"], db["keys"], db["empty_keys"]) == (True, ["password"], ["username"])
    assert (no["exists"], no["readable"]) == (False, False)
    assert (gone["exists"], gone["readable"]) == (False, True)
    assert "hunter2" not in json.dumps([db, no, gone])
    assert secret["data"]["password"] not in json.dumps([db, no, gone])


def test_items_follows_pages() -> None:
    class Paged(Api):
        def request(self, method: str, path: str, **params: Any) -> Any:
            token = dict(params["query_params"]).get("continue")
            answer = {"items": [2]} if token else {"items": [1], "metadata": {"continue": "t"}}
            return SimpleNamespace(data=json.dumps(answer).encode())

    assert _preflight.Reader(Paged({})).items("/x") == [1, 2]


# --- Helm ---


def revisions(*statuses: str) -> list[dict[str, Any]]:
    return [{"revision": i + 1, "status": s} for i, s in enumerate(statuses)]


@pytest.mark.parametrize(
    ("statuses", "state"),
    [
        ((), "absent"),
        (("deployed",), "deployed"),
        (("superseded", "deployed"), "deployed"),
        (("failed",), "install_failed"),
        (("pending-install",), "install_failed"),
        (("failed", "pending-upgrade"), "install_failed"),
        (("deployed", "failed"), "upgrade_failed"),
        (("superseded", "deployed", "pending-upgrade"), "upgrade_failed"),
        (("uninstalling",), "uninstalling"),
        (("superseded", "uninstalled"), "uninstalled"),
    ],
)
def test_release_state(statuses: tuple[str, ...], state: str) -> None:
    assert _preflight.release_state(revisions(*statuses)) == state


def packed(release: dict[str, Any]) -> str:
    return base64.b64encode(base64.b64encode(gzip.compress(json.dumps(release).encode()))).decode()


def release_api(*statuses: str, version: str = "1.0.2", config: dict[str, Any] | None = None) -> _preflight.Reader:
    path = "/api/v1/namespaces/kb-system/secrets"
    listed, answers = [], {}
    for number, status in enumerate(statuses, 1):
        name = f"sh.helm.release.v1.kubeblocks.v{number}"
        listed.append({"metadata": {"name": name, "labels": {"version": str(number), "status": status}, "creationTimestamp": "2026-01-01T00:00:00Z"}})
        chart = {"metadata": {"name": "kubeblocks", "version": version, "appVersion": version}}
        answers[f"{path}/{name}"] = {"metadata": {"name": name}, "data": {"release": packed({"chart": chart, "config": config or {}})}}
    return read({path: {"items": listed}, **answers})


def wanted_release(**more: Any) -> dict[str, Any]:
    return {"name": "kubeblocks", "namespace": "kb-system", "chart_ref": "", "chart_version": "1.0.2", "values": {"a": 1}, **more}


def test_helm_release_that_is_right() -> None:
    found = _preflight.helm_release(release_api("superseded", "deployed", config={"a": 1}), wanted_release())
    assert (found["state"], found["up_to_date"], found["revision"], found["chart_version"]) == ("deployed", True, 2, "1.0.2")


def test_helm_release_that_differs() -> None:
    found = _preflight.helm_release(release_api("deployed", version="1.0.1", config={"a": 2}), wanted_release())
    assert found["up_to_date"] is False
    assert found["differences"] == ["chart version 1.0.1 instead of 1.0.2", "values"]
    assert "a" not in json.dumps(found["differences"][1:]).replace("values", "")


def test_helm_release_that_failed_is_never_up_to_date() -> None:
    found = _preflight.helm_release(release_api("deployed", "failed", config={"a": 1}), wanted_release())
    assert (found["state"], found["up_to_date"], found["differences"]) == ("upgrade_failed", False, [])
    assert found["age"] > 0


def test_helm_release_that_is_absent() -> None:
    found = _preflight.helm_release(read({}), wanted_release())
    assert (found["state"], found["up_to_date"]) == ("absent", False)


def test_the_version_of_a_chart_on_this_host(tmp_path: Path) -> None:
    folder = tmp_path / "kubeblocks"
    folder.mkdir()
    (folder / "Chart.yaml").write_text("name: kubeblocks\nversion: 1.0.0\n")
    assert _preflight.chart_version_of(str(folder), "9") == "1.0.0"
    archive = tmp_path / "kubeblocks-1.0.0.tgz"
    with tarfile.open(archive, "w:gz") as file:
        for name, text in (("kubeblocks/charts/x/Chart.yaml", b"version: 7.7.7\n"), ("kubeblocks/Chart.yaml", b"version: 1.2.3\n")):
            info = tarfile.TarInfo(name)
            info.size = len(text)
            file.addfile(info, io.BytesIO(text))
    assert _preflight.chart_version_of(str(archive), "9") == "1.2.3"
    assert _preflight.chart_version_of("oci://example.org/kubeblocks", "9") == "9"
    (tmp_path / "empty").mkdir()
    with pytest.raises(RagopsError, match=r"it has no Chart\.yaml"):
        _preflight.chart_version_of(str(tmp_path / "empty"), "9")


# --- capacity ---


def node(name: str, cpu: str, memory: str, *, ready: str = "True", unschedulable: bool = False) -> dict[str, Any]:
    status = {"allocatable": {"cpu": cpu, "memory": memory}, "conditions": [{"type": "Ready", "status": ready}]}
    return {"metadata": {"name": name}, "spec": {"unschedulable": unschedulable}, "status": status}


def pod(on: str, cpu: str, memory: str, *, instance: str = "", phase: str = "Running", init_cpu: str = "0") -> dict[str, Any]:
    requests = {"requests": {"cpu": cpu, "memory": memory}}
    spec = {"nodeName": on, "containers": [{"resources": requests}], "initContainers": [{"resources": {"requests": {"cpu": init_cpu}}}]}
    return {"metadata": {"namespace": "rag", "labels": {"app.kubernetes.io/instance": instance}}, "spec": spec, "status": {"phase": phase}}


def need(cpu: str, memory: str, name: str = "rag-pg") -> dict[str, Any]:
    return {"name": name, "namespace": "rag", "cpu": cpu, "memory": memory}


def test_capacity_that_suffices() -> None:
    found = _preflight.capacity([node("a", "2", "4Gi")], [pod("a", "500m", "1Gi")], [need("1", "2Gi")])
    assert found["lacking"] == []
    assert found["cpu"] == {"total": "2", "free": "1.5", "needed": "1"}


def test_capacity_that_does_not() -> None:
    found = _preflight.capacity([node("a", "2", "4Gi")], [pod("a", "1500m", "1Gi")], [need("1", "512Mi")])
    assert found["lacking"] == ["cpu: 1 needed, 0.5 of 2 free"]


def test_capacity_counts_init_containers_and_not_what_has_ended() -> None:
    pods = [pod("a", "100m", "0", init_cpu="1500m"), pod("a", "2", "0", phase="Succeeded")]
    assert _preflight.capacity([node("a", "2", "4Gi")], pods, [need("1", "0")])["cpu"]["free"] == "0.5"


def test_capacity_does_not_count_twice_what_runs_already() -> None:
    pods = [pod("a", "1500m", "3Gi", instance="rag-pg")]
    assert _preflight.capacity([node("a", "2", "4Gi")], pods, [need("1500m", "3Gi")])["lacking"] == []


def test_capacity_has_to_be_on_one_node() -> None:
    nodes = [node("a", "1", "4Gi"), node("b", "1", "4Gi")]
    assert "on one node" in _preflight.capacity(nodes, [], [need("1500m", "1Gi")])["lacking"][0]


def test_capacity_of_nodes_that_take_no_pods_does_not_count() -> None:
    nodes = [node("a", "8", "8Gi", ready="Unknown"), node("b", "8", "8Gi", unschedulable=True)]
    found = _preflight.capacity(nodes, [], [need("1", "1Gi")])
    assert found["nodes"] == 0
    assert len(found["lacking"]) == 2


def test_quantities_are_checked() -> None:
    assert _preflight.quantity("1500m") == _preflight.quantity("1.5")
    with pytest.raises(RagopsError, match="Failed to read the quantity 'lots'"):
        _preflight.quantity("lots")
