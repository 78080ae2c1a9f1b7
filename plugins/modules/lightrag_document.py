#!/usr/bin/python
# Copyright: ragops.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: lightrag_document
short_description: Keep text documents in LightRAG
description:
  - Inserts documents through LightRAG's API and waits until they are processed, or deletes them.
  - A document is known by its source. A source that is already there is left alone, whatever its text.
author:
  - ragops.stack contributors (@ragops)
version_added: 0.1.0
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
  - ragops.stack._attributes
  - ragops.stack._wait
  - ragops.stack._lightrag
options:
  documents:
    description: The documents.
    type: list
    elements: dict
    required: true
    suboptions:
      source:
        description: Name that identifies the document, such as a file name. Answers refer to it.
        type: str
        required: true
      text:
        description: Its text.
        type: str
      path:
        description: UTF-8 text file on the host running the module, instead of O(documents[].text).
        type: path
      state:
        description: Whether it has to be there.
        type: str
        choices: [present, absent]
        default: present
  wait_timeout:
    default: 600
"""

EXAMPLES = r"""
- name: Load a small corpus
  ragops.stack.lightrag_document:
    namespace: demo
    service: rag-lightrag
    app_key_secret: {name: rag-lightrag-api}
    documents:
      - source: handbook.txt
        text: The office opens at nine.
      - source: old-handbook.txt
        state: absent
"""

RETURN = r"""
documents:
  description: What happened to each document.
  returned: success
  type: list
  elements: dict
  contains:
    source:
      description: Its source.
      type: str
    id:
      description: LightRAG's id of it; empty in check mode for one that is not there yet.
      type: str
    status:
      description: LightRAG's status of it, or C(absent).
      type: str
    operation:
      description: One of C(inserted), C(deleted), C(unchanged).
      type: str
"""

from pathlib import Path
from typing import Any

from ansible_collections.ragops.stack.plugins.module_utils._errors import RagopsError
from ansible_collections.ragops.stack.plugins.module_utils._lightrag import TARGET_OPTIONS, TARGET_RULES, LightRag, Server
from ansible_collections.ragops.stack.plugins.module_utils._module import Session, run_module, wait_options


def text_of(document: dict[str, Any]) -> str:
    """Read before the first write, so that a missing file stops the whole list."""
    source = document["source"]
    if not source.strip():
        raise RagopsError("Failed to insert a document: its source is empty. Give it a name such as handbook.txt.")
    if document["path"]:
        try:
            text = Path(document["path"]).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as exc:
            raise RagopsError(f"Failed to insert document {source}: {document['path']} cannot be read as UTF-8 text ({exc}). Correct the path.") from exc
    else:
        text = document["text"] or ""
    if not text.strip():
        raise RagopsError(f"Failed to insert document {source}: it has no text. Set text or path.")
    return text


def execute(session: Session) -> dict[str, Any]:
    params = session.params
    texts = {d["source"]: text_of(d) for d in params["documents"] if d["state"] == "present"}
    with Server(session) as app:
        there = app.find({d["source"] for d in params["documents"]})
        results = [ensure(app, session, d, texts.get(d["source"], ""), there.get(d["source"])) for d in params["documents"]]
        if params["wait"] and not session.check_mode:
            for result in results:
                track = result.pop("track_id", None)
                if track:
                    done = app.wait_processed(track, result["source"], params["wait_timeout"])
                    result.update(id=done["id"], status=str(done["status"]).lower())
    for result in results:
        result.pop("track_id", None)
    changes = [f"{r['operation']} {r['source']}" for r in results if r["operation"] != "unchanged"]
    diff = {"before": "", "after": "\n".join(changes) + "\n" if changes else ""}
    return {"changed": bool(changes), "documents": results, "diff": diff}


def ensure(app: LightRag, session: Session, document: dict[str, Any], text: str, live: dict[str, Any] | None) -> dict[str, Any]:
    source = document["source"]
    if document["state"] == "absent":
        if live is None:
            return {"source": source, "id": "", "status": "absent", "operation": "unchanged"}
        if not session.check_mode:
            app.delete([live], session.params["wait_timeout"])
        return {"source": source, "id": live["id"], "status": "absent", "operation": "deleted"}
    if live is not None:
        if str(live.get("status", "")).lower() == "failed":
            session.warn(f"Document {source} is in LightRAG but failed to process: {live.get('error_msg')}")
        return {"source": source, "id": live["id"], "status": str(live["status"]).lower(), "operation": "unchanged"}
    result = {"source": source, "id": "", "status": "pending", "operation": "inserted"}
    if not session.check_mode:
        track = app.insert(source, text)
        if track is None:
            return {**result, "operation": "unchanged", "status": "present"}
        result["track_id"] = track
    return result


def main() -> None:
    document = {
        "source": {"type": "str", "required": True},
        "text": {"type": "str"},
        "path": {"type": "path"},
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    }
    run_module(
        {
            **TARGET_OPTIONS,
            "documents": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": document,
                "mutually_exclusive": [("text", "path")],
            },
            **wait_options(600),
        },
        execute,
        **TARGET_RULES,
    )


if __name__ == "__main__":
    main()
