# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes what each task did as one JSON line, for tests to read; the normal output stays as it is."""

from __future__ import annotations

DOCUMENTATION = r"""
name: ragops_record
type: notification
short_description: Record what each task did, one JSON object a line
description:
  - Writes to the file that environment variable RAGOPS_RECORD names. Results of tasks with no_log are left out.
author: ragops.stack contributors (@ragops)
"""

import json
import os
import time
from pathlib import Path
from typing import Any

from ansible.plugins.callback import CallbackBase

# What a result holds beside its data.
_NOISE = ("invocation", "results", "warnings", "deprecations", "exception", "diff")


class CallbackModule(CallbackBase):  # type: ignore[misc]
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "ragops_record"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._path = Path(os.environ["RAGOPS_RECORD"])
        self._path.touch()
        self._begun: dict[tuple[str, str], float] = {}

    def v2_runner_on_start(self, host: Any, task: Any) -> None:
        self._begun[(host.name, task._uuid)] = time.monotonic()

    def v2_runner_on_ok(self, result: Any) -> None:
        self._note(result, "ok")

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        self._note(result, "ignored" if ignore_errors else "failed")

    def v2_runner_on_skipped(self, result: Any) -> None:
        self._note(result, "skipped")

    def v2_runner_on_unreachable(self, result: Any) -> None:
        self._note(result, "unreachable")

    def v2_runner_item_on_ok(self, result: Any) -> None:
        self._note(result, "ok", item=True)

    def v2_runner_item_on_failed(self, result: Any) -> None:
        self._note(result, "failed", item=True)

    def v2_runner_item_on_skipped(self, result: Any) -> None:
        self._note(result, "skipped", item=True)

    def _note(self, result: Any, status: str, item: bool = False) -> None:
        data, task = dict(result.result), result.task
        hidden = bool(data.get("_ansible_no_log"))
        role = task._role.get_name() if task._role else ""
        entry: dict[str, Any] = {
            "host": result.host.name,
            "role": role,
            "name": task.get_name().removeprefix(f"{role} : "),
            "path": task.get_path() or "",
            "action": task.action,
            "status": status,
            "changed": bool(data.get("changed")),
            "item": _label(data) if item else None,
            "loop": not item and "results" in data,
            "msg": "" if hidden else str(data.get("msg") or ""),
            "seconds": round(time.monotonic() - self._begun.get((result.host.name, task._uuid), time.monotonic()), 2),
            "diff": [] if hidden else _diffs(data),
            "result": {} if hidden else {k: v for k, v in data.items() if k not in _NOISE and not k.startswith("_ansible")},
        }
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry, default=str) + "\n")


def _label(data: dict[str, Any]) -> str:
    for key in ("_ansible_item_label", data.get("ansible_loop_var", "item")):
        if data.get(key) is not None:
            return str(data[key])
    return ""


def _diffs(data: dict[str, Any]) -> list[Any]:
    """Those that show something."""
    found = data.get("diff") or []
    entries = found if isinstance(found, list) else [found]
    return [d for d in entries if isinstance(d, dict) and (d.get("prepared") or d.get("before") != d.get("after"))]
