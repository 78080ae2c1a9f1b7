# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/benchmarks.md: one section a benchmark, replaced when it runs; the others stay as they were measured."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from .play import Run

HEAD = """# Benchmarks

Written by `make bench` (`tests/benchmarks/run.py --help` for its options). Every ratio compares runs of the same session on the
same cluster, taken in turns. Seconds depend on the machine, ratios hardly; no test asserts any of them.
"""


@dataclass(frozen=True)
class Section:
    """One benchmark's part of the document."""

    name: str
    title: str
    body: str


@dataclass(frozen=True)
class Ratio:
    """Ours to theirs, run by run."""

    pairs: list[float]

    @classmethod
    def of(cls, ours: Sequence[float], theirs: Sequence[float]) -> Ratio:
        return cls([a / b for a, b in zip(ours, theirs, strict=True)])

    @property
    def median(self) -> float:
        return median(self.pairs)

    def __str__(self) -> str:
        return f"**{self.median:.2f}** ({min(self.pairs):.2f} to {max(self.pairs):.2f}, {len(self.pairs)} pairs)"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(head)} |", f"|{'|'.join(['---'] + ['---:'] * (len(head) - 1))}|"]
    return "\n".join(lines + [f"| {' | '.join(row)} |" for row in rows])


def spread(values: Sequence[float], digits: int = 1) -> str:
    """Median, and in brackets the smallest and the largest."""
    if not values:
        return ""
    return f"{median(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def costs(contestants: dict[str, list[Run]]) -> list[list[str]]:
    """Rows that every comparison shows."""
    runs = list(contestants.values())
    rows = [
        ["seconds", *(spread([r.cost.seconds for r in rs]) for rs in runs)],
        ["processor seconds of the controller", *(spread([r.cost.cpu for r in rs]) for rs in runs)],
        ["memory of its largest process, MiB", *(f"{max(r.cost.rss_mib for r in rs):.0f}" for rs in runs)],
    ]
    if any(r.tasks for rs in runs for r in rs):
        rows += [
            ["tasks that ran", *(str(rs[-1].tasks_run or "-") for rs in runs)],
            ["of them with a process of their own, loops counted through", *(str(rs[-1].modules or "-") for rs in runs)],
        ]
    return rows


def slowest(runs: Sequence[Run], keep: int = 15) -> str:
    """Tasks by their median seconds; the rest in one line."""
    seconds: dict[str, list[float]] = defaultdict(lambda: [0.0] * len(runs))
    for number, run in enumerate(runs):
        for task in run.tasks:
            seconds[task.title][number] += task.seconds
    start = median(r.before for r in runs)
    end = median(r.cost.seconds - r.before - sum(t.seconds for t in r.tasks) for r in runs)
    medians = sorted(((median(values), title) for title, values in seconds.items()), reverse=True)
    rows = [[title, f"{value:.2f}"] for value, title in medians[:keep]]
    rows += [
        [f"{len(medians) - keep} more tasks together", f"{sum(value for value, _ in medians[keep:]):.2f}"],
        ["start of ansible-playbook, until the first task", f"{start:.2f}"],
        ["its end", f"{max(end, 0):.2f}"],
    ]
    return table(["task", "seconds"], rows)


def requests(counted: dict[str, dict[str, int]]) -> str:
    """Contestants by kind of request."""
    verbs = sorted({v for counts in counted.values() for v in counts}, key=lambda v: -sum(c.get(v, 0) for c in counted.values()))
    rows = [[verb, *(str(c.get(verb, 0)) for c in counted.values())] for verb in verbs]
    rows.append(["**all**", *(f"**{sum(c.values())}**" for c in counted.values())])
    return table(["requests to the API server", *counted], rows)


def write(path: Path, sections: Sequence[Section]) -> None:
    """Put each section in its place, between two comments that name it; unknown ones go to the end."""
    text = path.read_text(encoding="utf-8") if path.exists() else HEAD
    for section in sections:
        block = f"<!-- benchmark: {section.name} -->\n## {section.title}\n\n{section.body.strip()}\n<!-- end: {section.name} -->"
        pattern = re.compile(rf"<!-- benchmark: {section.name} -->.*?<!-- end: {section.name} -->", re.S)
        text = pattern.sub(lambda _match, block=block: block, text) if pattern.search(text) else f"{text.rstrip()}\n\n{block}\n"
    path.write_text(text, encoding="utf-8")
