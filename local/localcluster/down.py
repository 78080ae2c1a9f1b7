"""Removing what `up` made."""

from __future__ import annotations

import shutil

from . import engine, state
from .docker import LABEL
from .errors import LocalError
from .kind import Cluster
from .paths import Paths
from .progress import Progress
from .shell import quiet


def down(paths: Paths, cluster: Cluster, progress: Progress, *, everything: bool) -> None:
    """The cluster and this checkout's state; with `everything` also the cache and our images."""
    mode = state.read_info(paths).get("mode")
    if mode == "given":
        progress.say("the given cluster stays as it is")
    elif engine.answers():
        removed = cluster.remove()
        progress.say(f"{'removed the' if removed else 'there is no'} cluster {cluster.name}")
        if everything:
            remove_images(progress)
    else:
        progress.say("Docker does not answer: a cluster there, if any, stays")
    shutil.rmtree(paths.state, ignore_errors=True)
    if everything and paths.cache.is_dir():
        for item in paths.cache.iterdir():
            if item == paths.lock:
                continue
            if item.is_dir():
                shutil.rmtree(item, ignore_errors=True)
            else:
                item.unlink()
        progress.say(f"removed the cache {paths.cache}")


def remove_images(progress: Progress) -> None:
    code, out, _err = quiet(["docker", "images", "-aq", "--no-trunc", "--filter", f"label={LABEL}"])
    found = sorted(set(out.split())) if code == 0 else []
    if found:
        quiet(["docker", "rmi", "-f", *found], timeout=300)
        code, out, _err = quiet(["docker", "images", "-q", "--filter", f"label={LABEL}"])
        if out.split():
            raise LocalError("some images are still in use by a container", "remove the container, then run this again")
    progress.say(f"removed {len(found)} images")
    quiet(["docker", "network", "rm", "kind"])
