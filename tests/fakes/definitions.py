# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the scripted operator knows about components: from ComponentDefinitions in the API, or the short table of upstream's engines."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from .kube_api import FakeKubeApi

Json = dict[str, Any]


class PreCheckError(Exception):
    """The operator's reason to refuse a Cluster."""


@dataclass(frozen=True)
class Definition:
    """One kind of component."""

    name: str
    versions: tuple[str, ...]
    #: account -> user name; the password is made as long as `password_length`
    accounts: dict[str, str] = field(default_factory=dict)
    #: (suffix of the Service's name, [(port name, port)], role or "", headless)
    services: tuple[tuple[str, tuple[tuple[str, int], ...], str, bool], ...] = ()
    roles: tuple[str, ...] = ()
    containers: tuple[Json, ...] = ()
    password_length: int = 16


def _container(name: str, image: str, *ports: tuple[str, int]) -> Json:
    return {
        "name": name,
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "ports": [{"name": label, "containerPort": number, "protocol": "TCP"} for label, number in ports],
    }


KBAGENT = _container("kbagent", "docker.io/apecloud/kubeblocks-tools:1.0.2", ("http", 3501), ("streaming", 3502))

_PG = {name: name for name in ("postgres", "kbadmin", "kbdataprotection", "kbprobe", "kbmonitoring", "kbreplicator")}
_PG_SERVICE = ("postgresql", (("tcp-postgresql", 5432), ("tcp-pgbouncer", 6432)), "primary", False)

# Upstream's addons 1.0.2, as far as clients see them.
UPSTREAM: tuple[Definition, ...] = (
    *(
        Definition(
            f"postgresql-{major}-1.0.2",
            versions,
            _PG,
            (_PG_SERVICE,),
            ("primary", "secondary"),
            (_container("postgresql", f"docker.io/apecloud/spilo:{versions[0]}", ("tcp-postgresql", 5432)), KBAGENT),
            10,
        )
        for major, versions in (
            ("18", ("18.1.0",)),
            ("17", ("17.5.0",)),
            ("16", ("16.9.0", "16.4.0")),
            ("15", ("15.13.0", "15.7.0")),
            ("14", ("14.18.0", "14.8.0", "14.7.2")),
            ("12", ("12.22.0", "12.15.0", "12.14.1", "12.14.0")),
        )
    ),
    Definition(
        "neo4j-1.0.1",
        ("5.26.5", "4.4.42"),
        {"neo4j": "neo4j"},
        (("", (("tcp-bolt", 7687), ("http", 7474)), "", False),),
        (),
        (_container("neo4j", "docker.io/library/neo4j:5.26.5", ("tcp-bolt", 7687)),),
    ),
    Definition(
        "redis-8-1.0.2",
        ("8.4.0",),
        {"default": "default"},
        (("redis", (("redis", 6379),), "primary", False),),
        ("primary", "secondary"),
        (_container("redis", "docker.io/library/redis:8.4.0", ("redis", 6379)), KBAGENT),
        10,
    ),
    Definition(
        "redis-7-1.0.2",
        ("7.2.4", "7.0.6"),
        {"default": "default"},
        (("redis", (("redis", 6379),), "primary", False),),
        ("primary", "secondary"),
        (_container("redis", "docker.io/redis/redis-stack-server:7.2.0-v18", ("redis", 6379)), KBAGENT),
        10,
    ),
    Definition(
        "mongodb-1.0.2",
        ("8.0.17", "7.0.28", "6.0.27", "5.0.29", "4.4.29"),
        {"root": "root"},
        (("mongodb", (("mongodb", 27017),), "primary", False),),
        ("primary", "secondary"),
        (_container("mongodb", "docker.io/apecloud/percona-server-mongodb:8.0.17", ("mongodb", 27017)), KBAGENT),
    ),
    Definition(
        "qdrant-1.0.2",
        ("1.15.4", "1.13.4", "1.10.0", "1.8.4", "1.8.1", "1.7.3", "1.5.0"),
        {},
        (("qdrant", (("tcp-qdrant", 6333), ("grpc-qdrant", 6334)), "", False),),
        (),
        (_container("qdrant", "docker.io/qdrant/qdrant:v1.15.4", ("tcp-qdrant", 6333)), KBAGENT),
    ),
    Definition(
        "etcd-3-1.0.2",
        ("3.6.1", "3.5.15", "3.5.6"),
        {},
        (),
        ("leader", "follower"),
        (_container("etcd", "quay.io/coreos/etcd:v3.6.1", ("client", 2379)), KBAGENT),
    ),
    Definition(
        "weaviate-1.0.1",
        ("1.19.6",),
        {},
        (("node-discovery", (("http", 8080),), "", True),),
        (),
        (_container("weaviate", "docker.io/semitechnologies/weaviate:1.19.6", ("http", 8080)),),
    ),
)
# The minimal definition that really ran.
MINIMAL = Definition(
    "minipg-17-0.1.0",
    ("17.0.0",),
    {"postgres": "postgres"},
    (("postgresql", (("tcp-postgresql", 5432),), "primary", False),),
    ("primary", "secondary"),
    (_container("postgresql", "docker.io/local/postgresql:17-pgvector", ("tcp-postgresql", 5432)), KBAGENT),
)


def from_object(obj: Json, more_versions: tuple[str, ...] = ()) -> Definition:
    """What a ComponentDefinition says."""
    spec = obj.get("spec") or {}
    containers = tuple((spec.get("runtime") or {}).get("containers") or ())
    if spec.get("lifecycleActions"):
        containers = (*containers, KBAGENT)
    services = tuple(
        (
            str(item.get("serviceName") or ""),
            tuple((str(port.get("name") or port["port"]), int(port["port"])) for port in (item.get("spec") or {}).get("ports") or []),
            str(item.get("roleSelector") or ""),
            (item.get("spec") or {}).get("clusterIP") == "None",
        )
        for item in spec.get("services") or []
    )
    lengths = [int((item.get("passwordGenerationPolicy") or item.get("passwordConfig") or {}).get("length") or 16) for item in spec.get("systemAccounts") or []]
    return Definition(
        obj["metadata"]["name"],
        tuple(dict.fromkeys((*more_versions, spec.get("serviceVersion") or ""))),
        {item["name"]: item["name"] for item in spec.get("systemAccounts") or []},
        services,
        tuple(item["name"] for item in spec.get("roles") or []),
        containers,
        max(lengths, default=16),
    )


def _weight(text: str) -> list[tuple[int, Any]]:
    return [(1, int(part)) if part.isdigit() else (0, part) for part in re.split(r"[.\-]", text)]


class Definitions:
    """Full name or prefix, and a version -> one definition, as the operator resolves them."""

    def __init__(self, api: FakeKubeApi) -> None:
        self.api = api
        self.known: dict[str, Definition] = {item.name: item for item in (*UPSTREAM, MINIMAL)}

    def all(self) -> dict[str, Definition]:
        versions: dict[str, list[str]] = {}
        for offer in self.api.objects("ComponentVersion"):
            for rule in (offer.get("spec") or {}).get("compatibilityRules") or []:
                for prefix in rule.get("compDefs") or []:
                    versions.setdefault(prefix, []).extend(rule.get("releases") or [])
        found = dict(self.known)
        for obj in self.api.objects("ComponentDefinition"):
            if obj["metadata"].get("deletionTimestamp"):
                continue
            more = [version for prefix, offered in versions.items() if obj["metadata"]["name"].startswith(prefix) for version in offered]
            found[obj["metadata"]["name"]] = from_object(obj, tuple(more))
        return found

    def resolve(self, name: str, version: str) -> tuple[Definition, str]:
        known = self.all()
        fitting = [known[name]] if name in known else [item for key, item in known.items() if name and key.startswith(name)]
        choices = [(_weight(offered), _weight(item.name), item, offered) for item in fitting for offered in item.versions if version in ("", offered)]
        if not choices:
            raise PreCheckError(f'no matched component definition found with componentDef "{name}" and serviceVersion "{version}"')
        best = max(choices, key=lambda choice: choice[:2])
        return best[2], best[3]
