"""Health of a node, images it lacks, and the texts written for others."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest
from localcluster import gobin, hostconf, kind, load, lock, node, paths, pins, state
from localcluster.images import Plan, Workload
from localcluster.steps import check

MARKER = json.dumps({"mode": "built", "image": "sha256:n", "config": "c"})
GOOD = f"marker={MARKER}\nready=ok\nnode=True\n"


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    where = paths.find({"RAGOPS_CACHE": str(tmp_path / "cache"), "RAGOPS_STATE": str(tmp_path / "state")})
    return Plan(where, pins.Pins.load(where.source / "pins.toml"))


@pytest.mark.parametrize(
    ("inspected", "probed", "why"),
    [
        ("", "", "there is none"),
        ("false sha256:s", f"marker={MARKER}", "its node container is stopped"),
        ("true sha256:s", "marker=\nready=connection refused\nnode=\n", "its API server does not answer (connection refused)"),
        ("true sha256:s", "", "its API server does not answer (no reply)"),
        ("true sha256:s", GOOD.replace("node=True", "node=False"), "its node is not Ready"),
        ("true sha256:s", GOOD.replace(MARKER, ""), "it was never finished"),
        ("true sha256:s", GOOD.replace("built", "stock"), "it is one of mode stock"),
        ("true sha256:s", GOOD, ""),
    ],
)
def test_why_a_cluster_cannot_be_used(inspected: str, probed: str, why: str) -> None:
    health = kind.parse(inspected, probed)
    assert health.why_not("built") == why
    assert health.live == (why in {"", "it was never finished", "it is one of mode stock"})


def test_the_kubeconfig_is_for_this_host_and_names_one_context() -> None:
    admin = """apiVersion: v1
clusters:
- cluster:
    certificate-authority-data: QUJD
    server: https://ragops-control-plane:6443
  name: ragops
contexts:
- context:
    cluster: ragops
    user: kubernetes-admin
  name: kubernetes-admin@ragops
current-context: kubernetes-admin@ragops
kind: Config
users:
- name: kubernetes-admin
  user:
    client-certificate-data: REVG
"""
    text = kind.for_host(admin, "127.0.0.1:40000", "kind-ragops")
    assert "server: https://127.0.0.1:40000" in text
    assert "current-context: kind-ragops" in text
    assert "- name: kind-ragops\n  user:\n    client-certificate-data: REVG" in text
    assert "    cluster: kind-ragops\n    user: kind-ragops\n  name: kind-ragops" in text
    assert "certificate-authority-data: QUJD" in text
    assert "kubernetes-admin" not in text


LISTING = """
==> ragops.local/redis:7 sha256:manifest1
{"schemaVersion":2,"config":{"digest":"sha256:config1"},"layers":[]}
==> docker.io/apecloud/kubeblocks:1.0.2 sha256:index2
{"schemaVersion":2,"manifests":[{"digest":"sha256:inner2"}]}
==> ragops.local/gone:1 sha256:lost
"""


def test_images_are_told_apart_by_every_id_docker_may_use() -> None:
    found = load.parse(LISTING)
    assert found["ragops.local/redis:7"] == {"sha256:manifest1", "sha256:config1"}
    assert found["docker.io/apecloud/kubeblocks:1.0.2"] == {"sha256:index2", "sha256:inner2"}
    assert found["ragops.local/gone:1"] == {"sha256:lost"}


def test_only_missing_or_changed_images_are_loaded() -> None:
    redis = Workload("redis", "ragops.local/redis:7", "ragops.local/redis:7")
    operator = Workload("", "ragops.local/kubeblocks:1.0.2", "docker.io/apecloud/kubeblocks:1.0.2")
    there = load.parse(LISTING)
    same = {redis.tag: "sha256:config1", operator.tag: "sha256:index2"}
    assert load.missing([redis, operator], same, there) == []
    assert load.missing([redis, operator], {**same, redis.tag: "sha256:rebuilt"}, there) == [redis]
    assert load.missing([redis, operator], same, {}) == [redis, operator]


def test_the_plan_holds_together(plan: Plan) -> None:
    steps = [*plan.steps(), plan.seeded()]

    check(steps)
    tags = {tag for step in steps for tag in step.tags}
    assert all(item.tag in tags for item in plan.workloads())
    assert plan.node_tag in tags


def test_every_image_comes_from_one_we_make(plan: Plan) -> None:
    """A Dockerfile may only start from an image of an earlier step: there is no registry."""
    made = {tag for step in plan.steps() for tag in step.tags}
    for file in (plan.paths.source / "images").glob("*/Dockerfile"):
        stages: set[str] = set()
        for line in file.read_text().splitlines():
            words = line.split()
            if words[:1] == ["FROM"]:
                base = words[1] if ":" in words[1] else f"{words[1]}:latest"
                assert words[1] in stages or words[1] == "scratch" or base in made, f"{file}: {words[1]}"
                stages.update(words[3:4])


def test_the_lock_names_every_requirement_exactly(plan: Plan) -> None:
    folder = plan.paths.source / "images" / "lightrag"
    lines = (folder / "requirements.lock").read_text().splitlines()
    locked = dict(line.split("==") for line in lines)
    assert len(locked) == len(lines)
    assert locked["lightrag-hku"] == plan.pins.text("workloads", "lightrag")
    for line in (folder / "requirements.in").read_text().splitlines():
        assert line.partition("[")[0].partition("=")[0] in locked


@pytest.mark.parametrize("mode", ["given", "stock"])
def test_variables_where_images_are_official(plan: Plan, mode: str) -> None:
    assert state.variables(mode, plan) == f"---\nragops_local_mode: {mode}\nragops_images: {{}}\n"


def test_variables_where_images_are_ours(plan: Plan) -> None:
    text = state.variables("built", plan)
    assert "  postgresql: ragops.local/postgresql:17-pgvector\n" in text
    assert "  postgresql_plain: ragops.local/postgresql-plain:17\n" in text
    assert "  lightrag: ragops.local/lightrag:1.5.7\n" in text
    assert f"kubeblocks_chart_ref: {json.dumps(str(plan.chart))}\n" in text
    assert "kubeblocks_image_registry: docker.io\n" in text


def test_created_moves_only_with_a_new_cluster(plan: Plan) -> None:
    state.write(plan.paths, plan, "built", "n", fresh=True)
    info = plan.paths.state / "info.json"
    info.write_text(info.read_text().replace(str(state.read_info(plan.paths)["created"]), "long ago"))
    state.write(plan.paths, plan, "built", "n", fresh=False)
    assert state.read_info(plan.paths)["created"] == "long ago"
    state.write(plan.paths, plan, "built", "n", fresh=True)
    assert state.read_info(plan.paths)["created"] != "long ago"


def test_upstream_requires_and_replaces_are_restated() -> None:
    upstream = """module k8s.io/kubernetes

go 1.24.0

require (
\t// a comment
\tbitbucket.org/x v1.0.0
\tk8s.io/api v0.0.0 // indirect
)

replace (
\tk8s.io/api => ./staging/src/k8s.io/api
\tother.org/sibling => ../sibling
\told.org/a v1.0.0 => new.org/a v1.2.0
)
replace example.org/b => example.org/c v2.0.0
"""
    text = gobin.restated(upstream, require=False, replaces={r"k8s\.io/": "@ v0.34.4"})
    assert text.splitlines() == [
        "replace k8s.io/api => k8s.io/api v0.34.4",
        "replace old.org/a v1.0.0 => new.org/a v1.2.0",
        "replace example.org/b => example.org/c v2.0.0",
    ]
    assert "require bitbucket.org/x v1.0.0" in gobin.restated(upstream, require=True, replaces={})


def test_the_storage_manifest_gets_our_images() -> None:
    source = "const defaultStorageManifest = `\nimage: ` + storageProvisionerImage + `\nhelper: ` + storageHelperImage + `\n`\n"
    assert node.storage_manifest(source, "p:1", "h:1") == "image: p:1\nhelper: h:1\n"
    with pytest.raises(ValueError, match="layout changed"):
        node.storage_manifest("", "p", "h")


def test_pip_settings_are_passed_on_without_paths_of_this_host() -> None:
    listing = "global.index-url='https://u:p@mirror.example/simple'\n:env:.find-links='/opt/wheels'\n:env:.default-timeout='180'\n"
    text = hostconf.pip_conf(listing)
    assert text == "[global]\ndefault-timeout = 180\nindex-url = https://u:p@mirror.example/simple\n"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("sources.list.d/debian.sources", "Types: deb\nURIs: http://mirror.example/debian\nSuites: bookworm\n"),
        ("sources.list", "# deb http://no/\ndeb [signed-by=/k.gpg] http://mirror.example/debian bookworm main\n"),
    ],
)
def test_the_mirror_of_either_apt_format(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / name).write_text(text)
    assert hostconf.apt_mirror(tmp_path) == "http://mirror.example/debian"


def test_a_second_run_waits_and_says_so(tmp_path: Path) -> None:

    said: list[str] = []
    entered = threading.Event()

    def second() -> None:
        with lock.held(tmp_path / "lock", said.append):
            entered.set()

    with lock.held(tmp_path / "lock", said.append):
        other = threading.Thread(target=second)
        other.start()
        assert not entered.wait(0.3)
    other.join(5)
    assert entered.is_set()
    assert len(said) == 1
    assert "waiting for it" in said[0]
