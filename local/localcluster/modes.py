"""Which cluster: a given one, an ordinary kind cluster, or one built from packages."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from .errors import LocalError

MODES = ("given", "stock", "built")


@dataclass(frozen=True)
class Choice:
    mode: str
    reason: str


def choose(environ: Mapping[str, str], have_stock: Callable[[], tuple[bool, str]]) -> Choice:
    """RAGOPS_LOCAL_MODE forces one; else a given kubeconfig, else the stock node image, else packages."""
    forced = environ.get("RAGOPS_LOCAL_MODE", "auto") or "auto"
    given = environ.get("RAGOPS_KUBECONFIG", "")
    if forced not in (*MODES, "auto"):
        raise LocalError(f"RAGOPS_LOCAL_MODE={forced} is not known", f"use one of: auto, {', '.join(MODES)}")
    if forced == "given" and not given:
        raise LocalError("RAGOPS_LOCAL_MODE=given needs RAGOPS_KUBECONFIG", "name the kubeconfig file of your cluster")
    if forced in MODES:
        return Choice(forced, "RAGOPS_LOCAL_MODE says so")
    if given:
        return Choice("given", "RAGOPS_KUBECONFIG is set")
    if environ.get("RAGOPS_CONTEXT"):
        raise LocalError("RAGOPS_CONTEXT is set without RAGOPS_KUBECONFIG", "name the kubeconfig file as well")
    found, why = have_stock()
    return Choice("stock" if found else "built", why)


def have_image(image: str, known: Mapping[str, str], answer: float = 20, whole: float = 600) -> tuple[bool, str]:
    """Whether an image is here or can be pulled: the registry must answer within `answer` seconds."""
    if image in known:
        return True, f"the node image {image} is here"
    lines: list[str] = []
    answered = threading.Event()
    with subprocess.Popen(["docker", "pull", image], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True) as process:

        def read() -> None:
            for line in process.stdout or ():
                lines.append(line.strip())
                answered.set()

        reader = threading.Thread(target=read, daemon=True)
        reader.start()
        try:
            if not answered.wait(answer):
                return False, f"no image registry answered within {answer:.0f} s"
            code = process.wait(whole)
        except subprocess.TimeoutExpired:
            return False, f"{image} could not be pulled within {whole:.0f} s"
        finally:
            process.kill()
            reader.join(5)
    if code == 0:
        return True, f"the node image {image} was pulled"
    return False, f"no image registry is reachable ({lines[-1].rpartition(': ')[2] if lines else 'docker pull failed'})"
