# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The collection as its users get it: from the tarball, by its full name, from a folder of their own, on each ansible-core."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.cluster.conftest import FILES, MakeStack
from tests.cluster.kube import Kube
from tests.cluster.lightrag import LightRag
from tests.cluster.play import ROOT, SMALL, STATE, Player, local_variables

HERE = Path(__file__).resolve().parent
GUIDE = ROOT / "docs/use-in-your-playbooks.md"
# The newest first.
VENVS = [ROOT / ".venv-next", ROOT / ".venv"]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A collections path with the built tarball and, beside it, its one dependency."""
    base = tmp_path_factory.mktemp("installed")
    env = {k: v for k, v in os.environ.items() if not k.startswith("ANSIBLE_")}
    galaxy = [str(Path(sys.prefix) / "bin/ansible-galaxy"), "collection"]
    subprocess.run([*galaxy, "build", "--output-path", str(base)], cwd=ROOT, env=env, check=True, capture_output=True)
    [tarball] = base.glob("ragops-stack-*.tar.gz")
    install = [*galaxy, "install", str(tarball), "-p", str(base), "--offline", "--no-deps"]
    subprocess.run(install, cwd=base, env=env, check=True, capture_output=True)
    [core] = (Path(sys.prefix) / "lib").glob("python3.*/site-packages/ansible_collections/kubernetes/core")
    shutil.copytree(core, base / "ansible_collections/kubernetes/core")
    return base


def inventory(folder: Path, namespace: str) -> Path:
    """What somebody writes who never saw this repository."""
    local = local_variables()
    variables = {
        "ansible_connection": "local",
        "ansible_python_interpreter": "{{ ansible_playbook_python }}",
        "ragops_kubeconfig": str(STATE / "kubeconfig"),
        "ragops_namespace": namespace,
        "ragops_images": local.get("ragops_images") or {},
        "model_provider": "stub",
        "lightrag_rag_storage_size": "1Gi",
        "lightrag_inputs_size": "1Gi",
        **SMALL,
    }
    path = folder / "hosts.yml"
    path.write_text(yaml.safe_dump({"knowledge": {"hosts": {namespace: variables}}}), encoding="utf-8")
    return path


def player_of(installed: Path, venv: Path, folder: Path) -> Player:
    empty = folder / "empty"
    empty.mkdir()
    return Player(folder / "work", venv, empty, {"ANSIBLE_COLLECTIONS_PATH": str(installed)})


def test_the_tarball_holds_what_is_needed_and_no_more(installed: Path) -> None:
    tree = installed / "ansible_collections/ragops/stack"
    top = {p.name for p in tree.iterdir()}
    print(sorted(top))
    assert {"roles", "plugins", "playbooks", "meta", "README.md", "MANIFEST.json", "FILES.json"} <= top
    assert not top & {"local", "extensions", "tools", ".venv", ".venv-next", ".collections", ".git", "Makefile", "ansible.cfg", "collections"}
    assert not list(tree.rglob("__pycache__"))
    links = [p for p in tree.rglob("*") if p.is_symlink()]
    assert all(p.is_file() and p.resolve().is_relative_to(tree.resolve()) for p in links), "a link leads out of the collection"
    size = sum(p.stat().st_size for p in tree.rglob("*") if p.is_file())
    assert size < 5_000_000, f"{size} bytes"


def test_playbook_by_its_full_name(installed: Path, kube: Kube, make_stack: MakeStack, tmp_path: Path) -> None:
    make_stack("t-artefact")  # for its cleaning
    player = player_of(installed, Path(sys.prefix), tmp_path)
    hosts = ["-i", str(inventory(tmp_path, "t-artefact")), "-e", "ragops_hosts=knowledge"]
    storage = ["-e", yaml.safe_dump(dict(FILES), default_flow_style=True, width=1000).strip()]
    run = player.run(*hosts, *storage, "ragops.stack.lightrag").ok()
    roles = [t.path for t in run.tasks if t.role]
    assert roles
    assert not [p for p in roles if not p.startswith(str(installed))], "something of the checkout took part"
    [task] = run.named("Write a made-up fact, ask for it, and remove it")
    assert task.result["proof"]["seconds"]["total"] > 0
    assert kube.get("deployments", "rag-lightrag", "t-artefact", "apps/v1")["status"]["availableReplicas"] == 1
    assert player.run(*hosts, *storage, "ragops.stack.verify").ok().changed() == set()
    assert player.run(*hosts, *storage, "ragops.stack.lightrag").ok().changed() == set()
    player.run(*hosts, *storage, "ragops.stack.uninstall", "-e", "ragops_delete_data=true").ok()
    left = {(plural, name) for plural, name in kube.everything("t-artefact") if name not in ("default", "kube-root-ca.crt")}
    assert left == set()


def first_play() -> str:
    """The playbook that the guide shows first, word for word."""
    blocks = re.findall(r"^```ya?ml\n(.*?)^```", GUIDE.read_text(encoding="utf-8"), re.M | re.S)
    plays = [b for b in blocks if "hosts:" in b and "roles:" in b]
    assert plays, f"{GUIDE} shows no playbook"
    return str(plays[0])


def test_the_playbook_of_the_guide(installed: Path, kube: Kube, make_stack: MakeStack, tmp_path: Path) -> None:
    """As it stands there; only cluster, namespace, images and sizes are ours."""
    make_stack("t-guide")
    player = player_of(installed, Path(sys.prefix), tmp_path)
    (tmp_path / "site.yml").write_text(first_play(), encoding="utf-8")
    small = {k: v for k, v in local_variables().items() if k.startswith(("kubeblocks_", "ragops_images"))}
    small |= {"kubeblocks_resources": {"cpu": "200m", "memory": "384Mi"}, "kubeblocks_helm_binary": str(Path(sys.prefix) / "bin/helm"), **SMALL}
    small |= {"ragops_kubeconfig": str(STATE / "kubeconfig"), "ragops_namespace": "t-guide", "postgresql_storage_size": "1Gi"}
    small |= {"lightrag_rag_storage_size": "1Gi", "lightrag_inputs_size": "1Gi"}
    (tmp_path / "ours.yml").write_text(yaml.safe_dump(small), encoding="utf-8")
    arguments = [str(tmp_path / "site.yml"), "-e", f"@{tmp_path / 'ours.yml'}"]
    run = player.run(*arguments).ok()
    [task] = run.named("Write a made-up fact, ask for it, and remove it")
    assert task.result["proof"]["seconds"]["total"] > 0
    name = play_variable("ragops_name")
    assert kube.get("deployments", f"{name}-lightrag", "t-guide", "apps/v1")["status"]["availableReplicas"] == 1
    assert kube.get("clusters", f"{name}-pg", "t-guide", "apps.kubeblocks.io/v1")["status"]["phase"] == "Running"
    assert player.run(*arguments).ok().changed() == set()


def play_variable(name: str) -> str:
    return str(yaml.safe_load(first_play())[0]["vars"][name])


def test_roles_among_tasks_of_a_foreign_playbook(installed: Path, kube: Kube, make_stack: MakeStack, tmp_path: Path) -> None:
    """On the newest ansible-core that is there: converge, ask, and again without a change."""
    venv = next(v for v in VENVS if (v / "bin/ansible-playbook").exists())
    namespace = "t-foreign"
    make_stack(namespace)
    player = player_of(installed, venv, tmp_path)
    arguments = ["-i", str(inventory(tmp_path, namespace)), str(HERE / "files/foreign.yml")]
    run = player.run(*arguments).ok()
    print(subprocess.run([venv / "bin/ansible-playbook", "--version"], capture_output=True, text=True, check=True).stdout.splitlines()[0])
    assert "eleven" in run.named("Show the answer")[0].msg
    app = LightRag(kube, namespace, "kb-lightrag")
    assert "eleven" in app.ask("At which hour does the canteen of the Tarvik office open?")
    assert player.run(*arguments).ok().changed() == set()
