# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A run that has nothing to do: our play against a plain one, one task an object, on stacks that stand."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .cluster import Cluster
from .counting import CountingProxy
from .play import Run, Runner, unchanged
from .report import Ratio, Section, costs, requests, slowest, table
from .stacks import OURS, PLAIN, check_plain_is_complete, plain_manifests

GOAL = 0.5


@dataclass
class NoChange:
    """Both stacks stand beside each other, so each run finds the same background."""

    runner: Runner
    cluster: Cluster
    proxy: CountingProxy
    counted_kubeconfig: Path
    ours: list[Run] = field(default_factory=list)
    plain: list[Run] = field(default_factory=list)
    made: Run | None = None
    counted: dict[str, dict[str, int]] = field(default_factory=dict)
    detail: dict[str, dict[str, int]] = field(default_factory=dict)

    def prepare(self, objects: list[dict[str, Any]], definitions: list[dict[str, Any]]) -> dict[str, Any]:
        """The plain stack, made by its own playbook."""
        folder = plain_manifests(objects, definitions, self.runner.work / "plain")
        check_plain_is_complete(folder)
        return {"plain_namespace": PLAIN, "plain_manifests": str(folder), "plain_operator": self.cluster.operator()}

    def measure(self, rounds: int, given: dict[str, Any]) -> None:
        """Our stack stands. The plain one is made; then each runs once to be counted, and ``rounds`` times for its time."""
        print("no change: the plain playbook makes its stack", flush=True)
        self.made = self.runner.plain("cold, plain", given)
        # Twice, since the first run through the proxy asks what kinds the server has, and remembers it.
        for attempt in ("warm-up", "counted"):
            print(f"no change: {attempt}, through the counting proxy", flush=True)
            self.proxy.counter.clear()
            unchanged(self._ours(f"{attempt}, ours", self.counted_kubeconfig), "Our play")
            self.counted["our play"], self.detail["our play"] = self.proxy.counter.by_verb(), self.proxy.counter.by_request()
            self.proxy.counter.clear()
            unchanged(self.runner.plain(f"{attempt}, plain", given, self.counted_kubeconfig, quiet=False), "The plain playbook")
            self.counted["plain playbook"], self.detail["plain playbook"] = self.proxy.counter.by_verb(), self.proxy.counter.by_request()
        for number in range(1, rounds + 1):
            print(f"no change: round {number} of {rounds}", flush=True)
            for contestant in ("ours", "plain") if number % 2 else ("plain", "ours"):
                if contestant == "ours":
                    self.ours.append(unchanged(self._ours("no change, ours"), "Our play"))
                else:
                    self.plain.append(unchanged(self.runner.plain("no change, plain", given), "The plain playbook"))

    def _ours(self, label: str, kubeconfig: Path | None = None) -> Run:
        return self.runner.ours(label, OURS, kubeconfig, quiet=kubeconfig is None, lightrag_verify=False)

    def section(self, conditions: str) -> Section:
        ratio = Ratio.of([r.cost.seconds for r in self.ours], [r.cost.seconds for r in self.plain])
        cpu = Ratio.of([r.cost.cpu for r in self.ours], [r.cost.cpu for r in self.plain])
        made = f" The plain one needs {self.made.cost.seconds:.1f} s to make its stack in an empty namespace." if self.made else ""
        contestants = {"our play": self.ours, "plain playbook": self.plain}
        return Section(
            "no-change",
            "A run that changes nothing",
            f"""
Ours to the plain playbook: {ratio}; goal: at most {GOAL}. In processor seconds of the controller: {cpu}.{made}

The plain one is `tests/benchmarks/plain/lightrag.yml`: the same objects, one task an object with `kubernetes.core.k8s`, waits by
`kubernetes.core.k8s_info`, the operator's chart by `kubernetes.core.helm`, user, database and extension by two `kubernetes.core.k8s_exec`.
It has no preflight checks, leaves the operator's CustomResourceDefinitions alone, does not log in to Neo4j, and takes its passwords from files: what
it lacks is in its favour. Neither asks LightRAG itself, whose readiness probe does. Both report no change.

{table(["", *contestants], costs(contestants))}

{requests(self.counted)}

Where our play's time goes:

{slowest(self.ours, 20)}

Where the plain playbook's goes:

{slowest(self.plain, 10)}

{conditions}
""",
        )
