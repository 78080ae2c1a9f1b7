"""A cluster that somebody else runs: used, never changed, never removed."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from . import state
from .errors import LocalError
from .paths import Paths
from .shell import quiet


def kubectl(paths: Paths) -> str:
    found = shutil.which("kubectl") or str(paths.bin / "kubectl")
    if not Path(found).exists():
        raise LocalError("using a given cluster needs kubectl, which is not on PATH", "install kubectl")
    return found


def use(paths: Paths, environ: Mapping[str, str]) -> str:
    """Copy just the context that was asked for into our own kubeconfig; returns the context's name."""
    source = Path(environ["RAGOPS_KUBECONFIG"]).expanduser()
    if not source.is_file():
        raise LocalError(f"RAGOPS_KUBECONFIG={source} is not a file", "give the path of a kubeconfig")
    wanted = environ.get("RAGOPS_CONTEXT", "")
    program = kubectl(paths)
    base = [program, f"--kubeconfig={source}"]
    code, current, _err = quiet([*base, "config", "current-context"])
    context = wanted or (current.strip() if code == 0 else "")
    if not context:
        raise LocalError(f"{source} has no current context", "name one in RAGOPS_CONTEXT")
    code, text, err = quiet([*base, f"--context={context}", "config", "view", "--minify", "--flatten", "--raw"])
    if code != 0:
        raise LocalError(f"context {context} cannot be read from {source}: {err.strip()}", "check RAGOPS_CONTEXT")
    state.replace(paths.kubeconfig, text, mode=0o600)
    answer = reach(paths)
    if answer:
        raise LocalError(f"the cluster of context {context} does not answer: {answer}", "is it up, and the login valid?")
    return context


def reach(paths: Paths) -> str:
    """'' when the API server answers, else what it said."""
    argv = [kubectl(paths), f"--kubeconfig={paths.kubeconfig}", "--request-timeout=10s", "get", "--raw=/readyz"]
    code, out, err = quiet(argv, timeout=30)
    return "" if code == 0 and out.strip() == "ok" else (err or out).strip()
