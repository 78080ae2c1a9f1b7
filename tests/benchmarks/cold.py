# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From an empty namespace to a LightRAG that is ready: our play against one `kubectl apply` of the same objects."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from .cluster import Cluster
from .counting import CountingProxy
from .play import Run, Runner
from .report import Ratio, Section, costs, requests, slowest, spread, table
from .stacks import FLOOR, OURS, WAITING, floor_manifests

GOAL = 1.15


@dataclass
class Cold:
    """Runs and what was seen of each on the cluster."""

    runner: Runner
    cluster: Cluster
    proxy: CountingProxy
    counted_kubeconfig: Path
    ours: list[Run] = field(default_factory=list)
    floor: list[Run] = field(default_factory=list)
    waiting: list[Run] = field(default_factory=list)
    proven: Run | None = None
    seen: dict[str, list[dict[str, float]]] = field(default_factory=lambda: {OURS: [], FLOOR: [], WAITING: []})
    counted: dict[str, dict[str, int]] = field(default_factory=dict)
    objects: list[dict[str, Any]] = field(default_factory=list)
    definitions: list[dict[str, Any]] = field(default_factory=list)

    def measure(self, rounds: int, with_waiting: bool) -> None:
        """One uncounted round, then ``rounds`` of them, in an order that turns around. Leaves our stack standing, proven."""
        floors = {FLOOR: False, **({WAITING: True} if with_waiting else {})}
        image = self.cluster.variables["ragops_images"]["postgresql"]
        print("cold: warm-up, through the counting proxy", flush=True)
        self.proxy.counter.clear()
        self._ours("warm-up, ours", self.counted_kubeconfig)
        self.counted["ours"] = self.proxy.counter.by_verb()
        self.objects = self.cluster.export(OURS)
        self.definitions = self.cluster.export_definitions(self.objects)
        manifests = {name: floor_manifests(self.objects, self.runner.work, name, image, waits) for name, waits in floors.items()}
        self.cluster.remove(OURS)
        for number in range(rounds + 1):
            if number:
                print(f"cold: round {number} of {rounds}", flush=True)
            for contestant in [OURS, *floors] if number % 2 else [*floors, OURS]:
                self._round(contestant, manifests, number)
        print("cold: once with the proof", flush=True)
        self.proven = self.runner.ours("cold, ours with proof", OURS)

    def _round(self, contestant: str, manifests: dict[str, Path], number: int) -> None:
        if contestant == OURS:
            if number:
                self.ours.append(self._ours("cold, ours"))
                self.cluster.remove(OURS)
            return
        runs, label = (self.waiting, "floor, waiting") if contestant == WAITING else (self.floor, "floor")
        if not number:
            self.proxy.counter.clear()
            self.runner.floor(f"warm-up, {label}", manifests[contestant], contestant, self.counted_kubeconfig, quiet=False)
            self.counted[label] = self.proxy.counter.by_verb()
        else:
            runs.append(self.runner.floor(f"cold, {label}", manifests[contestant], contestant))
            self.seen[contestant].append(self.cluster.milestones(contestant, runs[-1].cost.begun))
        self.cluster.remove(contestant)

    def _ours(self, label: str, kubeconfig: Path | None = None) -> Run:
        run = self.runner.ours(label, OURS, kubeconfig, quiet=kubeconfig is None, lightrag_verify=False)
        if kubeconfig is None:
            self.seen[OURS].append(self.cluster.milestones(OURS, run.cost.begun))
        return run

    def section(self, conditions: str) -> Section:
        names = {OURS: "our play", FLOOR: "one kubectl apply", WAITING: "the same, LightRAG's pod waits"}
        runs = {OURS: self.ours, FLOOR: self.floor, WAITING: self.waiting}
        there = [name for name in names if runs[name]]
        ratio = Ratio.of(_seconds(self.ours), _seconds(self.floor))
        proof = f" With the proof at its end the play took {self.proven.cost.seconds:.1f} s." if self.proven else ""
        waiting = ""
        if self.waiting:
            waiting = (
                "\n\nA floor that waits: LightRAG's pod gets an init container that waits for both databases, so that it neither crashes nor competes "
                f"for the processor meanwhile. Ours to this one: {Ratio.of(_seconds(self.ours), _seconds(self.waiting))}."
            )
        shown = {"floor": "one kubectl apply", "floor, waiting": "the same, waiting"}
        return Section(
            "cold",
            "From an empty namespace to LightRAG",
            f"""
Ours to the floor: {ratio}; goal: at most {GOAL}.{proof}{waiting}

What runs: `ansible-playbook -i inventories/local playbooks/lightrag.yml -e lightrag_verify=false`, PostgreSQL and Neo4j by the operator, the
stand-in model, LightRAG. The operator and the two ComponentDefinitions are there already, the namespace is not.
The floor is one `kubectl apply` of the same objects at once, exported from what the play made (only the fields that it set, with the passwords that it
generated), and a Job that makes LightRAG's database user, database and extension as soon as PostgreSQL takes a connection; then `kubectl wait` for the Job,
both Clusters and both Deployments. Nothing is checked, ordered, or generated there, and LightRAG starts before its databases do.
Both clocks run from the start of the command until it ends, which is when LightRAG's readiness probe, a query of its database, succeeds.

{table(["", *(names[n] for n in there)], costs({n: runs[n] for n in there}))}

What the cluster did, in seconds after the start (the API server tells whole seconds):

{self._milestones(there, names)}

{requests({"our play" if k == "ours" else shown[k]: v for k, v in self.counted.items()})}

Where our play's time goes:

{slowest(self.ours)}

{conditions}
""",
        )

    def _milestones(self, there: list[str], names: dict[str, str]) -> str:
        keys = sorted({k for n in there for seen in self.seen[n] for k in seen}, key=self._when)
        rows = [[key, *(_at(self.seen[n], key) for n in there)] for key in keys]
        return table(["", *(names[n] for n in there)], rows)

    def _when(self, key: str) -> tuple[bool, float]:
        values = [seen[key] for all_seen in self.seen.values() for seen in all_seen if key in seen]
        return key.endswith("(how many)"), median(values)


def _seconds(runs: list[Run]) -> list[float]:
    return [r.cost.seconds for r in runs]


def _at(seen: list[dict[str, float]], key: str) -> str:
    return spread([s[key] for s in seen if key in s], 0) or "-"
