#!/usr/bin/env python3
"""Run the test lanes and end with one line `N passed, N failed`.

    tools/test.py all|everything|lint|sanity|units|integration|cluster [pytest arguments]

A lane that fails, or that runs no test, fails the whole run. Each lane prints what it does and how long it took;
the local cluster comes up beside the fast lanes, since it mostly waits.
"""

from __future__ import annotations

import atexit
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "tests/output"
# What `make test` runs of tests/cluster beside molecule; `make test-all` runs every file.
CLUSTER_TESTS = ["tests/cluster/test_refusals.py", "tests/cluster/test_failures.py"]
COLLECTION = Path("ansible_collections/ragops/stack")


@dataclass
class Result:
    """What the lanes counted."""

    passed: int = 0
    failed: int = 0
    words: list[str] = field(default_factory=list)

    def add(self, lane: str, passed: int, failed: int, seconds: float) -> None:
        if passed + failed == 0:
            failed, lane = 1, f"{lane} ran no test, which"
        self.passed, self.failed = self.passed + passed, self.failed + failed
        self.words.append(f"{lane}: {passed} passed, {failed} failed in {seconds:.0f} s")
        print(f"--- {self.words[-1]}", flush=True)


def environment(venv: Path, **more: str) -> dict[str, str]:
    env = {k: v for k, v in os.environ.items() if not k.startswith(("ANSIBLE_", "K8S_AUTH_", "KUBECONFIG"))}
    env |= {"PATH": f"{venv / 'bin'}:{env['PATH']}", "VIRTUAL_ENV": str(venv), "PYTHONDONTWRITEBYTECODE": "1"}
    return env | more


def venvs() -> list[Path]:
    return [v for v in (ROOT / ".venv", ROOT / ".venv-next") if (v / ".ragops-stamp").exists()]


def run(command: list[str], venv: Path, cwd: Path = ROOT, **more: str) -> int:
    print(f"$ {' '.join(command)}", flush=True)
    return subprocess.run(command, cwd=cwd, env=environment(venv, **more), check=False).returncode


def lint(result: Result) -> None:
    """Each tool counts as one test."""
    venv = ROOT / ".venv"
    commands = [
        ["ruff", "check", "."],
        ["ruff", "format", "--check", "."],
        ["mypy", "plugins", "local", "tests/fakes", "tools"],
        ["yamllint", "--strict", "."],
        ["ansible-lint", "--profile", "production", "--offline"],
        ["antsibull-changelog", "lint"],
    ]
    for command in commands:
        start = time.monotonic()
        failed = run(command, venv) != 0
        result.add(f"lint, {command[0]}", int(not failed), int(failed), time.monotonic() - start)


def installed_artefact(venv: Path) -> Path:
    """Build the tarball and install it where ansible-test wants it, with kubernetes.core beside it."""
    # Outside this tree: ansible-test asks git what there is, and git ignores tests/output.
    base = Path(tempfile.mkdtemp(prefix="ragops-artefact-"))
    atexit.register(shutil.rmtree, base, ignore_errors=True)
    build = ["ansible-galaxy", "collection", "build", "--force", "--output-path", str(base)]
    subprocess.run(build, cwd=ROOT, env=environment(venv), check=True, stdout=subprocess.DEVNULL)
    tarball = next(base.glob("*.tar.gz"))
    install = ["ansible-galaxy", "collection", "install", str(tarball), "-p", str(base), "--offline", "--force", "--no-deps"]
    subprocess.run(install, cwd=base, env=environment(venv), check=True, stdout=subprocess.DEVNULL)
    site = next((venv / "lib").glob("python3.*/site-packages"))
    (base / "ansible_collections/kubernetes").mkdir()
    shutil.copytree(site / "ansible_collections/kubernetes/core", base / "ansible_collections/kubernetes/core")
    return base / COLLECTION


def sanity(result: Result) -> None:
    for venv in venvs():
        start = time.monotonic()
        tree = installed_artefact(venv)
        version = re.sub(r".*python", "", next((venv / "lib").glob("python3.*")).name)
        done = subprocess.run(
            ["ansible-test", "sanity", "--local", "--python", version, "--color", "no"],
            cwd=tree,
            env=environment(venv, ANSIBLE_COLLECTIONS_PATH=str(tree.parents[2])),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        noise = ("Collecting ", "  Downloading", "Looking in", "Processing /", "Successfully", "Using cached", "     ")
        print("\n".join(line for line in done.stdout.splitlines() if not line.startswith(noise)), flush=True)
        ran = set(re.findall(r"^Running sanity test \"([\w-]+)\"", done.stdout, re.M))
        bad = set(re.findall(r"^ERROR: .*sanity test \"([\w-]+)\"", done.stdout, re.M))
        failed = len(bad) or int(done.returncode != 0)
        result.add(f"sanity, {venv.name}", max(len(ran) - failed, 0), failed, time.monotonic() - start)


def pytest_lane(result: Result, name: str, venv: Path, paths: list[str], extra: list[str]) -> None:
    start = time.monotonic()
    report = OUT / f"{name}-{venv.name}.xml"
    report.unlink(missing_ok=True)
    code = run(["python", "-m", "pytest", *paths, f"--junitxml={report}", *extra], venv)
    passed = failed = 0
    if report.exists():
        for suite in ET.parse(report).getroot().iter("testsuite"):
            bad = int(suite.get("failures", 0)) + int(suite.get("errors", 0))
            failed += bad
            passed += int(suite.get("tests", 0)) - bad - int(suite.get("skipped", 0))
    if code not in (0, 5) and not failed:
        failed = 1
    result.add(f"{name}, {venv.name}", passed, failed, time.monotonic() - start)


def units(result: Result) -> None:
    for venv in venvs():
        pytest_lane(result, "units", venv, ["tests/unit"], ["-n", "2"])


def integration(result: Result) -> None:
    for venv in venvs():
        pytest_lane(result, "integration", venv, ["tests/integration"], ["-n", "2"])


def cluster(result: Result) -> None:
    """The real thing: molecule scenarios, then the tests that need the running stack."""
    venv = ROOT / ".venv"
    start = time.monotonic()
    if subprocess.run([sys.executable, "local/cluster.py", "up"], cwd=ROOT, check=False).returncode != 0:
        result.add("local cluster", 0, 1, time.monotonic() - start)
        return
    for scenario in sorted(p.parent.name for p in (ROOT / "extensions/molecule").glob("*/molecule.yml")):
        start = time.monotonic()
        collections = str(ROOT / ".collections")
        failed = run(["molecule", "test", "-s", scenario], venv, ROOT / "extensions", ANSIBLE_COLLECTIONS_PATH=collections) != 0
        result.add(f"molecule, {scenario}", int(not failed), int(failed), time.monotonic() - start)
    pytest_lane(result, "cluster", venv, CLUSTER_TESTS, [])


def long_cluster(result: Result) -> None:
    """The rest: a whole stack's life, the hunt for planted secrets, the artefact by its full name."""
    rest = sorted(str(p.relative_to(ROOT)) for p in (ROOT / "tests/cluster").glob("test_*.py"))
    pytest_lane(result, "long cluster", ROOT / ".venv", [p for p in rest if p not in CLUSTER_TESTS], [])


LANES: dict[str, list[Callable[[Result], None]]] = {
    "lint": [lint],
    "sanity": [sanity],
    "units": [units],
    "integration": [integration],
    "cluster": [cluster],
    "all": [lint, units, integration, sanity, cluster],
    "everything": [lint, units, integration, sanity, cluster, long_cluster],
}


def main() -> int:
    wanted = sys.argv[1] if len(sys.argv) > 1 else "all"
    if wanted not in LANES:
        print(__doc__, file=sys.stderr)
        return 2
    OUT.mkdir(parents=True, exist_ok=True)
    if wanted in ("all", "everything"):
        log = OUT / "cluster-up.log"
        print(f"--- the local cluster comes up meanwhile, see {log.relative_to(ROOT)}", flush=True)
        threading.Thread(target=_up, args=(log,), daemon=True).start()
    line = "stable" if wanted in ("lint", "cluster") else "all"
    subprocess.run([sys.executable, "tools/setup_env.py", "--line", line], cwd=ROOT, check=True)
    result, start = Result(), time.monotonic()
    for lane in LANES[wanted]:
        lane(result)
    print("\n".join(["", "=== lanes", *result.words, f"=== {time.monotonic() - start:.0f} s"]))
    print(f"{result.passed} passed, {result.failed} failed")
    return 1 if result.failed or not result.passed else 0


def _up(log: Path) -> None:
    with log.open("w") as file:
        subprocess.run([sys.executable, "local/cluster.py", "up"], cwd=ROOT, stdout=file, stderr=file, check=False)


if __name__ == "__main__":
    sys.exit(main())
