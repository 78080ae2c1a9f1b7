# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a command costs: seconds, processor seconds, memory; and how busy the machine is with other things."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


class CommandFailedError(Exception):
    """A command that a benchmark needs did not work."""


@dataclass(frozen=True)
class Cost:
    """One run of one command, with all processes that it started."""

    begun: float  # time.time(), to compare with what the API server says
    seconds: float
    cpu: float
    rss_mib: float  # of its largest process
    busy: float  # share of all processors that others used just before


def busy_share(seconds: float = 2.0) -> float:
    """Share of all processors that is in use, measured for a while."""

    def read() -> tuple[int, int]:
        numbers = [int(n) for n in Path("/proc/stat").read_text(encoding="ascii").splitlines()[0].split()[1:9]]
        idle = numbers[3] + numbers[4]
        return sum(numbers), idle

    total, idle = read()
    time.sleep(seconds)
    total_later, idle_later = read()
    passed = total_later - total
    return 1 - (idle_later - idle) / passed if passed else 0.0


def settle(limit: float, patience: float) -> float:
    """Wait until others leave the processors alone, at most ``patience`` seconds; returns the share in use."""
    end = time.monotonic() + patience
    while True:
        busy = busy_share()
        if busy <= limit or time.monotonic() >= end:
            return busy


def timed(command: Sequence[str], log: Path, env: Mapping[str, str], cwd: Path, busy: float) -> Cost:
    """Run it to its end; the output goes to ``log``, whose end a failure shows."""
    with log.open("w", encoding="utf-8") as out:
        out.write(f"$ {' '.join(command)}\n")
        out.flush()
        begun, start = time.time(), time.monotonic()
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, env=dict(env), cwd=cwd, start_new_session=True)
        try:
            _pid, status, usage = os.wait4(process.pid, 0)
        except BaseException:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait()
            raise
        seconds = time.monotonic() - start
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        tail = log.read_text(encoding="utf-8")[-4000:]
        raise CommandFailedError(f"Exit code {process.returncode} after {seconds:.0f} s, output in {log}:\n{tail}")
    return Cost(begun, seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, busy)


def describe() -> str:
    """Cores and memory, which figures depend on; nothing else."""
    for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
        if line.startswith("MemTotal:"):
            return f"{len(os.sched_getaffinity(0))} cores, {int(line.split()[1]) / 1024 / 1024:.0f} GiB of memory"
    return f"{len(os.sched_getaffinity(0))} cores"
