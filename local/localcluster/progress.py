"""What a person sees: one line when something starts, one when it ends."""

from __future__ import annotations

import sys
import threading
import time


def duration(seconds: float) -> str:
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{int(seconds) // 60} min {int(seconds) % 60:02d} s"


class Progress:
    """Prints lines with the time since the start; safe to use from several threads."""

    def __init__(self) -> None:
        self._start = time.monotonic()
        self._guard = threading.Lock()

    @property
    def elapsed(self) -> float:
        return time.monotonic() - self._start

    def say(self, text: str) -> None:
        with self._guard:
            for line in text.splitlines():
                print(f"{self.elapsed:7.1f}s  {line}", flush=True)

    def started(self, name: str, text: str) -> None:
        self.say(f"start  {name}: {text}")

    def done(self, name: str, seconds: float, text: str = "") -> None:
        self.say(f"done   {name} ({duration(seconds)}){': ' + text if text else ''}")

    def error(self, text: str) -> None:
        with self._guard:
            sys.stdout.flush()
            for line in text.splitlines():
                print(line, file=sys.stderr, flush=True)
