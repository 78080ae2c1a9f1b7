#!/usr/bin/python
# Copyright: ragops.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: preflight_info
short_description: Read all that a deployment depends on, before the first write
description:
  - Asks the cluster for its version, its storage classes, the state of a namespace, and what else is named, in one call.
  - Reads only. What this account may not see counts as unknown and is listed in RV(denied), so that the caller decides.
  - Values of Secrets are never returned, only which keys hold something.
author:
  - ragops.stack contributors (@ragops)
version_added: 0.1.0
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
  - ragops.stack._attributes.info
options:
  namespace:
    description: Namespace whose state is wanted.
    type: str
  crds:
    description: Names of CustomResourceDefinitions (C(<plural>.<group>)) of which to tell whether the cluster serves them.
    type: list
    elements: str
    default: []
  objects:
    description: Objects to read; each entry names one, or a list of them. Entries of kinds that the cluster does not know give nothing.
    type: list
    elements: dict
    default: []
    suboptions:
      api_version:
        description: Group and version, such as V(apps.kubeblocks.io/v1).
        type: str
        required: true
      plural:
        description: The kind's name in the API's paths, such as V(clusters).
        type: str
        required: true
      namespace:
        description: Namespace to look in. Left out for objects of the cluster, and for a list over all namespaces.
        type: str
      name:
        description: Name of one object. Left out for a list.
        type: str
      label_selector:
        description: Restricts a list.
        type: str
  secrets:
    description: Secrets of which to tell whether they exist and which of their keys hold something.
    type: list
    elements: dict
    default: []
    suboptions:
      namespace:
        description: Namespace of the Secret.
        type: str
        required: true
      name:
        description: Name of the Secret.
        type: str
        required: true
  helm_releases:
    description: Helm releases to look at, read from the Secrets that Helm keeps; no Helm is needed.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name of the release.
        type: str
        required: true
      namespace:
        description: Namespace of the release.
        type: str
        required: true
      chart_ref:
        description: The chart that is wanted. When it is a folder or an archive on this host, its version is compared.
        type: str
        default: ""
      chart_version:
        description: The chart version that is wanted, where O(helm_releases[].chart_ref) is not on this host.
        type: str
        default: ""
      values:
        description: The values that are wanted. Left out, values are not compared.
        type: dict
  programs:
    description: Programs of which to tell where they are on the host that runs the module.
    type: list
    elements: str
    default: []
  required:
    description:
      - What is about to be placed. Given, the free capacity of the ready nodes is compared with it.
      - Pods that carry the label C(app.kubernetes.io/instance) of an entry are not counted twice.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name of the instance.
        type: str
        required: true
      namespace:
        description: Namespace of the instance.
        type: str
        required: true
      cpu:
        description: CPU that it requests.
        type: str
        default: "0"
      memory:
        description: Memory that it requests.
        type: str
        default: "0"
"""

EXAMPLES = r"""
- name: Look at the cluster
  ragops.stack.preflight_info:
    namespace: rag
    crds:
      - clusters.apps.kubeblocks.io
    required:
      - name: rag-pg
        namespace: rag
        cpu: 500m
        memory: 512Mi
  register: preflight

- name: Stop before anything is written
  ansible.builtin.assert:
    that: preflight.default_storage_class != ''
    fail_msg: No StorageClass is the default one. Name one, or mark one as default.
"""

RETURN = r"""
server:
  description: The API server.
  returned: success
  type: dict
  contains:
    host:
      description: Its URL.
      type: str
    version:
      description: Its version.
      type: str
    minor:
      description: Major and minor number of the version.
      type: str
  sample: {host: "https://10.0.0.1:6443", version: 1.34.4, minor: "1.34"}
namespace:
  description: The namespace asked for.
  returned: when O(namespace) is given
  type: dict
  sample: {name: rag, exists: true, phase: Active, labels: {}}
storage_classes:
  description: All storage classes.
  returned: success
  type: list
  elements: dict
  sample: [{name: standard, default: true, provisioner: rancher.io/local-path, binding_mode: WaitForFirstConsumer, allow_expansion: false}]
default_storage_class:
  description: The default one, or an empty string.
  returned: success
  type: str
  sample: standard
crds:
  description: For each name of O(crds) whether the cluster serves it.
  returned: success
  type: dict
  sample: {clusters.apps.kubeblocks.io: true}
objects:
  description: The objects found, each with C(plural), and C(ours) where it carries the label of ragops.stack, beside its own fields.
  returned: success
  type: list
  elements: dict
secrets:
  description: What was found of each entry of O(secrets).
  returned: success
  type: list
  elements: dict
  sample: [{namespace: rag, name: db, exists: true, readable: true, keys: [password, username], empty_keys: [], labels: {}}]
helm_releases:
  description:
    - What was found of each entry of O(helm_releases), by name.
    - C(state) is one of C(absent), C(deployed), C(install_failed), C(upgrade_failed), C(uninstalling), C(uninstalled).
    - C(age) is the age of the newest revision in seconds.
    - C(up_to_date) tells whether it is deployed with the chart version and the values that are wanted.
  returned: success
  type: dict
  sample: {kubeblocks: {state: deployed, status: deployed, revision: 1, chart_version: 1.0.2, app_version: 1.0.2, up_to_date: true, differences: []}}
programs:
  description: The path of each program of O(programs), or an empty string.
  returned: success
  type: dict
  sample: {helm: /usr/local/bin/helm}
capacity:
  description: What is free on the ready nodes; C(lacking) says in words what is not enough.
  returned: when O(required) is given
  type: dict
  sample: {nodes: 1, cpu: {total: "2", free: "1.2", needed: "0.5"}, memory: {total: 7.6 GiB, free: 6.1 GiB, needed: 512 MiB}, lacking: []}
denied:
  description: API paths that this account may not read.
  returned: success
  type: list
  elements: str
  sample: [/api/v1/nodes]
"""

import shutil
import signal
from typing import Any

from ansible_collections.ragops.stack.plugins.module_utils import _preflight
from ansible_collections.ragops.stack.plugins.module_utils._errors import RagopsError
from ansible_collections.ragops.stack.plugins.module_utils._module import Session, run_module

CONNECT_SECONDS = 20  # the client itself has no limit: an address that swallows packets would block for minutes
READ_SECONDS = 180


def execute(session: Session) -> dict[str, Any]:
    params, reader = session.params, _preflight.Reader(session.dynamic)
    result: dict[str, Any] = {"changed": False, "server": _preflight.server(reader)}
    signal.alarm(READ_SECONDS)
    if params["namespace"]:
        result["namespace"] = _preflight.namespace_state(reader, params["namespace"])
    classes = _preflight.storage_classes(reader)
    result["storage_classes"] = classes
    result["default_storage_class"] = _preflight.default_class(classes)
    result["crds"] = _preflight.served_crds(reader, params["crds"])
    result["objects"] = _preflight.objects(reader, params["objects"])
    result["secrets"] = _preflight.secrets(reader, params["secrets"])
    result["helm_releases"] = {r["name"]: _preflight.helm_release(reader, r) for r in params["helm_releases"]}
    result["programs"] = {name: shutil.which(name) or "" for name in params["programs"]}
    if params["required"]:
        nodes = reader.items("/api/v1/nodes")
        pods = reader.items("/api/v1/pods") if nodes else []
        if nodes and "/api/v1/pods" not in reader.denied:
            result["capacity"] = _preflight.capacity(nodes, pods, params["required"])
    result["denied"] = reader.denied
    return result


def unreachable(_signal: int, _frame: Any) -> None:
    raise RagopsError(
        "Failed to talk to the cluster: the API server does not answer in time. "
        "Is the cluster running, and does kubeconfig/context name the right one? Try: kubectl cluster-info"
    )


def main() -> None:
    signal.signal(signal.SIGALRM, unreachable)
    signal.alarm(CONNECT_SECONDS)
    reference = {"api_version": {"type": "str", "required": True}, "plural": {"type": "str", "required": True}}
    named = {"namespace": {"type": "str", "required": True}, "name": {"type": "str", "required": True}}
    run_module(
        {
            "namespace": {"type": "str"},
            "crds": {"type": "list", "elements": "str", "default": []},
            "objects": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {**reference, "namespace": {"type": "str"}, "name": {"type": "str"}, "label_selector": {"type": "str"}},
            },
            "secrets": {"type": "list", "elements": "dict", "default": [], "options": named, "no_log": False},
            "helm_releases": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    **named,
                    "chart_ref": {"type": "str", "default": ""},
                    "chart_version": {"type": "str", "default": ""},
                    "values": {"type": "dict"},
                },
            },
            "programs": {"type": "list", "elements": "str", "default": []},
            "required": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {**named, "cpu": {"type": "str", "default": "0"}, "memory": {"type": "str", "default": "0"}},
            },
        },
        execute,
    )


if __name__ == "__main__":
    main()
