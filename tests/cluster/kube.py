# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads the cluster behind the collection's back: plain REST, kubectl exec, and the API server's way to a Service."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from kubernetes import client, config

Json = dict[str, Any]


@dataclass(frozen=True)
class Answer:
    """Of an application behind a Service."""

    status: int
    text: str

    @property
    def body(self) -> Any:
        return json.loads(self.text)


class Kube:
    """One cluster."""

    def __init__(self, kubeconfig: Path) -> None:
        self.kubeconfig = kubeconfig
        login: client.ApiClient = config.new_client_from_config(str(kubeconfig))
        self._host = str(login.configuration.host)
        self._token = login.configuration.get_api_key_with_prefix("authorization") or ""
        self._http = login.rest_client.pool_manager  # knows the certificates

    # --- objects -----------------------------------------------------------------------------------

    def call(self, method: str, path: str, body: Any = None, query: Json | None = None, headers: Json | None = None, timeout: float = 60.0) -> tuple[int, str]:
        """Status and text; an HTTP error is an answer too."""
        sent = {"Accept": "application/json", "Content-Type": "application/json", **(headers or {})}
        if self._token:
            sent["Authorization"] = self._token
        url = f"{self._host}{path}{'?' + urlencode(query) if query else ''}"
        data = None if body is None else json.dumps(body)
        answer = self._http.request(method, url, body=data, headers=sent, timeout=timeout, retries=False)
        return int(answer.status), answer.data.decode("utf-8", "replace")

    def _json(self, method: str, path: str, **more: Any) -> Json:
        status, text = self.call(method, path, **more)
        assert status < 300, f"{method} {path} answered {status}: {text}"
        parsed: Json = json.loads(text)
        return parsed

    def find(self, plural: str, name: str, namespace: str = "", api: str = "v1") -> Json | None:
        status, text = self.call("GET", path_of(api, plural, namespace, name))
        if status == 404:
            return None
        assert status == 200, f"{plural} {namespace}/{name}: {status} {text}"
        found: Json = json.loads(text)
        return found

    def get(self, plural: str, name: str, namespace: str = "", api: str = "v1") -> Json:
        found = self.find(plural, name, namespace, api)
        assert found is not None, f"there is no {plural} {namespace}/{name}"
        return found

    def items_of(self, plural: str, namespace: str = "", api: str = "v1", selector: str = "") -> list[Json]:
        items: list[Json] = self._json("GET", path_of(api, plural, namespace), query={"labelSelector": selector} if selector else None)["items"]
        return items

    def names(self, plural: str, namespace: str = "", api: str = "v1", selector: str = "") -> set[str]:
        return {i["metadata"]["name"] for i in self.items_of(plural, namespace, api, selector)}

    def create(self, obj: Json, plural: str) -> Json:
        return self._json("POST", path_of(obj["apiVersion"], plural, obj["metadata"].get("namespace", "")), body=obj)

    def patch(self, plural: str, name: str, patch: Json, namespace: str = "", api: str = "v1") -> Json:
        content = {"Content-Type": "application/merge-patch+json"}
        return self._json("PATCH", path_of(api, plural, namespace, name), body=patch, headers=content)

    def delete(self, plural: str, name: str, namespace: str = "", api: str = "v1") -> None:
        status, text = self.call("DELETE", path_of(api, plural, namespace, name))
        assert status in (200, 202, 404), f"delete {plural} {namespace}/{name}: {status} {text}"

    def values(self, secret: str, namespace: str) -> dict[str, str]:
        return {k: base64.b64decode(v).decode() for k, v in (self.get("secrets", secret, namespace).get("data") or {}).items()}

    def secret(self, name: str, namespace: str, **values: str) -> None:
        """A Secret that the collection did not make; replaced when it is there."""
        self.delete("secrets", name, namespace)
        self.create({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": namespace}, "stringData": values}, "secrets")

    def kinds(self, namespaced: bool = True) -> Iterator[tuple[str, str]]:
        """(api, plural) of everything the API server lists."""
        groups = self._json("GET", "/apis")["groups"]
        for api in ["v1", *(g["preferredVersion"]["groupVersion"] for g in groups)]:
            status, text = self.call("GET", f"/apis/{api}" if "/" in api else f"/api/{api}")
            if status != 200:  # an aggregated API that is down
                continue
            for resource in json.loads(text)["resources"]:
                if "list" in resource["verbs"] and "/" not in resource["name"] and resource["namespaced"] is namespaced:
                    yield api, resource["name"]

    def everything(self, namespace: str, skip: tuple[str, ...] = ("events", "endpoints", "endpointslices", "leases")) -> dict[tuple[str, str], Json]:
        """All objects of a namespace by (plural, name)."""
        found: dict[tuple[str, str], Json] = {}
        for api, plural in self.kinds():
            if plural not in skip:
                found |= {(plural, i["metadata"]["name"]): {"apiVersion": api, **i} for i in self.items_of(plural, namespace, api)}
        return found

    # --- namespaces --------------------------------------------------------------------------------

    def make_namespace(self, name: str) -> None:
        self.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": {"ragops-test": "true"}}}, "namespaces")

    def remove_namespaces(self, *names: str, timeout: float = 240) -> None:
        """Clusters first, while the operator can take its finalizers off."""
        present = [n for n in names if self.find("namespaces", n)]
        for name in present:
            status, text = self.call("GET", path_of("apps.kubeblocks.io/v1", "clusters", name))
            for cluster in json.loads(text)["items"] if status == 200 else []:
                policy = {"spec": {"terminationPolicy": "WipeOut"}}
                self.patch("clusters", cluster["metadata"]["name"], policy, name, "apps.kubeblocks.io/v1")
                self.delete("clusters", cluster["metadata"]["name"], name, "apps.kubeblocks.io/v1")
        for name in present:
            wait(lambda name=name: self._no_clusters(name), timeout, f"the Clusters of namespace {name} to go")  # type: ignore[misc]
            self.delete("namespaces", name)
        for name in present:
            wait(lambda name=name: self.find("namespaces", name) is None, timeout, f"namespace {name} to go")  # type: ignore[misc]

    def _no_clusters(self, namespace: str) -> bool:
        status, text = self.call("GET", path_of("apps.kubeblocks.io/v1", "clusters", namespace))
        return status != 200 or not json.loads(text)["items"]

    # --- pods --------------------------------------------------------------------------------------

    def pods(self, namespace: str, selector: str = "") -> list[Json]:
        return [p for p in self.items_of("pods", namespace, selector=selector) if not p["metadata"].get("deletionTimestamp")]

    def pod(self, namespace: str, selector: str) -> str:
        """The one pod."""
        found = [p["metadata"]["name"] for p in self.pods(namespace, selector)]
        assert len(found) == 1, f"{len(found)} pods with {selector} in {namespace}: {found}"
        return str(found[0])

    def kubectl(self, *arguments: str, stdin: str = "", timeout: float = 60) -> str:
        command = [str(Path(sys.prefix) / "bin/kubectl"), f"--kubeconfig={self.kubeconfig}", *arguments]
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=timeout, check=False)
        assert done.returncode == 0, f"kubectl {' '.join(arguments)} failed: {done.stderr}"
        return done.stdout

    def psql(self, namespace: str, pod: str, database: str, sql: str, user: str = "postgres", container: str = "postgresql") -> list[list[str]]:
        """Rows of a statement that is sent by standard input."""
        psql = ["psql", "-X", "-q", "-A", "-t", "-F", "\t", "-v", "ON_ERROR_STOP=1", "-U", user, "-d", database]
        out = self.kubectl("exec", "-i", "-n", namespace, pod, "-c", container, "--", *psql, stdin=sql)
        return [line.split("\t") for line in out.splitlines()]

    def http(self, namespace: str, service: str, port: int, method: str, path: str, body: Any = None, key: str = "", timeout: float = 60) -> Answer:
        """Through the API server to a pod of the Service."""
        headers = {"X-API-Key": key} if key else {}
        route, _, query = path.partition("?")
        full = f"/api/v1/namespaces/{namespace}/services/{service}:{port}/proxy{route}"
        asked = dict(part.split("=", 1) for part in query.split("&")) if query else None
        return Answer(*self.call(method, full, body=body, query=asked, headers=headers, timeout=timeout))


def path_of(api: str, plural: str, namespace: str = "", name: str = "") -> str:
    prefix = f"/apis/{api}" if "/" in api else f"/api/{api}"
    return "/".join([prefix, *(["namespaces", namespace] if namespace else []), plural, *([name] if name else [])])


def wait(condition: Callable[[], Any], timeout: float, what: str) -> Any:
    """Its first true value."""
    deadline = time.monotonic() + timeout
    while True:
        found = condition()
        if found:
            return found
        assert time.monotonic() < deadline, f"waited {timeout:.0f} s for {what}"
        time.sleep(1)
