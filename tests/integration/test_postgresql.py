# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the PostgreSQL modules do around psql; real servers are the cluster lane's."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from tests.fakes.kube_api import FakeKubeApi
from tests.fakes.workloads import Workloads
from tests.integration.conftest import Call

POD: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "pg-0", "namespace": "demo"},
    "spec": {"containers": [{"name": "postgresql", "image": "x"}]},
}
TARGET = {"namespace": "demo", "pod": "pg-0"}
DATABASE: dict[str, Any] = {"name": "rag", "owner": "rag", "owner_password_secret": {"name": "login"}, "extensions": [{"name": "vector"}]}


class Server:
    """Answers the modules' queries as an empty PostgreSQL with pgvector would, and notes every statement."""

    def __init__(self, *, superuser: bool = False, vector: bool = True, stderr: str = "") -> None:
        self.superuser, self.vector, self.stderr = superuser, vector, stderr
        self.scripts: list[str] = []
        self.commands: list[list[str]] = []

    def __call__(self, namespace: str, pod: str, container: str, argv: list[str], stdin: bytes) -> tuple[int, bytes, bytes]:
        text = stdin.decode()
        self.scripts.append(text)
        self.commands.append(argv)
        if self.stderr:
            return 2, b"", self.stderr.encode()
        rows: list[dict[str, Any]] = []
        if "pg_available_extensions" in text:
            version = "0.8.0" if self.vector else None
            versions = ["0.8.0"] if self.vector else []
            rows = [{"name": "vector", "installed": None, "relocatable": None, "schema": None, "default_version": version, "versions": versions}]
        elif "FROM pg_roles" in text and self.superuser:
            rows = [{"rolsuper": True, "rolcanlogin": True, "rolcreatedb": True, "rolcreaterole": True}]
        return 0, json.dumps(rows).encode() if "json_agg" in text else b"", b""


def start(api: FakeKubeApi, name: str, **labels: str) -> None:
    api.put({**POD, "metadata": {"name": name, "namespace": "demo", "labels": labels}})
    api.until(lambda: api.get("Pod", name, "demo").get("status", {}).get("phase") == "Running")


@pytest.fixture
def server(api: FakeKubeApi, workloads: Workloads) -> Server:
    start(api, "pg-0")
    password = base64.b64encode(b"planted-password").decode()
    api.put({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "login", "namespace": "demo"}, "data": {"password": password}})
    running = Server()
    api.exec_handler = running
    return running


def test_role_database_and_extension_in_order_and_no_password_anywhere(api: FakeKubeApi, server: Server, call: Call) -> None:
    predicted = call("postgresql_database", check=True, **TARGET, **DATABASE)
    assert not any(word in s for s in server.scripts for word in ("CREATE", "ALTER", "REVOKE"))
    done = call("postgresql_database", **TARGET, **DATABASE)
    assert done["queries"] == predicted["queries"]
    assert [q.split('"')[0].strip() for q in done["queries"]] == [
        "CREATE ROLE",
        "ALTER ROLE",
        "CREATE DATABASE",
        "REVOKE ALL ON DATABASE",
        "CREATE EXTENSION",
    ]
    seen = json.dumps(done) + "".join(server.scripts) + json.dumps(server.commands)
    assert "planted-password" not in seen, "not even on standard input: only its verifier"
    assert "SCRAM-SHA-256$" in "".join(server.scripts)
    assert "SCRAM-SHA-256$" not in json.dumps(done)
    assert api.leaks("SCRAM-SHA-256", bodies=False) == []


def test_a_superuser_is_no_owner(server: Server, call: Call) -> None:
    server.superuser = True
    assert "it is a superuser" in call("postgresql_database", **TARGET, **DATABASE)["msg"]


def test_a_server_without_pgvector_is_named(server: Server, call: Call) -> None:
    server.vector = False
    result = call("postgresql_ext", **TARGET, login_db="rag", extensions=[{"name": "vector"}])
    assert "the server does not have it" in result["msg"]
    assert "pgvector" in result["msg"]


def test_dropping_has_to_be_meant(server: Server, call: Call) -> None:
    server.superuser = False
    assert call("postgresql_database", **TARGET, name="rag", owner="rag", state="absent")["changed"] is False
    assert not any("DROP" in s for s in server.scripts)


def test_the_servers_refusal_is_passed_on_with_a_remedy(server: Server, call: Call) -> None:
    server.stderr = 'psql: error: FATAL:  password authentication failed for user "postgres"'
    result = call("postgresql_ext", **TARGET, login_db="rag", extensions=[{"name": "vector"}])
    assert 'password authentication failed for user "postgres"' in result["msg"]
    assert "Secret and the server disagree" in result["msg"]


def test_a_missing_password_is_named_before_anything_is_asked(server: Server, call: Call) -> None:
    args = {**DATABASE, "owner_password_secret": {"name": "nope"}}
    assert "Secret demo/nope: it does not exist" in call("postgresql_database", **TARGET, **args)["msg"]


@pytest.mark.parametrize(("kept", "changed"), [(False, True), (True, False)])
def test_check_mode_before_the_server_exists(api: FakeKubeApi, call: Call, kept: bool, changed: bool) -> None:
    """A volume that was left has the database in it."""
    if kept:
        spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
        metadata = {"name": "data-pg-postgresql-0", "namespace": "demo"}
        api.put({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": spec})
    target = {"namespace": "demo", "cluster": "pg"}
    assert call("postgresql_database", check=True, **target, **DATABASE)["changed"] is changed
    assert call("postgresql_ext", check=True, **target, login_db="rag", extensions=[{"name": "vector"}])["changed"] is changed


def test_the_writable_pod_is_found_by_role(api: FakeKubeApi, server: Server, call: Call) -> None:
    target = {"namespace": "demo", "cluster": "pg", "login_db": "rag", "extensions": [{"name": "vector"}]}
    assert "component postgresql has no pod" in call("postgresql_ext", **target)["msg"]
    labels = {"app.kubernetes.io/instance": "pg", "apps.kubeblocks.io/component-name": "postgresql"}
    for name, role in (("pg-a", "secondary"), ("pg-b", "primary")):
        start(api, name, **labels, **{"kubeblocks.io/role": role})
    assert call("postgresql_ext", **target)["changed"] is True
    assert {c.pod for c in api.execs} == {"pg-b"}
