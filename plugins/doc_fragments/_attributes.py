# Copyright: ragops.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    """What every module of the collection supports."""

    DOCUMENTATION = r"""
options: {}
attributes:
  check_mode:
    description: Can run in check mode and return what a run would change, without changing anything.
    support: full
  diff_mode:
    description: Returns what changed, or in check mode what would change, with secrets masked.
    support: full
  idempotent:
    description: A second run with the same arguments changes nothing.
    support: full
  action_group:
    description: Use C(group/ragops.stack.k8s) in C(module_defaults) to set the cluster for this module.
    support: full
    membership:
      - ragops.stack.k8s
requirements:
  - python >= 3.10
  - kubernetes >= 29.0.0
  - PyYAML >= 3.11
"""

    # For modules that only read, or whose effect does not last.
    INFO = r"""
options: {}
attributes:
  check_mode:
    description: Can run in check mode and return what a run would change, without changing anything.
    support: full
  diff_mode:
    description: Returns what changed, or in check mode what would change, with secrets masked.
    support: none
    details: It changes nothing that lasts.
  idempotent:
    description: A second run with the same arguments changes nothing.
    support: full
  action_group:
    description: Use C(group/ragops.stack.k8s) in C(module_defaults) to set the cluster for this module.
    support: full
    membership:
      - ragops.stack.k8s
requirements:
  - python >= 3.10
  - kubernetes >= 29.0.0
  - PyYAML >= 3.11
"""
