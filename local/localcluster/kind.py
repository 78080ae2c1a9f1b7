"""The kind cluster: made, looked at, removed. Only Docker knows which node containers there are."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from .errors import CommandError, LocalError
from .shell import Log, quiet

MARKER = "/kind/ragops.json"
"""Written into the node when it is complete: what it was made from. A node without it is half-made."""

KUBECTL = "kubectl --kubeconfig=/etc/kubernetes/admin.conf --request-timeout=5s"

PROBE = f"""
printf 'marker=%s\\n' "$(cat {MARKER} 2>/dev/null)"
printf 'ready=%s\\n' "$({KUBECTL} get --raw=/readyz 2>&1 | tail -n 1)"
printf 'node=%s\\n' "$({KUBECTL} get nodes -o 'jsonpath={{.items[*].status.conditions[?(@.type=="Ready")].status}}' 2>&1)"
"""


@dataclass(frozen=True)
class Health:
    """What was found of the node."""

    exists: bool = False
    running: bool = False
    image: str = ""  # id of the image it runs
    marker: str = ""
    ready: str = ""
    node: str = ""

    @property
    def live(self) -> bool:
        return self.running and self.ready == "ok" and self.node == "True"

    def why_not(self, mode: str) -> str:
        """Why this cluster cannot be used as it is, or ''."""
        if not self.exists:
            return "there is none"
        if not self.running:
            return "its node container is stopped"
        if self.ready != "ok":
            return f"its API server does not answer ({self.ready or 'no reply'})"
        if self.node != "True":
            return "its node is not Ready"
        if not self.marker:
            return "it was never finished"
        if mode and self.made_from.get("mode") != mode:
            return f"it is one of mode {self.made_from.get('mode')}"
        return ""

    @property
    def made_from(self) -> dict[str, str]:
        try:
            data = json.loads(self.marker)
        except ValueError:
            return {}
        return data if isinstance(data, dict) else {}


def parse(inspected: str, probed: str) -> Health:
    """From `docker inspect` (running, image id) and the probe run in the node."""
    words = inspected.split()
    if len(words) != 2:
        return Health()
    values = dict(line.split("=", 1) for line in probed.splitlines() if "=" in line)
    return Health(
        exists=True,
        running=words[0] == "true",
        image=words[1],
        marker=values.get("marker", ""),
        ready=values.get("ready", ""),
        node=values.get("node", ""),
    )


class Cluster:
    """One single-node kind cluster by name."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.container = f"{name}-control-plane"

    def containers(self) -> list[str]:
        label = f"label=io.x-k8s.kind.cluster={self.name}"
        code, out, _err = quiet(["docker", "ps", "-aq", "--filter", label])
        return out.split() if code == 0 else []

    def health(self) -> Health:
        code, inspected, _err = quiet(["docker", "inspect", "--type", "container", "-f", "{{.State.Running}} {{.Image}}", self.container])
        if code != 0:
            return Health()
        if inspected.startswith("true"):
            _code, probed, _err = quiet(["docker", "exec", "-i", self.container, "bash", "-s"], stdin=PROBE, timeout=30)
        else:  # a stopped container still gives its files, as a tar archive
            _code, archive, _err = quiet(["docker", "cp", f"{self.container}:{MARKER}", "-"])
            probed = "marker=" + "".join(re.findall(r"\{.*?\}", archive)[:1])
        return parse(inspected, probed)

    def wait_live(self, seconds: float) -> Health:
        """Give a node that is coming up some time."""
        deadline = time.monotonic() + seconds
        while True:
            health = self.health()
            if health.live or not health.running or time.monotonic() > deadline:
                return health
            time.sleep(1)

    def create(self, binary: Path, image: str, config: Path, kubeconfig: Path, log: Log) -> None:
        kubeconfig.parent.mkdir(parents=True, exist_ok=True)
        argv: list[str | Path] = [binary, "create", "cluster", "--name", self.name, "--image", image, "--config", config, "--retain"]
        log.run([*argv, "--kubeconfig", kubeconfig], env={"KUBECONFIG": str(kubeconfig)})

    def remove(self) -> bool:
        """Remove the node with its volumes; no kubeconfig is touched."""
        found = self.containers()
        if found:
            code, _out, err = quiet(["docker", "rm", "-f", "-v", *found], timeout=120)
            if code != 0:
                raise LocalError(f"could not remove the node container: {err.strip()}")
        return bool(found)

    def start(self) -> None:
        quiet(["docker", "start", self.container], timeout=60)

    def save_kubeconfig(self, target: Path) -> None:
        """From the node itself, with the address that this machine reaches it by."""
        code, out, err = quiet(["docker", "exec", self.container, "cat", "/etc/kubernetes/admin.conf"])
        code2, port, err2 = quiet(["docker", "port", self.container, "6443/tcp"])
        if code or code2:
            raise LocalError(f"could not read the cluster's kubeconfig: {(err + err2).strip()}")
        address = port.split()[0].replace("0.0.0.0:", "127.0.0.1:")
        text = for_host(out, address, f"kind-{self.name}")
        if target.exists() and target.read_text() == text:
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        fresh = target.with_suffix(".new")
        handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "w") as file:
            file.write(text)
        fresh.replace(target)

    def settled(self, seconds: float, log: Log) -> None:
        """Wait until the cluster's own pods are Ready: network, DNS, storage."""
        script = f"{KUBECTL.replace(' --request-timeout=5s', '')} -n $1 wait --for=condition=Ready pods --all --timeout=$2s"
        deadline = time.monotonic() + seconds
        for namespace in ("kube-system", "local-path-storage"):
            while True:
                left = int(max(5, deadline - time.monotonic()))
                try:
                    log.run(["docker", "exec", self.container, "sh", "-ec", script, "sh", namespace, str(left)])
                    break
                except CommandError as error:  # no pods yet, or one was replaced while waiting
                    if time.monotonic() > deadline:
                        error.message = f"the pods of {namespace} did not become Ready within {seconds:.0f} s"
                        raise
                    time.sleep(1)

    def write_marker(self, marker: str) -> None:
        argv = ["docker", "exec", "-i", self.container, "sh", "-c", f"cat > {MARKER}"]
        code, _out, err = quiet(argv, stdin=marker)
        if code != 0:
            raise LocalError(f"could not finish the node: {err.strip()}")


def for_host(admin_conf: str, address: str, context: str) -> str:
    """kubeadm's admin.conf for use on the host: its address and context as `kind get kubeconfig` would give them."""
    lines = []
    for line in admin_conf.splitlines():
        name = line.strip().removeprefix("- ").partition(":")[0]
        indent = line[: len(line) - len(line.lstrip())]
        if name == "server":
            line = f"{indent}server: https://{address}"
        elif name == "current-context":
            line = f"current-context: {context}"
        elif name in {"cluster", "user", "name"} and line.partition(":")[2].strip():
            dash = "- " if line.strip().startswith("- ") else ""
            line = f"{indent}{dash}{name}: {context}"
        lines.append(line)
    return "\n".join(lines) + "\n"


def marker_of(mode: str, image_id: str, config: str) -> str:
    return json.dumps({"mode": mode, "image": image_id, "config": config}, sort_keys=True)


def until(check: Callable[[], bool], seconds: float, pause: float = 0.5) -> bool:
    deadline = time.monotonic() + seconds
    while not check():
        if time.monotonic() > deadline:
            return False
        time.sleep(pause)
    return True
