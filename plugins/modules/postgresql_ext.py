#!/usr/bin/python
# Copyright: ragops.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: postgresql_ext
short_description: Create, update or drop extensions in a PostgreSQL database on Kubernetes
description:
  - Works through psql in the server's own pod, so no port has to be open and no password leaves the cluster.
  - >-
    An extension without O(extensions[].version) is created if it is missing and never updated. V(latest) follows the
    server's default version.
  - SQL travels by standard input, never in a command line or URL.
author:
  - ragops.stack contributors (@ragops)
version_added: 0.1.0
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
  - ragops.stack._attributes
  - ragops.stack._postgresql
options:
  login_db:
    description: Database to work in.
    type: str
    required: true
  extensions:
    description: The extensions, in the order in which they are handled.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name of the extension.
        type: str
        required: true
      schema:
        description: Schema of its objects. An extension in another schema is moved if it can be relocated.
        type: str
      version:
        description: Exact version, or V(latest) for the server's default one.
        type: str
      state:
        description: Whether it has to be there.
        type: str
        choices: [present, absent]
        default: present
      cascade:
        description: Also create what it depends on, or drop what depends on it.
        type: bool
        default: false
  session_role:
    description: Role to change to (SET ROLE) after logging in.
    type: str
"""

EXAMPLES = r"""
- name: Vectors in the application's database
  ragops.stack.postgresql_ext:
    namespace: demo
    cluster: rag-pg
    login_db: lightrag
    extensions:
      - {name: vector, schema: public}
      - {name: pg_trgm, version: latest}
"""

RETURN = r"""
extensions:
  description: Each extension with its version before and after.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: Name of the extension.
      type: str
    prev_version:
      description: Version before; empty if it was not there.
      type: str
    version:
      description: Version after; empty if it is not there.
      type: str
    changed:
      description: Whether it changed, or would in check mode.
      type: bool
queries:
  description: SQL that was run, or would be in check mode.
  returned: success
  type: list
  elements: str
  sample: ['CREATE EXTENSION "vector" WITH SCHEMA "public";']
"""

from typing import Any

from ansible_collections.ragops.stack.plugins.module_utils._module import Session, run_module
from ansible_collections.ragops.stack.plugins.module_utils._postgresql import (
    EXTENSION_OPTIONS,
    PLANNED,
    TARGET_OPTIONS,
    TARGET_RULES,
    Administrator,
    ensure_extensions,
    planned_extensions,
    planned_server,
)


def execute(session: Session) -> dict[str, Any]:
    params = session.params
    planned = planned_server(session)
    if planned:
        results = planned_extensions(params["extensions"], planned == PLANNED)
        return {"changed": any(r["changed"] for r in results), "extensions": results, "queries": [], "diff": diff(results)}
    with Administrator(session, params["session_role"]) as psql:
        results, queries = ensure_extensions(psql, params["login_db"], params["extensions"], session.check_mode)
    return {"changed": bool(queries), "extensions": results, "queries": queries, "diff": diff(results)}


def diff(results: list[dict[str, Any]]) -> dict[str, Any]:
    changed = [r for r in results if r["changed"]]
    return {
        "before": {r["name"]: r["prev_version"] for r in changed},
        "after": {r["name"]: r["version"] for r in changed},
    }


def main() -> None:
    run_module(
        {
            **TARGET_OPTIONS,
            "login_db": {"type": "str", "required": True},
            "extensions": {"type": "list", "elements": "dict", "required": True, "options": EXTENSION_OPTIONS},
            "session_role": {"type": "str"},
        },
        execute,
        **TARGET_RULES,
    )


if __name__ == "__main__":
    main()
