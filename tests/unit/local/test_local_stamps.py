"""What counts as a change."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest
from localcluster import stamps

ONE = '''
class Thing:
    """Words."""

    def make(self):
        # a comment
        return 1
'''


def thing(tmp_path: Path, name: str, source: str) -> type:
    path = tmp_path / f"{name}.py"
    path.write_text(source)
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)

    sys.modules[name] = module
    spec.loader.exec_module(module)
    found = module.Thing
    assert isinstance(found, type)
    return found


def test_words_do_not_count_but_code_does(tmp_path: Path) -> None:
    first = stamps.of_code(thing(tmp_path, "thing_a", ONE))
    reworded = ONE.replace("Words", "Other words").replace("# a comment", "# more").replace("return 1", "return (\n            1)")
    assert stamps.of_code(thing(tmp_path, "thing_b", reworded)) == first
    assert stamps.of_code(thing(tmp_path, "thing_c", ONE.replace("return 1", "return 2"))) != first


def test_parts_do_not_run_together() -> None:
    assert stamps.digest(["ab", "c"]) != stamps.digest(["a", "bc"])


def test_a_stamp_survives_the_disk(tmp_path: Path) -> None:
    made = stamps.Stamp("k", "r", {"t": "i"}, 1.5)
    made.save(tmp_path / "deep" / "s.json")
    assert stamps.load(tmp_path / "deep" / "s.json") == made


@pytest.mark.parametrize(
    ("stamp", "known", "why"),
    [
        (None, {}, "never built"),
        (stamps.Stamp("old", "r"), {}, "its inputs changed"),
        (stamps.Stamp("key", "r", {"t:1": "i"}), {}, "image t:1 is missing"),
        (stamps.Stamp("key", "r", {"t:1": "i"}), {"t:1": "j"}, "image t:1 is another one"),
        (stamps.Stamp("key", "r", {"t:1": "i"}), {"t:1": "i"}, ""),
    ],
)
def test_why_a_step_must_run(stamp: stamps.Stamp | None, known: dict[str, str], why: str) -> None:
    assert stamps.stale(stamp, "key", [], ["t:1"], known) == why
