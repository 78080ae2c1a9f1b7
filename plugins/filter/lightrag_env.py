# Copyright: ragops.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of role lightrag as the env of its container."""

from __future__ import annotations

DOCUMENTATION = r"""
name: lightrag_env
author:
  - ragops.stack contributors (@ragops)
short_description: Options of role lightrag as the environment of the container
description:
  - Turns the options of role P(ragops.stack.lightrag#role) into the C(env) list of a container.
  - Options that are not set are left out. Secrets come in by C(secretKeyRef) only.
positional: _input
options:
  _input:
    description: The options, as C(__lightrag_config) of the role holds them.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Show what LightRAG would be given
  ansible.builtin.debug:
    msg: "{{ config | ragops.stack.lightrag_env }}"
  vars:
    config:
      port: 9621
      storage: {kv: files, vector: files, graph: files, doc_status: files}
      groups:
        query: {top_k: 40}
"""

RETURN = r"""
_value:
  description: Items with C(name) and C(value) or C(valueFrom), in a stable order.
  type: list
  elements: dict
"""

from collections.abc import Callable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.ragops.stack.plugins.plugin_utils._lightrag import Config, environment


def lightrag_env(raw: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The filter."""
    try:
        return environment(Config.read(raw))
    except (KeyError, TypeError, ValueError) as error:
        raise AnsibleFilterError(f"Failed to render the environment of LightRAG: {error!r}. Let the role's preflight say what is wrong.") from error


class FilterModule:
    """Where Ansible finds the filter."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Name and function."""
        return {"lightrag_env": lightrag_env}
