#!/usr/bin/python
# Copyright: ragops.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: kubeblocks_cluster
short_description: Create, change or delete a KubeBlocks Cluster
description:
  - Creates a database Cluster of the KubeBlocks operator, changes the fields that are given, and waits until it works.
  - >-
    Only fields that you set are compared. What the operator resolved and wrote into the Cluster (full definition names,
    versions, defaults) stays, so a second run changes nothing.
  - >-
    It is ready when the operator has seen the latest spec, the phase is Running, and every component is up to date and
    Running. The phase alone is that of the old spec for up to a second after each change.
author:
  - ragops.stack contributors (@ragops)
version_added: 0.1.0
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
  - ragops.stack._attributes
  - ragops.stack._wait
options:
  name:
    description: Name of the Cluster; at most 16 characters, since the operator builds longer names on it.
    type: str
    required: true
  namespace:
    description: Its namespace.
    type: str
    required: true
  state:
    description:
      - V(absent) deletes the Cluster. Its volumes go with it unless the components say
        C(persistentVolumeClaimRetentionPolicy.whenDeleted=Retain), which this module then respects.
    type: str
    choices: [present, absent]
    default: present
  termination_policy:
    description:
      - What deleting may take away. V(DoNotTerminate) refuses deletion, V(Delete) keeps backups, V(WipeOut) removes them too.
    type: str
    choices: [DoNotTerminate, Delete, WipeOut]
    default: Delete
  cluster_def:
    description: Name of a ClusterDefinition. Can never change. Clusters without one survive the removal of their addon better.
    type: str
  topology:
    description: Topology of the O(cluster_def). Can never change.
    type: str
  components:
    description:
      - The Cluster's C(componentSpecs), in the terms of its CustomResourceDefinition. Each needs a C(name).
      - Give C(componentDef) by its full name and C(serviceVersion) exactly; without them the operator takes the newest match.
    type: list
    elements: dict
    default: []
  labels:
    description: Labels to add.
    type: dict
    default: {}
  annotations:
    description: Annotations to add.
    type: dict
    default: {}
  adopt:
    description: Whether a Cluster of that name that somebody else made may be changed or deleted.
    type: bool
    default: false
  wait_timeout:
    default: 600
"""

EXAMPLES = r"""
- name: A PostgreSQL Cluster
  ragops.stack.kubeblocks_cluster:
    name: rag-pg
    namespace: demo
    components:
      - name: postgresql
        componentDef: postgresql-16-1.0.2
        serviceVersion: 16.4.0
        replicas: 2
        resources:
          requests: {cpu: 500m, memory: 1Gi}
          limits: {cpu: "1", memory: 1Gi}
        volumeClaimTemplates:
          - name: data
            spec:
              accessModes: [ReadWriteOnce]
              resources: {requests: {storage: 20Gi}}

- name: Delete it
  ragops.stack.kubeblocks_cluster:
    name: rag-pg
    namespace: demo
    state: absent
"""

RETURN = r"""
cluster:
  description: The Cluster as it is now.
  returned: when O(state=present)
  type: dict
  contains:
    name:
      description: Its name.
      type: str
    namespace:
      description: Its namespace.
      type: str
    phase:
      description: The phase the operator reports; empty before it looked.
      type: str
    state:
      description: One of C(ready), C(progressing), C(failed), C(refused), C(deleting).
      type: str
    reason:
      description: Why it is in that state.
      type: str
    termination_policy:
      description: What deleting may take away.
      type: str
    components:
      description: Name, definition, version, replicas and phase of each component.
      type: list
      elements: dict
seconds:
  description: How long the change and the wait took.
  returned: success
  type: float
findings:
  description: Causes and remedies.
  returned: when waiting failed
  type: list
  elements: dict
"""

import time
from typing import Any

from ansible_collections.ragops.stack.plugins.module_utils._api import Api
from ansible_collections.ragops.stack.plugins.module_utils._errors import RagopsError, explain_exception, failure, http_status
from ansible_collections.ragops.stack.plugins.module_utils._kubeblocks import (
    API_VERSION,
    MAX_NAME,
    definition,
    grown_volumes,
    merge,
    summary,
)
from ansible_collections.ragops.stack.plugins.module_utils._module import FIELD_MANAGER, MANAGED_BY, Session, run_module, wait_options
from ansible_collections.ragops.stack.plugins.module_utils._readiness import gone, kubeblocks_cluster
from ansible_collections.ragops.stack.plugins.module_utils._wait import Target, wait_for

_RETRIES = 5  # the operator writes to the same object: a lost race is run again on the fresh one


def check_arguments(params: dict[str, Any]) -> None:
    name, namespace = params["name"], params["namespace"]
    if len(name) > MAX_NAME:
        reason = f"the name has {len(name)} characters and the operator builds longer ones on it"
        raise RagopsError(failure("create", "Cluster", name, namespace, reason, f"Use at most {MAX_NAME}"))
    if params["state"] == "present" and not params["components"]:
        raise RagopsError(failure("create", "Cluster", name, namespace, "components is empty", "Name at least one component"))
    if any(not c.get("name") for c in params["components"]):
        raise RagopsError(failure("create", "Cluster", name, namespace, "a component has no name", "Give each component a name"))


def refuse_foreign(live: dict[str, Any], adopt: bool, verb: str) -> None:
    labels, metadata = live["metadata"].get("labels") or {}, live["metadata"]
    if not adopt and any(labels.get(k) != v for k, v in MANAGED_BY.items()):
        reason = "a Cluster of that name exists and was not made by ragops.stack"
        raise RagopsError(failure(verb, "Cluster", metadata["name"], metadata["namespace"], reason, "Choose another name, or set adopt: true"))


def refuse_impossible_growth(api: Api, live: dict[str, Any], merged: dict[str, Any]) -> None:
    grown = grown_volumes(live, merged)
    if not grown:
        return
    classes = {c["metadata"]["name"]: c for c in api.list("StorageClass")}
    claims = {c["metadata"]["name"]: c for c in api.list("PersistentVolumeClaim", live["metadata"]["namespace"])}
    for component, volume, wanted_class in grown:
        claim = claims.get(f"{volume}-{live['metadata']['name']}-{component}-0") or {}
        name = wanted_class or (claim.get("spec") or {}).get("storageClassName") or ""
        if name in classes and not classes[name].get("allowVolumeExpansion"):
            reason = f"volume {volume} of component {component} is asked to grow, but its StorageClass {name} allows no expansion"
            raise RagopsError(
                failure(
                    "change", "Cluster", live["metadata"]["name"], live["metadata"]["namespace"], reason, "Keep its size, or move to a class that can expand"
                )
            )


def write(session: Session, api: Api) -> tuple[bool, dict[str, Any], dict[str, Any] | None]:
    """(changed, the object after, the object before)."""
    params = session.params
    desired = definition(params)
    for attempt in range(_RETRIES):
        live = api.get("Cluster", params["name"], params["namespace"], API_VERSION)
        try:
            if live is None:
                return True, api.create(desired, dry_run=session.check_mode, manager=FIELD_MANAGER), None
            refuse_foreign(live, params["adopt"], "change")
            if live["metadata"].get("deletionTimestamp"):
                reason = "it is being deleted"
                raise RagopsError(failure("change", "Cluster", params["name"], params["namespace"], reason, "Run again when it is gone"))
            merged = merge(live, desired)
            if merged == live:
                return False, live, live
            refuse_impossible_growth(api, live, merged)
            return True, api.replace(merged, dry_run=session.check_mode, manager=FIELD_MANAGER), live
        except RagopsError:
            raise
        except Exception as exc:
            if http_status(exc) == 409 and attempt + 1 < _RETRIES:
                time.sleep(0.3 * (attempt + 1))
                continue
            if session.check_mode and http_status(exc) == 404 and live is None:
                return True, desired, None  # the namespace or the kind is missing only because this is a check
            reason, remedy = explain_exception(exc, api.host)
            raise RagopsError(failure("write", "Cluster", params["name"], params["namespace"], reason, remedy)) from exc
    raise AssertionError("unreachable")


def delete(session: Session, api: Api) -> dict[str, Any]:
    params = session.params
    name, namespace = params["name"], params["namespace"]
    live = api.get("Cluster", name, namespace, API_VERSION) if api.knows("Cluster", API_VERSION) else None
    if live is None:
        return {"changed": False, "diff": {"before": {}, "after": {}}}
    refuse_foreign(live, params["adopt"], "delete")
    if live["spec"].get("terminationPolicy") == "DoNotTerminate":
        # The API would accept the deletion and carry it out the moment somebody relaxes the policy.
        reason = "its termination policy is DoNotTerminate"
        raise RagopsError(failure("delete", "Cluster", name, namespace, reason, "Set termination_policy to Delete first"))
    if not session.check_mode:
        api.delete("Cluster", name, namespace, API_VERSION)
        if params["wait"]:
            wait_for(api, [Target("Cluster", name, namespace, gone, API_VERSION)], params["wait_timeout"], session.progress, verb="delete")
    return {"changed": True, "diff": {"before": {"spec": live["spec"]}, "after": {}}}


def execute(session: Session) -> dict[str, Any]:
    params, api, start = session.params, Api(session.dynamic), time.monotonic()
    check_arguments(params)
    if params["state"] == "absent":
        return {**delete(session, api), "seconds": round(time.monotonic() - start, 2)}
    if session.check_mode and not api.knows("Cluster", API_VERSION):
        desired = definition(params)
        return {"changed": True, "cluster": summary(desired), "seconds": 0.0, "diff": {"before": {}, "after": {"spec": desired["spec"]}}}
    changed, after, before = write(session, api)
    if params["wait"] and not session.check_mode:
        target = Target("Cluster", params["name"], params["namespace"], kubeblocks_cluster, API_VERSION)
        wait_for(api, [target], params["wait_timeout"], session.progress)
        after = api.get("Cluster", params["name"], params["namespace"], API_VERSION) or after
    diff = {"before": {"spec": before["spec"]} if before else {}, "after": {"spec": after["spec"]}} if changed else {"before": {}, "after": {}}
    return {"changed": changed, "cluster": summary(after), "diff": diff, "seconds": round(time.monotonic() - start, 2)}


def main() -> None:
    run_module(
        {
            "name": {"type": "str", "required": True},
            "namespace": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "termination_policy": {"type": "str", "choices": ["DoNotTerminate", "Delete", "WipeOut"], "default": "Delete"},
            "cluster_def": {"type": "str"},
            "topology": {"type": "str"},
            "components": {"type": "list", "elements": "dict", "default": []},
            "labels": {"type": "dict", "default": {}},
            "annotations": {"type": "dict", "default": {}},
            "adopt": {"type": "bool", "default": False},
            **wait_options(600),
        },
        execute,
    )


if __name__ == "__main__":
    main()
