"""Programs compiled from Go modules by name, each in a throw-away module that requires just that one."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import dataclass, field
from pathlib import Path

from .errors import LocalError
from .shell import Log, quiet
from .steps import Step

PAUSE = """package main

import (
	"os"
	"os/signal"
	"syscall"
)

func main() {
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGINT, syscall.SIGTERM)
	<-stop
}
"""


def require_toolchain(least: str) -> None:
    """A clear word when Go is missing or too old."""
    wanted = f"install Go {least} or newer (go.dev/dl), then run this again"
    code, out, _err = quiet(["go", "env", "GOVERSION"])
    if code != 0:
        raise LocalError("building the local cluster needs the Go toolchain, and `go` is not on PATH", wanted)
    found = re.search(r"go(\d+)\.(\d+)", out)
    major, minor = (int(part) for part in least.split(".")[:2])
    if not found or (int(found[1]), int(found[2])) < (major, minor):
        raise LocalError(f"Go {out.strip() or 'of unknown version'} is too old to build the local cluster", wanted)


def module_dir(log: Log, module: str, version: str, cwd: Path) -> Path:
    """The folder of a module's source in the module cache, downloaded when it is not there."""
    cwd.mkdir(parents=True, exist_ok=True)
    out = log.run(["go", "mod", "download", "-json", f"{module}@{version}"], cwd=cwd, env=env(), capture=True)
    return Path(str(json.loads(out)["Dir"]))


def env() -> dict[str, str]:
    return {"CGO_ENABLED": "0", "GOWORK": "off", "GO111MODULE": "on"}


def restated(upstream: str, *, require: bool, replaces: dict[str, str]) -> str:
    """The requires and the version replaces of an upstream go.mod, which a dependant must state again.

    Replaces by a relative path mean a sibling in upstream's own tree: `replaces` says what stands in, by a
    regular expression on the module's name; those it does not know are left out.
    """
    lines: list[str] = []
    block = ""
    for raw in upstream.splitlines():
        line = raw.strip()
        if not line or line.startswith("//"):
            continue
        if block:
            if line == ")":
                block = ""
                continue
            entry = f"{block} {line}"
        elif line in {"require (", "replace ("}:
            block = line.split()[0]
            continue
        else:
            entry = line
        if entry.startswith("require ") and require and len(entry.split()) > 2:
            lines.append(entry)
        elif entry.startswith("replace ") and " => " in entry:
            name, target = entry.removeprefix("replace ").split(" => ")
            if not target.startswith("."):
                lines.append(entry)
                continue
            for pattern, stand_in in replaces.items():
                if re.match(pattern, name):
                    lines.append(f"replace {name} => {stand_in.replace('@', name.split()[0])}")
                    break
    return "\n".join(lines) + "\n"


@dataclass(kw_only=True)
class GoTool(Step):
    """Programs of one module, compiled into the cache's bin folder."""

    module: str
    version: str
    programs: dict[str, str]  # file name -> package
    work: Path
    bin: Path
    language: str = "1.24.0"
    ldflags: str = ""
    require: bool = False  # restate upstream's own requires and sums (for modules the index does not list)
    replaces: dict[str, str] = field(default_factory=dict)
    lane: str = "go"

    def __post_init__(self) -> None:
        self.files = tuple(self.bin / name for name in self.programs)
        self.inputs = (
            *self.inputs,
            self.module,
            self.version,
            self.language,
            self.ldflags,
            json.dumps([self.programs, self.replaces, self.require], sort_keys=True),
        )

    def make(self, log: Log) -> None:
        where = self.work / self.name
        shutil.rmtree(where, ignore_errors=True)
        where.mkdir(parents=True)
        self.bin.mkdir(parents=True, exist_ok=True)
        source = module_dir(log, self.module, self.version, where)
        upstream = (source / "go.mod").read_text()
        again = restated(upstream, require=self.require, replaces=self.replaces)
        head = f"module tools\n\ngo {self.language}\n\nrequire {self.module} {self.version}\n\n"
        (where / "go.mod").write_text(head + again)
        if self.require and (source / "go.sum").is_file():
            (where / "go.sum").write_bytes((source / "go.sum").read_bytes())
        imports = "".join(f'\t_ "{package}"\n' for package in self.programs.values())
        (where / "tools.go").write_text(f"//go:build tools\n\npackage tools\n\nimport (\n{imports})\n")
        flags = f"-s -w {self.ldflags}".strip()
        made = where / "bin"
        made.mkdir()
        packages = list(self.programs.values())
        log.run(
            ["go", "build", "-mod=mod", "-ldflags", flags, "-o", f"{made}/", *packages],
            cwd=where,
            env=env(),
        )
        for name, package in self.programs.items():
            last = package.rsplit("/", 1)[-1]
            built = made / (package.rsplit("/", 2)[-2] if re.fullmatch(r"v\d+", last) else last)
            built.replace(self.bin / name)


@dataclass(kw_only=True)
class GoFile(Step):
    """A program of a single file of our own."""

    source: str
    program: Path
    work: Path
    lane: str = "go"

    def __post_init__(self) -> None:
        self.files = (self.program,)
        self.inputs = (*self.inputs, self.source)

    def make(self, log: Log) -> None:
        where = self.work / self.name
        where.mkdir(parents=True, exist_ok=True)
        (where / "main.go").write_text(self.source)
        self.program.parent.mkdir(parents=True, exist_ok=True)
        log.run(["go", "build", "-ldflags", "-s -w", "-o", self.program, "main.go"], cwd=where, env=env())


@dataclass(kw_only=True)
class ModuleFiles(Step):
    """Files taken from a module's source; `pick` maps a path there to one here."""

    module: str
    version: str
    pick: dict[str, Path]
    work: Path

    def __post_init__(self) -> None:
        self.files = tuple(self.pick.values())
        self.inputs = (*self.inputs, self.module, self.version, *(f"{k}>{v.name}" for k, v in self.pick.items()))

    def make(self, log: Log) -> None:
        source = module_dir(log, self.module, self.version, self.work)
        for inside, target in self.pick.items():
            copy_writable(source / inside, target)
            log.note(f"{inside} -> {target}")
        self.adapt()

    def adapt(self) -> None:
        """For subclasses: change the copies."""


def copy_writable(source: Path, target: Path) -> None:
    """Copy out of the module cache, where everything is read-only."""
    if target.is_dir():
        shutil.rmtree(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, copy_function=shutil.copyfile)
        for item in [target, *target.rglob("*")]:
            item.chmod(0o755 if item.is_dir() else 0o644)
    else:
        shutil.copyfile(source, target)
