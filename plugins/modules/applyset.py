#!/usr/bin/python
# Copyright: ragops.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: applyset
short_description: Apply a list of namespaced objects as one unit
description:
  - Applies the objects by server-side apply, in an order that suits their kinds, and waits until all of them work.
  - Objects that were in the list before and no longer are get removed (pruned), but never claims for volumes unless told.
  - Everything is planned by server-side dry run first, so that an object that is refused stops the set before the first write.
  - Membership is recorded as the ApplySet specification (KEP-3659) says, with a ConfigMap of the set's name as parent.
author:
  - ragops.stack contributors (@ragops)
version_added: 0.1.0
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
  - ragops.stack._attributes
  - ragops.stack._wait
options:
  name:
    description: Name of the set and of its parent ConfigMap.
    type: str
    required: true
  namespace:
    description: Namespace of the set and of all its objects.
    type: str
    required: true
  state:
    description:
      - V(present) makes the cluster agree with O(objects).
      - V(absent) removes all members and the parent. Claims for volumes stay unless O(delete_volumes).
    type: str
    choices: [present, absent]
    default: present
  objects:
    description:
      - Manifests, each with C(apiVersion), C(kind) and C(metadata.name).
      - Secrets with values are refused, since module arguments end up in logs; see M(ragops.stack.generated_secret).
    type: list
    elements: dict
    default: []
  prune:
    description: Whether members that are no longer in O(objects) are removed.
    type: bool
    default: true
  delete_volumes:
    description: Whether PersistentVolumeClaims may be removed, and the data on them with them.
    type: bool
    default: false
  adopt:
    description: Whether objects of the same name that somebody else made are taken over. Without it they are refused.
    type: bool
    default: false
  revision_history:
    description: How many recorded revisions of the list to keep, for a rollback. V(0) records none.
    type: int
    default: 5
"""

EXAMPLES = r"""
- name: Run a small web server
  ragops.stack.applyset:
    name: hello
    namespace: demo
    objects:
      - apiVersion: v1
        kind: ConfigMap
        metadata:
          name: hello-page
        data:
          index.html: hello
      - apiVersion: v1
        kind: Service
        metadata:
          name: hello
        spec:
          selector: {app: hello}
          ports: [{port: 80, targetPort: 8080}]

- name: Remove it, but keep its volumes
  ragops.stack.applyset:
    name: hello
    namespace: demo
    state: absent
"""

RETURN = r"""
objects:
  description: What happened to each object, or would happen in check mode.
  returned: success
  type: list
  elements: dict
  contains:
    kind:
      description: Its kind.
      type: str
    name:
      description: Its name.
      type: str
    operation:
      description: One of C(created), C(updated), C(unchanged), C(pruned), C(kept).
      type: str
  sample: [{kind: Service, name: hello, operation: created}]
revision:
  description: Number of the recorded revision that is in force; unchanged runs record none.
  returned: when O(state=present), not in check mode
  type: int
  sample: 3
seconds:
  description: How long applying and waiting took.
  returned: success
  type: float
  sample: 12.4
findings:
  description: Causes and remedies of objects that did not become ready.
  returned: when waiting failed
  type: list
  elements: dict
"""

import time
from typing import Any

from ansible_collections.ragops.stack.plugins.module_utils._api import Api
from ansible_collections.ragops.stack.plugins.module_utils._applyset import KEPT, PRUNED, UNCHANGED, ApplySet, Step, check_objects, diff_of
from ansible_collections.ragops.stack.plugins.module_utils._module import Session, run_module, wait_options
from ansible_collections.ragops.stack.plugins.module_utils._readiness import gone, predicate_for
from ansible_collections.ragops.stack.plugins.module_utils._wait import Target, wait_for


def report(steps: list[Step], start: float) -> dict[str, Any]:
    objects = [{"kind": s.key[0], "name": s.key[1], "operation": s.operation} for s in steps]
    changed = any(s.operation not in (UNCHANGED, KEPT) for s in steps)
    return {"changed": changed, "objects": objects, "diff": diff_of(steps), "seconds": round(time.monotonic() - start, 2)}


def execute(session: Session) -> dict[str, Any]:
    params, api, start = session.params, Api(session.dynamic), time.monotonic()
    applyset = ApplySet(api, params["name"], params["namespace"], adopt=params["adopt"])
    if params["state"] == "absent":
        steps = applyset.plan_removal(delete_volumes=params["delete_volumes"])
        had_parent = applyset.parent() is not None
        if not session.check_mode:
            applyset.remove(steps)
            if params["wait"]:
                leaving = [(s.live or {}) for s in steps if s.operation == PRUNED]
                targets = [Target(o["kind"], o["metadata"]["name"], params["namespace"], gone, o["apiVersion"]) for o in leaving]
                wait_for(api, targets, params["wait_timeout"], session.progress, verb="remove")
        result = report(steps, start)
        result["changed"] = result["changed"] or had_parent
        return result

    objects = check_objects(params["objects"], params["namespace"])
    steps = applyset.plan(objects, prune=params["prune"], delete_volumes=params["delete_volumes"])
    if session.check_mode:
        return report(steps, start)
    revision = applyset.execute(steps, params["revision_history"])
    if params["wait"]:
        targets = []
        for obj in objects:
            predicate = predicate_for(obj["kind"])
            if predicate is not None:
                targets.append(Target(obj["kind"], obj["metadata"]["name"], params["namespace"], predicate, obj["apiVersion"]))
        wait_for(api, targets, params["wait_timeout"], session.progress)
    return {**report(steps, start), "revision": revision}


def main() -> None:
    run_module(
        {
            "name": {"type": "str", "required": True},
            "namespace": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "objects": {"type": "list", "elements": "dict", "default": []},
            "prune": {"type": "bool", "default": True},
            "delete_volumes": {"type": "bool", "default": False},
            "adopt": {"type": "bool", "default": False},
            "revision_history": {"type": "int", "default": 5},
            **wait_options(300),
        },
        execute,
    )


if __name__ == "__main__":
    main()
