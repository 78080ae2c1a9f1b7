"""The Docker daemon: found, started, or installed where that is possible."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

from . import debian
from .errors import LocalError
from .paths import Paths
from .progress import Progress
from .shell import Log, quiet, tail

CAP_SYS_RESOURCE = 24
WRAPPER = Path("/usr/local/sbin/runc-bounded")
CONFIG = Path("/etc/docker/daemon.json")
LOG = Path("/var/log/dockerd.log")
PID = Path("/run/docker.pid")
PACKAGES = {
    "docker": "docker.io",
    "dockerd": "docker.io",
    "containerd": "containerd",
    "runc": "runc",
    "iptables": "iptables",
}


def answers() -> bool:
    return quiet(["docker", "version", "--format", "{{.Server.Version}}"], timeout=20)[0] == 0


def ensure(paths: Paths, progress: Progress) -> None:
    """Have a daemon that answers and can run privileged containers. It is left running for good."""
    if answers():
        ensure_wrapper(paths)
        return
    if os.geteuid() != 0:
        raise LocalError(
            "Docker does not answer",
            "start Docker (or add yourself to its group), or give a cluster: RAGOPS_KUBECONFIG=FILE",
        )
    if not shutil.which("dockerd"):
        if not debian.is_debian():
            raise LocalError(
                "there is no Docker on this machine",
                "install Docker Engine (docs.docker.com/engine/install), or give a cluster: RAGOPS_KUBECONFIG=FILE",
            )
        progress.started("docker", "install Docker from Debian's packages")
        began = time.monotonic()
        debian.ensure_programs(PACKAGES, Log(paths.logs / "engine.log"), "a local cluster")
        progress.done("docker", time.monotonic() - began)
    ensure_wrapper(paths)
    if not answers():
        start(progress)


def start(progress: Progress) -> None:
    """Start the daemon so that it outlives this program."""
    progress.started("dockerd", "start the Docker daemon")
    began = time.monotonic()
    if Path("/run/systemd/system").is_dir():
        quiet(["systemctl", "start", "docker"], timeout=90)
    if not answers():
        with LOG.open("ab") as sink:
            subprocess.Popen(["dockerd"], stdin=subprocess.DEVNULL, stdout=sink, stderr=sink, start_new_session=True, cwd="/")
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if answers():
            progress.done("dockerd", time.monotonic() - began)
            return
        time.sleep(0.5)
    raise LocalError("the Docker daemon did not start within 60 s:\n" + "\n".join(tail(LOG)), f"see {LOG}")


def ensure_wrapper(paths: Paths) -> None:
    """Where this host may never hold CAP_SYS_RESOURCE, runc must not be asked for it (see engine/runc-bounded)."""
    if may_hold(CAP_SYS_RESOURCE) or os.geteuid() != 0:
        return
    if not shutil.which("jq"):
        debian.install(["jq"], Log(paths.logs / "engine.log"), "the runc wrapper")
    wanted = (paths.source / "engine" / "runc-bounded").read_bytes()
    if not WRAPPER.exists() or WRAPPER.read_bytes() != wanted:
        fresh = WRAPPER.with_suffix(".new")
        fresh.write_bytes(wanted)
        fresh.chmod(0o755)
        fresh.replace(WRAPPER)
    config = json.loads(CONFIG.read_text()) if CONFIG.exists() else {}
    if config.get("default-runtime") != "bounded":
        config.setdefault("runtimes", {})["bounded"] = {"path": str(WRAPPER)}
        config["default-runtime"] = "bounded"
        CONFIG.parent.mkdir(parents=True, exist_ok=True)
        CONFIG.write_text(json.dumps(config, indent=1) + "\n")
    code, runtime, _err = quiet(["docker", "info", "-f", "{{.DefaultRuntime}}"])
    if code == 0 and runtime.strip() not in {"", "bounded"} and PID.exists():
        os.kill(int(PID.read_text()), signal.SIGHUP)  # takes the runtimes over without touching a container
        time.sleep(1)


def may_hold(capability: int) -> bool:
    """Whether this process may ever hold a capability (its bounding set)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapBnd:"):
            return bool(int(line.split()[1], 16) >> capability & 1)
    return True
