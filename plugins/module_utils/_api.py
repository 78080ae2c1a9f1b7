# Copyright: ragops.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Plain dictionaries in and out of kubernetes.core's client: get, list, watch, apply, create, replace, delete."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from ansible_collections.ragops.stack.plugins.module_utils._errors import http_status

# What kind of object lives under which API version, for the kinds we ask for by kind alone.
API_VERSIONS = {
    "Cluster": "apps.kubeblocks.io/v1",
    "Component": "apps.kubeblocks.io/v1",
    "ComponentDefinition": "apps.kubeblocks.io/v1",
    "InstanceSet": "workloads.kubeblocks.io/v1",
    "Deployment": "apps/v1",
    "ReplicaSet": "apps/v1",
    "StatefulSet": "apps/v1",
    "DaemonSet": "apps/v1",
    "Job": "batch/v1",
    "StorageClass": "storage.k8s.io/v1",
}


def api_version_of(kind: str) -> str:
    return API_VERSIONS.get(kind, "v1")


class Api:
    """One client for every request of a module."""

    def __init__(self, dynamic: Any) -> None:
        self.dynamic = dynamic
        self._resources: dict[tuple[str, str], Any] = {}

    @property
    def host(self) -> str:
        return str(self.dynamic.configuration.host)

    def resource(self, kind: str, api_version: str | None = None) -> Any:
        key = (kind, api_version or api_version_of(kind))
        if key not in self._resources:
            self._resources[key] = self.dynamic.resources.get(kind=kind, api_version=key[1])
        return self._resources[key]

    def knows(self, kind: str, api_version: str | None = None) -> bool:
        """Whether the cluster has this kind at all (its CustomResourceDefinition may be missing)."""
        from kubernetes.dynamic.exceptions import ResourceNotFoundError

        try:
            self.resource(kind, api_version)
        except ResourceNotFoundError:
            return False
        return True

    def get(self, kind: str, name: str, namespace: str | None = None, api_version: str | None = None) -> dict[str, Any] | None:
        try:
            return self._dict(self.resource(kind, api_version).get(name=name, namespace=namespace, serialize=False))
        except Exception as exc:
            if http_status(exc) == 404:
                return None
            raise

    def list(
        self,
        kind: str,
        namespace: str | None = None,
        api_version: str | None = None,
        label_selector: str | None = None,
        field_selector: str | None = None,
    ) -> list[dict[str, Any]]:
        answer = self._dict(
            self.resource(kind, api_version).get(namespace=namespace, label_selector=label_selector, field_selector=field_selector, serialize=False)
        )
        items: list[dict[str, Any]] = answer.get("items") or []
        return items

    def watch(self, kind: str, name: str, namespace: str | None, api_version: str | None, since: str, seconds: int) -> Iterator[dict[str, Any]]:
        """Yield the object at each change, for at most ``seconds``; None stands for its end."""
        resource = self.resource(kind, api_version)
        for event in self.dynamic.watch(resource, namespace=namespace, name=name, resource_version=since, timeout=seconds):
            yield {"type": event["type"], "object": event["raw_object"]}

    def apply(self, definition: dict[str, Any], manager: str, *, force: bool = True, dry_run: bool = False) -> dict[str, Any]:
        """Server-side apply."""
        metadata = definition["metadata"]
        return self._dict(
            self.dynamic.server_side_apply(
                self.resource(definition["kind"], definition["apiVersion"]),
                body=definition,
                name=metadata["name"],
                namespace=metadata.get("namespace"),
                field_manager=manager,
                force_conflicts=force,
                dry_run="All" if dry_run else None,
                serialize=False,
            )
        )

    def create(self, definition: dict[str, Any], *, dry_run: bool = False, manager: str | None = None) -> dict[str, Any]:
        return self._dict(
            self.dynamic.create(
                self.resource(definition["kind"], definition["apiVersion"]),
                body=definition,
                namespace=definition["metadata"].get("namespace"),
                dry_run="All" if dry_run else None,
                field_manager=manager,
                serialize=False,
            )
        )

    def replace(self, definition: dict[str, Any], *, dry_run: bool = False, manager: str | None = None) -> dict[str, Any]:
        """Put the whole object; a stale resourceVersion in it is refused with 409."""
        metadata = definition["metadata"]
        return self._dict(
            self.dynamic.replace(
                self.resource(definition["kind"], definition["apiVersion"]),
                body=definition,
                name=metadata["name"],
                namespace=metadata.get("namespace"),
                dry_run="All" if dry_run else None,
                field_manager=manager,
                serialize=False,
            )
        )

    def delete(self, kind: str, name: str, namespace: str | None, api_version: str | None = None, *, dry_run: bool = False) -> bool:
        """Delete in the background; False when it was already gone."""
        options: dict[str, Any] = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"}
        if dry_run:
            options["dryRun"] = ["All"]  # in the body: a server that gets one ignores ?dryRun=All
        try:
            self.dynamic.delete(self.resource(kind, api_version), name=name, namespace=namespace, body=options, serialize=False)
        except Exception as exc:
            if http_status(exc) == 404:
                return False
            raise
        return True

    def pod_log(self, name: str, namespace: str, container: str, *, lines: int = 20, previous: bool = False) -> str:
        query: list[tuple[str, Any]] = [("container", container), ("tailLines", lines), ("previous", str(previous).lower())]
        path = f"/api/v1/namespaces/{namespace}/pods/{name}/log"
        answer = self.dynamic.request("get", path, query_params=query, header_params={"Accept": "*/*"}, serialize=False)
        data: bytes = answer.data
        return data.decode("utf-8", "replace")

    @staticmethod
    def _dict(response: Any) -> dict[str, Any]:
        parsed: dict[str, Any] = json.loads(response.data)
        return parsed
