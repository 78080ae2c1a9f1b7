# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests on the real cluster share. Every namespace that they make begins with `t-`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.kube import Kube
from tests.cluster.play import ROOT, STATE, Player, Stack, write_inventory
from tests.cluster.recorder import Recorder

MakeStack = Callable[..., Stack]


@pytest.fixture(scope="session")
def kube() -> Kube:
    kubeconfig = STATE / "kubeconfig"
    assert kubeconfig.exists(), "There is no local cluster. Run make up first."
    return Kube(kubeconfig)


@pytest.fixture(scope="session")
def player(tmp_path_factory: pytest.TempPathFactory) -> Player:
    return Player(tmp_path_factory.mktemp("ansible"))


@pytest.fixture(scope="session")
def recorder(kube: Kube) -> Iterator[Recorder]:
    running = Recorder(kube.kubeconfig)
    yield running
    running.close()


@pytest.fixture(scope="session")
def recorded_kubeconfig(recorder: Recorder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return recorder.write_kubeconfig(tmp_path_factory.mktemp("recorder") / "kubeconfig")


@pytest.fixture(scope="module")
def clean(kube: Kube) -> Iterator[Callable[..., None]]:
    """Names namespaces that have to be gone before (a run may have been killed) and afterwards."""
    mine: list[str] = []

    def claim(*names: str) -> None:
        assert all(n.startswith("t-") for n in names)
        kube.remove_namespaces(*names)
        mine.extend(names)

    yield claim
    if os.environ.get("RAGOPS_KEEP"):  # to look at what a failed test left
        print(f"kept: {', '.join(mine)}")
    else:
        kube.remove_namespaces(*mine)


@pytest.fixture(scope="module")
def make_stack(player: Player, clean: Callable[..., None], tmp_path_factory: pytest.TempPathFactory) -> MakeStack:
    """A stack in a namespace that does not exist yet."""

    def make(namespace: str, kubeconfig: Path | None = None, **variables: Any) -> Stack:
        clean(namespace)
        inventory = write_inventory(tmp_path_factory.mktemp("inventory"), {namespace: variables}, kubeconfig)
        return Stack(namespace, inventory, player)

    return make


# The smallest one that answers: everything in files of LightRAG itself.
FILES = {"lightrag_storage": {"kv": "files", "vector": "files", "graph": "files", "doc_status": "files"}}

__all__ = ["FILES", "ROOT", "MakeStack"]
