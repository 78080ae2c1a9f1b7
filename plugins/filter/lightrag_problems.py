# Copyright: ragops.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What speaks against the options of role lightrag."""

from __future__ import annotations

DOCUMENTATION = r"""
name: lightrag_problems
author:
  - ragops.stack contributors (@ragops)
short_description: What speaks against the options of role lightrag
description:
  - Checks the options of role P(ragops.stack.lightrag#role) against the limits of LightRAG, and of the index types of its stores.
  - Each problem is one line that names the cause and the remedy.
positional: _input
options:
  _input:
    description: The options, as C(__lightrag_config) of the role holds them.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Refuse what LightRAG cannot do
  ansible.builtin.assert:
    that: (config | ragops.stack.lightrag_problems) | length == 0
    fail_msg: "{{ config | ragops.stack.lightrag_problems | join('\n') }}"
  vars:
    config:
      port: 9621
      storage: {kv: files, vector: files, graph: files, doc_status: files}
      model:
        base_url: http://rag-model:8000/v1
        binding: openai
        llm_model: ragops-stub
        embedding_model: ragops-stub-embedding
        embedding_dim: 256
        secret: {name: rag-model, key: api-key}
"""

RETURN = r"""
_value:
  description: One line a problem; empty when there is none.
  type: list
  elements: str
"""

from collections.abc import Callable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.ragops.stack.plugins.plugin_utils._lightrag import Config, problems


def lightrag_problems(raw: Mapping[str, Any]) -> list[str]:
    """The filter."""
    try:
        return problems(Config.read(raw))
    except (AttributeError, TypeError, ValueError) as error:
        raise AnsibleFilterError(f"Failed to check the options of LightRAG: {error!r}. Compare their types with the role's README.") from error


class FilterModule:
    """Where Ansible finds the filter."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Name and function."""
        return {"lightrag_problems": lightrag_problems}
