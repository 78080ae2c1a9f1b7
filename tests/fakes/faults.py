# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What goes wrong on request: broken connections, server errors, missing rights, refusals."""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass, field

from .errors import ApiError

_TEXTS = {
    429: "the server has received too many requests and has asked us to try again later",
    500: "Internal error occurred: etcdserver: request timed out",
    503: "the server is currently unable to handle the request",
    504: "Timeout: request did not complete within the allotted timeout",
}


@dataclass
class Fault:
    """Hits requests whose method and path match, `times` times (None: always)."""

    path: str = ""
    method: str = ""
    status: int = 500
    times: int | None = 1
    drop: bool = False
    delay: float = 0.0
    retry_after: float | None = None
    message: str = ""
    hits: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def takes(self, method: str, path: str) -> bool:
        if (self.method and self.method.upper() != method) or not re.search(self.path, path):
            return False
        with self._lock:
            if self.times is not None and self.hits >= self.times:
                return False
            self.hits += 1
            return True

    def error(self) -> ApiError:
        error = ApiError(self.status, self.message or _TEXTS.get(self.status, "injected by the test"))
        error.retry_after = self.retry_after
        return error


@dataclass(frozen=True)
class Prohibition:
    """A right that is missing; empty fields stand for any."""

    verb: str = ""
    resource: str = ""
    namespace: str = ""
    name: str = ""

    def covers(self, verb: str, resource: str, namespace: str | None, name: str) -> bool:
        wanted = ((self.verb, verb), (self.resource, resource), (self.namespace, namespace or ""), (self.name, name))
        return all(not rule or rule == asked for rule, asked in wanted)
