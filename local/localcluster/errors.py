"""Failures that a person can act on."""

from __future__ import annotations

from pathlib import Path


class LocalError(Exception):
    """What went wrong, and what to do about it."""

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return self.message


class CommandError(LocalError):
    """A command ended with a non-zero code; its output is in `log`."""

    def __init__(self, message: str, log: Path | None = None, remedy: str = "") -> None:
        super().__init__(message, remedy)
        self.log = log
