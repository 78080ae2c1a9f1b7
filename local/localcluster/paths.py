"""Where things lie: the sources in the tree, the cache outside it, the state of this checkout."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

SOURCE = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Paths:
    """All folders and files that local/ reads or writes."""

    source: Path
    cache: Path
    state: Path

    @property
    def kubeconfig(self) -> Path:
        return self.state / "kubeconfig"

    @property
    def bin(self) -> Path:
        return self.cache / "bin"

    @property
    def go(self) -> Path:
        return self.cache / "go"

    @property
    def out(self) -> Path:
        return self.cache / "out"

    @property
    def stamps(self) -> Path:
        return self.cache / "stamps"

    @property
    def logs(self) -> Path:
        return self.cache / "logs"

    @property
    def lock(self) -> Path:
        return self.cache / "lock"


def find(environ: dict[str, str] | None = None) -> Paths:
    """The paths of this checkout; RAGOPS_CACHE moves the cache, RAGOPS_STATE the state."""
    env = dict(os.environ) if environ is None else environ
    home = env.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    cache = Path(env.get("RAGOPS_CACHE") or Path(home) / "ragops").expanduser().resolve()
    state = Path(env.get("RAGOPS_STATE") or SOURCE / ".state").expanduser().resolve()
    return Paths(source=SOURCE, cache=cache, state=state)
