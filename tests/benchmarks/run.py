#!/usr/bin/env python3
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`make bench`: measures ratios on the local cluster and writes docs/benchmarks.md.

A further benchmark is a module beside cold.py with ``measure`` and ``section``, and a line in ``main``.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import shutil
import signal
import sys
import tempfile
import time
from datetime import datetime, timezone
from pathlib import Path

if __package__ in (None, ""):  # run as a file
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.benchmarks import machine
from tests.benchmarks.cluster import ROOT, STATE, Cluster
from tests.benchmarks.cold import Cold
from tests.benchmarks.counting import CountingProxy
from tests.benchmarks.nochange import NoChange
from tests.benchmarks.play import Run, Runner
from tests.benchmarks.report import Section, write
from tests.benchmarks.stacks import FLOOR, OURS, PLAIN, WAITING, plain_definition

DOCUMENT = ROOT / "docs/benchmarks.md"
LOGS = ROOT / "tests/output/benchmarks"


def arguments(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="run.py", description="Ratios against plain kubectl and plain kubernetes.core, on the local cluster.")
    parser.add_argument("--rounds", type=int, default=3, help="counted runs of each contestant (default 3); one more is a warm-up")
    parser.add_argument("--only", choices=["cold", "no-change"], help="one benchmark; the other section of the document stays")
    parser.add_argument("--no-waiting-floor", action="store_true", help="leave out the second form of the floor")
    parser.add_argument("--quiet-limit", type=float, default=0.35, help="share of the processors that others may use before a run starts (default 0.35)")
    parser.add_argument("--patience", type=float, default=120, help="seconds to wait for that at most (default 120)")
    parser.add_argument("--output", type=Path, default=DOCUMENT, help="the document (default docs/benchmarks.md)")
    parser.add_argument("--extra-vars", type=json.loads, default={}, metavar="JSON", help="variables for our play, e.g. to ask less of a full cluster")
    parser.add_argument("--keep", action="store_true", help="leave the stacks of the last run standing")
    return parser.parse_args(argv)


def main(argv: list[str]) -> int:
    options = arguments(argv)
    cluster = Cluster()
    if not cluster.kubeconfig.exists():
        print(f"There is no cluster: {STATE / 'kubeconfig'} is missing. Run make up first.", file=sys.stderr)
        return 1
    began = time.monotonic()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was made is removed
    with contextlib.ExitStack() as stack:
        work = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ragops-bench-")))
        proxy = stack.enter_context(CountingProxy(cluster.kubeconfig).running())
        counted = proxy.write_kubeconfig(work / "counted.kubeconfig")
        clean(cluster)
        if not options.keep:
            stack.callback(clean, cluster)
        runner = Runner(cluster, work, options.quiet_limit, options.patience, options.extra_vars)
        cold, nochange = Cold(runner, cluster, proxy, counted), NoChange(runner, cluster, proxy, counted)
        sections: list[Section] = []
        failed = False
        try:
            if options.only == "no-change":
                cold.proven = runner.ours("cold, ours with proof", OURS)
                cold.objects = cluster.export(OURS)
                cold.definitions = cluster.export_definitions(cold.objects)
            else:
                cold.measure(options.rounds, not options.no_waiting_floor)
                sections.append(cold.section(conditions([*cold.ours, *cold.floor, *cold.waiting], options.rounds, cluster)))
            if options.only != "cold":
                nochange.measure(options.rounds, nochange.prepare(cold.objects, cold.definitions))
                sections.append(nochange.section(conditions([*nochange.ours, *nochange.plain], options.rounds, cluster)))
                save_requests(nochange)
        except machine.CommandFailedError as error:
            failed = True
            print(f"The benchmark ends here: {error}", file=sys.stderr)
            shutil.copytree(work, LOGS, dirs_exist_ok=True, ignore=shutil.ignore_patterns("plain", "*.yml", "*.kubeconfig"))
            print(f"All output is in {LOGS}.", file=sys.stderr)
        if sections:  # what was measured before a failure is as true as ever
            write(options.output, sections)
    for section in sections:
        print(f"{section.title}: {section.body.strip().splitlines()[0]}")
    print(f"{'Failed' if failed else f'Wrote {options.output}'} after {time.monotonic() - began:.0f} s.")
    return int(failed)


def conditions(runs: list[Run], rounds: int, cluster: Cluster) -> str:
    """What the figures were taken on."""
    busy = sorted(r.cost.busy for r in runs)
    version = json.loads(cluster.kubectl("version", "-o", "json"))["serverVersion"]["gitVersion"]
    return (
        f"Measured {datetime.now(tz=timezone.utc).date()} on {machine.describe()}, Kubernetes {version} on the same machine: one uncounted run of each, then\n"
        f"{rounds} counted in turns, the order turned around each time. Before each counted run others, the cluster itself among them,\n"
        f"used {busy[0]:.0%} to {busy[-1]:.0%} of the processors (median {busy[len(busy) // 2]:.0%}).\n"
        "Figures are medians, with smallest and largest in brackets; ratios are taken pair by pair.\n"
        "Requests were counted in a run of their own, by a proxy between the command and the API server."
    )


def save_requests(nochange: NoChange) -> None:
    """Each kind of request of the counted runs, for whoever wants to send fewer."""
    LOGS.mkdir(parents=True, exist_ok=True)
    (LOGS / "requests.json").write_text(json.dumps(nochange.detail, indent=1), encoding="utf-8")


def clean(cluster: Cluster) -> None:
    """Away with what the benchmarks make, also of a run that was broken off."""
    for namespace in (OURS, FLOOR, WAITING, PLAIN):
        cluster.remove(namespace)
    for kind in ("postgresql", "neo4j"):
        cluster.kubectl(
            "delete", "componentdefinitions.apps.kubeblocks.io", plain_definition({"spec": {"serviceKind": kind}}), "--ignore-not-found", "--wait=false"
        )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
