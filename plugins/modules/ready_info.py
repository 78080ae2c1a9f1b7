#!/usr/bin/python
# Copyright: ragops.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: ready_info
short_description: Wait until objects are ready, and tell why they are not
description:
  - Waits for objects of any origin - applied by us, by Helm, by an operator - by one watch each.
  - A Deployment is ready when its rollout is complete, a KubeBlocks Cluster when every component is up to date and Running,
    a KubeBlocks definition when the operator has accepted it. Other kinds are ready once they exist.
  - What does not become ready is explained with cause and remedy.
  - In check mode it does not wait, since nothing may have been started.
author:
  - ragops.stack contributors (@ragops)
version_added: 0.1.0
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
  - ragops.stack._attributes.info
options:
  objects:
    description: The objects to wait for.
    type: list
    elements: dict
    required: true
    suboptions:
      kind:
        description: Kind of the object.
        type: str
        required: true
      name:
        description: Name of the object.
        type: str
        required: true
      namespace:
        description: Namespace of the object.
        type: str
      api_version:
        description: Group and version, where the kind alone does not tell them.
        type: str
  wait_timeout:
    description: Longest wait, in seconds.
    type: int
    default: 300
"""

EXAMPLES = r"""
- name: Wait for the operator
  ragops.stack.ready_info:
    objects:
      - kind: Deployment
        name: kubeblocks
        namespace: kb-system
"""

RETURN = r"""
seconds:
  description: How long the wait took.
  returned: success
  type: float
  sample: 4.2
findings:
  description: Causes and remedies.
  returned: when an object did not become ready
  type: list
  elements: dict
"""

import time
from typing import Any

from ansible_collections.ragops.stack.plugins.module_utils._api import Api, api_version_of
from ansible_collections.ragops.stack.plugins.module_utils._module import Session, run_module
from ansible_collections.ragops.stack.plugins.module_utils._readiness import exists, predicate_for
from ansible_collections.ragops.stack.plugins.module_utils._wait import Target, wait_for


def target(wanted: dict[str, Any]) -> Target:
    predicate = predicate_for(wanted["kind"]) or exists
    version = wanted["api_version"] or api_version_of(wanted["kind"])
    return Target(wanted["kind"], wanted["name"], wanted["namespace"], predicate, version)


def execute(session: Session) -> dict[str, Any]:
    params, start = session.params, time.monotonic()
    if not session.check_mode:
        wait_for(Api(session.dynamic), [target(o) for o in params["objects"]], params["wait_timeout"], session.progress)
    return {"changed": False, "seconds": round(time.monotonic() - start, 2)}


def main() -> None:
    text = {"type": "str"}
    reference = {"kind": {**text, "required": True}, "name": {**text, "required": True}, "namespace": text, "api_version": text}
    run_module(
        {
            "objects": {"type": "list", "elements": "dict", "required": True, "options": reference},
            "wait_timeout": {"type": "int", "default": 300},
        },
        execute,
    )


if __name__ == "__main__":
    main()
