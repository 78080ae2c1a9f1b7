"""The kind node image: Kubernetes' programs, Calico, and the images of the control plane, in one container."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from .docker import LABEL
from .gobin import ModuleFiles
from .shell import Log, quiet
from .steps import Step

BUILDER = "ragops-node-build"

PRELOAD = r"""
set -e
mkdir -p /etc/cni/net.d
rm -f /etc/cni/net.d/*
containerd >/tmp/containerd.log 2>&1 & pid=$!
for _ in $(seq 60); do ctr version >/dev/null 2>&1 && break; sleep 0.5; done
# Not unpacked here: overlay on overlay cannot make whiteouts (EPERM).
ctr -n k8s.io images import --no-unpack -
for pair in "$@"; do
  ctr -n k8s.io images tag "${pair%%>*}" "${pair##*>}"
done
for pair in "$@"; do
  ctr -n k8s.io images rm "${pair%%>*}"
done
kill $pid; wait $pid 2>/dev/null || true
rm -f /tmp/containerd.log
"""


@dataclass(kw_only=True)
class KindFiles(ModuleFiles):
    """The node's own files (entrypoint, units, containerd configuration) and the storage manifest, from kind's module."""

    provisioner: str
    helper: str

    def adapt(self) -> None:
        files = self.pick["images/base/files"]
        unit = files / "etc/systemd/system/containerd.service"
        unit.write_text(unit.read_text().replace("/usr/local/bin/containerd", "/usr/bin/containerd"))
        config = files / "etc/containerd/config.toml"
        # Lowering oom_score_adj needs CAP_SYS_RESOURCE, which the host may not have.
        text = config.read_text().replace("restrict_oom_score_adj = false", "restrict_oom_score_adj = true")
        config.write_text(text)
        storage = self.pick["pkg/build/nodeimage/const_storage.go"]
        storage.write_text(storage_manifest(storage.read_text(), self.provisioner, self.helper))


def storage_manifest(go_source: str, provisioner: str, helper: str) -> str:
    """The manifest in kind's source, with images that we have."""
    found = re.search(r"defaultStorageManifest = `(.*)\n`", go_source, re.DOTALL)
    if not found:
        raise ValueError("kind's source has no defaultStorageManifest: its layout changed")
    text = found[1].replace("` + storageProvisionerImage + `", provisioner)
    return text.replace("` + storageHelperImage + `", helper).lstrip("\n") + "\n"


@dataclass(kw_only=True)
class CalicoManifest(Step):
    """Upstream's policy-only manifest, adapted by kind/calico-kustomization.yaml."""

    upstream: Path
    kustomization: Path
    kubectl: Path
    target: Path

    def __post_init__(self) -> None:
        self.sources = (*self.sources, self.kustomization)
        self.files = (self.target,)

    def make(self, log: Log) -> None:
        work = self.target.parent / "calico-kustomize"
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True)
        shutil.copyfile(self.upstream, work / "calico-policy-only.yaml")
        shutil.copyfile(self.kustomization, work / "kustomization.yaml")
        self.target.write_text(log.run([self.kubectl, "kustomize", work], capture=True))


@dataclass(kw_only=True)
class NodeImage(Step):
    """A base + binaries + preloaded images, committed from a container."""

    base: str
    version: str
    binaries: dict[str, Path]  # path in the node -> file
    preload: dict[str, list[str]]  # our image -> its official names in the node

    def __post_init__(self) -> None:
        self.inputs = (*self.inputs, PRELOAD, self.version, *sorted(self.binaries), repr(sorted(self.preload.items())))

    def make(self, log: Log) -> None:
        quiet(["docker", "rm", "-f", "-v", BUILDER])
        argv = ["docker", "run", "-d", "--privileged", "--name", BUILDER, "--entrypoint", "sleep"]
        try:
            log.run([*argv, self.base, "infinity"])
            for inside, source in self.binaries.items():
                log.run(["docker", "exec", BUILDER, "mkdir", "-p", str(Path(inside).parent)])
                log.run(["docker", "cp", source, f"{BUILDER}:{inside}"])
            log.run(["docker", "exec", BUILDER, "sh", "-c", f"printf %s v{self.version} > /kind/version"])
            pairs = [f"{ours}>{name}" for ours, official in self.preload.items() for name in official if name != ours]
            log.pipe(
                'images=$1; name=$2; script=$3; shift 3; docker save $images | docker exec -i "$name" bash -c "$script" bash "$@"',
                " ".join(self.preload),
                BUILDER,
                PRELOAD,
                *pairs,
            )
            changes = ['ENTRYPOINT ["/usr/local/bin/entrypoint", "/sbin/init"]', "CMD []", f"LABEL {LABEL}=1"]
            words = [word for change in changes for word in ("--change", change)]
            log.run(["docker", "commit", *words, BUILDER, self.tags[0]])
        finally:
            quiet(["docker", "rm", "-f", "-v", BUILDER], timeout=60)
