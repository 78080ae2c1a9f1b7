# Copyright: ragops.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One shape for every failure: what could not be done, why, and what to do."""

from __future__ import annotations

import json
from typing import Any

from ansible_collections.kubernetes.core.plugins.module_utils.k8s.exceptions import CoreException
from ansible_collections.ragops.stack.plugins.module_utils._redact import redact_text


class RagopsError(CoreException):
    """A failure whose text is ready for the user; ``details`` become keys of the module's result."""

    def __init__(self, message: str, **details: Any) -> None:
        super().__init__(message)
        self.details = details


def full_name(name: str, namespace: str | None = None) -> str:
    return f"{namespace}/{name}" if namespace else name


def sentence(text: str) -> str:
    """End with exactly one full stop; a quoted or closed end stays as it is."""
    text = text.strip()
    return text if not text or text[-1] in ".!?" else f"{text}."


def failure(verb: str, kind: str, name: str, namespace: str | None, reason: str, remedy: str = "") -> str:
    """The one sentence every failure starts with."""
    head = f"Failed to {verb} {kind} {full_name(name, namespace)}: {sentence(reason)}"
    return f"{head} {sentence(remedy)}" if remedy else head


def api_status(exc: BaseException) -> dict[str, Any]:
    """The Status object inside an API error, or {} where the server sent none."""
    body = getattr(exc, "body", None)
    try:
        parsed = json.loads(body) if body else {}
    except (TypeError, ValueError):
        return {}
    return parsed if isinstance(parsed, dict) else {}


def http_status(exc: BaseException) -> int:
    """The HTTP status of an API error, 0 when the server was not reached."""
    return int(getattr(exc, "status", 0) or 0)


def _connection_reason(exc: BaseException, host: str) -> tuple[str, str] | None:
    text = f"{type(exc).__name__}: {exc}"
    pool = getattr(exc, "pool", None)  # urllib3 tells where, even when the client was never made
    if not host and pool is not None:
        host = f"{pool.scheme}://{pool.host}:{pool.port}"
    where = f"the API server {host}" if host else "the API server"
    if "CERTIFICATE_VERIFY_FAILED" in text:
        return f"{where} shows a certificate that the kubeconfig's CA did not sign", "Renew the kubeconfig, or name the CA with ca_cert"
    for mark, words in (
        ("Connection refused", "refuses the connection"),
        ("Name or service not known", "has a name that does not resolve"),
        ("Temporary failure in name resolution", "has a name that does not resolve"),
        ("timed out", "does not answer in time"),
        ("No route to host", "is out of reach (no route)"),
        ("Connection reset", "reset the connection"),
        ("RemoteDisconnected", "closed the connection"),
        ("MaxRetryError", "does not answer"),
    ):
        if mark in text:
            return f"{where} {words}", "Is the cluster running, and does kubeconfig/context name the right one? Try: kubectl cluster-info"
    return None


def explain_exception(exc: BaseException, host: str = "") -> tuple[str, str]:
    """(reason, remedy) of anything the client or the API server threw."""
    if isinstance(exc, RagopsError):
        return str(exc), ""
    name, status = type(exc).__name__, http_status(exc)
    message = redact_text(str(api_status(exc).get("message") or "") or str(getattr(exc, "reason", "") or exc))
    if name == "ConfigException" or (isinstance(exc, FileNotFoundError) and "kube" in str(exc)):
        return f"the kubeconfig cannot be used ({exc})", "Set kubeconfig (or K8S_AUTH_KUBECONFIG) to a readable file and context to one of its contexts"
    if status == 401:
        return "the API server does not accept the login (401 Unauthorized)", "Renew the token or certificate in the kubeconfig"
    if status == 403:
        remedy = "Grant the missing verb to this account" if "cannot" in message else "The namespace's quota, limits or pod security refuse it: see the reason"
        return message, remedy
    if name in ("ResourceNotFoundError", "ResourceNotUniqueError"):
        return f"the cluster does not know this kind ({exc})", "Install its CustomResourceDefinition first (role ragops.stack.kubeblocks for KubeBlocks kinds)"
    if status:
        return f"the API server answered {status}: {message}", ""
    return _connection_reason(exc, host) or (f"{name}: {exc}", "")
