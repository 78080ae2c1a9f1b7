# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Contestants: a playbook, or kubectl. Each can be run for its time, or through the proxy for its requests."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import machine
from .cluster import ROOT, VENV, Cluster
from .machine import CommandFailedError, Cost, settle, timed

PLUGINS = Path(__file__).resolve().parent / "plugins/callback"


@dataclass(frozen=True)
class Task:
    """One task of a play, over its loop."""

    role: str
    name: str
    action: str
    at: float
    seconds: float
    cpu: float
    ran: int
    skipped: int
    changed: int
    failed: int

    @property
    def title(self) -> str:
        return f"{self.role.removeprefix('ragops.stack.')}: {self.name}" if self.role else self.name

    @property
    def modules(self) -> int:
        """How many processes it started; the actions named here run inside Ansible itself."""
        inside = ("assert", "debug", "set_fact", "include_role", "include_tasks", "fail", "meta", "include_vars", "validate_argument_spec")
        return 0 if self.action.split(".")[-1] in inside else self.ran


@dataclass(frozen=True)
class Run:
    """One run of one contestant."""

    cost: Cost
    tasks: list[Task] = field(default_factory=list)

    @property
    def changed(self) -> int:
        return sum(t.changed for t in self.tasks)

    @property
    def tasks_run(self) -> int:
        return sum(1 for t in self.tasks if t.ran)

    @property
    def modules(self) -> int:
        return sum(t.modules for t in self.tasks)

    @property
    def before(self) -> float:
        """Seconds until the first task starts."""
        return self.tasks[0].at - self.cost.begun if self.tasks else 0.0


@dataclass
class Runner:
    """Runs commands on the cluster, after waiting for a quiet machine."""

    cluster: Cluster
    work: Path
    limit: float
    patience: float
    extra_vars: dict[str, Any] = field(default_factory=dict)
    count: int = 0

    def environment(self, **more: str) -> dict[str, str]:
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("ANSIBLE_", "K8S_AUTH_", "KUBECONFIG", "LIGHTRAG_"))}
        clean |= {
            "PATH": f"{VENV / 'bin'}:{clean['PATH']}",
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_CALLBACK_PLUGINS": str(PLUGINS),
            "ANSIBLE_CALLBACKS_ENABLED": "task_seconds",
        }
        return clean | more

    def run(self, label: str, command: Sequence[str], quiet: bool = True, **more: str) -> Run:
        self.count += 1
        stem = self.work / f"{self.count:02d}-{label.replace(' ', '-')}"
        record = stem.with_suffix(".json")
        busy = settle(self.limit, self.patience) if quiet else machine.busy_share()
        cost = timed(command, stem.with_suffix(".log"), self.environment(RAGOPS_TASK_SECONDS=str(record), **more), ROOT, busy)
        tasks = [Task(**t) for t in json.loads(record.read_text(encoding="utf-8"))] if record.exists() else []
        run = Run(cost, tasks)
        counted = f", {run.tasks_run} tasks, {run.changed} changed" if tasks else ""
        print(f"  {label}: {cost.seconds:.1f} s ({cost.cpu:.1f} s of processor, {cost.rss_mib:.0f} MiB{counted}; others used {busy:.0%})", flush=True)
        return run

    def ours(self, label: str, namespace: str, kubeconfig: Path | None = None, quiet: bool = True, **more: Any) -> Run:
        """`playbooks/lightrag.yml` with the inventory of the demo; all that differs is the namespace."""
        given = {"ragops_namespace": namespace, "ragops_kubeconfig": str(kubeconfig or self.cluster.kubeconfig), **self.extra_vars, **more}
        command = [str(VENV / "bin/ansible-playbook"), "-i", "inventories/local", "playbooks/lightrag.yml", "-e", json.dumps(given)]
        return self.run(label, command, quiet)

    def plain(self, label: str, given: dict[str, Any], kubeconfig: Path | None = None, quiet: bool = True) -> Run:
        """The same with kubernetes.core alone."""
        given = {**given, "plain_kubeconfig": str(kubeconfig or self.cluster.kubeconfig), "plain_helm": str(VENV / "bin/helm")}
        command = [str(VENV / "bin/ansible-playbook"), "-i", "localhost,", str(PLUGINS.parents[1] / "plain/lightrag.yml"), "-e", json.dumps(given)]
        return self.run(label, command, quiet)

    def floor(self, label: str, manifests: Path, namespace: str, kubeconfig: Path | None = None, quiet: bool = True) -> Run:
        """One `kubectl apply` of everything, then `kubectl wait`; the last wait is for LightRAG, which is ready last."""
        wait = f"kubectl wait -n {namespace} --timeout=600s"
        script = "\n".join(
            [
                "set -e",
                f"kubectl apply -f {manifests}",
                f"{wait} --for=condition=Complete job/make-database",
                f"{wait} --for=jsonpath='{{.status.phase}}'=Running clusters.apps.kubeblocks.io --all",
                f"{wait} --for=condition=Available deployment --all",
            ]
        )
        return self.run(label, ["sh", "-c", script], quiet, KUBECONFIG=str(kubeconfig or self.cluster.kubeconfig))


def unchanged(run: Run, who: str) -> Run:
    """A no-change run that changes something measures another thing."""
    if run.changed:
        raise CommandFailedError(f"{who} changed something on a stack that stands: {[t.title for t in run.tasks if t.changed]}")
    return run
