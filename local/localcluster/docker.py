"""The Docker command line: which images there are, building and importing them."""

from __future__ import annotations

import os
import shutil
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from . import hostconf
from .errors import LocalError
from .shell import Log, quiet
from .steps import Step

LABEL = "ragops.local"
"""On every image that local/ makes: `down --all` finds them by it."""


class Docker:
    """Questions to the daemon."""

    def ids(self) -> dict[str, str]:
        """Image id by tag."""
        code, out, err = quiet(["docker", "images", "--no-trunc", "--format", "{{.Repository}}:{{.Tag}} {{.ID}}"])
        if code != 0:
            raise LocalError(f"docker images failed: {err.strip()}")
        pairs = (line.split() for line in out.splitlines())
        return {words[0]: words[1] for words in pairs if len(words) == 2}

    def sizes(self) -> dict[str, str]:
        code, out, _err = quiet(["docker", "images", "--filter", f"label={LABEL}", "--format", "{{.Repository}}:{{.Tag}} {{.Size}}"])
        pairs = (line.split() for line in out.splitlines()) if code == 0 else iter(())
        return {words[0]: words[1] for words in pairs if len(words) == 2}


def build_env() -> dict[str, str]:
    """BuildKit needs the buildx plugin, which Debian's docker.io lacks: the classic builder then."""
    code, _out, _err = quiet(["docker", "buildx", "version"])
    return {} if code == 0 else {"DOCKER_BUILDKIT": "0"}


def proxy_args(environ: Mapping[str, str]) -> list[str]:
    """The host's proxy settings as predefined build arguments, which never stay in an image."""
    names = ["http_proxy", "https_proxy", "no_proxy"]
    found = [name for lower in names for name in (lower, lower.upper()) if environ.get(name)]
    return [word for name in found for word in ("--build-arg", name)]


@contextmanager
def context(folder: Path | None, extra: Mapping[str, Path], scratch: Path) -> Iterator[Path]:
    """A build context: the files of a folder and others from elsewhere (hard links where possible)."""
    scratch.mkdir(parents=True, exist_ok=True)
    where = Path(tempfile.mkdtemp(dir=scratch))
    try:
        if folder:
            shutil.copytree(folder, where, dirs_exist_ok=True)
        for name, source in extra.items():
            target = where / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, target, dirs_exist_ok=True, copy_function=_link)
            else:
                _link(str(source), str(target))
        yield where
    finally:
        shutil.rmtree(where, ignore_errors=True)


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target, follow_symlinks=True)
    except OSError:
        shutil.copy2(source, target)


@dataclass(kw_only=True)
class DockerBuild(Step):
    """An image from a Dockerfile; `extra` brings made files into the context under the names given."""

    folder: Path
    scratch: Path
    args: dict[str, str] = field(default_factory=dict)
    extra: dict[str, Path] = field(default_factory=dict)
    target: str = ""
    private: bool = False  # the build stage asks the host for its CA bundle and pip settings

    def __post_init__(self) -> None:
        self.sources = (*self.sources, self.folder)
        self.inputs = (*self.inputs, self.target, *(f"{name}={value}" for name, value in sorted(self.args.items())))

    def make(self, log: Log) -> None:
        with context(self.folder, self.extra, self.scratch) as where:
            if self.private:
                hostconf.write(where)
            argv = ["docker", "build", "--label", f"{LABEL}=1", "-t", self.tags[0], *proxy_args(os.environ)]
            for name, value in self.args.items():
                argv += ["--build-arg", f"{name}={value}"]
            if self.target:
                argv += ["--target", self.target]
            log.run([*argv, str(where)], env=build_env())


@dataclass(kw_only=True)
class Scratch(Step):
    """An image of a few files and nothing else, imported as one layer."""

    content: dict[str, Path]  # path in the image -> file
    entrypoint: str = ""
    user: str = ""

    def __post_init__(self) -> None:
        self.inputs = (*self.inputs, self.entrypoint, self.user, *sorted(self.content))

    def make(self, log: Log) -> None:
        changes = [f"LABEL {LABEL}=1"]
        if self.entrypoint:
            changes.append(f'ENTRYPOINT ["{self.entrypoint}"]')
        if self.user:
            changes.append(f"USER {self.user}")
        with tempfile.NamedTemporaryFile(suffix=".tar") as archive:
            with tarfile.open(fileobj=archive, mode="w") as tar:
                folders = {parent for path in self.content for parent in Path(path.lstrip("/")).parents}
                for folder in sorted(folders - {Path()}):
                    entry = tarfile.TarInfo(folder.as_posix())
                    entry.type, entry.mode = tarfile.DIRTYPE, 0o755
                    tar.addfile(entry)
                for path, source in self.content.items():
                    entry = tarfile.TarInfo(path.lstrip("/"))
                    entry.size, entry.mode = source.stat().st_size, 0o755
                    with source.open("rb") as handle:
                        tar.addfile(entry, handle)
            archive.flush()
            words = [word for change in changes for word in ("--change", change)]
            log.run(["docker", "import", *words, archive.name, self.tags[0]])
