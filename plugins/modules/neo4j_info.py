#!/usr/bin/python
# Copyright: ragops.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: neo4j_info
short_description: Log in to Neo4j on Kubernetes and tell what it is
description:
  - Logs in with the credentials of the connection's Secret and returns version, edition and databases.
  - Works in the server's own pod, so no port has to be open and no password leaves the cluster by a command line or URL.
  - In check mode it tells nothing of a server that is only planned.
author:
  - ragops.stack contributors (@ragops)
version_added: 0.1.0
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
  - ragops.stack._attributes.info
options:
  connection:
    description: The connection as role P(ragops.stack.neo4j#role) publishes it. Provider C(external) cannot be asked.
    type: dict
    required: true
    suboptions:
      engine:
        description: The engine.
        type: str
      host:
        description: Host that pods in the cluster connect to.
        type: str
      port:
        description: Its port.
        type: int
      database:
        description: The database to log in to.
        type: str
      tls:
        description: Whether the server expects TLS.
        type: bool
      namespace:
        description: Namespace of the Secrets, and of the server unless it is external.
        type: str
      secret:
        description: Where the credentials are.
        type: dict
        suboptions: &secret
          name:
            description: Name of the Secret.
            type: str
            required: true
          username_key:
            description: Key of the user name.
            type: str
            default: username
          password_key:
            description: Key of the password.
            type: str
            default: password
      superuser_secret:
        description: Not used here.
        type: dict
        suboptions: *secret
      provider:
        description: Who runs the server.
        type: str
        choices: [kubeblocks, standalone, external]
        default: kubeblocks
      cluster:
        description: Name of the Cluster or StatefulSet.
        type: str
      component:
        description: Component of the Cluster.
        type: str
      container:
        description: Container of the server.
        type: str
      client_image:
        description: Not used here.
        type: str
  timeout:
    description: Longest time for the query, in seconds.
    type: int
    default: 30
"""

EXAMPLES = r"""
- name: Log in to Neo4j
  ragops.stack.neo4j_info:
    connection: "{{ neo4j_connection }}"
  register: neo4j
"""

RETURN = r"""
version:
  description: Version of the server.
  returned: when the server was asked
  type: str
  sample: 5.26.5
edition:
  description: Edition of the server.
  returned: when the server was asked
  type: str
  sample: community
databases:
  description: Names of the databases that are online.
  returned: when the server was asked
  type: list
  elements: str
  sample: [neo4j, system]
"""

from typing import Any

from ansible_collections.ragops.stack.plugins.module_utils._api import Api
from ansible_collections.ragops.stack.plugins.module_utils._connection import CONNECTION_OPTIONS, secret_values, way_in
from ansible_collections.ragops.stack.plugins.module_utils._errors import RagopsError
from ansible_collections.ragops.stack.plugins.module_utils._module import Session, run_module
from ansible_collections.ragops.stack.plugins.module_utils._neo4j import query


def is_planned(session: Session, api: Api, connection: dict[str, Any]) -> bool:
    """In check mode: whether the server is missing only because an earlier task did not really run."""
    if not session.check_mode:
        return False
    kind = "StatefulSet" if connection["provider"] == "standalone" else "Cluster"
    return not api.knows(kind) or api.get(kind, connection["cluster"], connection["namespace"]) is None


def execute(session: Session) -> dict[str, Any]:
    connection, api, timeout = session.params["connection"], Api(session.dynamic), session.params["timeout"]
    if connection["provider"] == "external":
        raise RagopsError("Failed to query Neo4j: its provider is external, and only a server of this cluster can be asked. Use a client of its own.")
    if not connection["secret"] or not connection["cluster"] or not connection["namespace"]:
        raise RagopsError("Failed to query Neo4j: connection needs namespace, cluster and secret. Pass the neo4j_connection that the role publishes.")
    if is_planned(session, api, connection):
        return {"changed": False}
    keys = connection["secret"]
    values = secret_values(api, connection["namespace"], keys["name"], [keys["username_key"], keys["password_key"]])
    login = (values[keys["username_key"]], values[keys["password_key"]])
    with way_in(api, {**connection, "engine": "neo4j"}, session.progress) as run:
        components = query(run, "CALL dbms.components() YIELD versions, edition", {}, connection["database"] or "neo4j", *login, timeout)
        databases = query(run, "SHOW DATABASES YIELD name, currentStatus", {}, "system", *login, timeout)
    first = components[0] if components else {}
    online = sorted(str(d["name"]) for d in databases if d.get("currentStatus") == "online")
    return {"changed": False, "version": (first.get("versions") or [""])[0], "edition": first.get("edition", ""), "databases": online}


def main() -> None:
    run_module(
        {
            "connection": {"type": "dict", "required": True, "options": CONNECTION_OPTIONS},
            "timeout": {"type": "int", "default": 30},
        },
        execute,
    )


if __name__ == "__main__":
    main()
