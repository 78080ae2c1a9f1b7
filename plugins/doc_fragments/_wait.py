# Copyright: ragops.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    """Options of modules that wait; each module states its own default of wait_timeout."""

    DOCUMENTATION = r"""
options:
  wait:
    description:
      - Whether to wait until the result is there, or, when something is removed, until it is gone.
      - The wait ends early, with cause and remedy, when something shows that waiting will not cure.
    type: bool
    default: true
  wait_timeout:
    description: Longest wait, in seconds.
    type: int
    default: 300
"""
