# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""JSON patch, JSON merge patch and strategic merge patch."""

from __future__ import annotations

import copy
from typing import Any

from .errors import ApiError
from .fieldsets import Path, merge_key
from .resources import ResourceType

Json = dict[str, Any]


class _MissingError(Exception):
    pass


def _refused(_why: str) -> ApiError:
    """The server keeps the reason to itself."""
    return ApiError(422, "the server rejected our request due to an error in our request", "Invalid", {})


def _pointer(path: str) -> list[str]:
    if path and not path.startswith("/"):
        raise _refused(f"path {path!r} is no JSON pointer")
    return [part.replace("~1", "/").replace("~0", "~") for part in path.split("/")[1:]]


def _child(holder: Any, name: str) -> Any:
    if isinstance(holder, list) and name.isdigit() and int(name) < len(holder):
        return holder[int(name)]
    if isinstance(holder, dict) and name in holder:
        return holder[name]
    raise _MissingError(name)


def _read(root: Any, parts: list[str]) -> Any:
    for part in parts:
        root = _child(root, part)
    return root


def _insert(holder: Any, name: str, value: Any) -> None:
    if isinstance(holder, list):
        index = len(holder) if name == "-" else int(name)
        if index > len(holder):
            raise _MissingError(name)
        holder.insert(index, value)
    elif isinstance(holder, dict):
        holder[name] = value
    else:
        raise _MissingError(name)


def _delete(holder: Any, name: str) -> Any:
    value = _child(holder, name)
    if isinstance(holder, list):
        holder.pop(int(name))
    else:
        holder.pop(name)
    return value


def json_patch(target: Any, operations: list[Json]) -> Any:
    box: Json = {"": copy.deepcopy(target)}
    for step in operations:
        op, parts = step.get("op"), ["", *_pointer(step.get("path", ""))]
        try:
            holder, last = _read(box, parts[:-1]), parts[-1]
            if op == "test":
                if _read(box, parts) != step.get("value"):
                    raise _refused(f"testing value {step.get('path')} failed: test failed")
            elif op == "add":
                _insert(holder, last, copy.deepcopy(step.get("value")))
            elif op == "replace":
                _delete(holder, last)
                _insert(holder, last, copy.deepcopy(step.get("value")))
            elif op == "remove":
                _delete(holder, last)
            elif op in ("copy", "move"):
                source = ["", *_pointer(step.get("from", ""))]
                value = copy.deepcopy(_read(box, source))
                if op == "move":
                    _delete(_read(box, source[:-1]), source[-1])
                _insert(_read(box, parts[:-1]), last, value)
            else:
                raise _refused(f"Unexpected kind: {op}")
        except _MissingError as error:
            raise _refused(f"{op} operation does not apply: doc is missing path: {step.get('path')!r}: missing value") from error
    return box[""]


def merge_patch(target: Any, patch: Any) -> Any:
    """RFC 7386."""
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merge_patch(result.get(key), value)
    return result


_DIRECTIVES = ("$patch", "$retainKeys")


def strategic_merge(rtype: ResourceType, target: Any, patch: Any, path: Path = ()) -> Any:
    """As merge patch, but lists with a known key are merged item by item ($patch: delete/replace understood)."""
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    if patch.get("$patch") == "replace":
        return {key: value for key, value in patch.items() if key != "$patch"}
    result = dict(target) if isinstance(target, dict) else {}
    retained = patch.get("$retainKeys")
    if isinstance(retained, list):
        result = {key: value for key, value in result.items() if key in retained}
    for key, value in patch.items():
        here = (*path, f"f:{key}")
        if key in _DIRECTIVES or key.startswith("$setElementOrder/"):
            continue
        if key.startswith("$deleteFromPrimitiveList/"):
            name = key.partition("/")[2]
            result[name] = [item for item in result.get(name) or [] if item not in value]
        elif value is None or (isinstance(value, dict) and value.get("$patch") == "delete"):
            result.pop(key, None)
        elif isinstance(value, list):
            result[key] = _strategic_list(rtype, result.get(key), value, here)
        else:
            result[key] = strategic_merge(rtype, result.get(key), value, here)
    return result


def _strategic_list(rtype: ResourceType, target: Any, patch: list[Any], path: Path) -> list[Any]:
    key = merge_key(rtype, path)
    if key is None or not isinstance(target, list):
        return [copy.deepcopy(item) for item in patch if not (isinstance(item, dict) and "$patch" in item)]
    if any(isinstance(item, dict) and item.get("$patch") == "replace" for item in patch):
        return [copy.deepcopy(item) for item in patch if not (isinstance(item, dict) and "$patch" in item)]
    if key == "":
        return [*target, *(item for item in patch if item not in target)]
    before = {item.get(key): item for item in target}
    asked: dict[Any, Any] = {}
    dropped: set[Any] = set()
    for item in patch:
        if key not in item:
            raise ApiError(400, f"map: {item} does not contain declared merge key: {key}")
        if item.get("$patch") == "delete":
            dropped.add(item[key])
        else:
            asked[item[key]] = strategic_merge(rtype, before.get(item[key], {}), item, (*path, f"k:{key}"))
    others = [item for item in target if item.get(key) not in asked and item.get(key) not in dropped]
    return _in_order(others, list(asked.values()), [item.get(key) for item in target], key)


def _in_order(left: list[Any], right: list[Any], order: list[Any], key: str) -> list[Any]:
    """Items of the patch come as early as the server's order lets them."""
    result: list[Any] = []
    while left and right:
        first, second = left[0][key], right[0][key]
        before = second in order and order.index(first) < order.index(second)
        result.append(left.pop(0) if before else right.pop(0))
    return [*result, *left, *right]
