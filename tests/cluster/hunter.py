# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Looks for secrets in every place where they must not be, also when they are packed or encoded there."""

from __future__ import annotations

import base64
import binascii
import contextlib
import gzip
import json
import re
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

from tests.cluster.kube import Json, Kube

_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{16,}={0,2}")
_DEPTH = 4


def spellings(secret: str) -> set[str]:
    """The ways it may be written."""
    raw = secret.encode()
    written = {secret, quote(secret, safe=""), quote_plus(secret), json.dumps(secret)[1:-1], repr(secret)[1:-1], raw.hex()}
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        written.add(encode(raw).decode().rstrip("="))
    return written


def unpacked(text: str, depth: int = _DEPTH) -> Iterator[str]:
    """The text and everything that is packed into it by base64 and gzip."""
    yield text
    if depth == 0:
        return
    for match in _BASE64.finditer(text):
        word = match[0].rstrip("=")
        with contextlib.suppress(binascii.Error, ValueError):
            data = base64.b64decode(word.replace("-", "+").replace("_", "/") + "=" * (-len(word) % 4))
            if data[:2] == b"\x1f\x8b":
                with contextlib.suppress(OSError, EOFError):
                    data = gzip.decompress(data)
            yield from unpacked(data.decode("utf-8", "replace"), depth - 1)


@dataclass
class Hunter:
    """Collects places, then tells in which of them a secret is."""

    places: dict[str, str] = field(default_factory=dict)

    def add(self, place: str, content: Any) -> None:
        self.places[place] = content if isinstance(content, str) else json.dumps(content, default=str)

    def add_files(self, folder: Path) -> None:
        for path in folder.rglob("*"):
            if path.is_file():
                self.add(f"file {path}", path.read_text(encoding="utf-8", errors="replace"))

    def add_cluster(self, kube: Kube, namespaces: Iterable[str]) -> None:
        """All objects but the Secrets that have to hold them; logs; Helm's own Secrets, which hold manifests and values."""
        for namespace in namespaces:
            for (plural, name), obj in kube.everything(namespace, skip=("secrets",)).items():
                self.add(f"{plural} {namespace}/{name}", obj)
            for pod in kube.items_of("pods", namespace):
                for key, log in _logs(kube, pod).items():
                    self.add(f"log {namespace}/{key}", log)
        for config in kube.items_of("configmaps"):
            self.add(f"configmaps {config['metadata']['namespace']}/{config['metadata']['name']}", config)
        for secret in kube.items_of("secrets", selector="owner=helm"):
            self.add(f"Helm release {secret['metadata']['namespace']}/{secret['metadata']['name']}", secret)
        for api, plural in kube.kinds(namespaced=False):
            if not plural.startswith(("customresourcedefinitions", "apiservices", "nodes")):
                self.add(plural, kube.items_of(plural, api=api))

    def find(self, secrets: dict[str, str]) -> list[str]:
        """'<name of the secret> in <place>' for each find."""
        patterns = {name: re.compile("|".join(re.escape(s) for s in sorted(spellings(value), key=len, reverse=True))) for name, value in secrets.items()}
        found = []
        for place, content in self.places.items():
            layers = list(unpacked(content))
            found += [f"{name} in {place}" for name, pattern in patterns.items() if any(pattern.search(layer) for layer in layers)]
        return sorted(found)


def _logs(kube: Kube, pod: Json) -> dict[str, str]:
    name, namespace = pod["metadata"]["name"], pod["metadata"]["namespace"]
    found = {}
    for container in [*pod["spec"].get("initContainers", []), *pod["spec"]["containers"]]:
        for previous in (False, True):
            query = {"container": container["name"], "previous": str(previous).lower()}
            status, text = kube.call("GET", f"/api/v1/namespaces/{namespace}/pods/{name}/log", query=query)
            if status == 200:
                found[f"{name}/{container['name']}{' (previous)' if previous else ''}"] = text
    return found


class ArgvWatch:
    """Samples the command line and environment of every process on this machine for a while."""

    def __init__(self) -> None:
        self.seen: set[str] = set()
        self.samples = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> ArgvWatch:
        self._thread.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        known: set[str] = set()
        while not self._stop.wait(0.02):
            self.samples += 1
            pids = set(_pids())
            for pid in pids - known:
                with contextlib.suppress(OSError):
                    line = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
                    self.seen.add(line)
            # a process that was just forked still has the command line of its parent: look at it once more
            known = {p for p in pids if p in known or _settled(p)}


def _pids() -> Iterator[str]:
    return (p.name for p in Path("/proc").iterdir() if p.name.isdigit())


def _settled(pid: str) -> bool:
    """Older than a tick or two."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        uptime = float(Path("/proc/uptime").read_text().split()[0])
    except (OSError, IndexError):
        return False
    return uptime - int(fields[19]) / 100 > 0.2
