#!/usr/bin/python
# Copyright: ragops.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: rag_proof
short_description: Prove that a RAG application answers from what it was told
description:
  - Makes up a fact, asks for it (it must not be known), ingests it, asks again (now it must be in the answer, with its document
    as reference), and deletes it.
  - Works on any deployment of the application, whoever made it, and leaves nothing behind.
  - In check mode it only logs in.
author:
  - ragops.stack contributors (@ragops)
version_added: 0.1.0
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
  - ragops.stack._attributes.info
  - ragops.stack._lightrag
options:
  app:
    description: The application.
    type: str
    choices: [lightrag]
    default: lightrag
  mode:
    description: How the application retrieves.
    type: str
    choices: [local, global, hybrid, naive, mix]
    default: mix
  wait_timeout:
    description: Longest time for ingesting, for each answer and for deleting, in seconds.
    type: int
    default: 300
"""

EXAMPLES = r"""
- name: Prove that the stack answers
  ragops.stack.rag_proof:
    namespace: demo
    service: rag-lightrag
    app_key_secret: {name: rag-lightrag-api}

- name: Prove a server that somebody else runs
  ragops.stack.rag_proof:
    url: https://rag.example.com
    app_key: "{{ lookup('ansible.builtin.env', 'RAG_KEY') }}"
"""

RETURN = r"""
proof:
  description: What was asked and answered.
  returned: success, not in check mode
  type: dict
  contains:
    question:
      description: The question after ingesting.
      type: str
    answer:
      description: The answer, which has the fact.
      type: str
    reference:
      description: Name of the document the answer refers to.
      type: str
    negative_control:
      description: What it answered before the fact was written.
      type: str
    seconds:
      description: Seconds for each of C(login), C(negative), C(insert), C(process), C(query), C(delete) and C(total).
      type: dict
"""

from typing import Any

from ansible_collections.ragops.stack.plugins.module_utils._errors import RagopsError
from ansible_collections.ragops.stack.plugins.module_utils._lightrag import TARGET_OPTIONS, TARGET_RULES, LightRag, Server
from ansible_collections.ragops.stack.plugins.module_utils._module import Session, run_module
from ansible_collections.ragops.stack.plugins.module_utils._proof import make_nonce, prove


class LightRagApp:
    """LightRAG, as the proof wants an application."""

    def __init__(self, rag: LightRag, mode: str, timeout: float) -> None:
        self._rag, self._mode, self._timeout = rag, mode, timeout
        self._tickets: dict[str, str] = {}

    def login(self) -> None:
        self._rag.verify_login()

    def ask(self, question: str) -> dict[str, Any]:
        return self._rag.query(question, self._mode, self._timeout)

    def tell(self, source: str, text: str) -> str:
        ticket = self._rag.insert(source, text)
        if ticket is None:
            raise RagopsError(f"Failed to ingest the proof's document: a document named {source} is already there. Delete it.")
        self._tickets[source] = ticket
        return ticket

    def wait(self, ticket: str, source: str) -> None:
        self._rag.wait_processed(ticket, source, self._timeout)

    def forget(self, source: str, timeout: float | None = None) -> None:
        documents = self._rag.tracked(self._tickets[source])
        if documents:
            self._rag.delete(documents, timeout or self._timeout)


def execute(session: Session) -> dict[str, Any]:
    params = session.params
    with Server(session) as rag:
        app = LightRagApp(rag, params["mode"], params["wait_timeout"])
        if session.check_mode:
            app.login()
            return {"changed": False}
        return {"changed": False, "proof": prove(app, make_nonce())}


def main() -> None:
    run_module(
        {
            **TARGET_OPTIONS,
            "app": {"type": "str", "choices": ["lightrag"], "default": "lightrag"},
            "mode": {"type": "str", "choices": ["local", "global", "hybrid", "naive", "mix"], "default": "mix"},
            "wait_timeout": {"type": "int", "default": 300},
        },
        execute,
        **TARGET_RULES,
    )


if __name__ == "__main__":
    main()
