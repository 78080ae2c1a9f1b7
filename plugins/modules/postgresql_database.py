#!/usr/bin/python
# Copyright: ragops.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: postgresql_database
short_description: Keep a database, its owner and its extensions in PostgreSQL on Kubernetes
description:
  - Makes what an application needs to start, in the right order; the owner role, the database, and then as superuser its extensions.
  - The owner may log in and owns the database, and nothing more; other roles lose the right to connect to it.
  - >-
    The password is read from a Secret and reaches the server only as a SCRAM verifier, so neither the server's log nor
    an error message can show it. Whether it is still right is told by recomputing the stored verifier.
author:
  - ragops.stack contributors (@ragops)
version_added: 0.1.0
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
  - ragops.stack._attributes
  - ragops.stack._postgresql
options:
  name:
    description: Name of the database.
    type: str
    required: true
  state:
    description: V(absent) drops the database and its owner, with all data, and needs O(drop).
    type: str
    choices: [present, absent]
    default: present
  drop:
    description: Confirms that the data may be lost.
    type: bool
    default: false
  owner:
    description: Role that owns the database. Made if it is missing. A superuser is refused.
    type: str
    required: true
  owner_password_secret:
    description: Where the owner's password is. Without it the role's password is left alone.
    type: dict
    suboptions:
      name:
        description: Name of the Secret.
        type: str
        required: true
      namespace:
        description: Its namespace; that of the server when not given.
        type: str
      key:
        description: Key of the password.
        type: str
        default: password
  extensions:
    description: Extensions to create in it, as superuser; see M(ragops.stack.postgresql_ext).
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name of the extension.
        type: str
        required: true
      schema:
        description: Schema of its objects.
        type: str
      version:
        description: Exact version, or V(latest).
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
"""

EXAMPLES = r"""
- name: A database for LightRAG
  ragops.stack.postgresql_database:
    namespace: demo
    cluster: rag-pg
    name: lightrag
    owner: lightrag
    owner_password_secret: {name: rag-lightrag-postgresql}
    extensions: [{name: vector, schema: public}]
"""

RETURN = r"""
database:
  description: Name of the database, and whether this run made it.
  returned: success
  type: dict
  contains:
    name:
      description: Its name.
      type: str
    created:
      description: Whether it was made now.
      type: bool
owner:
  description: The owner role.
  returned: success
  type: dict
  contains:
    name:
      description: Its name.
      type: str
    created:
      description: Whether it was made now.
      type: bool
    password_changed:
      description: Whether its password was set now.
      type: bool
extensions:
  description: See M(ragops.stack.postgresql_ext).
  returned: success
  type: list
  elements: dict
queries:
  description: SQL that was run, or would be in check mode. Password verifiers are masked.
  returned: success
  type: list
  elements: str
"""

from typing import Any

from ansible_collections.ragops.stack.plugins.module_utils._api import Api
from ansible_collections.ragops.stack.plugins.module_utils._connection import secret_values
from ansible_collections.ragops.stack.plugins.module_utils._errors import RagopsError
from ansible_collections.ragops.stack.plugins.module_utils._module import Session, run_module
from ansible_collections.ragops.stack.plugins.module_utils._postgresql import (
    ADMIN_DB,
    EXTENSION_OPTIONS,
    PLANNED,
    TARGET_OPTIONS,
    TARGET_RULES,
    Administrator,
    Statement,
    ensure_extensions,
    planned_extensions,
    planned_server,
)
from ansible_collections.ragops.stack.plugins.module_utils._psql import Psql, scram_verifier, verifier_matches
from ansible_collections.ragops.stack.plugins.module_utils._redact import MASK

_ROLE = "SELECT rolsuper, rolcanlogin, rolcreatedb, rolcreaterole FROM pg_roles WHERE rolname = :'owner'"
_VERIFIER = "SELECT rolpassword FROM pg_authid WHERE rolname = :'owner'"
_DATABASE = """
SELECT pg_get_userbyid(datdba) AS owner, has_database_privilege('public', oid, 'CONNECT') AS public
FROM pg_database WHERE datname = :'db'
"""


def owner_password(session: Session) -> str | None:
    params = session.params
    secret = params["owner_password_secret"]
    if not secret:
        return None
    namespace = secret["namespace"] or (params["connection"] or params)["namespace"]
    api = Api(session.dynamic)
    if session.check_mode and api.get("Secret", secret["name"], namespace) is None:
        return None  # an earlier task of this check would have made it
    return secret_values(api, namespace, secret["name"], [secret["key"]])[secret["key"]]


def stored_verifier(psql: Psql, owner: str) -> tuple[bool, str | None]:
    """(whether it may be read, the verifier). Managed servers keep pg_authid to themselves."""
    try:
        rows = psql.query(ADMIN_DB, _VERIFIER, {"owner": owner})
    except RagopsError as exc:
        if "permission denied" in str(exc):
            return False, None
        raise
    return True, rows[0]["rolpassword"] if rows else None


def plan_role(psql: Psql, owner: str, password: str | None, warn: Any) -> tuple[list[Statement], dict[str, Any]]:
    rows = psql.query(ADMIN_DB, _ROLE, {"owner": owner}, "read the roles")
    result = {"name": owner, "created": not rows, "password_changed": False}
    values = {"owner": owner}
    if not rows:
        statements = [Statement('CREATE ROLE :"owner" LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE;', values)]
        changed = password is not None
    else:
        role = rows[0]
        if role["rolsuper"]:
            raise RagopsError(f"Failed to make role {owner} the owner of an application's database: it is a superuser. Name a role of the application's own.")
        fits = role["rolcanlogin"] and not role["rolcreatedb"] and not role["rolcreaterole"]
        statements = [] if fits else [Statement('ALTER ROLE :"owner" LOGIN NOCREATEDB NOCREATEROLE;', values)]
        changed = False
        if password is not None:
            readable, verifier = stored_verifier(psql, owner)
            changed = readable and not verifier_matches(password, verifier)
            if not readable:
                warn(f"The password of role {owner} cannot be compared (pg_authid may not be read) and was left alone.")
    if changed and password is not None:
        statements.append(Statement("ALTER ROLE :\"owner\" PASSWORD :'verifier';", {**values, "verifier": scram_verifier(password)}))
        result["password_changed"] = True
    return statements, result


def plan_database(psql: Psql, name: str, owner: str) -> tuple[list[Statement], bool]:
    rows = psql.query(ADMIN_DB, _DATABASE, {"db": name}, "read the databases")
    values = {"db": name, "owner": owner}
    revoke = Statement('REVOKE ALL ON DATABASE :"db" FROM PUBLIC;', {"db": name})
    if not rows:
        # A managed superuser must be a member of the owner role to give it a database; elsewhere this does nothing.
        return [Statement('CREATE DATABASE :"db" OWNER :"owner";', values), revoke], True
    statements = []
    if rows[0]["owner"] != owner:
        statements.append(Statement('ALTER DATABASE :"db" OWNER TO :"owner";', values))
    if rows[0]["public"]:
        statements.append(revoke)
    return statements, False


def masked(statement: Statement) -> str:
    return Statement(statement.sql, {k: MASK if k == "verifier" else v for k, v in statement.values.items()}).shown


def present(session: Session, psql: Psql) -> dict[str, Any]:
    params = session.params
    name, owner = params["name"], params["owner"]
    role_statements, role = plan_role(psql, owner, owner_password(session), session.warn)
    database_statements, created = plan_database(psql, name, owner)
    queries = []
    for statement in [*role_statements, *database_statements]:
        if not session.check_mode:
            psql.execute(ADMIN_DB, statement.sql, statement.values, f"prepare database {name} for role {owner}")
        queries.append(masked(statement))
    extensions, more = ensure_extensions(psql, name, params["extensions"], session.check_mode, planned=created and session.check_mode)
    return {
        "changed": bool(queries or more),
        "queries": queries + more,
        "database": {"name": name, "created": created},
        "owner": role,
        "extensions": extensions,
        "diff": {"before": "", "after": "\n".join(queries + more) + "\n" if queries or more else ""},
    }


def absent(session: Session, psql: Psql) -> dict[str, Any]:
    params = session.params
    name, owner = params["name"], params["owner"]
    there = psql.query(ADMIN_DB, "SELECT 1 AS n FROM pg_database WHERE datname = :'db'", {"db": name})
    role = psql.query(ADMIN_DB, _ROLE, {"owner": owner})
    if (there or role) and not params["drop"]:
        raise RagopsError(f"Failed to drop database {name}: its data would be lost. Set drop: true if that is meant.")
    statements = [Statement('DROP DATABASE :"db" WITH (FORCE);', {"db": name})] if there else []
    statements += [Statement('DROP ROLE :"owner";', {"owner": owner})] if role else []
    for statement in statements:
        if not session.check_mode:
            psql.execute(ADMIN_DB, statement.sql, statement.values, f"drop database {name} and role {owner}")
    queries = [s.shown for s in statements]
    return {
        "changed": bool(queries),
        "queries": queries,
        "database": {"name": name, "created": False},
        "owner": {"name": owner, "created": False, "password_changed": False},
        "extensions": [],
        "diff": {"before": "", "after": "\n".join(queries) + "\n" if queries else ""},
    }


def planned(params: dict[str, Any], server: str) -> dict[str, Any]:
    """What check mode says while the server itself is only planned."""
    created = params["state"] == "present" and server == PLANNED
    return {
        "changed": created,
        "queries": [],
        "database": {"name": params["name"], "created": created},
        "owner": {"name": params["owner"], "created": created, "password_changed": created},
        "extensions": planned_extensions(params["extensions"], created) if params["state"] == "present" else [],
        "diff": {"before": "", "after": f"database {params['name']} owned by {params['owner']}\n" if created else ""},
    }


def execute(session: Session) -> dict[str, Any]:
    server = planned_server(session)
    if server:
        return planned(session.params, server)
    with Administrator(session) as psql:
        return present(session, psql) if session.params["state"] == "present" else absent(session, psql)


def main() -> None:
    secret = {
        "name": {"type": "str", "required": True},
        "namespace": {"type": "str"},
        "key": {"type": "str", "default": "password", "no_log": False},
    }
    run_module(
        {
            **TARGET_OPTIONS,
            "name": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "drop": {"type": "bool", "default": False},
            "owner": {"type": "str", "required": True},
            "owner_password_secret": {"type": "dict", "options": secret, "no_log": False},
            "extensions": {"type": "list", "elements": "dict", "default": [], "options": EXTENSION_OPTIONS},
        },
        execute,
        **TARGET_RULES,
    )


if __name__ == "__main__":
    main()
