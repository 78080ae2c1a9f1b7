# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the benchmarks compute; what they measure is no test's business."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.benchmarks.cluster import owned
from tests.benchmarks.counting import classify
from tests.benchmarks.report import Ratio, Section, write
from tests.benchmarks.stacks import moved


@pytest.mark.parametrize(
    ("method", "target", "verb", "what"),
    [
        ("GET", "/api/v1/namespaces/a", "get", "namespaces"),
        ("GET", "/api/v1/namespaces/a/pods?labelSelector=x", "list", "pods"),
        ("GET", "/api/v1/namespaces/a/pods/p", "get", "pods"),
        ("GET", "/apis/apps/v1/namespaces/a/deployments?watch=true&fieldSelector=y", "watch", "deployments"),
        ("GET", "/api/v1/namespaces/a/pods/p/exec?command=psql", "exec", "pods"),
        ("PATCH", "/apis/apps/v1/namespaces/a/deployments/d?dryRun=All", "patch (dry run)", "deployments"),
        ("POST", "/api/v1/namespaces/a/secrets", "create", "secrets"),
        ("GET", "/apis/apps/v1", "discover", "/apis/apps/v1"),
        ("GET", "/version", "discover", "/version"),
    ],
)
def test_requests_are_told_apart(method: str, target: str, verb: str, what: str) -> None:
    request = classify(method, target, "agent")
    assert (request.verb, request.what) == (verb, what)


def test_only_what_a_manager_owns_is_exported() -> None:
    live = {
        "spec": {"replicas": 1, "paused": False, "containers": [{"name": "a", "image": "i", "stdin": False}, {"name": "b", "image": "j"}], "args": ["x", "y"]}
    }
    fields = {"f:spec": {"f:replicas": {}, "f:containers": {'k:{"name":"a"}': {".": {}, "f:name": {}, "f:image": {}}}, "f:args": {}}}
    assert owned(live, fields) == {"spec": {"replicas": 1, "containers": [{"name": "a", "image": "i"}], "args": ["x", "y"]}}


def test_ratios_are_taken_pair_by_pair() -> None:
    ratio = Ratio.of([2, 9, 4], [1, 3, 8])
    assert ratio.pairs == [2, 3, 0.5]
    assert ratio.median == 2


def test_another_namespace_is_put_everywhere() -> None:
    objects = [{"metadata": {"namespace": "bench-ours"}, "spec": {"url": "http://m.bench-ours.svc:80", "other": "bench-ours2"}}]
    assert moved(objects, "bench-ours", "b") == [{"metadata": {"namespace": "b"}, "spec": {"url": "http://m.b.svc:80", "other": "bench-ours2"}}]


def test_a_benchmark_replaces_its_own_section_only(tmp_path: Path) -> None:
    document = tmp_path / "benchmarks.md"
    write(document, [Section("one", "One", r"first \1"), Section("two", "Two", "second")])
    write(document, [Section("one", "One", "third")])
    text = document.read_text(encoding="utf-8")
    assert "third" in text
    assert "first" not in text
    assert text.index("## One") < text.index("## Two")
    assert text.count("second") == 1
