# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every module has to have beside its code."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
MODULES = sorted(p.stem for p in (ROOT / "plugins/modules").glob("*.py"))
RUNTIME = yaml.safe_load((ROOT / "meta/runtime.yml").read_text())


def test_the_action_group_is_exactly_the_modules() -> None:
    """One module_defaults entry serves all of them, or it would break for all."""
    group = [entry for entry in RUNTIME["action_groups"]["k8s"] if isinstance(entry, str)]
    assert sorted(group) == MODULES


@pytest.mark.parametrize("module", MODULES)
def test_each_module_shows_its_progress(module: str) -> None:
    assert (ROOT / f"plugins/action/{module}.py").resolve() == ROOT / "plugins/action/applyset.py"


@pytest.mark.parametrize("module", MODULES)
def test_each_module_is_documented_whole(module: str) -> None:
    text = (ROOT / f"plugins/modules/{module}.py").read_text()
    documentation = yaml.safe_load(text.split('DOCUMENTATION = r"""')[1].split('"""')[0])
    fragments = documentation["extends_documentation_fragment"]
    assert "kubernetes.core.k8s_auth_options" in fragments
    assert {"ragops.stack._attributes", "ragops.stack._attributes.info"} & set(fragments), "check_mode, diff_mode, idempotent"
    assert 'EXAMPLES = r"""' in text
    assert 'RETURN = r"""' in text


def test_pins_of_tools_are_exact() -> None:
    lines = [line for line in (ROOT / "requirements-dev.txt").read_text().splitlines() if line and not line.startswith("#")]
    assert lines
    assert all("==" in line for line in lines)
