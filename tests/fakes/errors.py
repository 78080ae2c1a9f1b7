# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Errors as the API server words them: a Status object with code, reason, message and details."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .resources import ResourceType

Json = dict[str, Any]

REASONS = {
    400: "BadRequest",
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    405: "MethodNotAllowed",
    409: "Conflict",
    410: "Expired",
    415: "UnsupportedMediaType",
    422: "Invalid",
    429: "TooManyRequests",
    500: "InternalError",
    503: "ServiceUnavailable",
    504: "Timeout",
}


class ApiError(Exception):
    """A refusal; the server turns it into a Status body."""

    def __init__(self, code: int, message: str, reason: str | None = None, details: Json | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.reason = reason if reason is not None else REASONS.get(code, "")
        self.details = details
        self.retry_after: float | None = None

    def status(self) -> Json:
        body: Json = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "code": self.code,
        }
        if self.reason:
            body["reason"] = self.reason
        if self.details is not None:
            body["details"] = self.details
        return body


def _details(rtype: ResourceType, name: str) -> Json:
    details: Json = {"name": name} if name else {}
    if rtype.group:
        details["group"] = rtype.group
    details["kind"] = rtype.plural
    return details


def not_found(rtype: ResourceType, name: str) -> ApiError:
    return ApiError(404, f'{rtype.qualified} "{name}" not found', details=_details(rtype, name))


def already_exists(rtype: ResourceType, name: str) -> ApiError:
    return ApiError(409, f'{rtype.qualified} "{name}" already exists', "AlreadyExists", _details(rtype, name))


def stale(rtype: ResourceType, name: str) -> ApiError:
    return ApiError(
        409,
        f'Operation cannot be fulfilled on {rtype.qualified} "{name}": the object has been modified; '
        "please apply your changes to the latest version and try again",
        details=_details(rtype, name),
    )


def precondition_failed(rtype: ResourceType, name: str, what: str, wanted: str, found: str) -> ApiError:
    return ApiError(
        409,
        f'Operation cannot be fulfilled on {rtype.kind}{"." + rtype.group if rtype.group else ""} "{name}": the {what} in the precondition ({wanted}) '
        f"does not match the {what} in record ({found}). The object might have been deleted and then recreated",
        details={**_details(rtype, name), "kind": rtype.kind},
    )


def apply_conflict(conflicts: Sequence[tuple[str, str]]) -> ApiError:
    """conflicts: (manager as the server prints it, field path)."""
    causes = [{"reason": "FieldManagerConflict", "message": f"conflict with {manager}", "field": path} for manager, path in conflicts]
    if len(conflicts) == 1:
        message = f"Apply failed with 1 conflict: conflict with {conflicts[0][0]}: {conflicts[0][1]}"
    else:
        lines: list[str] = []
        for manager in sorted({manager for manager, _path in conflicts}):
            lines.append(f"conflicts with {manager}:")
            lines.extend(f"- {path}" for other, path in conflicts if other == manager)
        message = f"Apply failed with {len(conflicts)} conflicts: " + "\n".join(lines)
    return ApiError(409, message, details={"causes": causes})


def invalid(rtype: ResourceType, name: str, problems: Sequence[tuple[str, str, str]]) -> ApiError:
    """problems: (field, text such as 'Required value: ...', cause such as FieldValueRequired)."""
    texts = [f"{field}: {text}" for field, text, _cause in problems]
    listed = texts[0] if len(texts) == 1 else "[" + ", ".join(texts) + "]"
    kind = f"{rtype.kind}.{rtype.group}" if rtype.group else rtype.kind
    details: Json = {"name": name} if name else {}
    if rtype.group:
        details["group"] = rtype.group
    details["kind"] = rtype.kind
    details["causes"] = [{"reason": cause, "message": text, "field": field} for field, text, cause in problems]
    return ApiError(422, f'{kind} "{name}" is invalid: {listed}', details=details)


def forbidden(rtype: ResourceType, name: str, why: str, causes: Sequence[Json] = ()) -> ApiError:
    named = f' "{name}"' if name else ""
    details = _details(rtype, name)
    if causes:
        details["causes"] = list(causes)
    return ApiError(403, f"{rtype.qualified}{named} is forbidden: {why}", details=details)


def cannot(user: str, verb: str, rtype: ResourceType, namespace: str | None, name: str, subresource: str = "") -> ApiError:
    """What RBAC says."""
    resource = f"{rtype.plural}/{subresource}" if subresource else rtype.plural
    where = f'in the namespace "{namespace}"' if namespace else "at the cluster scope"
    return forbidden(rtype, name, f'User "{user}" cannot {verb} resource "{resource}" in API group "{rtype.group}" {where}')


def bad_request(message: str) -> ApiError:
    return ApiError(400, message)


def expired(asked: int, oldest: int) -> ApiError:
    return ApiError(410, f"too old resource version: {asked} ({oldest})", "Expired")


def unsupported_media(accepted: Sequence[str]) -> ApiError:
    return ApiError(
        415,
        "the body of the request was in an unknown format - accepted media types include: " + ", ".join(accepted),
        "UnsupportedMediaType",
    )
