# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A kubeconfig for the fake API."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml


def content(url: str, *, context: str = "fake", namespace: str = "default", token: str = "fake-token") -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": context,
        "clusters": [{"name": context, "cluster": {"server": url}}],
        "users": [{"name": context, "user": {"token": token}}],
        "contexts": [{"name": context, "context": {"cluster": context, "user": context, "namespace": namespace}}],
    }


def write(path: Path | str, url: str, **options: str) -> str:
    target = Path(path)
    target.write_text(yaml.safe_dump(content(url, **options), sort_keys=False), encoding="utf-8")
    target.chmod(0o600)
    return str(target)
