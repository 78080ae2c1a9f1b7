# Copyright: ragops.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs a module of the collection and shows its progress lines while it waits.

Every other module links to this one file, so that each shows its progress. Finding kubeconfig files beside the
play and decrypting vaulted ones is kubernetes.core's work, whose action plugin this extends.
"""

from __future__ import annotations

import os
import tempfile
import threading
from pathlib import Path
from typing import Any

from ansible import constants
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible.utils.vars import merge_hash
from ansible_collections.kubernetes.core.plugins.action.k8s_info import ActionModule as KubernetesAction
from ansible_collections.ragops.stack.plugins.module_utils._progress import ENVIRONMENT_KEY

display = Display()

# RAGOPS_PROGRESS=off silences the lines.
_OFF = ("off", "no", "0", "false")


class ActionModule(KubernetesAction):  # type: ignore[misc]
    _supports_async = True

    def run(self, tmp: Any = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        if self._task.async_val:
            return self._async_run(tmp, task_vars)
        if not _wanted():
            return self._plain_run(task_vars)
        with tempfile.TemporaryDirectory(prefix="ragops-") as folder:
            path = Path(folder) / "progress"
            path.touch()
            self._task.environment = [*(self._task.environment or []), {ENVIRONMENT_KEY: str(path)}]
            done = threading.Event()
            host = str((task_vars or {}).get("inventory_hostname", ""))
            teller = threading.Thread(target=_tell, args=(path, host, done), daemon=True)
            teller.start()
            try:
                return self._plain_run(task_vars)
            finally:
                done.set()
                teller.join(timeout=2)

    def _async_run(self, tmp: Any, task_vars: dict[str, Any] | None) -> dict[str, Any]:
        """kubernetes.core's plugin cannot run in the background; nobody watches then, so the module alone will do."""
        result: dict[str, Any] = ActionBase.run(self, tmp, task_vars)
        return merge_hash(result, self._execute_module(task_vars=task_vars, wrap_async=True))

    def _plain_run(self, task_vars: dict[str, Any] | None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(task_vars=task_vars)
        return result


def _wanted() -> bool:
    if os.environ.get("RAGOPS_PROGRESS", "on").lower() in _OFF:
        return False
    # A machine reads these callbacks: a line in between would break its document.
    return "json" not in constants.DEFAULT_STDOUT_CALLBACK


def _tell(path: Path, host: str, done: threading.Event) -> None:
    position = 0
    while True:
        finished = done.wait(timeout=0.5)
        text = path.read_text(encoding="utf-8")
        complete = text[: text.rfind("\n") + 1]
        for line in complete[position:].splitlines():
            display.display(f"  [{host}] {line}", color="bright gray")
        position = len(complete)
        if finished:
            return
