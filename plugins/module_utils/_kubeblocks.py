# Copyright: ragops.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""KubeBlocks Clusters: what the user asked for merged into what the operator wrote back; accounts; summaries.

The operator resolves definitions and versions and writes them into the spec, and componentSpecs is one atomic
list. So only fields that the user set are compared, and an update is the live object with those fields changed.
"""

from __future__ import annotations

import copy
from typing import Any

from ansible_collections.ragops.stack.plugins.module_utils._errors import RagopsError, failure
from ansible_collections.ragops.stack.plugins.module_utils._module import MANAGED_BY
from ansible_collections.ragops.stack.plugins.module_utils._quantity import parse_quantity, same_value
from ansible_collections.ragops.stack.plugins.module_utils._readiness import kubeblocks_cluster

API_VERSION = "apps.kubeblocks.io/v1"
ACCOUNT_LABEL = "apps.kubeblocks.io/system-account"
COMPONENT_LABEL = "apps.kubeblocks.io/component-name"
INSTANCE_LABEL = "app.kubernetes.io/instance"
MAX_NAME = 16  # longer names overflow the names that the operator derives


def definition(params: dict[str, Any]) -> dict[str, Any]:
    """The Cluster as asked for."""
    spec: dict[str, Any] = {"terminationPolicy": params["termination_policy"], "componentSpecs": copy.deepcopy(params["components"])}
    for option, field in (("cluster_def", "clusterDef"), ("topology", "topology")):
        if params.get(option):
            spec[field] = params[option]
    metadata = {"name": params["name"], "namespace": params["namespace"], "labels": {**MANAGED_BY, **params["labels"]}}
    if params["annotations"]:
        metadata["annotations"] = dict(params["annotations"])
    return {"apiVersion": API_VERSION, "kind": "Cluster", "metadata": metadata, "spec": spec}


def merge(live: dict[str, Any], desired: dict[str, Any]) -> dict[str, Any]:
    """The live object with the user's fields in it; equal to ``live`` when nothing has to change."""
    merged = copy.deepcopy(live)
    for part in ("labels", "annotations"):
        wanted = desired["metadata"].get(part) or {}
        if wanted:
            merged["metadata"][part] = {**(merged["metadata"].get(part) or {}), **wanted}
    spec, wanted_spec = merged["spec"], desired["spec"]
    spec["terminationPolicy"] = wanted_spec["terminationPolicy"]
    for field in ("clusterDef", "topology"):
        if wanted_spec.get(field) and spec.get(field) != wanted_spec[field]:
            reason = f"{field} is {spec.get(field)!r} and can never change (asked for: {wanted_spec[field]!r})"
            raise RagopsError(_fail(live, reason, "Keep it, or make a new Cluster and move the data"))
    old = {c["name"]: c for c in spec.get("componentSpecs") or []}
    spec["componentSpecs"] = [_merge_component(live, old.get(c["name"]), c) for c in wanted_spec["componentSpecs"]]
    return merged


def _merge_component(live: dict[str, Any], old: dict[str, Any] | None, wanted: dict[str, Any]) -> dict[str, Any]:
    if old is None:
        return copy.deepcopy(wanted)
    result: dict[str, Any] = _overlay(old, wanted)
    definition_name = wanted.get("componentDef")
    if definition_name and old.get("componentDef", "").startswith(f"{definition_name}-"):
        result["componentDef"] = old["componentDef"]  # a prefix that the operator has resolved
    _refuse_shrinking(live, old, result)
    return result


def _overlay(old: Any, wanted: Any) -> Any:
    """Fields of ``wanted`` over ``old``; lists of named things item by item, other values whole."""
    if isinstance(old, dict) and isinstance(wanted, dict):
        return {**old, **{k: _overlay(old.get(k), v) for k, v in wanted.items()}}
    if isinstance(wanted, list) and wanted and all(isinstance(w, dict) and "name" in w for w in wanted) and isinstance(old, list):
        named = {o["name"]: o for o in old if isinstance(o, dict) and "name" in o}
        return [_overlay(named.get(w["name"], {}), w) for w in wanted]
    return old if same_value(old, wanted) else copy.deepcopy(wanted)


def _storage(component: dict[str, Any]) -> dict[str, Any]:
    templates = component.get("volumeClaimTemplates") or []
    return {t["name"]: (((t.get("spec") or {}).get("resources") or {}).get("requests") or {}).get("storage") for t in templates}


def _refuse_shrinking(live: dict[str, Any], old: dict[str, Any], new: dict[str, Any]) -> None:
    before, after = _storage(old), _storage(new)
    for name, size in before.items():
        small, large = parse_quantity(after.get(name)), parse_quantity(size)
        if small is not None and large is not None and small < large:
            reason = f"volume {name} of component {old['name']} has {size} and cannot shrink to {after[name]}"
            raise RagopsError(_fail(live, reason, "Ask for at least what it has"))


def grown_volumes(live: dict[str, Any], merged: dict[str, Any]) -> list[tuple[str, str, str | None]]:
    """(component, volume, storage class) of each volume that is asked to grow."""
    grown = []
    old = {c["name"]: c for c in live["spec"].get("componentSpecs") or []}
    for component in merged["spec"]["componentSpecs"]:
        before = _storage(old.get(component["name"], {}))
        for template in component.get("volumeClaimTemplates") or []:
            size = _storage(component).get(template["name"])
            if template["name"] in before and not same_value(before[template["name"]], size):
                grown.append((component["name"], template["name"], (template.get("spec") or {}).get("storageClassName")))
    return grown


def _fail(live: dict[str, Any], reason: str, remedy: str) -> str:
    return failure("change", "Cluster", live["metadata"]["name"], live["metadata"].get("namespace"), reason, remedy)


def summary(cluster: dict[str, Any]) -> dict[str, Any]:
    """What a caller needs to know of a Cluster."""
    verdict, status = kubeblocks_cluster(cluster), cluster.get("status") or {}
    return {
        "name": cluster["metadata"]["name"],
        "namespace": cluster["metadata"].get("namespace"),
        "phase": status.get("phase") or "",
        "state": verdict.state,
        "reason": verdict.reason,
        "termination_policy": (cluster.get("spec") or {}).get("terminationPolicy"),
        "components": [
            {
                "name": c["name"],
                "definition": c.get("componentDef"),
                "version": c.get("serviceVersion"),
                "replicas": c.get("replicas"),
                "phase": ((status.get("components") or {}).get(c["name"]) or {}).get("phase") or "",
            }
            for c in (cluster.get("spec") or {}).get("componentSpecs") or []
        ],
    }


def account(secret: dict[str, Any]) -> dict[str, Any]:
    """The reference that an account Secret of the operator stands for."""
    labels, data = secret["metadata"].get("labels") or {}, secret.get("data") or {}
    return {
        "namespace": secret["metadata"]["namespace"],
        "cluster": labels.get(INSTANCE_LABEL, ""),
        "component": labels.get(COMPONENT_LABEL, ""),
        "account": labels.get(ACCOUNT_LABEL, ""),
        "secret": {"name": secret["metadata"]["name"], "username_key": "username", "password_key": "password"},
        "ready": bool(data.get("password")) and not secret["metadata"].get("deletionTimestamp"),
    }
