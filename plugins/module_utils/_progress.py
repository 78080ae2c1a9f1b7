# Copyright: ragops.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Progress lines from a waiting module to the person who waits.

A module's own output appears only at its end. The action plugin names a file in the environment and
shows each line that is appended to it; without that file the lines go nowhere.
"""

from __future__ import annotations

import os
import time

ENVIRONMENT_KEY = "RAGOPS_PROGRESS_FILE"


class Progress:
    """Appends a line when the text changes, and repeats it at most every ``repeat`` seconds."""

    def __init__(self, path: str | None = None, repeat: float = 20.0) -> None:
        self._path = path if path is not None else os.environ.get(ENVIRONMENT_KEY, "")
        self._repeat = repeat
        self._start = time.monotonic()
        self._last_text = ""
        self._last_time = 0.0

    def say(self, text: str) -> None:
        now = time.monotonic()
        if not self._path or (text == self._last_text and now - self._last_time < self._repeat):
            return
        self._last_text, self._last_time = text, now
        line = f"{now - self._start:4.0f} s  {' '.join(text.split())}\n"
        try:
            with open(self._path, "a", encoding="utf-8") as file:  # noqa: PTH123
                file.write(line)
        except OSError:
            self._path = ""  # nobody reads any more; the work goes on
