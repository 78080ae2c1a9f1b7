#!/usr/bin/python
# Copyright: ragops.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: kubeblocks_definition
short_description: Give the KubeBlocks operator a ComponentDefinition
description:
  - Creates a definition of how the operator runs a component, and waits until the operator has accepted it.
  - The operator never accepts a change of a definition. So a definition that exists is left as it is; give a changed one another
    name, say with a hash of its content at the end.
author:
  - ragops.stack contributors (@ragops)
version_added: 0.1.0
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
  - ragops.stack._attributes
  - ragops.stack._wait
options:
  definition:
    description: The manifest of a ComponentDefinition or ComponentVersion, with C(metadata.name) and C(spec).
    type: dict
    required: true
  state:
    description: V(absent) deletes the definition, if ragops.stack made it. The operator keeps it as long as a Component uses it.
    type: str
    choices: [present, absent]
    default: present
  wait_timeout:
    default: 120
"""

EXAMPLES = r"""
- name: A definition of the smallest kind
  ragops.stack.kubeblocks_definition:
    definition:
      apiVersion: apps.kubeblocks.io/v1
      kind: ComponentDefinition
      metadata:
        name: hello-1
        annotations:
          kubeblocks.io/crd-api-version: apps.kubeblocks.io/v1
      spec:
        serviceVersion: 1.0.0
        runtime:
          containers:
            - name: hello
              image: docker.io/library/busybox:1.37
"""

RETURN = r"""
name:
  description: Name of the definition.
  returned: success
  type: str
  sample: ragops-postgresql-17-0f3a9c1e
seconds:
  description: How long it took.
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
from ansible_collections.ragops.stack.plugins.module_utils._errors import RagopsError, explain_exception, failure
from ansible_collections.ragops.stack.plugins.module_utils._module import FIELD_MANAGER, MANAGED_BY, Session, run_module, wait_options
from ansible_collections.ragops.stack.plugins.module_utils._readiness import component_definition, gone
from ansible_collections.ragops.stack.plugins.module_utils._wait import Target, wait_for

KINDS = ("ComponentDefinition", "ComponentVersion")


def wanted(definition: dict[str, Any]) -> dict[str, Any]:
    """The manifest with our label; anything but a definition with a name is refused."""
    metadata = definition.get("metadata") or {}
    if definition.get("kind") not in KINDS or not metadata.get("name") or not definition.get("apiVersion"):
        raise RagopsError(f"Failed to read the definition: it needs apiVersion, metadata.name, and as kind one of {', '.join(KINDS)}. Correct the manifest.")
    return {**definition, "metadata": {**metadata, "labels": {**(metadata.get("labels") or {}), **MANAGED_BY}}}


def refuse_foreign(live: dict[str, Any], verb: str) -> None:
    labels = live["metadata"].get("labels") or {}
    if any(labels.get(k) != v for k, v in MANAGED_BY.items()):
        reason = "one of that name exists and was not made by ragops.stack"
        raise RagopsError(failure(verb, live["kind"], live["metadata"]["name"], None, reason, "Choose another name"))


def execute(session: Session) -> dict[str, Any]:
    params, api, start = session.params, Api(session.dynamic), time.monotonic()
    definition = wanted(params["definition"])
    kind, version, name = definition["kind"], definition["apiVersion"], definition["metadata"]["name"]
    # In check mode the operator, and the kind with it, may be only planned.
    known = api.knows(kind, version) or not (session.check_mode or params["state"] == "absent")
    live = api.get(kind, name, None, version) if known else None
    if live is not None:
        refuse_foreign(live, "change" if params["state"] == "present" else "delete")
    result: dict[str, Any] = {"name": name, "changed": False, "diff": {"before": "", "after": ""}}
    predicate = component_definition
    if params["state"] == "absent":
        predicate = gone
        if live is not None:
            result.update({"changed": True, "diff": {"before": {"spec": live["spec"]}, "after": {}}})
            if not session.check_mode:
                api.delete(kind, name, None, version)
    elif live is None:
        result.update({"changed": True, "diff": {"before": {}, "after": {"spec": definition["spec"]}}})
        if known:
            try:
                api.create(definition, dry_run=session.check_mode, manager=FIELD_MANAGER)
            except Exception as exc:
                reason, remedy = explain_exception(exc, api.host)
                raise RagopsError(failure("create", kind, name, None, reason, remedy)) from exc
    if params["wait"] and not session.check_mode:
        wait_for(api, [Target(kind, name, None, predicate, version)], params["wait_timeout"], session.progress, verb="register")
    return {**result, "seconds": round(time.monotonic() - start, 2)}


def main() -> None:
    run_module(
        {
            "definition": {"type": "dict", "required": True},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            **wait_options(120),
        },
        execute,
    )


if __name__ == "__main__":
    main()
