# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Causes and remedies from snapshots of what Kubernetes shows."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.ragops.stack.plugins.module_utils._explain import Finding, Snapshot, diagnose, telling_line


def pod(*containers: dict[str, Any], unscheduled: str = "") -> dict[str, Any]:
    conditions = [{"type": "PodScheduled", "status": "False", "message": unscheduled}] if unscheduled else []
    return {"metadata": {"name": "web-0"}, "status": {"containerStatuses": list(containers), "conditions": conditions}}


def waiting(reason: str, message: str = "", **more: Any) -> dict[str, Any]:
    return {"name": "main", "image": "example/app:1", "state": {"waiting": {"reason": reason, "message": message}}, **more}


def only(snapshot: Snapshot) -> Finding:
    findings = diagnose(snapshot)
    assert len(findings) == 1, findings
    return findings[0]


def snapshot(**parts: Any) -> Snapshot:
    return Snapshot("Deployment", "web", "demo", **parts)


def test_an_image_that_cannot_be_pulled() -> None:
    finding = only(snapshot(pods=[pod(waiting("ImagePullBackOff"))]))
    assert finding.cause == "image example/app:1 of container main cannot be pulled"
    assert "registry" in finding.remedy
    assert finding.fatal


def test_a_first_pull_error_may_still_pass() -> None:
    assert not only(snapshot(pods=[pod(waiting("ErrImagePull", "timeout"))])).fatal


def test_a_missing_secret() -> None:
    finding = only(snapshot(pods=[pod(waiting("CreateContainerConfigError", 'secret "key" not found'))]))
    assert 'secret "key" not found' in finding.cause
    assert finding.fatal


def test_a_crash_loop_ends_with_the_programs_last_words_and_no_password() -> None:
    state = waiting("CrashLoopBackOff", restartCount=3, lastState={"terminated": {"exitCode": 1}})
    log = "starting\nTraceback:\nValueError: cannot connect to postgresql://u:hunter22@db/x\nbye"
    finding = only(snapshot(pods=[pod(state)], logs={("web-0", "main"): log}))
    assert "crashed 3 times (exit code 1)" in finding.cause
    assert "cannot connect to postgresql://u:" in finding.cause
    assert "hunter22" not in finding.cause
    assert finding.fatal
    assert "kubectl logs -n demo web-0 -c main --previous" in finding.remedy


def test_one_crash_may_be_a_race() -> None:
    state = waiting("CrashLoopBackOff", restartCount=1, lastState={"terminated": {"exitCode": 1}})
    assert not only(snapshot(pods=[pod(state)])).fatal


def test_too_little_memory() -> None:
    state = waiting("CrashLoopBackOff", restartCount=2, lastState={"terminated": {"exitCode": 137, "reason": "OOMKilled"}})
    assert "memory limit" in only(snapshot(pods=[pod(state)])).remedy


def claim(storage_class: str | None) -> dict[str, Any]:
    return {"metadata": {"name": "data-web-0"}, "spec": {"storageClassName": storage_class}, "status": {"phase": "Pending"}}


STANDARD = {"metadata": {"name": "standard", "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}}}


@pytest.mark.parametrize(
    ("claims", "classes", "cause", "fatal"),
    [
        ([claim("fast")], [STANDARD], "claim data-web-0 asks for StorageClass fast, which does not exist", True),
        ([claim(None)], [{"metadata": {"name": "slow"}}], "names no StorageClass and the cluster has no default one", True),
        ([], [], "no node has room for it", False),
    ],
)
def test_a_pod_that_cannot_be_scheduled(claims: list[Any], classes: list[Any], cause: str, fatal: bool) -> None:
    finding = only(snapshot(pods=[pod(unscheduled="0/1 nodes are available: 1 Insufficient cpu")], claims=claims, classes=classes))
    assert cause in finding.cause
    assert finding.fatal is fatal


@pytest.mark.parametrize(
    ("message", "remedy"),
    [
        ('pods "web-0" is forbidden: exceeded quota: small, requested: cpu=1', "ResourceQuota"),
        ('pods "web-0" is forbidden: violates PodSecurity "restricted:latest"', "pod-security"),
        ('admission webhook "policy.example" denied the request: no', "webhook"),
        ('secrets "nope" not found', "Secret"),
    ],
)
def test_events_that_waiting_does_not_cure(message: str, remedy: str) -> None:
    event = {"message": message, "involvedObject": {"kind": "InstanceSet", "name": "web"}}
    finding = only(snapshot(events=[event]))
    assert finding.fatal
    assert remedy in finding.remedy
    assert finding.subject == "InstanceSet web"


def test_the_same_cause_is_told_once_and_hopeless_ones_come_first() -> None:
    event = {"message": 'secrets "x" not found', "involvedObject": {"kind": "Pod", "name": "web-0"}}
    findings = diagnose(snapshot(pods=[pod(unscheduled="0/1: Insufficient memory")], events=[event, event]))
    assert [f.fatal for f in findings] == [True, False]


def test_an_operator_that_does_not_look() -> None:
    cluster = {"kind": "Cluster", "metadata": {"name": "pg"}}
    finding = only(Snapshot("Cluster", "pg", "demo", objects=[cluster]))
    assert "operator has not looked at it" in finding.cause


def test_the_telling_line_of_a_log() -> None:
    assert telling_line("a\nERROR: first\nb\nERROR: last\nc") == "ERROR: last"
    assert telling_line("a\nb\n") == "b"
    assert telling_line("") == ""
