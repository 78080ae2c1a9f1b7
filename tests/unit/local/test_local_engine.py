"""How Docker is found, started or asked for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from localcluster import engine, paths
from localcluster.errors import LocalError
from localcluster.progress import Progress


class Host:
    """A machine whose daemon answers once it was started."""

    def __init__(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.paths = paths.find({"RAGOPS_CACHE": str(tmp_path / "cache")})
        self.root, self.debian, self.dockerd, self.running, self.capable = True, True, True, False, True
        self.did: list[str] = []
        self.runtime = "runc"
        (tmp_path / "etc").mkdir()
        (tmp_path / "sbin").mkdir()
        self.config = tmp_path / "etc" / "daemon.json"
        self.wrapper = tmp_path / "sbin" / "runc-bounded"
        self.pid = tmp_path / "docker.pid"
        monkeypatch.setattr(engine, "CONFIG", self.config)
        monkeypatch.setattr(engine, "WRAPPER", self.wrapper)
        monkeypatch.setattr(engine, "PID", self.pid)
        monkeypatch.setattr(engine, "answers", lambda: self.running)
        monkeypatch.setattr(engine, "start", lambda _progress: self.did.append("start"))
        monkeypatch.setattr(engine, "may_hold", lambda _capability: self.capable)
        monkeypatch.setattr(engine, "quiet", lambda *_args, **_more: (0, self.runtime if self.running else "", ""))
        monkeypatch.setattr(engine.os, "geteuid", lambda: 0 if self.root else 1000)
        monkeypatch.setattr(engine.os, "kill", lambda pid, _signal: self.did.append(f"reload {pid}"))
        monkeypatch.setattr(engine.time, "sleep", lambda _seconds: None)
        monkeypatch.setattr(engine.shutil, "which", lambda name: name if name != "dockerd" or self.dockerd else None)
        monkeypatch.setattr(engine.debian, "is_debian", lambda: self.debian)
        monkeypatch.setattr(engine.debian, "ensure_programs", lambda *_args: self.did.append("install"))

    def ensure(self) -> list[str]:
        engine.ensure(self.paths, Progress())
        return self.did


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    return Host(tmp_path, monkeypatch)


def test_a_daemon_that_answers_is_left_alone(host: Host) -> None:
    host.running = True
    assert host.ensure() == []
    assert not host.config.exists()


def test_an_installed_one_is_started(host: Host) -> None:
    assert host.ensure() == ["start"]


def test_a_missing_one_is_installed_and_started(host: Host) -> None:
    host.dockerd = False
    assert host.ensure() == ["install", "start"]


def test_without_root_it_says_what_to_do(host: Host) -> None:
    host.root = False
    with pytest.raises(LocalError, match="Docker does not answer") as caught:
        host.ensure()
    assert "RAGOPS_KUBECONFIG" in caught.value.remedy


def test_elsewhere_than_on_debian_it_says_what_to_install(host: Host) -> None:
    host.dockerd = host.debian = False
    with pytest.raises(LocalError, match="no Docker on this machine") as caught:
        host.ensure()
    assert "install Docker Engine" in caught.value.remedy


def test_a_host_without_the_capability_gets_the_wrapper_before_the_start(host: Host) -> None:
    host.capable = False
    host.config.write_text('{"log-level": "warn"}')
    assert host.ensure() == ["start"]
    assert host.wrapper.stat().st_mode & 0o111
    config = json.loads(host.config.read_text())
    assert config["default-runtime"] == "bounded"
    assert config["log-level"] == "warn"


def test_a_running_daemon_takes_the_wrapper_over_by_a_reload(host: Host) -> None:
    host.capable, host.running = False, True
    host.pid.write_text("4711")
    assert host.ensure() == ["reload 4711"]
    host.did.clear()
    host.runtime = "bounded"
    assert host.ensure() == []
