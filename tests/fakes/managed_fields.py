# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who owns which field: server-side apply and the bookkeeping of ordinary updates."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from . import errors
from .fieldsets import FieldSet, Path, differences, fields_of, from_v1, get, merge, printed, remove, to_v1
from .resources import ResourceType

Json = dict[str, Any]


@dataclass(frozen=True)
class Manager:
    name: str
    operation: str
    api_version: str
    subresource: str = ""

    def __str__(self) -> str:
        text = json.dumps(self.name)
        if self.subresource:
            text += f' with subresource "{self.subresource}"'
        return f"{text} using {self.api_version}" if self.operation == "Update" else text


Managed = dict[Manager, FieldSet]


def decode(obj: Json | None) -> Managed:
    managed: Managed = {}
    for entry in ((obj or {}).get("metadata") or {}).get("managedFields") or []:
        manager = Manager(entry["manager"], entry["operation"], entry.get("apiVersion", ""), entry.get("subresource", ""))
        managed[manager] = from_v1(entry.get("fieldsV1") or {})
    return managed


def encode(managed: Managed, before: Json | None, now: str) -> list[Json]:
    """As a list, with the times of unchanged entries kept."""
    old: dict[Manager, tuple[FieldSet, str]] = {}
    for entry in ((before or {}).get("metadata") or {}).get("managedFields") or []:
        manager = Manager(entry["manager"], entry["operation"], entry.get("apiVersion", ""), entry.get("subresource", ""))
        old[manager] = (from_v1(entry.get("fieldsV1") or {}), entry.get("time", now))
    entries: list[Json] = []
    for manager, fields in managed.items():
        if not fields:
            continue
        time = old[manager][1] if manager in old and old[manager][0] == fields else now
        made: Json = {
            "manager": manager.name,
            "operation": manager.operation,
            "apiVersion": manager.api_version,
            "time": time,
            "fieldsType": "FieldsV1",
            "fieldsV1": to_v1(fields),
        }
        if manager.subresource:
            made["subresource"] = manager.subresource
        entries.append(made)
    return sorted(entries, key=lambda entry: (entry["operation"] != "Apply", entry["time"], entry["manager"]))


def apply(rtype: ResourceType, live: Json | None, config: Json, manager: Manager, *, force: bool) -> tuple[Json, Managed]:
    """The object as it comes out of a server-side apply (before defaulting), and the owners."""
    managed = decode(live)
    mine = next((known for known in managed if (known.name, known.operation, known.subresource) == (manager.name, "Apply", manager.subresource)), None)
    owned_before = managed.pop(mine) if mine else frozenset()
    asked = fields_of(rtype, config)
    base: Json = live or {}
    merged: Json = merge(rtype, base, config)

    changed, _removed = differences(rtype, base, merged)
    conflicts: list[tuple[Manager, Path]] = []
    for other, fields in managed.items():
        conflicts.extend((other, path) for path in sorted(changed, key=_order) if path in fields)
    if conflicts and not force:
        raise errors.apply_conflict([(str(other), printed(path)) for other, path in conflicts])
    for other, path in conflicts:
        managed[other] = managed[other] - {path}

    _prune(rtype, merged, owned_before - asked, asked, managed)
    managed[manager] = asked
    return merged, {known: fields for known, fields in managed.items() if fields}


def _order(path: Path) -> list[tuple[bool, str]]:
    """The order in which the server walks a set: at each level what ends there, then what goes deeper."""
    return [(depth < len(path) - 1, element) for depth, element in enumerate(path)]


def _prune(rtype: ResourceType, merged: Json, dropped: FieldSet, asked: FieldSet, others: Managed) -> None:
    kept = frozenset().union(asked, *others.values())
    gone: list[Path] = []
    for path in sorted(dropped, key=len):
        # A list item stays as long as anybody owns it or something in it; with it goes all it holds.
        if not any(path[: len(stem)] == stem for stem in gone) and not any(other[: len(path)] == path for other in kept):
            remove(rtype, merged, path)
            gone.append(path)


_MAPS = {"labels", "annotations", "data", "binaryData", "nodeSelector", "limits", "requests", "resources", "matchLabels", "parameters"}


def _new_maps(rtype: ResourceType, old: Json, changed: FieldSet) -> FieldSet:
    """Maps that came with the fields in them: an update owns them too (the dot in fieldsV1)."""
    found: set[Path] = set()
    for path in changed:
        for length in range(1, len(path)):
            stem = path[:length]
            known = stem != ("f:metadata",) if rtype.custom else stem[-1][2:] in _MAPS
            if known and stem[-1].startswith("f:") and get(rtype, old, stem) is None:
                found.add(stem)
    return frozenset(found)


def update(rtype: ResourceType, old: Json | None, new: Json, manager: Manager) -> Managed:
    """The owners after an ordinary write: who changed a field owns it, alone."""
    before: Json = old or {}
    changed, removed = differences(rtype, before, new)
    changed |= _new_maps(rtype, before, changed)
    result: Managed = {}
    managed = decode(old)
    for known, fields in managed.items():
        left = fields - removed
        left = frozenset(path for path in left if get(rtype, new, path) is not None or not isinstance(get(rtype, before, path), dict))
        if known != manager:
            left = left - changed
        if left:
            result[known] = left
    mine = (result.get(manager, frozenset()) | changed) - removed
    if mine:
        result[manager] = mine
    return result
