"""What a build stage must know of this host to reach its package sources: CA bundle, pip settings, apt mirror."""

from __future__ import annotations

import os
import shutil
import ssl
from collections.abc import Mapping
from pathlib import Path

from .errors import LocalError
from .shell import quiet

PIP_KEYS = {"index-url", "extra-index-url", "trusted-host", "proxy", "default-timeout", "timeout", "retries"}


def ca_bundle(environ: Mapping[str, str]) -> Path | None:
    """The host's CA bundle: egress may have a CA of its own, which no image knows."""
    default = ssl.get_default_verify_paths().cafile
    for name in (environ.get("SSL_CERT_FILE"), environ.get("PIP_CERT"), "/etc/ssl/certs/ca-certificates.crt", default):
        if name and Path(name).is_file():
            return Path(name)
    return None


def pip_conf(listing: str) -> str:
    """`pip config list` as a pip.conf, without what only means something on the host (paths)."""
    kept: dict[str, str] = {}
    for line in listing.splitlines():
        name, _equals, value = line.partition("=")
        key = name.rpartition(".")[2].strip()
        if key in PIP_KEYS:
            kept.setdefault(key, value.strip().strip("'\""))
    return "".join(["[global]\n", *(f"{key} = {value}\n" for key, value in sorted(kept.items()))])


def write(where: Path) -> None:
    """Put ca.crt and pip.conf into a build context; the Dockerfiles use them in the build stage only."""
    bundle = ca_bundle(os.environ)
    target = where / "ca.crt"
    if bundle:
        shutil.copyfile(bundle, target)
    else:
        target.write_text("")
    code, out, _err = quiet(["python3", "-m", "pip", "config", "list"])
    conf = pip_conf(out if code == 0 else "")
    if bundle:
        conf += "cert = /ca.crt\n"
    (where / "pip.conf").write_text(conf)


def apt_mirror(root: Path = Path("/etc/apt")) -> str:
    """The Debian mirror this host uses."""
    for path in sorted((root / "sources.list.d").glob("*.sources")):
        for line in path.read_text().splitlines():
            if line.lower().startswith("uris:"):
                return line.split()[1]
    lists = [root / "sources.list", *sorted((root / "sources.list.d").glob("*.list"))]
    for path in (item for item in lists if item.is_file()):
        for line in path.read_text().splitlines():
            words = [word for word in line.split() if not word.startswith("[") and not word.endswith("]")]
            if len(words) > 2 and words[0] == "deb":
                return words[1]
    raise LocalError("no Debian mirror found in /etc/apt", "building the images needs a Debian host with apt sources")
