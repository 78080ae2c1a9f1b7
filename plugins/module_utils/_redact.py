# Copyright: ragops.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Secrets taken out of everything that is shown: diffs, log lines, server messages, recorded revisions."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable
from typing import Any

MASK = "********"

# What a log line or a server message may carry: URL credentials, key=value, JSON values, bearer tokens, SQL passwords.
_PATTERNS = (
    (re.compile(r"(\b[a-z][a-z0-9+.-]*://[^\s/:@]*:)[^\s@/]+(@)", re.I), rf"\1{MASK}\2"),
    (re.compile(r"(\bbearer\s+)[A-Za-z0-9._~+/=-]{8,}", re.I), rf"\1{MASK}"),
    (re.compile(r"(\bpassword\s+)'(?:[^']|'')*'", re.I), rf"\1'{MASK}'"),
    (
        re.compile(
            r"""((?:password|passwd|secret|token|api[-_]?key)["']?\s*[=:]\s*["']?)(?!\*{8})[^\s"',;}]{3,}""",
            re.I,
        ),
        rf"\1{MASK}",
    ),
    (re.compile(r"\bsk-[A-Za-z0-9_-]{8,}"), MASK),
)


def redact_text(text: str, secrets: Iterable[str] = ()) -> str:
    """Mask the given values and everything that looks like a credential."""
    for value in sorted({s for s in secrets if s and len(s) >= 3}, key=len, reverse=True):
        text = text.replace(value, MASK)
    for pattern, replacement in _PATTERNS:
        text = pattern.sub(replacement, text)
    return text


def redact_object(definition: dict[str, Any] | None, other: dict[str, Any] | None = None) -> dict[str, Any]:
    """A copy that may be shown. ``other`` is the same Secret before: changed values are told apart, not shown."""
    shown = copy.deepcopy(definition or {})
    metadata = shown.get("metadata") or {}
    metadata.pop("managedFields", None)
    annotations = metadata.get("annotations") or {}
    annotations.pop("kubectl.kubernetes.io/last-applied-configuration", None)
    if shown.get("kind") == "Secret":
        for field in ("data", "stringData"):
            values, before = shown.get(field) or {}, (other or {}).get(field) or {}
            for key, value in values.items():
                changed = other is not None and before.get(key) != value
                values[key] = f"{MASK} (changed)" if changed else MASK
    return shown
