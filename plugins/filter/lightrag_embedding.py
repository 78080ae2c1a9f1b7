# Copyright: ragops.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which embeddings role lightrag is told to use."""

from __future__ import annotations

DOCUMENTATION = r"""
name: lightrag_embedding
version_added: 0.1.0
author:
  - ragops.stack contributors (@ragops)
short_description: Which embeddings role lightrag is told to use
description:
  - Model and dimension of the embeddings, from the options of role P(ragops.stack.lightrag#role) or its model connection.
positional: _input
options:
  _input:
    description: The options, as C(__lightrag_config) of the role holds them.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Show the embedding model
  ansible.builtin.debug:
    msg: "{{ {'groups': {'embedding': {'model': 'bge-m3', 'dim': 1024}}} | ragops.stack.lightrag_embedding }}"
"""

RETURN = r"""
_value:
  description: C(model) and C(dim), as texts; empty where they are not known.
  type: dict
"""

from collections.abc import Callable, Mapping
from typing import Any

from ansible_collections.ragops.stack.plugins.plugin_utils._lightrag import Config


def lightrag_embedding(raw: Mapping[str, Any]) -> dict[str, str]:
    """The filter."""
    embedding = Config.read(raw).embedding()
    return {"model": str(embedding.get("model") or ""), "dim": str(embedding.get("dim") or "")}


class FilterModule:
    """Where Ansible finds the filter."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Name and function."""
        return {"lightrag_embedding": lightrag_embedding}
