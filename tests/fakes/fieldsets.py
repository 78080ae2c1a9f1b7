# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sets of fields (metadata.managedFields[].fieldsV1) and the list keys they need."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable, Iterator
from typing import Any

from .resources import ResourceType

Json = dict[str, Any]
#: elements as in fieldsV1: f:<name>, k:<json of the keys>, v:<json of the value>
Path = tuple[str, ...]
FieldSet = frozenset[Path]

# Last field name -> keys of the list map; "" for a set. Everything else is atomic.
_LIST_KEYS: dict[str, tuple[str, ...]] = {
    "containers": ("name",),
    "initContainers": ("name",),
    "ephemeralContainers": ("name",),
    "env": ("name",),
    "volumes": ("name",),
    "volumeMounts": ("mountPath",),
    "volumeDevices": ("devicePath",),
    "imagePullSecrets": ("name",),
    "ownerReferences": ("uid",),
    "conditions": ("type",),
    "hostAliases": ("ip",),
    "topologySpreadConstraints": ("topologyKey", "whenUnsatisfiable"),
    "finalizers": ("",),
    "podIPs": ("ip",),
    "hostIPs": ("ip",),
    "schedulingGates": ("name",),
    "resourceClaims": ("name",),
    "webhooks": ("name",),
}
_CUSTOM_LIST_KEYS: dict[str, tuple[str, ...]] = {"ownerReferences": ("uid",), "finalizers": ("",)}
_ATOMIC_MAPS = {
    "secretKeyRef",
    "configMapKeyRef",
    "fieldRef",
    "resourceFieldRef",
    "nodeSelector",
    "roleRef",
    "involvedObject",
    "dataSource",
    "preference",
    "claimRef",
}
# Defaults of list keys: the server fills them before it compares.
_KEY_DEFAULTS = {"protocol": "TCP"}

_NEVER_OWNED: tuple[Path, ...] = (
    ("f:apiVersion",),
    ("f:kind",),
    *(
        ("f:metadata", f"f:{name}")
        for name in (
            "name",
            "namespace",
            "creationTimestamp",
            "selfLink",
            "uid",
            "clusterName",
            "generation",
            "managedFields",
            "resourceVersion",
            "deletionTimestamp",
            "deletionGracePeriodSeconds",
        )
    ),
)


def list_keys(rtype: ResourceType, path: Path) -> tuple[str, ...] | None:
    """Keys of the list at path: None = atomic, ("",) = a set of scalars."""
    name = path[-1][2:] if path else ""
    if rtype.custom:
        return _CUSTOM_LIST_KEYS.get(name) if len(path) == 2 and path[0] == "f:metadata" else None
    if name == "imagePullSecrets" and rtype.key == ("", "serviceaccounts"):
        return None
    if name == "secrets" and rtype.key == ("", "serviceaccounts"):
        return ("name",)
    if name == "finalizers":
        return ("",) if path[0] == "f:metadata" else None
    if name == "ports":
        if len(path) > 1 and path[-2].startswith("k:"):
            return ("containerPort", "protocol")
        return ("port", "protocol") if rtype.key == ("", "services") else None
    if name == "conditions" and path[0] != "f:status":
        return None
    return _LIST_KEYS.get(name)


def merge_key(rtype: ResourceType, path: Path) -> str | None:
    """The one patchMergeKey of strategic merge patch, which knows a single key."""
    keys = list_keys(rtype, path)
    if keys and path[-1] == "f:topologySpreadConstraints":
        return "topologyKey"
    return keys[0] if keys else None


def atomic_map(rtype: ResourceType, path: Path) -> bool:
    if rtype.custom:
        return False
    name = path[-1][2:] if path else ""
    if name == "selector":  # LabelSelector and Service.spec.selector are both atomic
        return True
    return name in _ATOMIC_MAPS or name.endswith("Selector")


def item_key(keys: tuple[str, ...], item: Any) -> str:
    if keys == ("",):
        return "v:" + json.dumps(item)
    chosen = {key: item.get(key, _KEY_DEFAULTS.get(key)) for key in keys}
    return "k:" + json.dumps({key: value for key, value in sorted(chosen.items()) if value is not None}, separators=(",", ":"))


def walk(rtype: ResourceType, value: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """All owned paths with their values: leaves, atomic containers, and list items themselves."""
    if isinstance(value, dict) and value and not (path and atomic_map(rtype, path)):
        for name, item in value.items():
            yield from walk(rtype, item, (*path, f"f:{name}"))
        return
    keys = list_keys(rtype, path) if isinstance(value, list) and value else None
    if keys and (keys == ("",) or all(isinstance(item, dict) for item in value)):
        for item in value:
            here = (*path, item_key(keys, item))
            yield here, item
            if isinstance(item, dict):
                for name, part in item.items():
                    yield from walk(rtype, part, (*here, f"f:{name}"))
        return
    yield path, value


def _owned(path: Path) -> bool:
    return not any(path[: len(stem)] == stem for stem in _NEVER_OWNED)


def fields_of(rtype: ResourceType, obj: Json) -> FieldSet:
    return frozenset(path for path, _value in walk(rtype, obj) if _owned(path))


def differences(rtype: ResourceType, old: Json, new: Json) -> tuple[FieldSet, FieldSet]:
    """(changed or added, removed)."""
    before = {path: value for path, value in walk(rtype, old) if _owned(path)}
    after = {path: value for path, value in walk(rtype, new) if _owned(path)}
    changed = frozenset(path for path, value in after.items() if path not in before or (before[path] != value and not path[-1].startswith(("k:", "v:"))))
    return changed, frozenset(path for path in before if path not in after)


def to_v1(paths: Iterable[Path]) -> Json:
    root: Json = {}
    members = sorted(set(paths), key=len)
    for path in members:
        node = root
        for element in path:
            node = node.setdefault(element, {})
    for path in members:
        node = root
        for element in path:
            node = node[element]
        if node:
            node["."] = {}
    return _sorted(root)


def _sorted(node: Json) -> Json:
    return {key: _sorted(node[key]) for key in sorted(node)}


def from_v1(node: Json) -> FieldSet:
    found: set[Path] = set()

    def descend(part: Json, path: Path) -> None:
        if not part and path:
            found.add(path)
        for key, child in part.items():
            if key == ".":
                found.add(path)
            else:
                descend(child, (*path, key))

    descend(node, ())
    return frozenset(found)


def printed(path: Path) -> str:
    """.spec.template.spec.containers[name="app"].image"""
    text = ""
    for element in path:
        kind, _colon, rest = element.partition(":")
        if kind == "f":
            text += f".{rest}"
        elif kind == "k":
            text += "[" + ",".join(f"{key}={json.dumps(value)}" for key, value in json.loads(rest).items()) + "]"
        else:
            text += f"[={rest}]"
    return text


def get(rtype: ResourceType, obj: Any, path: Path) -> Any:
    """The value at path, None where there is none."""
    for depth in range(len(path)):
        obj = _step(rtype, obj, path, depth)
        if obj is None:
            return None
    return obj


def remove(rtype: ResourceType, obj: Json, path: Path) -> None:
    """Take the value at path away, and the containers that this empties."""
    parents: list[Any] = [obj]
    for depth in range(len(path) - 1):
        nxt = _step(rtype, parents[-1], path, depth)
        if nxt is None:
            return
        parents.append(nxt)
    _drop(rtype, parents[-1], path, len(path) - 1)
    for depth in range(len(path) - 2, -1, -1):
        if parents[depth + 1] in ({}, []):
            _drop(rtype, parents[depth], path, depth)
        else:
            return


def _step(rtype: ResourceType, holder: Any, path: Path, depth: int) -> Any:
    element = path[depth]
    if element.startswith("f:"):
        return holder.get(element[2:]) if isinstance(holder, dict) else None
    keys = list_keys(rtype, path[:depth]) or ("",)
    return next((item for item in holder if item_key(keys, item) == element), None) if isinstance(holder, list) else None


def _drop(rtype: ResourceType, holder: Any, path: Path, depth: int) -> None:
    element = path[depth]
    if element.startswith("f:"):
        if isinstance(holder, dict):
            holder.pop(element[2:], None)
        return
    keys = list_keys(rtype, path[:depth]) or ("",)
    if isinstance(holder, list):
        holder[:] = [item for item in holder if item_key(keys, item) != element]


def merge(rtype: ResourceType, live: Any, wanted: Any, path: Path = ()) -> Any:
    """Server-side apply's merge: maps by key, known lists by their keys, the rest replaced."""
    if isinstance(live, dict) and isinstance(wanted, dict) and not (path and atomic_map(rtype, path)):
        result = dict(live)
        for name, value in wanted.items():
            result[name] = merge(rtype, live.get(name), value, (*path, f"f:{name}"))
        return result
    if isinstance(live, list) and isinstance(wanted, list):
        keys = list_keys(rtype, path)
        if keys:
            return _merge_list(rtype, live, wanted, path, keys)
    return copy.deepcopy(wanted)


def _merge_list(rtype: ResourceType, live: list[Any], wanted: list[Any], path: Path, keys: tuple[str, ...]) -> list[Any]:
    """The applied order leads; items of others keep their place before the item they stood before."""
    old = {item_key(keys, item): item for item in live}
    asked = {item_key(keys, item) for item in wanted}
    result: list[Any] = []
    rest = list(live)
    for item in wanted:
        name = item_key(keys, item)
        if name in old:
            while rest and item_key(keys, rest[0]) not in asked:
                result.append(rest.pop(0))
            rest = [other for other in rest if item_key(keys, other) != name]
        result.append(merge(rtype, old.get(name), item, (*path, name)))
    result.extend(other for other in rest if item_key(keys, other) not in asked)
    return result
