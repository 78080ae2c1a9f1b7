# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Label and field selectors."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from .errors import bad_request
from .resources import ResourceType

Json = dict[str, Any]
Predicate = Callable[[Json], bool]

_SET = re.compile(r"(!?)\s*([\w./-]+)\s*(?:\s(in|notin)\s*\(([^)]*)\)|(==|!=|=|>|<)\s*([\w./:-]*))?\s*")


def _split(selector: str) -> list[str]:
    """Commas outside brackets."""
    return [part for part in re.split(r",(?![^(]*\))", selector) if part.strip()]


def _requirement(text: str) -> Predicate:
    match = _SET.fullmatch(text.strip())
    if not match:
        raise bad_request(f"unable to parse requirement: found {text!r}, expected: valid label selector")
    negated, key, word, listed, operator, value = match.groups()
    values = {item.strip() for item in (listed or "").split(",")}

    def holds(obj: Json) -> bool:
        labels: Json = obj.get("metadata", {}).get("labels") or {}
        if word == "in":
            return labels.get(key) in values
        if word == "notin":
            return labels.get(key) not in values
        if operator in ("=", "=="):
            return bool(labels.get(key) == value)
        if operator == "!=":
            return bool(labels.get(key) != value)
        if operator == ">":
            return key in labels and int(labels[key]) > int(value)
        if operator == "<":
            return key in labels and int(labels[key]) < int(value)
        return (key in labels) != bool(negated)

    return holds


def label_selector(selector: str) -> Predicate:
    wanted = [_requirement(part) for part in _split(selector)]
    return lambda obj: all(holds(obj) for holds in wanted)


def matches(selector: Json | None, labels: Json | None) -> bool:
    """A LabelSelector object against labels; an empty one matches all."""
    if selector is None:
        return False
    labels = labels or {}
    if any(labels.get(key) != value for key, value in (selector.get("matchLabels") or {}).items()):
        return False
    for item in selector.get("matchExpressions") or []:
        value, values = labels.get(item["key"]), item.get("values") or []
        held = {
            "In": value in values,
            "NotIn": value not in values,
            "Exists": item["key"] in labels,
            "DoesNotExist": item["key"] not in labels,
        }[item["operator"]]
        if not held:
            return False
    return True


# What the API server knows beside metadata.name and metadata.namespace.
_FIELDS: dict[tuple[str, str], tuple[str, ...]] = {
    ("", "events"): (
        "involvedObject.kind",
        "involvedObject.namespace",
        "involvedObject.name",
        "involvedObject.uid",
        "involvedObject.apiVersion",
        "involvedObject.resourceVersion",
        "involvedObject.fieldPath",
        "reason",
        "reportingComponent",
        "source",
        "type",
    ),
    ("", "pods"): (
        "spec.nodeName",
        "spec.restartPolicy",
        "spec.schedulerName",
        "spec.serviceAccountName",
        "spec.hostNetwork",
        "status.phase",
        "status.podIP",
        "status.nominatedNodeName",
    ),
    ("", "secrets"): ("type",),
    ("", "services"): ("spec.clusterIP", "spec.type"),
    ("", "namespaces"): ("status.phase",),
    ("", "nodes"): ("spec.unschedulable",),
    ("apps", "replicasets"): ("status.replicas",),
    ("batch", "jobs"): ("status.successful",),
}
_EVENTS_V1 = {
    "regarding.kind": "involvedObject.kind",
    "regarding.namespace": "involvedObject.namespace",
    "regarding.name": "involvedObject.name",
    "regarding.uid": "involvedObject.uid",
    "reportingController": "reportingComponent",
}


def field_value(obj: Json, path: str) -> str:
    if path == "source":
        return str((obj.get("source") or {}).get("component") or obj.get("reportingComponent") or "")
    value: Any = obj
    for part in path.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else str(value)


def field_selector(selector: str, rtype: ResourceType) -> Predicate:
    wanted: list[tuple[str, str, bool]] = []
    for part in selector.split(","):
        if not part.strip():
            continue
        match = re.fullmatch(r"\s*([\w./-]+)\s*(==|!=|=)\s*(.*?)\s*", part)
        if not match:
            raise bad_request(f"invalid selector: '{part}'; can't understand '{part}'")
        path = _EVENTS_V1.get(match[1], match[1]) if rtype.group == "events.k8s.io" else match[1]
        if path not in ("metadata.name", "metadata.namespace", *_FIELDS.get(rtype.key, ())):
            raise bad_request(
                f'"{match[1]}" is not a known field selector: only "metadata.name", "metadata.namespace"'
                if rtype.key not in _FIELDS
                else f"field label not supported: {match[1]}"
            )
        wanted.append((path, match[3], match[2] != "!="))
    return lambda obj: all((field_value(obj, path) == value) == equal for path, value, equal in wanted)
