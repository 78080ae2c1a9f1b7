# Copyright: ragops.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""JSON over HTTP with an application: behind a URL, or behind a Service that no Ingress exposes."""

from __future__ import annotations

import contextlib
import json
import urllib.error
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ansible.module_utils.urls import open_url
from ansible_collections.ragops.stack.plugins.module_utils._api import Api
from ansible_collections.ragops.stack.plugins.module_utils._errors import RagopsError
from ansible_collections.ragops.stack.plugins.module_utils._portforward import Forwarder, forwarded


@dataclass(frozen=True)
class Answer:
    status: int
    body: Any

    @property
    def text(self) -> str:
        """What the application says went wrong, in its own words."""
        detail = self.body.get("detail", self.body) if isinstance(self.body, dict) else self.body
        return detail if isinstance(detail, str) else json.dumps(detail)


class HttpClient:
    def __init__(
        self, url: str, *, headers: dict[str, str] | None = None, validate_certs: bool = True, ca_path: str | None = None, forwarder: Forwarder | None = None
    ):
        self.url, self._headers = url.rstrip("/"), {"Accept": "application/json", **(headers or {})}
        self._validate_certs, self._ca_path, self._forwarder = validate_certs, ca_path, forwarder

    def call(self, method: str, path: str, body: Any = None, timeout: float = 60.0) -> Answer:
        """Any HTTP status is an answer; only a server that cannot be reached is an error."""
        headers = dict(self._headers)
        data = None
        if body is not None:
            data, headers["Content-Type"] = json.dumps(body), "application/json"
        try:
            response = open_url(
                f"{self.url}{path}",
                data=data,
                headers=headers,
                method=method,
                timeout=timeout,
                validate_certs=self._validate_certs,
                ca_path=self._ca_path,
                use_proxy=self._forwarder is None,
                http_agent="ragops.stack",
            )
            return Answer(response.getcode(), _parsed(response.read()))
        except urllib.error.HTTPError as exc:
            return Answer(exc.code, _parsed(exc.read()))
        except Exception as exc:
            raise self._unreachable(method, path, exc, timeout) from exc

    def _unreachable(self, method: str, path: str, exc: Exception, timeout: float) -> RagopsError:
        if self._forwarder is not None and self._forwarder.trouble is not None:
            return RagopsError(str(self._forwarder.trouble))
        reason = getattr(exc, "reason", exc)
        words = f"no answer within {timeout:.0f} seconds" if isinstance(reason, TimeoutError) or "timed out" in str(exc) else str(reason)
        return RagopsError(f"Failed to {method} {self.url}{path}: {words}. Is the application running there, and is the URL right?")


def _parsed(data: bytes) -> Any:
    text = data.decode("utf-8", "replace")
    try:
        return json.loads(text)
    except ValueError:
        return text[:500]


@contextlib.contextmanager
def application(api: Api | None, params: dict[str, Any], headers: dict[str, str]) -> Iterator[HttpClient]:
    """A client for what ``url`` or ``namespace`` + ``service`` + ``port`` name; only a Service needs the cluster."""
    if api is None or params.get("url"):
        yield HttpClient(params["url"], headers=headers, validate_certs=params["app_validate_certs"], ca_path=params["app_ca_path"])
        return
    with forwarded(api, params["namespace"], service=params["service"], port=params["port"]) as forwarder:
        yield HttpClient(forwarder.url, headers=headers, forwarder=forwarder)
