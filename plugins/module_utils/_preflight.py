# Copyright: ragops.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Everything that can be known of a cluster before the first write, in one go and without discovery."""

from __future__ import annotations

import base64
import datetime
import gzip
import json
import re
import tarfile
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any

from ansible_collections.ragops.stack.plugins.module_utils._errors import RagopsError, http_status
from ansible_collections.ragops.stack.plugins.module_utils._module import MANAGED_BY
from ansible_collections.ragops.stack.plugins.module_utils._quantity import parse_quantity

DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"
METADATA = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json"
METADATA_LIST = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json"

_GIB, _MIB = 1024**3, 1024**2


def quantity(text: Any) -> Fraction:
    """A Kubernetes quantity as a number: 500m is 0.5, 1Gi is 1073741824."""
    number = parse_quantity(text)
    if number is None:
        raise RagopsError(f"Failed to read the quantity {text!r}: it is none. Write it as Kubernetes does: 500m, 2, 512Mi, 10Gi.")
    return number


def show_cpu(value: Fraction) -> str:
    return f"{float(value):.2f}".rstrip("0").rstrip(".")


def show_memory(value: Fraction) -> str:
    return f"{float(value / _GIB):.1f} GiB" if abs(value) >= _GIB else f"{float(value / _MIB):.0f} MiB"


class Reader:
    """GET by path. What this account may not see is noted in ``denied`` and counts as unknown, not as absent."""

    def __init__(self, dynamic: Any) -> None:
        self.dynamic = dynamic
        self.denied: list[str] = []

    def get(self, path: str, query: Iterable[tuple[str, str]] = (), accept: str = "application/json") -> dict[str, Any] | None:
        try:
            answer = self.dynamic.request("get", path, query_params=list(query), header_params={"Accept": accept}, serialize=False)
        except Exception as exc:
            if http_status(exc) == 403:
                self.denied.append(path)
                return None
            if http_status(exc) == 404:
                return None
            raise
        parsed: dict[str, Any] = json.loads(answer.data)
        return parsed

    def items(self, path: str, query: Iterable[tuple[str, str]] = (), accept: str = "application/json") -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        token = ""
        while True:
            page = [*query, ("limit", "500"), *([("continue", token)] if token else [])]
            answer = self.get(path, page, accept) or {}
            found += answer.get("items") or []
            token = str((answer.get("metadata") or {}).get("continue") or "")
            if not token:
                return found


def group_path(api_version: str) -> str:
    return f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"


def object_path(api_version: str, plural: str, namespace: str | None, name: str | None = None) -> str:
    scope = f"/namespaces/{namespace}" if namespace else ""
    return f"{group_path(api_version)}{scope}/{plural}{f'/{name}' if name else ''}"


# --- what the cluster is ---


def server(reader: Reader) -> dict[str, Any]:
    version = reader.get("/version") or {}
    digits = re.match(r"v?(\d+)\.(\d+)", str(version.get("gitVersion", ""))) or re.match(r"()()", "")
    return {
        "host": str(reader.dynamic.configuration.host),
        "version": str(version.get("gitVersion", "")).lstrip("v"),
        "minor": f"{digits[1]}.{digits[2]}" if digits and digits[1] else "",
    }


def namespace_state(reader: Reader, name: str) -> dict[str, Any]:
    path = f"/api/v1/namespaces/{name}"
    found = reader.get(path)
    if found is None:
        return {"name": name, "exists": path in reader.denied, "phase": "", "labels": {}}
    metadata = found["metadata"]
    phase = "Terminating" if metadata.get("deletionTimestamp") else str((found.get("status") or {}).get("phase", ""))
    return {"name": name, "exists": True, "phase": phase, "labels": metadata.get("labels") or {}}


def storage_classes(reader: Reader) -> list[dict[str, Any]]:
    classes = []
    for item in reader.items("/apis/storage.k8s.io/v1/storageclasses"):
        annotations = item["metadata"].get("annotations") or {}
        classes.append(
            {
                "name": item["metadata"]["name"],
                "default": annotations.get(DEFAULT_CLASS) == "true",
                "provisioner": item.get("provisioner", ""),
                "binding_mode": item.get("volumeBindingMode", "Immediate"),
                "allow_expansion": bool(item.get("allowVolumeExpansion", False)),
                "created": item["metadata"].get("creationTimestamp") or "",
            }
        )
    return classes


def default_class(classes: list[dict[str, Any]]) -> str:
    """Of several defaults the newest counts, as in the API server."""
    defaults = sorted((c for c in classes if c["default"]), key=lambda c: (c["created"], c["name"]))
    return str(defaults[-1]["name"]) if defaults else ""


def served_crds(reader: Reader, names: Iterable[str]) -> dict[str, bool]:
    """Whether each <plural>.<group> is served, which every account may ask, unlike for the definition itself."""
    plurals: dict[str, set[str]] = {}
    result = {}
    for name in names:
        plural, _dot, group = name.partition(".")
        if group not in plurals:
            known: set[str] = set()
            for version in (reader.get(f"/apis/{group}") or {}).get("versions") or []:
                listed = reader.get(f"/apis/{version['groupVersion']}") or {}
                known |= {r["name"] for r in listed.get("resources") or []}
            plurals[group] = known
        result[name] = plural in plurals[group]
    return result


# --- what is in it ---


def objects(reader: Reader, wanted: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Whole objects, without the server's book-keeping. A kind that the cluster does not know has none."""
    found = []
    for want in wanted:
        api_version, plural = want["api_version"], want["plural"]
        if (api_version, plural) == ("v1", "secrets"):
            raise RagopsError("Failed to read secrets as objects: their values would be shown. Ask for them with the option secrets")
        if want.get("name"):
            one = reader.get(object_path(api_version, plural, want.get("namespace"), want["name"]))
            batch = [one] if one else []
        else:
            query = [("labelSelector", want["label_selector"])] if want.get("label_selector") else []
            batch = reader.items(object_path(api_version, plural, want.get("namespace")), query)
        for item in batch:
            metadata = {k: v for k, v in item["metadata"].items() if k != "managedFields"}
            rest = {k: v for k, v in item.items() if k != "metadata"}
            ours = all((metadata.get("labels") or {}).get(k) == v for k, v in MANAGED_BY.items())
            found.append({"apiVersion": api_version, "plural": plural, "ours": ours, **rest, "metadata": metadata})
    return found


def secrets(reader: Reader, wanted: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Names of the keys that hold something; never a value."""
    found = []
    for want in wanted:
        path = object_path("v1", "secrets", want["namespace"], want["name"])
        secret = reader.get(path)
        data = (secret or {}).get("data") or {}
        known = secret is not None or path not in reader.denied
        keys = sorted(k for k, v in data.items() if v)
        empty = sorted(k for k, v in data.items() if not v)
        labels = ((secret or {}).get("metadata") or {}).get("labels") or {}
        exists = secret is not None
        found.append({**want, "exists": exists, "readable": known, "keys": keys, "empty_keys": empty, "labels": labels})
    return found


# --- Helm releases, from the Secrets that Helm keeps ---


def chart_version_of(chart_ref: str, chart_version: str) -> str:
    """Version of the chart that would be installed; a chart on this machine says it itself."""
    import yaml

    if not chart_ref:
        return chart_version
    path = Path(chart_ref)
    try:
        if path.is_dir():
            text = (path / "Chart.yaml").read_text(encoding="utf-8")
        elif path.is_file():
            with tarfile.open(path) as archive:
                member = next(m for m in archive.getmembers() if re.fullmatch(r"[^/]+/Chart\.yaml", m.name))
                file = archive.extractfile(member)
                text = file.read().decode() if file else ""
        else:
            return chart_version
    except (OSError, tarfile.TarError, StopIteration) as exc:
        raise RagopsError(f"Failed to read the chart {chart_ref}: it has no Chart.yaml ({exc}). Name a chart folder or a packaged chart") from exc
    return str((yaml.safe_load(text) or {}).get("version", ""))


def decode_release(payload: str) -> dict[str, Any]:
    """Helm's own packing: base64 of a gzip of JSON, in base64 once more as any Secret value."""
    packed = base64.b64decode(base64.b64decode(payload))
    if packed[:2] == b"\x1f\x8b":
        packed = gzip.decompress(packed)
    parsed: dict[str, Any] = json.loads(packed)
    return parsed


def release_state(revisions: list[dict[str, Any]]) -> str:
    """absent, deployed, or what keeps Helm from going on. ``revisions``: {revision, status}, oldest first."""
    if not revisions:
        return "absent"
    newest = revisions[-1]["status"]
    worked = any(r["status"] in ("deployed", "superseded") for r in revisions)
    if newest == "deployed":
        return "deployed"
    if newest in ("uninstalled", "uninstalling"):
        return str(newest)
    return "upgrade_failed" if worked else "install_failed"


def age(timestamp: str) -> int:
    """Seconds since an API time stamp."""
    if not timestamp:
        return 0
    then = datetime.datetime.fromisoformat(timestamp.replace("Z", "+00:00"))
    return max(0, int((datetime.datetime.now(datetime.timezone.utc) - then).total_seconds()))


def helm_release(reader: Reader, want: dict[str, Any]) -> dict[str, Any]:
    """State of one release, and whether it is what ``want`` (chart_ref, chart_version, values) asks for."""
    selector = [("labelSelector", f"owner=helm,name={want['name']}")]
    path = object_path("v1", "secrets", want["namespace"])
    listed = reader.items(path, selector, METADATA_LIST)
    revisions = sorted(
        (
            {
                "revision": int(s["metadata"]["labels"].get("version", 0)),
                "status": s["metadata"]["labels"].get("status", ""),
                "name": s["metadata"]["name"],
                "created": s["metadata"].get("creationTimestamp") or "",
            }
            for s in listed
        ),
        key=lambda r: r["revision"],
    )
    state = release_state(revisions)
    result: dict[str, Any] = {"name": want["name"], "namespace": want["namespace"], "state": state, "status": "", "revision": 0}
    result.update({"chart": "", "chart_version": "", "app_version": "", "age": 0, "up_to_date": False, "differences": []})
    if not revisions:
        return result
    shown = next((r for r in reversed(revisions) if r["status"] == "deployed"), revisions[-1])
    newest = revisions[-1]
    result.update({"status": newest["status"], "revision": newest["revision"], "age": age(newest["created"])})
    secret = reader.get(f"{path}/{shown['name']}")
    if secret is None:
        return result
    release = decode_release(secret["data"]["release"])
    chart = (release.get("chart") or {}).get("metadata") or {}
    result.update({"chart": chart.get("name", ""), "chart_version": chart.get("version", ""), "app_version": chart.get("appVersion", "")})
    differences = []
    wanted_version = chart_version_of(want.get("chart_ref") or "", want.get("chart_version") or "")
    if wanted_version and wanted_version != result["chart_version"]:
        differences.append(f"chart version {result['chart_version']} instead of {wanted_version}")
    if want.get("values") is not None and (release.get("config") or {}) != want["values"]:
        differences.append("values")
    result["differences"] = differences
    result["up_to_date"] = state == "deployed" and not differences
    return result


# --- capacity ---


def pod_requests(pod: dict[str, Any]) -> dict[str, Fraction]:
    """What the scheduler counts for a pod: its containers and sidecars, or its greediest init container."""
    spec = pod.get("spec") or {}
    result = {}
    for resource in ("cpu", "memory"):

        def ask(container: dict[str, Any], resource: str = resource) -> Fraction:
            return quantity(((container.get("resources") or {}).get("requests") or {}).get(resource, "0"))

        init = spec.get("initContainers") or []
        running = sum((ask(c) for c in [*(spec.get("containers") or []), *(c for c in init if c.get("restartPolicy") == "Always")]), Fraction(0))
        starting = max((ask(c) for c in init if c.get("restartPolicy") != "Always"), default=Fraction(0))
        result[resource] = max(running, starting) + quantity((spec.get("overhead") or {}).get(resource, "0"))
    return result


def usable(node: dict[str, Any]) -> bool:
    conditions = (node.get("status") or {}).get("conditions") or []
    ready = any(c.get("type") == "Ready" and c.get("status") == "True" for c in conditions)
    return ready and not (node.get("spec") or {}).get("unschedulable")


def capacity(nodes: list[dict[str, Any]], pods: list[dict[str, Any]], required: list[dict[str, Any]]) -> dict[str, Any]:
    """Whether ``required`` ({name, namespace, cpu, memory}) still fits. Pods of those instances that run already are not counted twice."""
    offered = {n["metadata"]["name"]: (n.get("status") or {}).get("allocatable") or {} for n in nodes if usable(n)}
    free = {node: {r: quantity(allocatable.get(r, "0")) for r in ("cpu", "memory")} for node, allocatable in offered.items()}
    total = {r: sum((f[r] for f in free.values()), Fraction(0)) for r in ("cpu", "memory")}
    placed = {(r["namespace"], r["name"]) for r in required}
    for pod in pods:
        node = (pod.get("spec") or {}).get("nodeName")
        labels = pod["metadata"].get("labels") or {}
        done = (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")
        if node not in free or done or (pod["metadata"].get("namespace"), labels.get("app.kubernetes.io/instance")) in placed:
            continue
        for resource, asked in pod_requests(pod).items():
            free[node][resource] -= asked
    show = {"cpu": show_cpu, "memory": show_memory}
    left = {r: sum((f[r] for f in free.values()), Fraction(0)) for r in total}
    need = {r: sum((quantity(x.get(r) or "0") for x in required), Fraction(0)) for r in total}
    lacking = [f"{r}: {show[r](need[r])} needed, {show[r](left[r])} of {show[r](total[r])} free" for r in total if need[r] > left[r]]
    if not lacking:
        for want in required:
            one = {r: quantity(want.get(r) or "0") for r in ("cpu", "memory")}
            if not any(all(f[r] >= one[r] for r in one) for f in free.values()):
                lacking.append(f"{want['name']} needs {show_cpu(one['cpu'])} CPU and {show_memory(one['memory'])} on one node, and no node has that free")
    words = {r: {"total": show[r](total[r]), "free": show[r](left[r]), "needed": show[r](need[r])} for r in total}
    return {"nodes": len(free), **words, "lacking": lacking}
