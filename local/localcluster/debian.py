"""Base images made of Debian packages, and the host packages that making images needs."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from . import hostconf
from .docker import LABEL
from .errors import LocalError
from .shell import Log
from .steps import Step

EXCLUDE = ("var/cache/apt", "var/lib/apt/lists/*", "usr/share/doc/*", "usr/share/man/*", "usr/share/locale/*", "dev/*")
NO_DOCS = "path-exclude=/usr/share/doc/*\npath-exclude=/usr/share/man/*\npath-exclude=/usr/share/locale/*\n"
NO_EXTRAS = 'APT::Install-Recommends "false";\nAPT::Install-Suggests "false";\n'


def is_debian() -> bool:
    return Path("/etc/debian_version").exists() and shutil.which("apt-get") is not None


def install(packages: list[str], log: Log, why: str) -> None:
    """Install host packages, or say which are missing."""
    if os.geteuid() != 0 or not is_debian():
        raise LocalError(f"{why} needs packages that are missing: {' '.join(packages)}", "install them as root")
    environ = {"DEBIAN_FRONTEND": "noninteractive"}
    log.run(["apt-get", "update", "-qq"], env=environ)
    log.run(["apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages], env=environ)


def ensure_programs(programs: dict[str, str], log: Log, why: str) -> None:
    """`programs` maps a command to the package that brings it."""
    missing = [package for program, package in programs.items() if not shutil.which(program)]
    if missing:
        install(sorted(set(missing)), log, why)


@dataclass(kw_only=True)
class DebianBase(Step):
    """A minimal Debian as an image, by debootstrap: package lists and documentation left out."""

    suite: str
    work: Path
    remedy: str = "is the Debian mirror of /etc/apt reachable?"

    def make(self, log: Log) -> None:
        root = self.work / f"rootfs-{self.suite}"
        shutil.rmtree(root, ignore_errors=True)
        debs = self.work / f"debs-{self.suite}"
        debs.mkdir(parents=True, exist_ok=True)
        argv = ["debootstrap", "--variant=minbase", "--include=ca-certificates", f"--cache-dir={debs}", self.suite]
        log.run([*argv, root, hostconf.apt_mirror()])
        (root / "etc/dpkg/dpkg.cfg.d/no-docs").write_text(NO_DOCS)
        (root / "etc/apt/apt.conf.d/no-extras").write_text(NO_EXTRAS)
        (root / "usr/sbin/policy-rc.d").write_text("#!/bin/sh\nexit 101\n")
        (root / "usr/sbin/policy-rc.d").chmod(0o755)
        excludes = " ".join(f"--exclude=./{pattern}" for pattern in EXCLUDE)
        log.pipe(
            f'tar -C "$1" {excludes} -c . | docker import --change "LABEL {LABEL}=1" --change "ENV LANG=C.UTF-8" - "$2"',
            str(root),
            self.tags[0],
        )
        shutil.rmtree(root, ignore_errors=True)
