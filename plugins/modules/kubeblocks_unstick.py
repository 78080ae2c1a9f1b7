#!/usr/bin/python
# Copyright: ragops.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: kubeblocks_unstick
short_description: Let a corrected spec reach the crashing pods of a KubeBlocks Cluster
description:
  - The operator does not roll a corrected spec out to a pod that crashes or cannot start, since it waits for that pod to become ready.
  - Waits until the operator has taken the latest spec over, then deletes pods that are of an older revision and not ready.
    They come back with the corrected spec. Pods that work are never touched.
author:
  - ragops.stack contributors (@ragops)
version_added: 0.1.0
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
  - ragops.stack._attributes
options:
  name:
    description: Name of the Cluster.
    type: str
    required: true
  namespace:
    description: Its namespace.
    type: str
    required: true
  timeout:
    description: Longest time for the operator to take the spec over, in seconds.
    type: int
    default: 90
"""

EXAMPLES = r"""
- name: Correct the parameters of a server that does not start
  ragops.stack.kubeblocks_unstick:
    name: rag-pg
    namespace: demo
"""

RETURN = r"""
deleted:
  description: Names of the pods that were deleted, or would be in check mode.
  returned: success
  type: list
  elements: str
  sample: [rag-pg-postgresql-0]
"""

import time
from typing import Any

from ansible_collections.ragops.stack.plugins.module_utils._api import Api
from ansible_collections.ragops.stack.plugins.module_utils._kubeblocks import API_VERSION, INSTANCE_LABEL
from ansible_collections.ragops.stack.plugins.module_utils._module import Session, run_module

REVISION_LABEL = "controller-revision-hash"
SET_LABEL = "workloads.kubeblocks.io/instance"


def taken_over(cluster: dict[str, Any], sets: list[dict[str, Any]]) -> bool:
    """Whether the operator has carried the Cluster's latest spec down to the pods' controllers."""
    status = cluster.get("status") or {}
    components = status.get("components") or {}
    names = [c["name"] for c in cluster["spec"].get("componentSpecs") or []]
    current = status.get("observedGeneration") == cluster["metadata"].get("generation")
    up_to_date = all((components.get(n) or {}).get("upToDate") for n in names)
    observed = all((s.get("status") or {}).get("observedGeneration") == s["metadata"].get("generation") for s in sets)
    return bool(names and sets and current and up_to_date and observed)


def is_ready(pod: dict[str, Any]) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or []
    return any(c.get("type") == "Ready" and c.get("status") == "True" for c in conditions)


def stuck(sets: list[dict[str, Any]], pods: list[dict[str, Any]]) -> list[str]:
    """Pods of an older revision that are not ready."""
    newest = {s["metadata"]["name"]: (s.get("status") or {}).get("updateRevisions") or {} for s in sets}
    names = []
    for pod in pods:
        metadata = pod["metadata"]
        labels = metadata.get("labels") or {}
        wanted = (newest.get(labels.get(SET_LABEL, "")) or {}).get(metadata["name"])
        old = wanted and labels.get(REVISION_LABEL) != wanted
        if old and not is_ready(pod) and not metadata.get("deletionTimestamp"):
            names.append(metadata["name"])
    return sorted(names)


def execute(session: Session) -> dict[str, Any]:
    params, api = session.params, Api(session.dynamic)
    name, namespace = params["name"], params["namespace"]
    selector, deadline = f"{INSTANCE_LABEL}={name}", time.monotonic() + params["timeout"]
    while True:
        cluster = api.get("Cluster", name, namespace, API_VERSION) if api.knows("Cluster", API_VERSION) else None
        if cluster is None:
            return {"changed": False, "deleted": []}
        sets = api.list("InstanceSet", namespace, label_selector=selector)
        if taken_over(cluster, sets) or session.check_mode or time.monotonic() > deadline:
            break
        session.progress.say(f"waiting for the operator to take over the spec of Cluster {name}")
        time.sleep(1)
    names = stuck(sets, api.list("Pod", namespace, label_selector=selector))
    if not session.check_mode:
        for pod in names:
            api.delete("Pod", pod, namespace)
    return {"changed": bool(names), "deleted": names, "diff": {"before": {"pods": names}, "after": {"pods": []}} if names else {"before": "", "after": ""}}


def main() -> None:
    run_module(
        {
            "name": {"type": "str", "required": True},
            "namespace": {"type": "str", "required": True},
            "timeout": {"type": "int", "default": 90},
        },
        execute,
    )


if __name__ == "__main__":
    main()
