# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.ragops.stack.plugins.module_utils._quantity import parse_quantity, same_value


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [
        ("0.5", "500m", True),
        (1, "1", True),
        ("0.5Gi", "512Mi", True),
        ("0.26Gi", "279172874240m", True),
        ("1e3", "1k", True),
        ("1G", "1Gi", False),
        ("abc", "abc", True),
        ("abc", "abd", False),
        (True, 1, True),
        ({"a": 1}, {"a": 1}, True),
        (None, "0", False),
    ],
)
def test_equal_by_value(a: Any, b: Any, same: bool) -> None:
    assert same_value(a, b) is same


@pytest.mark.parametrize("text", ["", "Gi", "1.2.3", "5 Gi", "1Kib", None, [], True])
def test_what_is_no_quantity(text: Any) -> None:
    assert parse_quantity(text) is None
