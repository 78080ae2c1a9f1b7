# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The merge of what a user asks for into what the operator wrote back, on observed objects."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.ragops.stack.plugins.module_utils import _kubeblocks as kubeblocks
from ansible_collections.ragops.stack.plugins.module_utils._errors import RagopsError

FIXTURES = Path(__file__).resolve().parents[2] / "fixtures/kubeblocks"


def live() -> dict[str, Any]:
    documents = yaml.safe_load_all((FIXTURES / "running-cluster.yaml").read_text())
    return next(d for d in documents if d and d["kind"] == "Cluster")


def desired(cluster: dict[str, Any], **component: Any) -> dict[str, Any]:
    """The least a user would write for this Cluster."""
    spec = cluster["spec"]["componentSpecs"][0]
    return kubeblocks.definition(
        {
            "name": cluster["metadata"]["name"],
            "namespace": cluster["metadata"]["namespace"],
            "labels": {},
            "annotations": {},
            "termination_policy": cluster["spec"]["terminationPolicy"],
            "components": [{"name": spec["name"], "componentDef": spec["componentDef"], "replicas": spec["replicas"], **component}],
        }
    )


def merged(**component: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    cluster = live()
    cluster["metadata"].setdefault("labels", {})["app.kubernetes.io/managed-by"] = "ragops.stack"
    return cluster, kubeblocks.merge(cluster, desired(cluster, **component))


def test_what_the_operator_wrote_back_is_no_change() -> None:
    before, after = merged()
    assert after == before


def test_the_same_quantity_in_another_spelling_is_no_change() -> None:
    cluster = live()
    memory = cluster["spec"]["componentSpecs"][0]["resources"]["limits"]["memory"]
    amount = kubeblocks.parse_quantity(memory)
    assert amount is not None
    before, after = merged(resources={"limits": {"memory": str(int(amount))}})
    assert after == before


def test_a_definition_prefix_that_the_operator_resolved_is_no_change() -> None:
    cluster = live()
    full = cluster["spec"]["componentSpecs"][0]["componentDef"]
    before, after = merged(componentDef=full.rsplit("-", 1)[0])
    assert after == before


def test_one_changed_field_leaves_the_others() -> None:
    before, after = merged(resources={"limits": {"memory": "3Gi"}})
    old, new = (o["spec"]["componentSpecs"][0] for o in (before, after))
    assert new["resources"]["limits"]["memory"] == "3Gi"
    assert new["resources"]["requests"] == old["resources"]["requests"]
    assert {k: v for k, v in new.items() if k != "resources"} == {k: v for k, v in old.items() if k != "resources"}


def storage(size: str) -> dict[str, Any]:
    return {"volumeClaimTemplates": [{"name": "data", "spec": {"resources": {"requests": {"storage": size}}}}]}


def test_a_volume_never_shrinks() -> None:
    with pytest.raises(RagopsError, match="cannot shrink"):
        merged(**storage("1Mi"))


def test_a_growing_volume_is_found() -> None:
    before, after = merged(**storage("900Gi"))
    assert [(c, v) for c, v, _class in kubeblocks.grown_volumes(before, after)] == [(before["spec"]["componentSpecs"][0]["name"], "data")]


def test_a_topology_never_changes() -> None:
    cluster = live()
    cluster["spec"]["topology"] = "standalone"
    wanted = desired(cluster)
    wanted["spec"]["topology"] = "replication"
    with pytest.raises(RagopsError, match="can never change"):
        kubeblocks.merge(cluster, wanted)


def test_merging_does_not_touch_the_live_object() -> None:
    cluster = live()
    kept = copy.deepcopy(cluster)
    kubeblocks.merge(cluster, desired(cluster, replicas=5))
    assert cluster == kept


def test_account_secrets_of_every_engine_become_references() -> None:
    secrets = [s for s in yaml.safe_load_all((FIXTURES / "account-secrets.yaml").read_text()) if s and s.get("kind") == "Secret"]
    found = [kubeblocks.account(s) for s in secrets if kubeblocks.ACCOUNT_LABEL in (s["metadata"].get("labels") or {})]
    assert len(found) >= 10
    for entry in found:
        assert entry["secret"]["name"] == f"{entry['cluster']}-{entry['component']}-account-{entry['account'].replace('_', '-')}"
        assert entry["ready"]
        assert "password" not in entry
