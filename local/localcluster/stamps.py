"""Whether a step must run: its key (a hash of all that goes into it) against the stamp of its last good run."""

from __future__ import annotations

import ast
import functools
import hashlib
import inspect
import json
import textwrap
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Stamp:
    """What the last good run of a step left behind."""

    key: str
    result: str  # identity of what it made: steps that build on it depend on this
    images: dict[str, str] = field(default_factory=dict)  # tag -> image id
    seconds: float = 0.0

    def save(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_suffix(".new")
        fresh.write_text(json.dumps(asdict(self), indent=1) + "\n")
        fresh.replace(path)


def load(path: Path) -> Stamp | None:
    try:
        data = json.loads(path.read_text())
        return Stamp(data["key"], data["result"], dict(data["images"]), float(data["seconds"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def digest(parts: Iterable[str]) -> str:
    """One hash of several texts; ("ab", "c") and ("a", "bc") differ."""
    total = hashlib.sha256()
    for part in parts:
        data = part.encode()
        total.update(f"{len(data)}:".encode() + data)
    return total.hexdigest()


def of_file(path: Path) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def of_tree(path: Path) -> str:
    """Content of a file, or of every file below a folder with its name and execute bit."""
    if path.is_file():
        return of_file(path)
    parts: list[str] = []
    for item in sorted(path.rglob("*")):
        if item.is_file():
            mode = "x" if item.stat().st_mode & 0o100 else "-"
            parts += [item.relative_to(path).as_posix(), mode, of_file(item)]
    return digest(parts)


@functools.cache
def of_code(cls: type) -> str:
    """The code of a class without its comments, docstrings and layout: rewording them rebuilds nothing."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(cls)))
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            first = node.body[0] if node.body else None
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                node.body = node.body[1:]
    return digest([ast.dump(tree)])


def stale(stamp: Stamp | None, key: str, files: Iterable[Path], tags: Iterable[str], known_images: Mapping[str, str]) -> str:
    """Why a step must run, or '' when it need not."""
    if stamp is None:
        return "never built"
    if stamp.key != key:
        return "its inputs changed"
    for path in files:
        if not path.exists():
            return f"{path.name} is missing"
    for tag in tags:
        if tag not in known_images:
            return f"image {tag} is missing"
        if known_images[tag] != stamp.images.get(tag):
            return f"image {tag} is another one"
    return ""
