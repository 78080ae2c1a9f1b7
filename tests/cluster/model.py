# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Servers that somebody else runs, as the collection finds them: a model endpoint, a PostgreSQL."""

from __future__ import annotations

from typing import Any

from tests.cluster.kube import Json, Kube, wait
from tests.cluster.play import ROOT, local_variables

IMAGES: dict[str, str] = local_variables().get("ragops_images") or {}
PYTHON = IMAGES.get("python", "docker.io/library/python:3.13-slim")
POSTGRESQL = IMAGES.get("postgresql", "docker.io/pgvector/pgvector:0.8.0-pg17")
POSTGRESQL_PLAIN = IMAGES.get("postgresql_plain", "docker.io/library/postgres:17")


def model_endpoint(kube: Kube, namespace: str, key: str, dimension: int = 256) -> str:
    """The stand-in for a language model, with a key of its own; returns its base URL."""
    source = (ROOT / "roles/model/files/model_stub.py").read_text(encoding="utf-8")
    kube.secret("their-model", namespace, key=key)
    kube.create(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "their-model", "namespace": namespace}, "data": {"stub.py": source}}, "configmaps"
    )
    container = {
        "name": "model",
        "image": PYTHON,
        "command": ["python3", "-B", "/stub/stub.py"],
        "env": [
            {"name": "STUB_API_KEY", "valueFrom": {"secretKeyRef": {"name": "their-model", "key": "key"}}},
            {"name": "STUB_MODEL", "value": "their-llm"},
            {"name": "STUB_EMBEDDING_MODEL", "value": "their-embedding"},
            {"name": "STUB_EMBEDDING_DIM", "value": str(dimension)},
        ],
        "volumeMounts": [{"name": "stub", "mountPath": "/stub"}],
        "readinessProbe": {"httpGet": {"path": "/health", "port": 8000}, "periodSeconds": 1},
    }
    _serve(kube, namespace, "their-model", 8000, container, [{"name": "stub", "configMap": {"name": "their-model"}}])
    return f"http://their-model.{namespace}.svc:8000/v1"


def postgresql_server(kube: Kube, namespace: str, password: str) -> str:
    """A server with one superuser; returns its host."""
    kube.secret("their-pg-server", namespace, password=password)
    ready = {"exec": {"command": ["pg_isready", "-q", "-h", "127.0.0.1"]}, "periodSeconds": 1}
    env: list[Json] = [
        {"name": "POSTGRES_PASSWORD", "valueFrom": {"secretKeyRef": {"name": "their-pg-server", "key": "password"}}},
        {"name": "PGDATA", "value": "/var/lib/postgresql/data/pgdata"},
    ]
    mounts = [{"name": "data", "mountPath": "/var/lib/postgresql/data"}]
    container: dict[str, Any] = {"name": "postgresql", "image": POSTGRESQL, "env": env, "readinessProbe": ready, "volumeMounts": mounts}
    _serve(kube, namespace, "their-pg", 5432, container, [{"name": "data", "emptyDir": {}}], {"runAsUser": 999, "fsGroup": 999})
    return f"their-pg.{namespace}.svc"


def _serve(kube: Kube, namespace: str, name: str, port: int, container: Json, volumes: list[Json], security: Json | None = None) -> None:
    labels = {"app": name}
    spec = {"containers": [container], "volumes": volumes, "securityContext": security or {}, "enableServiceLinks": False}
    template = {"metadata": {"labels": labels}, "spec": spec}
    meta = {"name": name, "namespace": namespace}
    kube.create(
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": meta,
            "spec": {"replicas": 1, "selector": {"matchLabels": labels}, "template": template},
        },
        "deployments",
    )
    kube.create({"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": {"selector": labels, "ports": [{"port": port}]}}, "services")

    def available() -> bool:
        return kube.get("deployments", name, namespace, "apps/v1").get("status", {}).get("availableReplicas") == 1

    wait(available, 120, f"{namespace}/{name}")
