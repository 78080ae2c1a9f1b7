"""Which cluster is chosen, and how a registry's silence is bounded."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from localcluster import modes
from localcluster.errors import LocalError


def unasked() -> tuple[bool, str]:
    raise AssertionError("Docker must not be asked")


@pytest.mark.parametrize(
    ("environ", "mode"),
    [
        ({"RAGOPS_KUBECONFIG": "/k"}, "given"),
        ({"RAGOPS_KUBECONFIG": "/k", "RAGOPS_LOCAL_MODE": "built"}, "built"),
        ({"RAGOPS_LOCAL_MODE": "stock"}, "stock"),
        ({"RAGOPS_LOCAL_MODE": "given", "RAGOPS_KUBECONFIG": "/k"}, "given"),
    ],
)
def test_what_is_said_decides(environ: dict[str, str], mode: str) -> None:
    assert modes.choose(environ, unasked).mode == mode


@pytest.mark.parametrize(("found", "mode"), [(True, "stock"), (False, "built")])
@pytest.mark.parametrize("auto", [{}, {"RAGOPS_LOCAL_MODE": "auto"}, {"RAGOPS_LOCAL_MODE": ""}])
def test_else_the_node_image_decides(auto: dict[str, str], found: bool, mode: str) -> None:
    choice = modes.choose(auto, lambda: (found, "because"))
    assert (choice.mode, choice.reason) == (mode, "because")


@pytest.mark.parametrize(
    ("environ", "complaint"),
    [
        ({"RAGOPS_LOCAL_MODE": "cloud"}, "RAGOPS_LOCAL_MODE=cloud is not known"),
        ({"RAGOPS_LOCAL_MODE": "given"}, "needs RAGOPS_KUBECONFIG"),
        ({"RAGOPS_CONTEXT": "prod"}, "RAGOPS_CONTEXT is set without RAGOPS_KUBECONFIG"),
    ],
)
def test_a_contradiction_is_an_error(environ: dict[str, str], complaint: str) -> None:
    with pytest.raises(LocalError, match=complaint):
        modes.choose(environ, unasked)


def fake_docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    program = tmp_path / "docker"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")


def test_an_image_that_is_here_needs_no_pull() -> None:
    assert modes.have_image("i:1", {"i:1": "sha256:x"})[0]


def test_a_no_is_quick(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_docker(tmp_path, monkeypatch, "echo 'Error response from daemon: lookup r: no such host' >&2; exit 1")
    assert modes.have_image("i:1", {}) == (False, "no image registry is reachable (no such host)")


def test_silence_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_docker(tmp_path, monkeypatch, "exec sleep 60")
    began = time.monotonic()
    found, why = modes.have_image("i:1", {}, answer=0.3)
    assert (found, why) == (False, "no image registry answered within 0 s")
    assert time.monotonic() - began < 10


def test_a_pull_that_stalls_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_docker(tmp_path, monkeypatch, "echo '1: Pulling from i'; exec sleep 60")
    assert modes.have_image("i:1", {}, answer=5, whole=0.3)[0] is False


def test_a_pull_that_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_docker(tmp_path, monkeypatch, "echo '1: Pulling from i'; echo done")
    assert modes.have_image("i:1", {}) == (True, "the node image i:1 was pulled")
