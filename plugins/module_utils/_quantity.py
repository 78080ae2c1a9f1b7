# Copyright: ragops.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Kubernetes quantities compared by value: the server writes 0.5 as 500m and 0.26Gi as 279172874240m."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Any

_UNITS = {
    "": Fraction(1),
    "n": Fraction(1, 10**9),
    "u": Fraction(1, 10**6),
    "m": Fraction(1, 1000),
    **{u: Fraction(1000) ** (i + 1) for i, u in enumerate("kMGTPE")},
    **{f"{u}i": Fraction(1024) ** (i + 1) for i, u in enumerate("KMGTPE")},
}
_SHAPE = re.compile(r"^([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)(n|u|m|k|Ki|[MGTPE]i?)?$")


def parse_quantity(text: Any) -> Fraction | None:
    """The number a quantity stands for; None when it is not one."""
    if isinstance(text, bool) or not isinstance(text, (str, int, float)):
        return None
    found = _SHAPE.match(str(text).strip())
    return Fraction(found.group(1)) * _UNITS[found.group(2) or ""] if found else None


def same_value(a: Any, b: Any) -> bool:
    """Equal as they stand, or as quantities."""
    if a == b:
        return True
    left, right = parse_quantity(a), parse_quantity(b)
    return left is not None and left == right
