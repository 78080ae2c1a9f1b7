#!/usr/bin/python
# Copyright: ragops.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: kubeblocks_crds
short_description: Create or replace CustomResourceDefinitions too big for client-side apply
description:
  - Applies definitions by server-side apply, several at a time, as the text they are; ten megabytes take a few seconds.
  - The SHA-256 of each text is kept in an annotation, so that an unchanged definition is neither parsed nor sent again.
  - A definition that somebody else changed meanwhile is put right.
  - Waits until the API server serves the kinds.
author:
  - ragops.stack contributors (@ragops)
version_added: 0.1.0
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
  - ragops.stack._attributes
  - ragops.stack._wait
options:
  state:
    description:
      - V(present) makes the definitions of O(sources) exist.
      - V(absent) deletes all definitions of the API groups named by O(group), if no object of theirs is left.
    type: str
    choices: [present, absent]
    default: present
  sources:
    description:
      - Files, folders (all YAML files in them, not those of subfolders) or URLs of the definitions.
      - A URL counts as immutable. It is not downloaded again as long as all of its definitions are in place.
    type: list
    elements: str
    default: []
  replace:
    description:
      - Whether a definition that exists is replaced when it differs.
      - Turn it off for definitions that others own as well, such as those of volume snapshots.
    type: bool
    default: true
  group:
    description: API group, with all groups below it, whose definitions O(state=absent) deletes.
    type: str
  wait_timeout:
    default: 60
"""

EXAMPLES = r"""
- name: Keep the operator's definitions at its version
  ragops.stack.kubeblocks_crds:
    sources:
      - https://github.com/apecloud/kubeblocks/releases/download/v1.0.2/kubeblocks_crds.yaml

- name: Create the definitions of volume snapshots where nobody has yet
  ragops.stack.kubeblocks_crds:
    sources:
      - /opt/charts/kubeblocks/crds/snapshot
    replace: false
"""

RETURN = r"""
definitions:
  description: What happened to each definition, or would happen in check mode.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: Its name.
      type: str
    operation:
      description: One of C(created), C(replaced), C(unchanged), C(kept), C(deleted).
      type: str
  sample: [{name: clusters.apps.kubeblocks.io, operation: unchanged}]
seconds:
  description: How long it took.
  returned: success
  type: float
  sample: 0.2
left:
  description: Objects that keep definitions from being deleted, by definition.
  returned: when O(state=absent) is refused
  type: dict
"""

import time
from typing import Any

from ansible_collections.ragops.stack.plugins.module_utils import _crds
from ansible_collections.ragops.stack.plugins.module_utils._module import Session, run_module, wait_options
from ansible_collections.ragops.stack.plugins.module_utils._preflight import Reader


def report(operations: dict[str, str], live: dict[str, dict[str, Any]], start: float) -> dict[str, Any]:
    written = {name: op for name, op in operations.items() if op not in (_crds.UNCHANGED, _crds.KEPT)}
    before = {name: _crds.annotation(live[name], _crds.SHA) or "not ours" for name in written if name in live}
    after = {name: op for name, op in written.items() if op != _crds.DELETED}
    return {
        "changed": bool(written),
        "definitions": [{"name": name, "operation": op} for name, op in sorted(operations.items())],
        "diff": {"before": before, "after": after} if written else {"before": "", "after": ""},
        "seconds": round(time.monotonic() - start, 2),
    }


def execute(session: Session) -> dict[str, Any]:
    params, start = session.params, time.monotonic()
    reader = Reader(session.dynamic)
    live = _crds.live_metadata(reader)
    if params["state"] == "absent":
        names = _crds.in_groups(live, params["group"])
        _crds.refuse_while_used(_crds.objects_left(reader, names))
        if not session.check_mode:
            _crds.delete(session.dynamic, names, reader, params["wait_timeout"] if params["wait"] else None)
        return report(dict.fromkeys(names, _crds.DELETED), live, start)

    plan = _crds.gather(params["sources"], live, replace=params["replace"])
    if plan.send and not session.check_mode:
        session.progress.say(f"applying {len(plan.send)} of {len(plan.operations)} definitions")
        _crds.apply(session.dynamic, plan.send)
        if params["wait"]:
            _crds.wait_served(reader, [d.name for d in plan.send], params["wait_timeout"])
    return report(plan.operations, live, start)


def main() -> None:
    run_module(
        {
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "sources": {"type": "list", "elements": "str", "default": []},
            "replace": {"type": "bool", "default": True},
            "group": {"type": "str"},
            **wait_options(60),
        },
        execute,
        required_if=[("state", "absent", ["group"]), ("state", "present", ["sources"])],
    )


if __name__ == "__main__":
    main()
