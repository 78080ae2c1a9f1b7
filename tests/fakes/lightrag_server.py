# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A stand-in for LightRAG's HTTP API, as far as the modules use it: for failures that a real server does not show on demand."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

Json = dict[str, Any]


class FakeLightRag:
    """Documents in memory; answers with the text of the first one. ``fail_with``: every new document fails with this error."""

    def __init__(self, key: str = "right-key") -> None:
        self.key, self.fail_with = key, ""
        self.busy_answers = 0
        self.broken_status = 0
        self.documents: dict[str, Json] = {}
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> FakeLightRag:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, method: str, path: str, body: Json) -> tuple[int, Any]:
        if self.broken_status:
            return self.broken_status, {"detail": "internal trouble"}
        route = f"{method} {path.split('?')[0]}"
        if route.startswith("GET /documents/track_status/"):
            track = path.rsplit("/", 1)[-1]
            return 200, {"documents": [d for d in self.documents.values() if d["track_id"] == track]}
        return {
            "GET /auth/verify": lambda: (200, {}),
            "GET /documents/status_counts": lambda: (200, {"status_counts": {"processed": len(self.documents)}}),
            "GET /documents/pipeline_status": lambda: (200, {"busy": False}),
            "POST /documents/text": lambda: self._insert(body),
            "POST /documents/paginated": lambda: (200, {"documents": list(self.documents.values()), "pagination": {"has_next": False}}),
            "DELETE /documents/delete_document": lambda: self._delete(body),
            "POST /query": lambda: self._query(),
        }.get(route, lambda: (404, {"detail": "Not Found"}))()

    def _insert(self, body: Json) -> tuple[int, Any]:
        source = body["file_source"]
        if source in self.documents:
            return 409, {"detail": f"{source} is already there"}
        track = f"track-{len(self.documents)}"
        status = {"status": "failed", "error_msg": self.fail_with} if self.fail_with else {"status": "processed"}
        self.documents[source] = {"id": f"doc-{source}", "file_path": source, "track_id": track, "text": body["text"], **status}
        return 200, {"status": "success", "track_id": track}

    def _delete(self, body: Json) -> tuple[int, Any]:
        if self.busy_answers:
            self.busy_answers -= 1
            return 200, {"status": "busy", "message": "another job runs"}
        self.documents = {s: d for s, d in self.documents.items() if d["id"] not in body["doc_ids"]}
        return 200, {"status": "deletion_started"}

    def _query(self) -> tuple[int, Any]:
        first = next(iter(self.documents.values()), None)
        if first is None:
            return 200, {"response": "no context", "references": []}
        return 200, {"response": first["text"], "references": [{"reference_id": "1", "file_path": first["file_path"]}]}

    def _handler(fake) -> type[BaseHTTPRequestHandler]:  # noqa: N805 - the handler's own self is another
        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_args: Any) -> None:
                return

            def _serve(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"{}")
                allowed = self.headers.get("X-API-Key") == fake.key
                status, answer = fake.answer(self.command, self.path, body) if allowed else (403, {"detail": "Invalid API Key"})
                data = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = do_DELETE = _serve

        return Handler
