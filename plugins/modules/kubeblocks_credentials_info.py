#!/usr/bin/python
# Copyright: ragops.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: kubeblocks_credentials_info
short_description: Find the account Secrets of KubeBlocks Clusters
description:
  - Lists the accounts of many Clusters in one API call, or one a namespace when the login may not list all namespaces.
  - Returns references (Secret name and keys), which is what an application needs. Values come only on request.
author:
  - ragops.stack contributors (@ragops)
version_added: 0.1.0
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
  - ragops.stack._attributes.info
options:
  clusters:
    description: Only these Clusters. A Cluster without any account is an error, unless O(allow_missing).
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name of the Cluster.
        type: str
        required: true
      namespace:
        description: Its namespace.
        type: str
        required: true
  namespaces:
    description: Only these namespaces; without this and without O(clusters) all of them.
    type: list
    elements: str
    default: []
  accounts:
    description: Only accounts of these names, such as V(postgres) or V(neo4j).
    type: list
    elements: str
    default: []
  allow_missing:
    description: Whether a Cluster in O(clusters) may have no account.
    type: bool
    default: false
  values:
    description:
      - Whether to return user names and passwords as well.
      - The values are then in the result. Set C(no_log) on the task and register it only where it is needed.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Where are the credentials of two databases?
  ragops.stack.kubeblocks_credentials_info:
    clusters:
      - {name: rag-pg, namespace: demo}
      - {name: rag-neo4j, namespace: demo}
  register: found
"""

RETURN = r"""
credentials:
  description: One entry for each account.
  returned: success
  type: list
  elements: dict
  contains:
    namespace:
      description: Namespace of the Cluster and of the Secret.
      type: str
    cluster:
      description: Name of the Cluster.
      type: str
    component:
      description: Name of the component.
      type: str
    account:
      description: Name of the account.
      type: str
    secret:
      description: C(name), C(username_key) and C(password_key).
      type: dict
    ready:
      description: Whether the password is there yet.
      type: bool
    username:
      description: User name, with O(values=true).
      type: str
    password:
      description: Password, with O(values=true).
      type: str
"""

import base64
from typing import Any

from ansible_collections.ragops.stack.plugins.module_utils._api import Api
from ansible_collections.ragops.stack.plugins.module_utils._errors import RagopsError, failure, http_status
from ansible_collections.ragops.stack.plugins.module_utils._kubeblocks import ACCOUNT_LABEL, account
from ansible_collections.ragops.stack.plugins.module_utils._module import Session, run_module


def read(api: Api, namespaces: list[str]) -> list[dict[str, Any]]:
    """One call where one will do; where listing the whole cluster is not allowed, one a namespace."""
    if len(namespaces) == 1:
        return api.list("Secret", namespaces[0], label_selector=ACCOUNT_LABEL)
    try:
        found = api.list("Secret", label_selector=ACCOUNT_LABEL)
    except Exception as exc:
        if http_status(exc) != 403 or not namespaces:
            raise
        return [s for n in namespaces for s in api.list("Secret", n, label_selector=ACCOUNT_LABEL)]
    return [s for s in found if not namespaces or s["metadata"]["namespace"] in namespaces]


def execute(session: Session) -> dict[str, Any]:
    params, api = session.params, Api(session.dynamic)
    wanted = {(c["namespace"], c["name"]) for c in params["clusters"]}
    secrets = read(api, sorted(set(params["namespaces"]) | {n for n, _name in wanted}))
    found = []
    for secret in secrets:
        entry = account(secret)
        if wanted and (entry["namespace"], entry["cluster"]) not in wanted:
            continue
        if params["accounts"] and entry["account"] not in params["accounts"]:
            continue
        if params["values"]:
            data = secret.get("data") or {}
            entry |= {k: base64.b64decode(data.get(k) or "").decode() for k in ("username", "password")}
        found.append(entry)
    missing = wanted - {(e["namespace"], e["cluster"]) for e in found}
    if missing and not params["allow_missing"]:
        namespace, name = sorted(missing)[0]
        reason = "no account Secret of it exists" + (f" for {', '.join(params['accounts'])}" if params["accounts"] else "")
        raise RagopsError(failure("find the credentials of", "Cluster", name, namespace, reason, "Does the Cluster exist, and does its engine have accounts?"))
    return {"changed": False, "credentials": sorted(found, key=lambda e: (e["namespace"], e["cluster"], e["component"], e["account"]))}


def main() -> None:
    cluster = {"name": {"type": "str", "required": True}, "namespace": {"type": "str", "required": True}}
    run_module(
        {
            "clusters": {"type": "list", "elements": "dict", "default": [], "options": cluster},
            "namespaces": {"type": "list", "elements": "str", "default": []},
            "accounts": {"type": "list", "elements": "str", "default": []},
            "allow_missing": {"type": "bool", "default": False},
            "values": {"type": "bool", "default": False},
        },
        execute,
    )


if __name__ == "__main__":
    main()
