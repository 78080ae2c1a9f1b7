# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kubernetes quantities in the form the API server gives them back."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

_BINARY = ("", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei")
_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BY_EXPONENT = {exponent: suffix for suffix, exponent in _DECIMAL.items()}
_SHAPE = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+))(Ki|Mi|Gi|Ti|Pi|Ei|[numkMGTPE]|[eE][+-]?\d+)?")


def parse(value: Any) -> Decimal:
    match = _SHAPE.fullmatch(str(value).strip())
    if not match:
        raise ValueError("quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'")
    number, suffix = Decimal(match[1]), match[2] or ""
    if suffix in _BINARY and suffix:
        return number * 1024 ** _BINARY.index(suffix)
    if suffix in _DECIMAL:
        return number.scaleb(_DECIMAL[suffix])
    return number.scaleb(int(suffix[1:]))


def canonical(value: Any) -> str:
    """ "1000m" -> "1", "0.5" -> "500m", "1024Mi" -> "1Gi", "0.26Gi" -> "279172874240m"."""
    text = str(value).strip()
    amount = parse(text)
    if amount == 0:
        return "0"
    if text.endswith("i") and abs(amount) >= 1024 and amount == amount.to_integral_value():
        whole, power = int(amount), 0
        while whole % 1024 == 0 and power < len(_BINARY) - 1:
            whole, power = whole // 1024, power + 1
        return f"{whole}{_BINARY[power]}"
    whole, exponent = int((amount.scaleb(9)).to_integral_value(rounding="ROUND_UP")), -9
    while whole % 1000 == 0 and exponent < 18:
        whole, exponent = whole // 1000, exponent + 3
    return f"{whole}{_BY_EXPONENT[exponent]}"
