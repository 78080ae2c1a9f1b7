# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each role says the same in defaults, argument_specs and tasks."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROLES = Path(__file__).resolve().parents[3] / "roles"
NAMES = sorted(path.name for path in ROLES.iterdir() if (path / "meta" / "argument_specs.yml").exists())
# Facts that a role publishes for others, and what a role leaves behind for its own later entry points.
PUBLISHED = re.compile(r"(_connection|_preflight)$")


def load(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8")) if path.exists() else None


def defaults_of(role: str) -> dict[str, Any]:
    return load(ROLES / role / "defaults" / "main.yml") or {}


def entry_points_of(role: str) -> dict[str, dict[str, Any]]:
    return load(ROLES / role / "meta" / "argument_specs.yml")["argument_specs"]


def every_option(role: str) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for entry in entry_points_of(role).values():
        found.update(entry.get("options") or {})
    return found


def nested(options: dict[str, Any], where: str = "") -> list[tuple[str, dict[str, Any]]]:
    found = []
    for name, option in options.items():
        found.append((where + name, option))
        found += nested(option.get("options") or {}, f"{where}{name}.")
    return found


@pytest.mark.parametrize("role", NAMES)
def test_every_default_is_an_option_and_the_other_way_round(role: str) -> None:
    required = {name for name, option in every_option(role).items() if option.get("required")}
    assert set(defaults_of(role)) == set(every_option(role)) - required


@pytest.mark.parametrize("role", NAMES)
def test_documented_defaults_are_the_defaults(role: str) -> None:
    defaults = defaults_of(role)
    for entry_name, entry in entry_points_of(role).items():
        for name, option in (entry.get("options") or {}).items():
            if not option.get("required"):
                assert option.get("default") == defaults[name], f"{entry_name}: {name}"


@pytest.mark.parametrize("role", NAMES)
def test_options_have_type_and_description(role: str) -> None:
    for entry_name, entry in entry_points_of(role).items():
        assert entry.get("short_description"), entry_name
        for name, option in nested(entry.get("options") or {}):
            assert option.get("type"), f"{entry_name}: {name} has no type"
            assert option.get("description"), f"{entry_name}: {name} has no description"
            if option["type"] == "list":
                assert option.get("elements"), f"{entry_name}: {name} has no elements"


@pytest.mark.parametrize("role", NAMES)
def test_options_carry_the_name_of_the_role(role: str) -> None:
    assert all(name.startswith(f"{role}_") for name in every_option(role))


@pytest.mark.parametrize("role", NAMES)
def test_every_variable_in_use_is_an_option(role: str) -> None:
    known = set(every_option(role))
    files = [path for folder in ("tasks", "templates", "vars") for path in (ROLES / role / folder).glob("*") if path.is_file()]
    for path in files:
        # comments name other things; private variables, files and properties of results are no options
        text = re.sub(r"^\s*#.*$", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
        text = re.sub(rf"(stack|role|name)[.:]\s*['\"]?{role}_\w+", "", text)
        for name in set(re.findall(rf"(?<![\w./-]){role}_[a-z0-9_]+\b(?!\s*:|\.py|\.yml|\()", text)):
            assert name in known or PUBLISHED.search(name), f"{path.name} uses {name}, which is no option"


@pytest.mark.parametrize("role", NAMES)
def test_every_option_is_in_use(role: str) -> None:
    folder = ROLES / role
    files = [path for part in ("tasks", "templates", "vars") for path in (folder / part).glob("*") if path.is_file()]
    text = "\n".join(path.read_text(encoding="utf-8") for path in [*files, folder / "defaults" / "main.yml"])
    for name in every_option(role):
        uses = len(re.findall(rf"\b{name}\b", text)) - len(re.findall(rf"^{name}:", text, flags=re.MULTILINE))
        assert uses, f"{name} is an option that nothing uses"


@pytest.mark.parametrize("role", NAMES)
def test_entry_points_exist(role: str) -> None:
    for entry in entry_points_of(role):
        assert (ROLES / role / "tasks" / f"{entry}.yml").exists(), f"argument_specs names {entry}, which is no file of tasks"


@pytest.mark.parametrize("role", NAMES)
def test_there_is_a_readme(role: str) -> None:
    text = (ROLES / role / "README.md").read_text(encoding="utf-8")
    assert text.startswith(f"# {role}\n")
    assert "argument specs](meta/argument_specs.yml)" in text or "argument_specs](meta/argument_specs.yml)" in text
