# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whole modules against an in-memory Kubernetes API."""

from __future__ import annotations

import importlib
import io
import json
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args

from tests.fakes.kube_api import FakeKubeApi
from tests.fakes.workloads import Workloads

Json = dict[str, Any]
Call = Callable[..., Json]


@pytest.fixture
def api() -> Iterator[FakeKubeApi]:
    with FakeKubeApi() as running:
        running.namespace("demo")
        yield running


@pytest.fixture
def workloads(api: FakeKubeApi) -> Workloads:
    return Workloads(api)


@pytest.fixture
def operator(api: FakeKubeApi) -> Any:
    from tests.fakes.operator import KubeBlocksOperator

    return KubeBlocksOperator(api)


@pytest.fixture
def call(api: FakeKubeApi, tmp_path: Path) -> Call:
    """Run a module as Ansible would and return its result; a failed one has failed=True and its msg."""
    kubeconfig = api.kubeconfig(tmp_path / "kubeconfig")

    def run(module: str, *, check: bool = False, **params: Any) -> Json:
        main = importlib.import_module(f"ansible_collections.ragops.stack.plugins.modules.{module}").main
        args = {"kubeconfig": kubeconfig, "_ansible_check_mode": check, "_ansible_diff": True, **params}
        out = io.StringIO()
        with patch_module_args(args), redirect_stdout(out), pytest.raises(SystemExit):
            main()
        result: Json = json.loads(out.getvalue().splitlines()[-1])
        return result

    return run
