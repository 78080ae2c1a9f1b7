"""From whatever is there to a cluster that answers."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from . import debian, engine, given, gobin, load, modes, stamps, state
from .docker import LABEL, Docker
from .errors import CommandError, LocalError
from .images import Plan, Workload
from .kind import Cluster, Health, marker_of, until
from .paths import Paths
from .progress import Progress
from .shell import Log, quiet
from .steps import Runner

HOST_PROGRAMS = {"debootstrap": "debootstrap", "mvn": "maven", "tar": "tar"}
NODE_REMEDY = "run it again; `down` first for a clean start, `down --all` to build everything anew"


@dataclass
class Session:
    """What one run works with."""

    paths: Paths
    plan: Plan
    cluster: Cluster
    progress: Progress

    def timed(self, name: str, text: str, act: Callable[[Log], None]) -> None:
        """One step that is not cached: a line when it starts, one when it ends."""
        self.progress.started(name, text)
        began = time.monotonic()
        log = Log(self.paths.logs / f"{name}.log")
        try:
            act(log)
        except CommandError as error:
            error.log = error.log or log.path
            error.remedy = error.remedy or NODE_REMEDY
            raise
        self.progress.done(name, time.monotonic() - began)


def choose_mode(session: Session) -> modes.Choice:
    image = session.plan.pins.text("stock", "node_image")

    def have_stock() -> tuple[bool, str]:
        return modes.have_image(image, Docker().ids())

    forced = os.environ.get("RAGOPS_LOCAL_MODE", "auto") or "auto"
    if forced != "given" and not (forced == "auto" and os.environ.get("RAGOPS_KUBECONFIG")):
        engine.ensure(session.paths, session.progress)
    return modes.choose(os.environ, have_stock)


def up(session: Session) -> None:
    progress = session.progress
    choice = choose_mode(session)
    progress.say(f"mode   {choice.mode}: {choice.reason}")
    if choice.mode == "given":
        context = given.use(session.paths, os.environ)
        state.write(session.paths, session.plan, "given", "", fresh=False)
        progress.say(f"ready  context {context}: export KUBECONFIG={session.paths.kubeconfig}")
        return
    if choice.mode == "built":
        build(session)
        node_image = session.plan.node_tag
        wanted = session.plan.workloads()
    else:
        node_image = session.plan.pins.text("stock", "node_image")
        found, why = modes.have_image(node_image, Docker().ids())
        if not found:
            raise LocalError(f"mode stock needs the image {node_image}: {why}", "load it into Docker, or use RAGOPS_LOCAL_MODE=built")
        wanted = []
    fresh = have_cluster(session, choice.mode, node_image, wanted)
    session.cluster.save_kubeconfig(session.paths.kubeconfig)
    state.write(session.paths, session.plan, choice.mode, node_image, fresh=fresh)
    progress.say(f"ready  in {progress.elapsed:.1f} s: export KUBECONFIG={session.paths.kubeconfig}")


def build(session: Session, *, seeded: bool = False) -> None:
    """Every image, from packages; what is there already is left alone."""

    def before() -> None:
        log = Log(session.paths.logs / "host.log")
        debian.ensure_programs(HOST_PROGRAMS, log, "building images from packages")
        gobin.require_toolchain(session.plan.pins.text("kubernetes", "go_version"))

    runner = Runner(session.paths.stamps, session.paths.logs, Docker(), session.progress)
    steps = [*session.plan.steps(), session.plan.seeded()] if seeded else session.plan.steps()
    report = runner.run(steps, before=before)
    if report.made:
        quiet(["docker", "image", "prune", "-f", "--filter", f"label={LABEL}"], timeout=300)


def kind_binary(session: Session) -> Path:
    """kind: from PATH, else compiled."""
    code, out, _err = quiet(["sh", "-c", "command -v kind"])
    if code == 0:
        return Path(out.strip())
    pinned = session.plan.kind_step()
    runner = Runner(session.paths.stamps, session.paths.logs, Docker(), session.progress)
    least = session.plan.pins.text("kubernetes", "go_version")
    runner.run([pinned], before=lambda: gobin.require_toolchain(least))
    return session.paths.bin / "kind"


def have_cluster(session: Session, mode: str, node_image: str, wanted: list[Workload]) -> bool:
    """Reuse a live cluster that was made of the same things, else make it anew; True when it is a new one."""
    cluster, progress = session.cluster, session.progress
    ids = Docker().ids()
    config = session.paths.source / "kind" / f"{mode}.yaml"
    marker = marker_of(mode, ids[node_image], stamps.of_file(config))
    health = cluster.health()
    if health.exists and not health.live and health.marker:
        health = revive(session, health)
    why = health.why_not(mode)
    if not why:
        if health.marker != marker:
            progress.say("note   the node image has changed since this cluster was made: `down` and `up` renew it")
        bring(session, wanted, ids)
        return False
    if mode == "built":
        build(session, seeded=True)
        node_image, binary = session.plan.seeded_tag, session.paths.bin / "kind"
    else:
        binary = kind_binary(session)
    if cluster.remove():
        progress.say(f"remove the cluster {cluster.name}: {why}")
    with concurrent.futures.ThreadPoolExecutor(max_workers=1) as pool:
        unpacking = pool.submit(unpack_early, session, wanted)
        session.timed("kind-create", f"cluster {cluster.name}", lambda log: create(session, binary, node_image, config, log))
        unpacking.result()
    session.timed("settle", "network, DNS and storage Ready", lambda log: cluster.settled(180, log))
    bring(session, wanted, ids)
    cluster.write_marker(marker)
    return True


def create(session: Session, binary: Path, image: str, config: Path, log: Log) -> None:
    try:
        session.cluster.create(binary, image, config, session.paths.kubeconfig, log)
    except CommandError:
        argv = ["docker", "exec", session.cluster.container, "journalctl", "-u", "kubelet", "--no-pager", "-n", "60"]
        _code, out, err = quiet(argv)
        details = Log(session.paths.logs / "kubelet.log")
        details.note(out or err)
        raise
    health = session.cluster.wait_live(90)
    if not health.live:
        raise LocalError(f"the new cluster is not usable: {health.why_not('')}", NODE_REMEDY)


def revive(session: Session, health: Health) -> Health:
    """A stopped node keeps what was deployed on it: start it. One that runs gets a moment to answer."""
    cluster, seconds = session.cluster, 20
    if not health.running:
        seconds = 90
        session.timed("node-start", "the stopped node container", lambda _log: cluster.start())
    session.timed("node-wait", "API server and node Ready", lambda _log: waited(cluster, seconds))
    health = cluster.health()
    if health.live:
        try:
            session.timed("settle", "network, DNS and storage Ready", lambda log: cluster.settled(120, log))
        except CommandError as error:
            session.progress.say(f"fail   settle: {error}")
            return dataclasses.replace(health, ready="its own pods did not become Ready")
    return health


def waited(cluster: Cluster, seconds: float) -> None:
    cluster.wait_live(seconds)


def bring(session: Session, wanted: list[Workload], ids: dict[str, str]) -> None:
    """Load what the node lacks."""
    if not wanted:
        return
    lacking = load.missing(wanted, ids, load.in_node(session.cluster.container))
    if lacking:
        text = f"{len(lacking)} of {len(wanted)} images into the node"
        session.timed("load", text, lambda log: load.load(session.cluster.container, lacking, log))


def unpack_early(session: Session, wanted: list[Workload]) -> None:
    """Unpack while the control plane comes up: containerd answers seconds after the node starts."""
    container = session.cluster.container
    probe = ["docker", "exec", container, "ctr", "version"]
    if wanted and until(lambda: quiet(probe)[0] == 0, 60):
        session.timed("unpack", f"{len(wanted)} images in the node", lambda log: load.unpack(container, log))
