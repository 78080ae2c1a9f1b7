"""What there is: mode, cluster, images, cache. Changes nothing."""

from __future__ import annotations

from . import engine, given, load, state
from .docker import Docker
from .images import Plan
from .kind import Cluster
from .paths import Paths
from .shell import quiet


def status(paths: Paths, plan: Plan, cluster: Cluster) -> bool:
    """Print it; True when the cluster is usable."""
    info = state.read_info(paths)
    mode = str(info.get("mode", "none"))
    print(f"mode        {mode}")
    if mode == "given":
        answer = given.reach(paths) if paths.kubeconfig.exists() else "no kubeconfig"
        print(f"cluster     {'answers' if not answer else 'does not answer: ' + answer}")
        print(f"kubeconfig  {paths.kubeconfig}")
        return not answer
    healthy = False
    if not engine.answers():
        print("docker      does not answer")
    else:
        health = cluster.health()
        why = health.why_not("")
        healthy = not why
        print(f"cluster     {cluster.name}: {'healthy' if healthy else why}")
        if health.running:
            images(plan, cluster, mode)
    if healthy and not (paths.kubeconfig.exists() and info):
        print("state       missing in this checkout: run `up`")
        healthy = False
    print(f"kubeconfig  {paths.kubeconfig if paths.kubeconfig.exists() else 'none'}")
    code, out, _err = quiet(["du", "-sh", str(paths.cache)], timeout=60)
    print(f"cache       {paths.cache} ({out.split()[0] if code == 0 and out else 'empty'})")
    return healthy


def images(plan: Plan, cluster: Cluster, mode: str) -> None:
    """Which of our images the node has."""
    if mode != "built":
        return
    here, sizes = Docker().ids(), Docker().sizes()
    there = load.in_node(cluster.container)
    for item in plan.workloads():
        loaded = here.get(item.tag) in there.get(item.node_name, set())
        word = "loaded" if loaded else "not loaded" if item.tag in here else "not built"
        print(f"image       {item.node_name}: {word}{', ' + sizes[item.tag] if item.tag in sizes else ''}")
