"""Steps with dependencies: skipped when nothing changed, run side by side otherwise."""

from __future__ import annotations

import concurrent.futures
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from . import shell, stamps
from .errors import CommandError, LocalError
from .progress import Progress, duration
from .shell import Log

LANES = {"go": 2, "io": 2}
"""How many steps of a kind run at once: compilers fill the cores, the rest mostly waits for a network or a disk."""


@dataclass(kw_only=True)
class Step:
    """One thing to make. Subclasses give `make`; their fields and code are the step's inputs."""

    name: str
    title: str
    needs: tuple[str, ...] = ()
    inputs: tuple[str, ...] = ()
    sources: tuple[Path, ...] = ()  # files and folders of the tree whose content counts
    files: tuple[Path, ...] = ()  # what it leaves on disk
    tags: tuple[str, ...] = ()  # images it leaves in Docker
    lane: str = "io"
    remedy: str = ""

    def make(self, log: Log) -> None:
        raise NotImplementedError

    def key(self, results: Mapping[str, str]) -> str:
        """A hash of everything this step's result depends on."""
        own = [stamps.of_code(cls) for cls in type(self).__mro__ if cls not in (Step, object)]
        trees = [stamps.of_tree(path) for path in self.sources]
        below = [f"{need}={results[need]}" for need in self.needs]
        return stamps.digest([self.name, *own, *self.inputs, *trees, *below, *self.tags])

    def result(self, images: Mapping[str, str]) -> str:
        """The identity of what was made."""
        parts = [images[tag] for tag in self.tags]
        parts += [stamps.of_tree(path) for path in self.files]
        return stamps.digest(parts)


class Images(Protocol):
    """What the runner asks Docker."""

    def ids(self) -> dict[str, str]: ...


@dataclass
class Report:
    """How a run of the graph went."""

    made: dict[str, float] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)


def check(steps: Sequence[Step]) -> None:
    """Refuse a graph that names a step twice, needs an unknown one, or goes round in a circle."""
    known: set[str] = set()
    for step in steps:
        if step.name in known:
            raise ValueError(f"two steps are called {step.name}")
        known.add(step.name)
    for step in steps:
        missing = set(step.needs) - known
        if missing:
            raise ValueError(f"step {step.name} needs unknown {', '.join(sorted(missing))}")
    done: set[str] = set()
    while len(done) < len(steps):
        free = [step.name for step in steps if step.name not in done and set(step.needs) <= done]
        if not free:
            raise ValueError(f"steps need each other in a circle: {', '.join(sorted(known - done))}")
        done.update(free)


class Runner:
    """Runs a graph: each step as soon as what it needs is there and its lane has room."""

    def __init__(self, stamp_dir: Path, log_dir: Path, images: Images, progress: Progress) -> None:
        self.stamp_dir = stamp_dir
        self.log_dir = log_dir
        self.images = images
        self.progress = progress

    def run(self, steps: Sequence[Step], before: Callable[[], None] | None = None) -> Report:
        """Make what is out of date; `before` is called once, ahead of the first step that really runs."""
        check(steps)
        report = Report()
        results: dict[str, str] = {}
        waiting = list(steps)
        busy: dict[concurrent.futures.Future[float], Step] = {}
        keys: dict[str, str] = {}
        known = self.images.ids()
        with concurrent.futures.ThreadPoolExecutor(max_workers=sum(LANES.values())) as pool:
            try:
                while waiting or busy:
                    chosen = self._startable(waiting, busy, results, keys, known, report)
                    if chosen and before:
                        before()
                        before = None
                    for step in chosen:
                        self.progress.started(step.name, step.title)
                        busy[pool.submit(self._make, step)] = step
                        waiting.remove(step)
                    if not busy:
                        continue
                    ended, _running = concurrent.futures.wait(busy, return_when=concurrent.futures.FIRST_COMPLETED)
                    for future in ended:
                        step = busy.pop(future)
                        seconds = future.result()
                        known = self.images.ids()
                        results[step.name] = self._stamp(step, keys[step.name], seconds, known)
                        report.made[step.name] = seconds
                        self.progress.done(step.name, seconds)
            except BaseException:
                shell.cancel_all()
                raise
        if report.skipped:
            self.progress.say(f"skip   {len(report.skipped)} of {len(steps)} build steps: nothing changed")
        return report

    def _startable(
        self,
        waiting: list[Step],
        busy: Mapping[concurrent.futures.Future[float], Step],
        results: dict[str, str],
        keys: dict[str, str],
        known: Mapping[str, str],
        report: Report,
    ) -> list[Step]:
        """Steps to start now, in the order given; those with nothing to do are ticked off on the way."""
        room = {lane: size - sum(1 for step in busy.values() if step.lane == lane) for lane, size in LANES.items()}
        chosen: list[Step] = []
        again = True
        while again:
            again = False
            for step in list(waiting):
                if step in chosen or any(need not in results for need in step.needs):
                    continue
                if step.name not in keys:
                    keys[step.name] = step.key(results)
                    stamp = stamps.load(self.stamp_dir / f"{step.name}.json")
                    if stamp and not stamps.stale(stamp, keys[step.name], step.files, step.tags, known):
                        results[step.name] = stamp.result
                        report.skipped.append(step.name)
                        waiting.remove(step)
                        again = True
                        continue
                if room[step.lane] > 0:
                    room[step.lane] -= 1
                    chosen.append(step)
        return chosen

    def _make(self, step: Step) -> float:
        began = time.monotonic()
        log = Log(self.log_dir / f"{step.name}.log")
        try:
            step.make(log)
        except CommandError as error:
            error.log = error.log or log.path
            error.remedy = error.remedy or step.remedy
            error.message = f"{step.name} failed after {duration(time.monotonic() - began)}: {error.message}"
            raise
        except OSError as error:
            raise LocalError(f"{step.name} failed: {error}", step.remedy) from error
        return time.monotonic() - began

    def _stamp(self, step: Step, key: str, seconds: float, known: Mapping[str, str]) -> str:
        absent = [str(path) for path in step.files if not path.exists()] + [t for t in step.tags if t not in known]
        if absent:
            raise LocalError(f"{step.name} ended well but left no {', '.join(absent)}")
        images = {tag: known[tag] for tag in step.tags}
        stamp = stamps.Stamp(key, step.result(images), images, round(seconds, 1))
        stamp.save(self.stamp_dir / f"{step.name}.json")
        return stamp.result
