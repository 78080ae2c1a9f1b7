"""The files under local/.state that tests, inventories and people read."""

from __future__ import annotations

import datetime
import json
import os
from pathlib import Path

from .images import Plan
from .paths import Paths


def variables(mode: str, plan: Plan) -> str:
    """Ansible variables for inventories/local."""
    lines = ["---", f"ragops_local_mode: {mode}"]
    if mode != "built":
        return "\n".join([*lines, "ragops_images: {}", ""])
    lines.append("ragops_images:")
    lines += [f"  {item.key}: {item.tag}" for item in plan.workloads() if item.key]
    lines += [
        f"kubeblocks_chart_ref: {json.dumps(str(plan.chart))}",
        f"kubeblocks_crds_ref: {json.dumps(str(plan.crds))}",
        f"kubeblocks_snapshot_crds_ref: {json.dumps(str(plan.snapshot_crds))}",
        "kubeblocks_image_registry: docker.io",
    ]
    return "\n".join([*lines, ""])


def write(paths: Paths, plan: Plan, mode: str, node_image: str, *, fresh: bool) -> None:
    """vars.yml and info.json; `created` moves only when the cluster is a new one."""
    paths.state.mkdir(parents=True, exist_ok=True)
    replace(paths.state / "vars.yml", variables(mode, plan))
    before = read_info(paths)
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    created = now if fresh or before.get("mode") != mode else str(before.get("created", now))
    versions = {
        "kubernetes": plan.pins.text("kubernetes", "version"),
        "kubeblocks": plan.pins.text("kubeblocks", "version"),
        "kind": plan.pins.text("kubernetes", "kind"),
        "neo4j": plan.pins.text("workloads", "neo4j"),
        "lightrag": plan.pins.text("workloads", "lightrag"),
    }
    info = {
        "mode": mode,
        "node_image": node_image,
        "created": created,
        "versions": versions if mode == "built" else {},
        "kubeconfig": str(paths.kubeconfig),
        "bin": str(paths.bin),
    }
    replace(paths.state / "info.json", json.dumps(info, indent=2) + "\n")


def read_info(paths: Paths) -> dict[str, object]:
    try:
        data = json.loads((paths.state / "info.json").read_text())
    except (OSError, ValueError):
        return {}
    return data if isinstance(data, dict) else {}


def replace(path: Path, text: str, mode: int = 0o644) -> None:
    """Write a file in one go; an unchanged one keeps its time."""
    if path.exists() and path.read_text() == text:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(path.name + ".new")
    handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(handle, "w") as file:
        file.write(text)
    fresh.replace(path)
