# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""kubernetes.core against the fake API, as whole modules."""

from __future__ import annotations

import importlib
import io
import json
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args

from tests.fakes import FakeKubeApi, Workloads

NS = "demo"


@pytest.fixture
def run(api: FakeKubeApi, tmp_path: Path) -> Any:
    kubeconfig = api.kubeconfig(tmp_path / "kubeconfig")

    def module(name: str = "k8s", *, check: bool = False, **args: Any) -> dict[str, Any]:
        main = importlib.import_module(f"ansible_collections.kubernetes.core.plugins.modules.{name}").main
        out = io.StringIO()
        params = {"kubeconfig": kubeconfig, "_ansible_check_mode": check, "_ansible_diff": True, **args}
        with patch_module_args(params), redirect_stdout(out), pytest.raises(SystemExit):
            main()
        result: dict[str, Any] = json.loads(out.getvalue().splitlines()[-1])
        assert not result.get("failed"), result.get("msg")
        return result

    return module


def config_map(**data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": NS}, "data": data}


def test_k8s_creates_changes_and_deletes(api: FakeKubeApi, run: Any) -> None:
    planned = run(definition=config_map(x="1"), check=True)
    assert planned["changed"]
    assert api.find("ConfigMap", "a", NS) is None
    assert run(definition=config_map(x="1"))["changed"]
    assert not run(definition=config_map(x="1"))["changed"]
    patched = run(definition=config_map(x="2"))
    assert patched["diff"] == {"before": {"data": {"x": "1"}}, "after": {"data": {"x": "2"}}} or patched["diff"]["after"]["data"] == {"x": "2"}
    planned = run(definition=config_map(x="3"), check=True)
    assert planned["changed"]
    assert api.get("ConfigMap", "a", NS)["data"] == {"x": "2"}
    assert run(definition=config_map(), state="absent", wait=True, wait_sleep=1)["changed"]
    assert not run(definition=config_map(), state="absent")["changed"]


def test_k8s_applies_server_side_and_waits(api: FakeKubeApi, run: Any) -> None:
    Workloads(api, delay=0.02)
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": NS},
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [{"name": "c", "image": "x", "resources": {"limits": {"cpu": "1000m"}}}]},
            },
        },
    }
    options = {"definition": deployment, "apply": True, "server_side_apply": {"field_manager": "tester"}, "wait": True, "wait_sleep": 1, "wait_timeout": 10}
    assert run(**options)["changed"]
    assert not run(**options)["changed"]
    assert api.get("Deployment", "web", NS)["status"]["readyReplicas"] == 2
