# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Readiness, judged on what a live operator and real controllers were seen to write."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.ragops.stack.plugins.module_utils import _readiness as readiness

FIXTURES = Path(__file__).resolve().parents[2] / "fixtures/kubeblocks"
TIMELINES = json.loads((FIXTURES / "cluster-timelines.json").read_text())


def cluster_at(step: dict[str, Any], names: list[str]) -> dict[str, Any] | None:
    """A Cluster as one recorded step shows it."""
    if step["event"] == "DELETED":
        return None
    metadata: dict[str, Any] = {"name": "c", "generation": step["generation"]}
    if step["deleting"]:
        metadata["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    conditions = [{"type": t, "status": s, "reason": r} for t, (s, r) in step["conditions"].items()]
    status = {"phase": step["phase"], "observedGeneration": step["observedGeneration"], "components": step["components"], "conditions": conditions}
    return {"metadata": metadata, "spec": {"componentSpecs": [{"name": n} for n in names]}, "status": status}


def component_names(steps: list[dict[str, Any]]) -> list[str]:
    return sorted({name for step in steps for name in step["components"]})


@pytest.mark.parametrize("name", sorted(TIMELINES))
def test_ready_is_never_said_before_the_operator_began_to_act(name: str) -> None:
    """A state called ready must not be followed, within two seconds and without a new generation, by an unready phase."""
    steps = TIMELINES[name]["steps"]
    names = component_names(steps)
    for index, step in enumerate(steps):
        if readiness.kubeblocks_cluster(cluster_at(step, names)).state != readiness.READY:
            continue
        assert step["phase"] == "Running"
        assert step["observedGeneration"] == step["generation"]
        for later in steps[index + 1 :]:
            if later["t"] - step["t"] > 2 or later["generation"] != step["generation"] or later["deleting"]:
                break
            assert later["phase"] == "Running", f"{name}: called ready at {step['t']} s, but {later['phase']} at {later['t']} s"


def test_every_timeline_that_ran_is_called_ready_at_some_point() -> None:
    ran = [n for n, t in TIMELINES.items() if any(s["phase"] == "Running" for s in t["steps"])]
    for name in ran:
        steps = TIMELINES[name]["steps"]
        names = component_names(steps)
        assert any(readiness.kubeblocks_cluster(cluster_at(s, names)).state == readiness.READY for s in steps), name
    assert ran


def test_phase_and_generation_alone_would_have_been_wrong() -> None:
    """The reason for the rule: states that the naive rule calls ready and that are followed by Updating."""
    naive = 0
    for timeline in TIMELINES.values():
        steps = timeline["steps"]
        names = component_names(steps)
        for step in steps:
            looks_ready = step["phase"] == "Running" and step["observedGeneration"] == step["generation"]
            if looks_ready and readiness.kubeblocks_cluster(cluster_at(step, names)).state != readiness.READY:
                naive += 1
    assert naive >= 10


def load(name: str, kind: str) -> dict[str, Any]:
    documents = yaml.safe_load_all((FIXTURES / name).read_text())
    return next(d for d in documents if d and d.get("kind") == kind)


def test_an_image_that_cannot_be_pulled_is_a_failure_with_patience() -> None:
    verdict = readiness.kubeblocks_cluster(load("failed-cluster.yaml", "Cluster"))
    assert verdict.state == readiness.FAILED
    assert verdict.grace == 30
    assert "postgresql is Failed" in verdict.reason


def test_a_refused_spec_is_reported_with_the_operators_words() -> None:
    cluster = load("precheck-failed.yaml", "Cluster")
    verdict = readiness.kubeblocks_cluster(cluster)
    assert verdict.state == readiness.REFUSED
    assert verdict.reason == readiness.condition(cluster, "ProvisioningStarted")["message"]


def test_a_running_restore_is_not_ready() -> None:
    cluster = load("running-cluster.yaml", "Cluster")
    assert readiness.kubeblocks_cluster(cluster).state == readiness.READY
    cluster["metadata"].setdefault("annotations", {})["kubeblocks.io/restore-from-backup"] = "{}"
    assert readiness.kubeblocks_cluster(cluster).state == readiness.PROGRESSING


def deployment(**status: Any) -> dict[str, Any]:
    return {"metadata": {"generation": 2}, "spec": {"replicas": 1}, "status": {"observedGeneration": 2, **status}}


def test_a_deployment_is_ready_only_when_the_old_pods_are_gone() -> None:
    ready = deployment(replicas=1, updatedReplicas=1, availableReplicas=1)
    assert readiness.deployment(ready).state == readiness.READY
    assert readiness.deployment(deployment(replicas=2, updatedReplicas=1, availableReplicas=1)).state == readiness.PROGRESSING
    assert readiness.deployment(deployment(replicas=1, updatedReplicas=0, availableReplicas=1)).state == readiness.PROGRESSING
    stale = deployment(replicas=1, updatedReplicas=1, availableReplicas=1)
    stale["metadata"]["generation"] = 3
    assert readiness.deployment(stale).state == readiness.PROGRESSING


def test_a_deployment_past_its_deadline_has_failed() -> None:
    late = deployment(conditions=[{"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "message": "timed out progressing"}])
    assert readiness.deployment(late).state == readiness.FAILED


def test_what_does_not_exist_is_awaited_and_its_absence_can_be_wanted() -> None:
    assert readiness.deployment(None).state == readiness.PROGRESSING
    assert readiness.gone(None).state == readiness.READY
    held = readiness.gone({"metadata": {"name": "x", "finalizers": ["cluster.kubeblocks.io/finalizer"]}})
    assert held.state == readiness.PROGRESSING
    assert "cluster.kubeblocks.io/finalizer" in held.reason
