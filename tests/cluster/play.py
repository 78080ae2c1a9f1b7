# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs ansible-playbook as a user does, and reads back what each task did."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
STATE = ROOT / "local/.state"
PLUGINS = Path(__file__).resolve().parent / "plugins/callback"
TAIL = 6000  # characters of output that a failure shows


@dataclass(frozen=True)
class Task:
    """One result of one task on one host; of a loop there is one for each item, and one for the whole."""

    host: str
    role: str
    name: str
    path: str
    action: str
    status: str
    changed: bool
    item: str | None
    loop: bool
    msg: str
    seconds: float
    diff: list[dict[str, Any]]
    result: dict[str, Any]

    @property
    def title(self) -> str:
        return f"{self.role + ' : ' if self.role else ''}{self.name}{f' [{self.item}]' if self.item is not None else ''}"


@dataclass
class Run:
    """What a run of ansible-playbook did."""

    command: list[str]
    code: int
    output: str
    seconds: float
    tasks: list[Task] = field(default_factory=list)

    @property
    def leaves(self) -> list[Task]:
        """Each act once: the items of a loop, not the loop."""
        return [t for t in self.tasks if not t.loop]

    def of(self, host: str) -> list[Task]:
        return [t for t in self.leaves if t.host == host]

    def changed(self, host: str | None = None) -> set[str]:
        """Titles of the tasks that changed, or in check mode would change, something."""
        return {t.title for t in self.leaves if t.changed and host in (None, t.host)}

    def diffs(self) -> list[tuple[str, dict[str, Any]]]:
        return [(t.title, d) for t in self.leaves for d in t.diff]

    def failure(self, host: str | None = None) -> Task:
        """The one task that ended the play of this host."""
        bad = [t for t in self.leaves if t.status in ("failed", "unreachable") and host in (None, t.host)]
        assert bad, f"{host or 'the run'} was to fail, and did not\n{self.tail}"
        return bad[0]

    def failed(self, host: str) -> bool:
        return any(t.status in ("failed", "unreachable") and t.host == host for t in self.leaves)

    def named(self, name: str, host: str | None = None) -> list[Task]:
        return [t for t in self.leaves if t.name == name and host in (None, t.host)]

    @property
    def tail(self) -> str:
        return f"$ {' '.join(self.command)}\n...{self.output[-TAIL:]}\n(exit code {self.code} after {self.seconds:.0f} s)"

    def ok(self) -> Run:
        assert self.code == 0, self.tail
        return self


@dataclass
class Player:
    """Runs playbooks with this checkout (or another collections path) and one kubeconfig."""

    work: Path
    venv: Path = Path(sys.prefix)
    cwd: Path = ROOT
    environment: Mapping[str, str] = field(default_factory=dict)
    count: int = 0

    def env(self, record: Path, more: Mapping[str, str]) -> dict[str, str]:
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("ANSIBLE_", "K8S_AUTH_", "KUBECONFIG", "LIGHTRAG_", "PYTEST_"))}
        temporary = self.work / "tmp"
        temporary.mkdir(parents=True, exist_ok=True)
        clean |= {
            "PATH": f"{self.venv / 'bin'}:{clean['PATH']}",
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_FORKS": "4",
            "ANSIBLE_CALLBACK_PLUGINS": str(PLUGINS),
            "ANSIBLE_CALLBACKS_ENABLED": "ragops_record",
            "RAGOPS_RECORD": str(record),
            "TMPDIR": str(temporary),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        return clean | dict(self.environment) | dict(more)

    def files(self) -> Path:
        """A folder for one run."""
        self.count += 1
        folder = self.work / f"run-{self.count:03d}"
        folder.mkdir(parents=True)
        return folder

    @contextlib.contextmanager
    def started(self, arguments: Sequence[str], more: Mapping[str, str] | None = None) -> Iterator[tuple[subprocess.Popen[str], Path, list[str]]]:
        """The process while it runs; it and its children are gone afterwards."""
        folder = self.files()
        command = [str(self.venv / "bin/ansible-playbook"), *arguments]
        with (folder / "output.txt").open("w", encoding="utf-8") as out:
            process = subprocess.Popen(
                command,
                cwd=self.cwd,
                env=self.env(folder / "record.jsonl", more or {}),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            )
            try:
                yield process, folder, command
            finally:
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait()

    def run(self, *arguments: str, timeout: float = 900, env: Mapping[str, str] | None = None) -> Run:
        start = time.monotonic()
        with self.started(arguments, env) as (process, folder, command):
            try:
                code = process.wait(timeout=timeout)
            except subprocess.TimeoutExpired:
                code = -1
        run = Run(command, code, (folder / "output.txt").read_text(encoding="utf-8"), time.monotonic() - start, read_record(folder / "record.jsonl"))
        print(f"$ ansible-playbook {' '.join(arguments)}\n  exit code {run.code}, {run.seconds:.1f} s, {len(run.changed())} changed")
        return run


def read_record(path: Path) -> list[Task]:
    if not path.exists():
        return []
    return [Task(**json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]


@dataclass
class Stack:
    """A host of an inventory: one RAG stack in a namespace of its own."""

    namespace: str
    inventory: Path
    player: Player

    def run(self, playbook: str, *arguments: str, timeout: float = 900, env: Mapping[str, str] | None = None) -> Run:
        path = playbook if "/" in playbook or playbook.count(".") == 2 else f"playbooks/{playbook}.yml"
        return self.player.run("-i", str(self.inventory), path, "--limit", self.namespace, *arguments, timeout=timeout, env=env)


# Requests so small that several stacks fit two cores; limits as in the demo.
SMALL = {
    "postgresql_resources": {"requests": {"cpu": "10m", "memory": "128Mi"}, "limits": {"cpu": "1", "memory": "512Mi"}},
    "neo4j_resources": {"requests": {"cpu": "10m", "memory": "512Mi"}, "limits": {"cpu": "1", "memory": "1Gi"}},
    "model_resources": {"requests": {"cpu": "10m", "memory": "48Mi"}, "limits": {"cpu": "500m", "memory": "192Mi"}},
    "lightrag_resources": {"requests": {"cpu": "10m", "memory": "256Mi"}, "limits": {"cpu": "2", "memory": "1536Mi"}},
}


def local_variables() -> dict[str, Any]:
    """What `make up` wrote down about images and charts."""
    loaded: dict[str, Any] = yaml.safe_load((STATE / "vars.yml").read_text(encoding="utf-8"))
    return loaded


def write_inventory(folder: Path, hosts: Mapping[str, Mapping[str, Any]], kubeconfig: Path | None = None) -> Path:
    """Hosts beside the one of inventories/local, with its group variables; each host is a namespace."""
    folder.mkdir(parents=True, exist_ok=True)
    common = {
        "ragops_kubeconfig": str(kubeconfig or STATE / "kubeconfig"),
        "ragops_local_vars": str(STATE / "vars.yml"),
        "ansible_connection": "local",
        "ansible_python_interpreter": "{{ ansible_playbook_python }}",
    }
    inventory = {"ragops": {"hosts": {name: {**common, **SMALL, "ragops_namespace": name, **given} for name, given in hosts.items()}}}
    (folder / "hosts.yml").write_text(yaml.safe_dump(inventory, sort_keys=False), encoding="utf-8")
    link = folder / "group_vars"
    if not link.exists():
        link.symlink_to(ROOT / "inventories/local/group_vars")
    return folder / "hosts.yml"
