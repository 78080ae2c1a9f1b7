# Copyright: ragops.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""PostgreSQL as the modules see it: how to log in as an administrator, and extensions as planned statements."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from typing import Any

from ansible_collections.ragops.stack.plugins.module_utils._api import Api
from ansible_collections.ragops.stack.plugins.module_utils._connection import CONNECTION_OPTIONS, pod_runner, way_in, writable_pod
from ansible_collections.ragops.stack.plugins.module_utils._errors import RagopsError
from ansible_collections.ragops.stack.plugins.module_utils._module import Session
from ansible_collections.ragops.stack.plugins.module_utils._psql import Psql

ADMIN_DB = "postgres"  # every server has it
TARGET_OPTIONS: dict[str, Any] = {
    "connection": {"type": "dict", "options": CONNECTION_OPTIONS},
    "namespace": {"type": "str"},
    "cluster": {"type": "str"},
    "component": {"type": "str", "default": "postgresql"},
    "pod": {"type": "str"},
    "container": {"type": "str", "default": "postgresql"},
    "login_user": {"type": "str", "default": "postgres"},
    "timeout": {"type": "int", "default": 60},
}
TARGET_RULES: dict[str, Any] = {
    "required_one_of": [("connection", "cluster", "pod")],
    "mutually_exclusive": [("connection", "cluster", "pod")],
    "required_by": {"cluster": "namespace", "pod": "namespace"},
}
EXTENSION_OPTIONS: dict[str, Any] = {
    "name": {"type": "str", "required": True},
    "schema": {"type": "str"},
    "version": {"type": "str"},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "cascade": {"type": "bool", "default": False},
}


def _client_environment(connection: dict[str, Any]) -> list[dict[str, Any]]:
    """libpq's variables for a client pod; user and password only by reference."""
    secret = connection.get("superuser_secret") or connection.get("secret")
    if not secret or not connection.get("host"):
        raise RagopsError("Failed to reach the external PostgreSQL server: connection needs host and secret. Add them.")

    def ref(key: str) -> dict[str, Any]:
        return {"valueFrom": {"secretKeyRef": {"name": secret["name"], "key": secret[key]}}}

    return [
        {"name": "PGHOST", "value": connection["host"]},
        {"name": "PGPORT", "value": str(connection.get("port") or 5432)},
        {"name": "PGSSLMODE", "value": "require" if connection.get("tls") else "prefer"},
        {"name": "PGCONNECT_TIMEOUT", "value": "10"},
        {"name": "PGUSER", **ref("username_key")},
        {"name": "PGPASSWORD", **ref("password_key")},
    ]


class Administrator:
    """``with Administrator(session) as psql``: the module's login user, in the server's own pod or in a client pod."""

    def __init__(self, session: Session, session_role: str | None = None) -> None:
        self._session, self._role, self._stack = session, session_role, contextlib.ExitStack()

    def __enter__(self) -> Psql:
        params, api = self._session.params, Api(self._session.dynamic)
        connection = params["connection"]
        if connection is None:
            pod = params["pod"] or writable_pod(api, params["namespace"], params["cluster"], params["component"])
            run = pod_runner(api, params["namespace"], pod, params["container"])
            return Psql(run, params["login_user"], params["timeout"], self._role)
        external = connection.get("provider") == "external"
        environment = _client_environment(connection) if external else []
        container = None if external else connection.get("container") or params["container"]
        target = {**connection, "engine": "postgresql", "container": container}
        run = self._stack.enter_context(way_in(api, target, self._session.progress, environment))
        return Psql(run, None if external else params["login_user"], params["timeout"], self._role)

    def __exit__(self, *problem: Any) -> None:
        self._stack.close()


PLANNED, PLANNED_WITH_DATA = "planned", "planned with data"


def planned_server(session: Session) -> str:
    """In check mode: whether the server is missing only because an earlier task did not really run, or "".

    A volume that a removed server left has its databases in it, so nothing will have to be made.
    """
    if not session.check_mode:
        return ""
    params, api = session.params, Api(session.dynamic)
    target = params["connection"] or params
    if (params["connection"] or {}).get("provider") == "external" or not target.get("cluster"):
        return ""
    standalone = (params["connection"] or {}).get("provider") == "standalone"
    kind, name, namespace = "StatefulSet" if standalone else "Cluster", target["cluster"], target["namespace"]
    if api.knows(kind) and api.get(kind, name, namespace) is not None:
        return ""
    claim = f"data-{name}-0" if standalone else f"data-{name}-{target.get('component') or 'postgresql'}-0"
    return PLANNED if api.get("PersistentVolumeClaim", claim, namespace) is None else PLANNED_WITH_DATA


# --- extensions ----------------------------------------------------------------------------------

_STATE = """
SELECT n.name, e.extversion AS installed, e.extrelocatable AS relocatable, s.nspname AS schema,
       a.default_version AS default_version,
       (SELECT coalesce(json_agg(v.version), '[]') FROM pg_available_extension_versions v WHERE v.name = n.name) AS versions
FROM json_array_elements_text(:'names'::json) AS n(name)
LEFT JOIN pg_extension e ON e.extname = n.name
LEFT JOIN pg_namespace s ON s.oid = e.extnamespace
LEFT JOIN pg_available_extensions a ON a.name = n.name
"""
_PATHS = "SELECT count(*) AS n FROM pg_extension_update_paths(:'name') WHERE source = :'from' AND target = :'to' AND path IS NOT NULL"


@dataclass(frozen=True)
class Statement:
    """SQL with psql variables, the values for them, and the SQL as a person would write it."""

    sql: str
    values: dict[str, str]

    @property
    def shown(self) -> str:
        text = self.sql
        for name, value in self.values.items():
            text = text.replace(f":'{name}'", "'" + value.replace("'", "''") + "'")
            text = text.replace(f':"{name}"', '"' + value.replace('"', '""') + '"')
        return text


def extension_states(psql: Psql, database: str, extensions: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    names = json.dumps([e["name"] for e in extensions])
    return {row["name"]: row for row in psql.query(database, _STATE, {"names": names}, "read the extensions")}


def plan_extension(wanted: dict[str, Any], state: dict[str, Any], database: str) -> tuple[list[Statement], str]:
    """(statements, version afterwards). Raises when the server cannot do it."""
    name, installed = wanted["name"], state["installed"]
    if wanted["state"] == "absent":
        if not installed:
            return [], ""
        cascade = " CASCADE" if wanted["cascade"] else ""
        return [Statement(f'DROP EXTENSION :"ext"{cascade};', {"ext": name})], ""
    version = state["default_version"] if wanted["version"] == "latest" else wanted["version"]
    if not installed:
        return _plan_creation(wanted, state, version, database)
    statements = []
    if version and version != installed:
        statements.append(Statement("ALTER EXTENSION :\"ext\" UPDATE TO :'version';", {"ext": name, "version": version}))
    if wanted["schema"] and wanted["schema"] != state["schema"]:
        if not state["relocatable"]:
            raise RagopsError(
                f"Failed to move extension {name} in database {database} from schema {state['schema']} to {wanted['schema']}: "
                "it cannot be relocated. Drop it and create it anew, or keep its schema."
            )
        statements.append(Statement('ALTER EXTENSION :"ext" SET SCHEMA :"schema";', {"ext": name, "schema": wanted["schema"]}))
    return statements, version or installed


def _plan_creation(wanted: dict[str, Any], state: dict[str, Any], version: str | None, database: str) -> tuple[list[Statement], str]:
    name = wanted["name"]
    if state["default_version"] is None:
        package = "pgvector, say docker.io/pgvector/pgvector:0.8.0-pg17" if name == "vector" else f"{name}"
        raise RagopsError(
            f"Failed to create extension {name} in database {database}: the server does not have it (it is not in pg_available_extensions). "
            f"Use a PostgreSQL image with {package}."
        )
    if version and version not in state["versions"]:
        raise RagopsError(
            f"Failed to create extension {name} {version} in database {database}: "
            f"the server has only {', '.join(sorted(state['versions']))}. Ask for one of those."
        )
    sql, values = 'CREATE EXTENSION :"ext"', {"ext": name}
    if wanted["schema"]:
        sql, values = f'{sql} WITH SCHEMA :"schema"', {**values, "schema": wanted["schema"]}
    if wanted["version"] and wanted["version"] != "latest":
        sql, values = f"{sql} VERSION :'version'", {**values, "version": wanted["version"]}
    return [Statement(f"{sql}{' CASCADE' if wanted['cascade'] else ''};", values)], version or state["default_version"]


def check_update_path(psql: Psql, database: str, wanted: dict[str, Any], installed: str, version: str) -> None:
    """The server lists pairs of versions without a path too: only a path counts."""
    rows = psql.query(database, _PATHS, {"name": wanted["name"], "from": installed, "to": version}, "look for an update path")
    if not rows or not rows[0]["n"]:
        raise RagopsError(
            f"Failed to update extension {wanted['name']} in database {database} from {installed} to {version}: "
            "the server knows no update path between them. Update in steps, or install the package of the wanted version."
        )


def ensure_extensions(
    psql: Psql, database: str, extensions: list[dict[str, Any]], check_mode: bool, *, planned: bool = False
) -> tuple[list[dict[str, Any]], list[str]]:
    """(result for each extension, statements run or, in check mode, that would run)."""
    # What the server offers is the same in every database: ask another one while this one is only planned.
    states = extension_states(psql, ADMIN_DB if planned else database, extensions)
    if planned:
        states = {name: {**state, "installed": None} for name, state in states.items()}
    results, queries = [], []
    for wanted in extensions:
        state = states[wanted["name"]]
        statements, version = plan_extension(wanted, state, database)
        installed = state["installed"] or ""
        if installed and version and version != installed:
            check_update_path(psql, database, wanted, installed, version)
        for statement in statements:
            if not check_mode:
                # One psql process each: an update has to start in a connection that has not loaded the old library.
                psql.execute(database, statement.sql, statement.values, f"change extension {wanted['name']}")
            queries.append(statement.shown)
        results.append({"name": wanted["name"], "version": version, "prev_version": installed, "changed": bool(statements)})
    return results, queries


def planned_extensions(extensions: list[dict[str, Any]], changed: bool) -> list[dict[str, Any]]:
    """What check mode says while the server itself is only planned."""
    return [{"name": e["name"], "version": e["version"] or "", "prev_version": "", "changed": changed} for e in extensions if e["state"] == "present"]
