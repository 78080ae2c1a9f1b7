# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes how long each task took as JSON, for the benchmarks; the normal output stays as it is."""

from __future__ import annotations

DOCUMENTATION = r"""
name: task_seconds
type: notification
short_description: Record the seconds of each task
description:
  - Writes to the file that environment variable RAGOPS_TASK_SECONDS names.
  - The clock of a task runs until the next one starts, so the sum is the whole play, with what Ansible itself needs between tasks.
author: ragops.stack contributors (@ragops)
"""

import json
import os
import resource
import time
from pathlib import Path
from typing import Any

from ansible.plugins.callback import CallbackBase


def _processor_seconds() -> float:
    """Of Ansible itself and of its workers and modules that have ended; the last ones may count for the task that follows."""
    usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in usage)


class CallbackModule(CallbackBase):  # type: ignore[misc]
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "task_seconds"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._path = Path(os.environ["RAGOPS_TASK_SECONDS"])
        self._tasks: list[dict[str, Any]] = []
        self._now: dict[str, Any] | None = None

    def v2_playbook_on_task_start(self, task: Any, is_conditional: bool) -> None:
        self._close()
        role = task._role.get_name() if task._role else ""
        self._now = {
            "role": role,
            "name": task.get_name().removeprefix(f"{role} : "),
            "action": task.action,
            "at": time.time(),
            "seconds": 0.0,
            "cpu": _processor_seconds(),
            "ran": 0,
            "skipped": 0,
            "changed": 0,
            "failed": 0,
        }

    def v2_runner_on_ok(self, result: Any) -> None:
        # The items of a loop were counted one by one.
        if "results" not in result.result:
            self._count(result, "ran")

    def v2_runner_on_skipped(self, result: Any) -> None:
        if "results" not in result.result:
            self._count(result, "skipped")

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        self._count(result, "failed")

    def v2_runner_item_on_ok(self, result: Any) -> None:
        self._count(result, "ran")

    def v2_runner_item_on_skipped(self, result: Any) -> None:
        self._count(result, "skipped")

    def v2_playbook_on_stats(self, stats: Any) -> None:
        self._close()
        self._path.write_text(json.dumps(self._tasks), encoding="utf-8")

    def _count(self, result: Any, what: str) -> None:
        if self._now is not None:
            self._now[what] += 1
            self._now["changed"] += int(bool(result.result.get("changed")))

    def _close(self) -> None:
        if self._now is not None:
            self._now["seconds"] = time.time() - self._now["at"]
            self._now["cpu"] = _processor_seconds() - self._now["cpu"]
            self._tasks.append(self._now)
        self._now = None
