# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Other shapes of an object: metadata only, tables, scales, events of the newer group."""

from __future__ import annotations

import copy
from typing import Any

from .resources import ResourceType

Json = dict[str, Any]


def present(rtype: ResourceType, obj: Json) -> Json:
    """A stored object in the version that was asked for."""
    if rtype.group == "events.k8s.io":
        obj = _event_out(obj)
    return {"kind": rtype.kind, "apiVersion": rtype.api_version, **{key: value for key, value in obj.items() if key not in ("kind", "apiVersion")}}


_EVENT_NAMES = (
    ("involvedObject", "regarding"),
    ("message", "note"),
    ("reportingComponent", "reportingController"),
    ("reportingInstance", "reportingInstance"),
    ("source", "deprecatedSource"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("count", "deprecatedCount"),
)


def _event_out(obj: Json) -> Json:
    names = dict(_EVENT_NAMES)
    return {names.get(key, key): value for key, value in obj.items()}


def event_in(body: Json) -> Json:
    names = {new: old for old, new in _EVENT_NAMES}
    return {names.get(key, key): value for key, value in body.items()}


def wanted_view(accept: str) -> str:
    """PartialObjectMetadata, PartialObjectMetadataList, Table, or nothing: the first the client names that we know."""
    for offer in accept.split(","):
        parts = [part.strip() for part in offer.split(";")]
        view = next((part[3:] for part in parts if part.startswith("as=")), "")
        if view in ("PartialObjectMetadata", "PartialObjectMetadataList", "Table") and "g=meta.k8s.io" in parts and "v=v1" in parts:
            return view
        if parts[0] == "application/json" and not view:
            return ""
    return ""


def partial(obj: Json) -> Json:
    return {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": obj["metadata"]}


def table(objects: list[Json], meta: Json) -> Json:
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": meta,
        "columnDefinitions": [
            {"name": "Name", "type": "string", "format": "name", "description": "", "priority": 0},
            {"name": "Created At", "type": "date", "format": "", "description": "", "priority": 0},
        ],
        "rows": [{"cells": [obj["metadata"]["name"], obj["metadata"].get("creationTimestamp", "")], "object": partial(obj)} for obj in objects],
    }


def one(rtype: ResourceType, obj: Json, view: str) -> Json:
    shown = present(rtype, obj)
    if view.startswith("Partial"):
        return partial(shown)
    return table([shown], {"resourceVersion": obj["metadata"].get("resourceVersion", "")}) if view == "Table" else shown


def many(rtype: ResourceType, objects: list[Json], meta: Json, view: str) -> Json:
    shown = [present(rtype, obj) for obj in objects]
    if view.startswith("Partial"):
        return {"kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1", "metadata": meta, "items": [partial(obj) for obj in shown]}
    if view == "Table":
        return table(shown, meta)
    if rtype.custom:
        meta = {"continue": "", **meta}
    else:  # items of typed lists carry neither kind nor apiVersion
        shown = [{key: value for key, value in obj.items() if key not in ("kind", "apiVersion")} for obj in shown]
    return {"kind": f"{rtype.kind}List", "apiVersion": rtype.api_version, "metadata": meta, "items": shown}


def scale(obj: Json) -> Json:
    meta = {key: obj["metadata"][key] for key in ("name", "namespace", "uid", "resourceVersion", "creationTimestamp") if key in obj["metadata"]}
    selector = (obj["spec"].get("selector") or {}).get("matchLabels") or {}
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": meta,
        "spec": {"replicas": obj["spec"].get("replicas", 1)},
        "status": {"replicas": (obj.get("status") or {}).get("replicas", 0), "selector": ",".join(f"{k}={v}" for k, v in sorted(selector.items()))},
    }


def scaled(obj: Json, replicas: int) -> Json:
    result = copy.deepcopy(obj)
    result["spec"]["replicas"] = replicas
    return result
