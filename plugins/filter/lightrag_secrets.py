# Copyright: ragops.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which Secrets of others role lightrag is told to use."""

from __future__ import annotations

DOCUMENTATION = r"""
name: lightrag_secrets
version_added: 0.1.0
author:
  - ragops.stack contributors (@ragops)
short_description: Which Secrets of others role lightrag is told to use
description:
  - Secrets that the options of role P(ragops.stack.lightrag#role) refer to and that the role does not make.
  - Those of databases and of a model endpoint that follow in the same play are left out, since they are not there yet.
positional: _input
options:
  _input:
    description: The options, as C(__lightrag_config) of the role holds them.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Show which Secrets have to be there
  ansible.builtin.debug:
    msg: "{{ {'namespace': 'demo', 'groups': {'cloud': {'jina_api_key_secret': {'name': 'keys', 'key': 'jina'}}}} | ragops.stack.lightrag_secrets }}"
"""

RETURN = r"""
_value:
  description: Items with C(name) and C(namespace), as M(ragops.stack.preflight_info) takes them.
  type: list
  elements: dict
"""

from collections.abc import Callable, Mapping
from typing import Any

from ansible_collections.ragops.stack.plugins.plugin_utils._lightrag import Config, given_secrets


def lightrag_secrets(raw: Mapping[str, Any]) -> list[dict[str, str]]:
    """The filter."""
    config = Config.read(raw)
    return [{"name": name, "namespace": config.namespace} for name in given_secrets(config)]


class FilterModule:
    """Where Ansible finds the filter."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Name and function."""
        return {"lightrag_secrets": lightrag_secrets}
