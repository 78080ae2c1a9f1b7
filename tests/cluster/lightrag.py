# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""LightRAG as its users see it, without the collection."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tests.cluster.kube import Answer, Kube, wait


@dataclass
class LightRag:
    """A LightRAG behind a Service."""

    kube: Kube
    namespace: str
    service: str = "rag-lightrag"
    port: int = 9621

    @property
    def key(self) -> str:
        return self.kube.values(f"{self.service}-api", self.namespace)["api-key"]

    def call(self, method: str, path: str, body: Any = None, key: str | None = None) -> Answer:
        return self.kube.http(self.namespace, self.service, self.port, method, path, body, self.key if key is None else key)

    def insert(self, source: str, text: str) -> None:
        answer = self.call("POST", "/documents/text", {"text": text, "file_source": source})
        assert answer.status == 200, answer
        track = answer.body["track_id"]
        wait(lambda: self._processed(track), 120, f"document {source} to be processed")

    def _processed(self, track: str) -> bool:
        answer = self.call("GET", f"/documents/track_status/{track}")
        documents = answer.body["documents"] if answer.status == 200 else []
        assert not any(d["status"].lower() == "failed" for d in documents), documents
        return bool(documents) and all(d["status"].lower() == "processed" for d in documents)

    def ask(self, question: str, mode: str = "mix") -> str:
        answer = self.call("POST", "/query", {"query": question, "mode": mode})
        assert answer.status == 200, answer
        return str(answer.body["response"])

    def answers(self, question: str, fact: str, timeout: float = 180) -> None:
        """Wait until the answer has the fact: a server that comes up again refuses or fails for a while."""

        def knows() -> bool:
            got = self.call("POST", "/query", {"query": question, "mode": "mix"})
            return got.status == 200 and fact in str(got.body["response"])

        wait(knows, timeout, f"LightRAG {self.namespace}/{self.service} to answer with {fact}")

    def documents(self) -> list[str]:
        """Names of all that are there."""
        answer = self.call("POST", "/documents/paginated", {"page": 1, "page_size": 200})
        assert answer.status == 200, answer
        return [d["file_path"] for d in answer.body["documents"]]
