"""Bringing images into the node: only those it does not have."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence

from .images import Workload
from .shell import Log, quiet

CTR = "ctr -n k8s.io"

LISTING = f"""
{CTR} images ls | awk 'NR > 1 {{print $1, $3}}' | while read -r name digest; do
  case $name in sha256:*|registry.k8s.io/*) continue ;; esac
  printf '\\n==> %s %s\\n' "$name" "$digest"
  {CTR} content get "$digest" 2>/dev/null || true
done
"""
"""Prints every named image of the node with its digest and manifest."""


def parse(listing: str) -> dict[str, set[str]]:
    """Per image name in the node: the ids by which Docker may know it (config, manifest or index digest)."""
    found: dict[str, set[str]] = {}
    for chunk in listing.split("\n==> ")[1:]:
        head, _newline, body = chunk.partition("\n")
        name, _space, digest = head.partition(" ")
        ids = {digest.strip()}
        try:
            manifest = json.loads(body)
        except ValueError:
            manifest = {}
        if isinstance(manifest, dict):
            config = manifest.get("config")
            if isinstance(config, dict):
                ids.add(str(config.get("digest")))
            ids.update(str(item.get("digest")) for item in manifest.get("manifests") or [] if isinstance(item, dict))
        found[name] = ids
    return found


def missing(wanted: Iterable[Workload], docker_ids: Mapping[str, str], node: Mapping[str, set[str]]) -> list[Workload]:
    """Images that the node lacks or has in another build."""
    return [item for item in wanted if docker_ids[item.tag] not in node.get(item.node_name, set())]


def in_node(container: str) -> dict[str, set[str]]:
    code, out, _err = quiet(["docker", "exec", "-i", container, "bash", "-s"], stdin=LISTING, timeout=60)
    return parse("\n" + out) if code == 0 else {}


UNPACK = f"""
for digest in $({CTR} images ls | awk 'NR > 1 && $1 ~ /^(ragops.local|docker.io.apecloud)/ {{print $3}}' | sort -u); do
  {CTR} snapshots unpack "$digest"
done
"""
"""Unpacks the images that the node was born with, so that their first start does not have to."""


def unpack(container: str, log: Log) -> None:
    log.run(["docker", "exec", "-i", container, "bash", "-e", "-s"], stdin=UNPACK)


def load(container: str, wanted: Sequence[Workload], log: Log) -> None:
    """One stream for all: layers that several images share travel and unpack once."""
    if not wanted:
        return
    log.pipe(
        f'node=$1; shift; docker save "$@" | docker exec -i "$node" {CTR} images import --all-platforms -',
        container,
        *(item.tag for item in wanted),
    )
    renames = "".join(f"{CTR} images tag --force {item.tag} {item.node_name}\n" for item in wanted if item.tag != item.node_name)
    if renames:
        log.run(["docker", "exec", "-i", container, "bash", "-e", "-s"], stdin=renames)
