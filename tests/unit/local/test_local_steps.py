"""The step graph: order, skipping, what a change rebuilds, failures."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from localcluster import steps
from localcluster.errors import CommandError, LocalError
from localcluster.progress import Progress
from localcluster.steps import Runner, Step


@dataclass
class FakeImages:
    known: dict[str, str] = field(default_factory=dict)

    def ids(self) -> dict[str, str]:
        return dict(self.known)


@dataclass(kw_only=True)
class Write(Step):
    """Writes a text; the text is an input, what it writes may be another."""

    path: Path
    text: str
    ran: list[str]
    written: str | None = None

    def __post_init__(self) -> None:
        self.files = (self.path,)
        self.inputs = (self.text,)

    def make(self, log: steps.Log) -> None:
        log.note("writing")
        self.path.write_text(self.written if self.written is not None else self.text)
        self.ran.append(self.name)


@dataclass(kw_only=True)
class Tag(Step):
    images: FakeImages
    identity: str
    ran: list[str]

    def make(self, log: steps.Log) -> None:
        self.images.known[self.tags[0]] = self.identity
        self.ran.append(self.name)


@dataclass(kw_only=True)
class Broken(Step):
    def make(self, log: steps.Log) -> None:
        log.run(["sh", "-c", "echo the cause; exit 3"])


class Bench:
    def __init__(self, root: Path) -> None:
        self.root = root
        self.ran: list[str] = []
        self.images = FakeImages()
        self.runner = Runner(root / "stamps", root / "logs", self.images, Progress())

    def write(self, name: str, text: str = "x", needs: tuple[str, ...] = (), written: str | None = None) -> Write:
        return Write(name=name, title=name, path=self.root / name, text=text, ran=self.ran, needs=needs, written=written)

    def tag(self, name: str, identity: str, needs: tuple[str, ...] = ()) -> Tag:
        return Tag(name=name, title=name, tags=(f"t/{name}",), images=self.images, identity=identity, ran=self.ran, needs=needs)

    def run(self, *wanted: Step) -> list[str]:
        self.ran.clear()
        self.runner.run(wanted)
        return list(self.ran)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_a_second_run_does_nothing(bench: Bench) -> None:
    chain = [bench.write("a"), bench.write("b", needs=("a",))]
    assert bench.run(*chain) == ["a", "b"]
    assert bench.run(*chain) == []


def test_needs_come_first_whatever_the_order_given(bench: Bench) -> None:
    assert bench.run(bench.write("c", needs=("b",)), bench.write("b", needs=("a",)), bench.write("a")) == ["a", "b", "c"]


def test_a_changed_input_rebuilds_what_stands_on_it_and_nothing_else(bench: Bench) -> None:
    bench.run(bench.write("a"), bench.write("b", needs=("a",)), bench.write("other"))
    again = bench.run(bench.write("a", "new"), bench.write("b", needs=("a",)), bench.write("other"))
    assert again == ["a", "b"]


def test_a_rebuild_with_the_same_result_stops_there(bench: Bench) -> None:
    bench.run(bench.write("a", "1", written="same"), bench.write("b", needs=("a",)))
    assert bench.run(bench.write("a", "2", written="same"), bench.write("b", needs=("a",))) == ["a"]


def test_a_missing_file_is_made_again(bench: Bench) -> None:
    bench.run(bench.write("a"))
    (bench.root / "a").unlink()
    assert bench.run(bench.write("a")) == ["a"]


@pytest.mark.parametrize("change", ["removed", "replaced"])
def test_an_image_that_docker_no_longer_has_as_recorded_is_made_again(bench: Bench, change: str) -> None:
    bench.run(bench.tag("i", "sha256:1"))
    if change == "removed":
        bench.images.known.clear()
    else:
        bench.images.known["t/i"] = "sha256:foreign"
    assert bench.run(bench.tag("i", "sha256:1")) == ["i"]


def test_sources_count_by_content_name_and_mode(bench: Bench, tmp_path: Path) -> None:
    folder = tmp_path / "src"
    folder.mkdir()
    (folder / "Dockerfile").write_text("FROM a")

    def step() -> Write:
        made = bench.write("a")
        made.sources = (folder,)
        return made

    assert bench.run(step()) == ["a"]
    assert bench.run(step()) == []
    (folder / "Dockerfile").write_text("FROM b")
    assert bench.run(step()) == ["a"]
    (folder / "extra.sh").write_text("")
    assert bench.run(step()) == ["a"]
    (folder / "extra.sh").chmod(0o755)
    assert bench.run(step()) == ["a"]


def test_an_unreadable_stamp_is_no_stamp(bench: Bench) -> None:
    bench.run(bench.write("a"))
    (bench.root / "stamps" / "a.json").write_text("{half")
    assert bench.run(bench.write("a")) == ["a"]


def test_steps_without_a_tie_run_side_by_side(bench: Bench) -> None:
    meet = threading.Barrier(2, timeout=10)

    @dataclass(kw_only=True)
    class Meet(Step):
        def make(self, log: steps.Log) -> None:
            meet.wait()

        def key(self, results: object) -> str:
            return self.name

    bench.runner.run([Meet(name="one", title=""), Meet(name="two", title="", lane="go")])


def test_before_is_called_once_and_only_when_something_runs(bench: Bench) -> None:
    calls: list[int] = []
    wanted = [bench.write("a"), bench.write("b", needs=("a",))]
    bench.runner.run(wanted, before=lambda: calls.append(1))
    bench.runner.run(wanted, before=lambda: calls.append(2))
    assert calls == [1]


def test_a_failure_names_the_step_and_keeps_its_log(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps.shell, "cancel_all", lambda: None)
    with pytest.raises(CommandError, match=r"bad failed after .*ended with code 3") as caught:
        bench.run(Broken(name="bad", title="", remedy="mend it"), bench.write("later", needs=("bad",)))
    assert caught.value.remedy == "mend it"
    assert caught.value.log is not None
    assert "the cause" in caught.value.log.read_text()
    assert bench.ran == []


def test_a_step_that_leaves_nothing_is_a_failure(bench: Bench) -> None:
    @dataclass(kw_only=True)
    class Lazy(Step):
        def make(self, log: steps.Log) -> None:
            pass

        def key(self, results: object) -> str:
            return self.name

    with pytest.raises(LocalError, match="left no t/i"):
        bench.run(Lazy(name="lazy", title="", tags=("t/i",)))


@pytest.mark.parametrize(
    ("pairs", "complaint"),
    [
        ([("a", ()), ("a", ())], "two steps are called a"),
        ([("a", ("b",))], "needs unknown b"),
        ([("a", ("b",)), ("b", ("a",))], "in a circle: a, b"),
    ],
)
def test_a_bad_graph_is_refused(pairs: list[tuple[str, tuple[str, ...]]], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        steps.check([Step(name=name, title="", needs=needs) for name, needs in pairs])
