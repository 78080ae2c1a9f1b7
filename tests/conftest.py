# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every test lane shares: the collection under its own name, straight from this tree."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# `ansible_collections` is a namespace package: this tree's link and kubernetes.core in site-packages meet in it.
for folder in (ROOT / ".collections", ROOT):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
