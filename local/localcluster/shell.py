"""Running commands: output goes to a step's log, and what is still running can be ended as a whole."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path

from .errors import CommandError

_running: set[subprocess.Popen[bytes]] = set()
_guard = threading.Lock()
_cancelled = threading.Event()


def cancel_all() -> None:
    """End every command of this program that is still running, with its children."""
    _cancelled.set()
    with _guard:
        processes = list(_running)
    for process in processes:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGTERM)


def quiet(argv: Sequence[str], timeout: float = 30, stdin: str | None = None) -> tuple[int, str, str]:
    """Run a short question; return code, output, errors. Never raises: a missing program is code 127, a time-out 124."""
    try:
        done = subprocess.run(argv, input=stdin, capture_output=True, text=True, timeout=timeout, check=False)
    except FileNotFoundError:
        return 127, "", f"{argv[0]}: not found"
    except subprocess.TimeoutExpired:
        return 124, "", f"{argv[0]}: no answer within {timeout:.0f} s"
    return done.returncode, done.stdout, done.stderr


class Log:
    """The log file of one step."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")

    def note(self, text: str) -> None:
        with self.path.open("a") as handle:
            handle.write(text.rstrip("\n") + "\n")

    def run(
        self,
        argv: Sequence[str | Path],
        *,
        cwd: Path | None = None,
        env: dict[str, str] | None = None,
        stdin: str | Path | None = None,
        capture: bool = False,
        remedy: str = "",
    ) -> str:
        """Run to the end, output into the log (or returned, with `capture`); a failure raises CommandError."""
        words = [str(word) for word in argv]
        self.note("$ " + shlex.join(words))
        merged = {**os.environ, **(env or {})}
        given = stdin.encode() if isinstance(stdin, str) else None
        source = stdin.open("rb") if isinstance(stdin, Path) else None
        try:
            with self.path.open("ab") as sink, _guard:
                if _cancelled.is_set():
                    raise CommandError("cancelled", self.path)
                process = subprocess.Popen(
                    words,
                    cwd=cwd,
                    env=merged,
                    stdin=source or (subprocess.PIPE if given is not None else subprocess.DEVNULL),
                    stdout=subprocess.PIPE if capture else sink,
                    stderr=sink,
                    start_new_session=True,
                )
                _running.add(process)
        except FileNotFoundError as error:
            raise CommandError(f"{words[0]}: not found", self.path, remedy) from error
        finally:
            if source:
                source.close()
        try:
            out, _unused = process.communicate(given)
        finally:
            with _guard:
                _running.discard(process)
        if process.returncode != 0:
            raise CommandError(f"`{shlex.join(words[:4])}` ended with code {process.returncode}", self.path, remedy)
        return out.decode(errors="replace") if out else ""

    def pipe(self, script: str, *args: str, env: dict[str, str] | None = None) -> None:
        """Run a bash line with pipefail; its words come as "$1", "$2", ..."""
        self.run(["bash", "-euo", "pipefail", "-c", script, "bash", *args], env=env)

    def tail(self, lines: int = 20) -> list[str]:
        return tail(self.path, lines)


def tail(path: Path, lines: int = 20) -> list[str]:
    try:
        return path.read_text(errors="replace").splitlines()[-lines:]
    except OSError:
        return []
