# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.ragops.stack.plugins.modules.kubeblocks_unstick import stuck, taken_over

CLUSTER = {
    "metadata": {"generation": 2},
    "spec": {"componentSpecs": [{"name": "postgresql"}]},
    "status": {"observedGeneration": 2, "components": {"postgresql": {"upToDate": True}}},
}


def instance_set(*, generation: int = 3, observed: int = 3) -> dict[str, Any]:
    revisions = {"c-postgresql-0": "new"}
    return {"metadata": {"name": "c-postgresql", "generation": generation}, "status": {"observedGeneration": observed, "updateRevisions": revisions}}


def pod(revision: str, *, ready: bool, **metadata: Any) -> dict[str, Any]:
    labels = {"workloads.kubeblocks.io/instance": "c-postgresql", "controller-revision-hash": revision}
    status = {"conditions": [{"type": "Ready", "status": str(ready)}]}
    return {"metadata": {"name": "c-postgresql-0", "labels": labels, **metadata}, "status": status}


def test_taken_over() -> None:
    assert taken_over(CLUSTER, [instance_set()])
    assert not taken_over(CLUSTER, [])
    assert not taken_over(CLUSTER, [instance_set(observed=2)])
    assert not taken_over({**CLUSTER, "metadata": {"generation": 3}}, [instance_set()])
    assert not taken_over({**CLUSTER, "status": {"observedGeneration": 2, "components": {"postgresql": {}}}}, [instance_set()])


@pytest.mark.parametrize(
    ("one", "names"),
    [
        (pod("old", ready=False), ["c-postgresql-0"]),
        (pod("old", ready=True), []),
        (pod("new", ready=False), []),
        (pod("old", ready=False, deletionTimestamp="x"), []),
    ],
    ids=["old and crashing", "old and working", "new", "going away"],
)
def test_only_old_pods_that_do_not_work_are_stuck(one: dict[str, Any], names: list[str]) -> None:
    assert stuck([instance_set()], [one]) == names


def test_pods_of_other_sets_are_left_alone() -> None:
    assert stuck([], [pod("old", ready=False)]) == []
