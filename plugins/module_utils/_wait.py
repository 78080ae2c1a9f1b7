# Copyright: ragops.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Waiting: one watch per object, one predicate, one time limit, one explanation when it does not come."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.ragops.stack.plugins.module_utils._api import Api
from ansible_collections.ragops.stack.plugins.module_utils._errors import RagopsError, explain_exception, failure, http_status
from ansible_collections.ragops.stack.plugins.module_utils._explain import Finding, explain
from ansible_collections.ragops.stack.plugins.module_utils._progress import Progress
from ansible_collections.ragops.stack.plugins.module_utils._readiness import FAILED, PROGRESSING, READY, REFUSED, Predicate, Verdict

WATCH_SECONDS = 20  # a watch is opened anew after this; bounds how long a silent connection goes unnoticed
EXPLAIN_EVERY = 5.0  # seconds between looks at why something is still not ready
FATAL_AFTER = 20.0  # a cause that waiting cannot cure has to show for this long before the wait is given up


@dataclass(frozen=True)
class Target:
    kind: str
    name: str
    namespace: str | None
    predicate: Predicate
    api_version: str | None = None


class _Watcher(threading.Thread):
    """Keeps the latest verdict of one object; survives a lost API server."""

    def __init__(self, api: Api, target: Target, changed: threading.Event) -> None:
        super().__init__(daemon=True)
        self.api, self.target, self.changed = api, target, changed
        self.verdict = Verdict(PROGRESSING, "not looked at yet")
        self.since = time.monotonic()
        self.object: dict[str, Any] | None = None
        self.trouble: BaseException | None = None
        self.stopped = False

    def run(self) -> None:
        delay = 0.2
        while not self.stopped:
            try:
                self._follow()
                self.trouble, delay = None, 0.2
            except Exception as exc:
                if http_status(exc) in (401, 403):
                    self.trouble, self.stopped = exc, True
                elif http_status(exc) != 410:
                    self.trouble = exc
                self.changed.set()
                time.sleep(delay)
                delay = min(delay * 2, 5.0)

    def _follow(self) -> None:
        target = self.target
        obj = self.api.get(target.kind, target.name, target.namespace, target.api_version)
        self._see(obj)
        since = str(obj["metadata"]["resourceVersion"]) if obj else "0"
        for event in self.api.watch(target.kind, target.name, target.namespace, target.api_version, since, WATCH_SECONDS):
            self.trouble = None
            self._see(None if event["type"] == "DELETED" else event["object"])
            if self.stopped:
                return

    def _see(self, obj: dict[str, Any] | None) -> None:
        verdict = self.target.predicate(obj)
        self.object = obj
        if verdict.state != self.verdict.state:
            self.since = time.monotonic()
        self.verdict = verdict
        if verdict.state == READY:
            self.stopped = True
        self.changed.set()


def wait_for(
    api: Api,
    targets: Sequence[Target],
    timeout: float,
    progress: Progress,
    *,
    verb: str = "start",
    explain_with: Callable[[Api, str, str, str | None], list[Finding]] = explain,
) -> None:
    """Return when every target is ready; raise with cause and remedy when one fails or time is up."""
    changed = threading.Event()
    watchers = [_Watcher(api, t, changed) for t in targets]
    for watcher in watchers:
        watcher.start()
    start, next_look = time.monotonic(), time.monotonic() + EXPLAIN_EVERY
    suspects: dict[tuple[str, str], float] = {}
    try:
        while True:
            changed.wait(timeout=1.0)
            changed.clear()
            now = time.monotonic()
            pending = [w for w in watchers if w.verdict.state != READY]
            if not pending:
                return
            progress.say(_status_line(pending, len(watchers)))
            for watcher in pending:
                _give_up_on_failure(api, watcher, now, verb, explain_with)
            if now - start > timeout:
                raise _timed_out(api, pending, timeout, verb, explain_with)
            if now >= next_look:
                next_look = now + EXPLAIN_EVERY
                _give_up_on_hopeless(api, pending, suspects, now, verb, explain_with)
    finally:
        for watcher in watchers:
            watcher.stopped = True


def _status_line(pending: Sequence[_Watcher], total: int) -> str:
    words = []
    for w in pending[:4]:
        what = explain_exception(w.trouble, w.api.host)[0] if w.trouble else w.verdict.reason
        words.append(f"{w.target.kind} {w.target.name}: {what}")
    more = f" and {len(pending) - 4} more" if len(pending) > 4 else ""
    return f"waiting for {len(pending)} of {total}: {'; '.join(words)}{more}"


def _give_up_on_failure(api: Api, watcher: _Watcher, now: float, verb: str, explain_with: Callable[..., list[Finding]]) -> None:
    target, verdict = watcher.target, watcher.verdict
    if watcher.trouble is not None and http_status(watcher.trouble) in (401, 403):
        reason, remedy = explain_exception(watcher.trouble, api.host)
        raise RagopsError(failure("watch", target.kind, target.name, target.namespace, reason, remedy))
    if verdict.state in (FAILED, REFUSED) and now - watcher.since >= verdict.grace:
        raise _failed(api, watcher, verdict.reason, verb, explain_with)


def _give_up_on_hopeless(
    api: Api,
    pending: Sequence[_Watcher],
    suspects: dict[tuple[str, str], float],
    now: float,
    verb: str,
    explain_with: Callable[..., list[Finding]],
) -> None:
    for watcher in pending:
        findings = [f for f in _explain_safely(api, watcher, explain_with) if f.fatal]
        seen = {(watcher.target.name, f.cause) for f in findings}
        for key in [k for k in suspects if k[0] == watcher.target.name and k not in seen]:
            del suspects[key]
        for finding in findings:
            first = suspects.setdefault((watcher.target.name, finding.cause), now)
            if now - first >= FATAL_AFTER:
                raise _error(watcher.target, verb, finding.cause, finding.remedy, findings)


def _explain_safely(api: Api, watcher: _Watcher, explain_with: Callable[..., list[Finding]]) -> list[Finding]:
    """Looking for the cause must not itself end the wait: the API server may be away."""
    target = watcher.target
    try:
        return explain_with(api, target.kind, target.name, target.namespace)
    except Exception as exc:
        watcher.trouble = exc
        return []


def _failed(api: Api, watcher: _Watcher, reason: str, verb: str, explain_with: Callable[..., list[Finding]]) -> RagopsError:
    findings = _explain_safely(api, watcher, explain_with)
    cause = f"{reason}. {findings[0].cause}" if findings and findings[0].cause not in reason else reason
    return _error(watcher.target, verb, cause, findings[0].remedy if findings else "", findings)


def _timed_out(api: Api, pending: Sequence[_Watcher], timeout: float, verb: str, explain_with: Callable[..., list[Finding]]) -> RagopsError:
    watcher = pending[0]
    if watcher.trouble is not None:
        reason, remedy = explain_exception(watcher.trouble, api.host)
        return _error(watcher.target, verb, f"{reason}, for {timeout:.0f} seconds", remedy, [])
    findings = _explain_safely(api, watcher, explain_with)
    cause = f"not ready after {timeout:.0f} seconds ({watcher.verdict.reason})"
    if findings:
        return _error(watcher.target, verb, f"{cause}. {findings[0].cause}", findings[0].remedy, findings)
    return _error(watcher.target, verb, cause, "It may just be slow: raise wait_timeout, or look at its pods and events", [])


def _error(target: Target, verb: str, cause: str, remedy: str, findings: Sequence[Finding]) -> RagopsError:
    message = failure(verb, target.kind, target.name, target.namespace, cause, remedy)
    return RagopsError(message, findings=[f.as_dict() for f in findings])
