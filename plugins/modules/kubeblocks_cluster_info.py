#!/usr/bin/python
# Copyright: ragops.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: kubeblocks_cluster_info
short_description: Tell the state of KubeBlocks Clusters
description:
  - Reads one Cluster, those of a namespace, or all that match a label selector, in one API call.
  - The state is judged by generation, phase and every component, not by the phase alone.
author:
  - ragops.stack contributors (@ragops)
version_added: 0.1.0
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
  - ragops.stack._attributes.info
options:
  name:
    description: Only the Cluster of this name. Needs O(namespace).
    type: str
  namespace:
    description: Only this namespace; without it all namespaces.
    type: str
  label_selectors:
    description: Only Clusters that match all of these.
    type: list
    elements: str
    default: []
"""

EXAMPLES = r"""
- name: All Clusters that ragops.stack made
  ragops.stack.kubeblocks_cluster_info:
    label_selectors: [app.kubernetes.io/managed-by=ragops.stack]
"""

RETURN = r"""
api_found:
  description: Whether the cluster knows KubeBlocks at all.
  returned: success
  type: bool
clusters:
  description: What was found; see the return value of the same shape of M(ragops.stack.kubeblocks_cluster).
  returned: success
  type: list
  elements: dict
"""

from typing import Any

from ansible_collections.ragops.stack.plugins.module_utils._api import Api
from ansible_collections.ragops.stack.plugins.module_utils._kubeblocks import API_VERSION, summary
from ansible_collections.ragops.stack.plugins.module_utils._module import Session, run_module


def execute(session: Session) -> dict[str, Any]:
    params, api = session.params, Api(session.dynamic)
    if not api.knows("Cluster", API_VERSION):
        return {"changed": False, "api_found": False, "clusters": []}
    field = f"metadata.name={params['name']}" if params["name"] else None
    found = api.list("Cluster", params["namespace"], API_VERSION, label_selector=",".join(params["label_selectors"]) or None, field_selector=field)
    return {"changed": False, "api_found": True, "clusters": [summary(c) for c in found]}


def main() -> None:
    run_module(
        {
            "name": {"type": "str"},
            "namespace": {"type": "str"},
            "label_selectors": {"type": "list", "elements": "str", "default": []},
        },
        execute,
        required_by={"name": "namespace"},
    )


if __name__ == "__main__":
    main()
