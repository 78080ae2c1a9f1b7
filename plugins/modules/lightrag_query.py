#!/usr/bin/python
# Copyright: ragops.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: lightrag_query
short_description: Ask LightRAG a question
description:
  - Asks through LightRAG's API and returns the answer and the documents it refers to.
author:
  - ragops.stack contributors (@ragops)
version_added: 0.1.0
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
  - ragops.stack._attributes.info
  - ragops.stack._lightrag
options:
  query:
    description: The question.
    type: str
    required: true
  mode:
    description: How to retrieve; see LightRAG's documentation.
    type: str
    choices: [local, global, hybrid, naive, mix, bypass]
    default: mix
  only_need_context:
    description: Return what was retrieved instead of an answer.
    type: bool
  top_k:
    description: Number of entities or relations to retrieve; the server's default when not given.
    type: int
  user_prompt:
    description: More instructions for the language model.
    type: str
  timeout:
    description: Longest time to wait for the answer, in seconds.
    type: int
    default: 300
"""

EXAMPLES = r"""
- name: Ask
  ragops.stack.lightrag_query:
    namespace: demo
    service: rag-lightrag
    app_key_secret: {name: rag-lightrag-api}
    query: When does the office open?
  register: asked
"""

RETURN = r"""
answer:
  description: The answer.
  returned: success
  type: str
references:
  description: The documents it refers to.
  returned: success
  type: list
  elements: dict
seconds:
  description: How long it took.
  returned: success
  type: float
"""

import time
from typing import Any

from ansible_collections.ragops.stack.plugins.module_utils._errors import RagopsError
from ansible_collections.ragops.stack.plugins.module_utils._lightrag import MODES, TARGET_OPTIONS, TARGET_RULES, Server
from ansible_collections.ragops.stack.plugins.module_utils._module import Session, run_module


def execute(session: Session) -> dict[str, Any]:
    params, start = session.params, time.monotonic()
    if not params["query"].strip():
        raise RagopsError("Failed to ask LightRAG: the question is empty. Set query.")
    options = {k: params[k] for k in ("only_need_context", "top_k", "user_prompt")}
    with Server(session) as app:
        got = app.query(params["query"], params["mode"], params["timeout"], **options)
    return {"changed": False, **got, "seconds": round(time.monotonic() - start, 2)}


def main() -> None:
    run_module(
        {
            **TARGET_OPTIONS,
            "query": {"type": "str", "required": True},
            "mode": {"type": "str", "choices": MODES, "default": "mix"},
            "only_need_context": {"type": "bool"},
            "top_k": {"type": "int"},
            "user_prompt": {"type": "str"},
            "timeout": {"type": "int", "default": 300},
        },
        execute,
        **TARGET_RULES,
    )


if __name__ == "__main__":
    main()
