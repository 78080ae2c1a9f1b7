# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The objects, their one resourceVersion counter, and the log that watches read."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]
Key = tuple[str, str]
Slot = tuple[str, str]

FIRST_VERSION = 1000


@dataclass(frozen=True)
class Change:
    version: int
    type: str
    key: Key
    obj: Json
    old: Json | None = None

    @property
    def name(self) -> str:
        return str(self.obj["metadata"]["name"])

    @property
    def namespace(self) -> str:
        return str(self.obj["metadata"].get("namespace") or "")


def slot_of(obj: Json) -> Slot:
    return obj["metadata"].get("namespace") or "", obj["metadata"]["name"]


class Store:
    """What is kept is never changed in place: a write puts a new object in the old one's place."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.changed = threading.Condition(self.lock)
        self._objects: dict[Key, dict[Slot, Json]] = {}
        self.log: list[Change] = []
        self._version = FIRST_VERSION
        self.oldest = 0

    @property
    def version(self) -> int:
        return self._version

    def get(self, key: Key, namespace: str, name: str) -> Json | None:
        with self.lock:
            return self._objects.get(key, {}).get((namespace, name))

    def items(self, key: Key, namespace: str | None = None) -> list[Json]:
        with self.lock:
            found = self._objects.get(key, {})
            return [found[slot] for slot in sorted(found) if namespace is None or slot[0] == namespace]

    def everything(self, namespace: str | None = None) -> list[tuple[Key, Json]]:
        with self.lock:
            return [(key, obj) for key in self._objects for obj in self.items(key, namespace)]

    def _record(self, kind: str, key: Key, obj: Json, old: Json | None) -> None:
        self.log.append(Change(self._version, kind, key, obj, old))
        self.changed.notify_all()

    def put(self, key: Key, obj: Json) -> Json:
        with self.lock:
            old = self.get(key, *slot_of(obj))
            self._version += 1
            obj["metadata"]["resourceVersion"] = str(self._version)
            self._objects.setdefault(key, {})[slot_of(obj)] = obj
            self._record("MODIFIED" if old else "ADDED", key, obj, old)
            return obj

    def erase(self, key: Key, namespace: str, name: str) -> Json | None:
        with self.lock:
            old = self._objects.get(key, {}).pop((namespace, name), None)
            if old is None:
                return None
            self._version += 1
            last = {**old, "metadata": {**old["metadata"], "resourceVersion": str(self._version)}}
            self._record("DELETED", key, last, old)
            return last

    def forget_history(self) -> None:
        """As after a compaction: watches that ask for what was, get 410."""
        with self.lock:
            self._version += 1
            self.oldest = self._version
            self.changed.notify_all()

    def changes(self, since: int, until: float) -> Iterator[Change | None]:
        """Changes after a version as they come; None now and then, so that the reader may look around."""
        position = 0
        while True:
            with self.lock:
                while position >= len(self.log):
                    left = until - time.monotonic()
                    if left <= 0:
                        return
                    self.changed.wait(min(left, 0.25))
                    if position >= len(self.log):
                        break
                batch = self.log[position:]
                position += len(batch)
            yield from (change for change in batch if change.version > since)
            yield None
