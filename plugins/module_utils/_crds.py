# Copyright: ragops.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""CustomResourceDefinitions of megabytes, quickly: sent as the text they are, and only when that text is new.

Parsing ten megabytes of YAML takes seconds, and the API server parses them anyway. So a document is read for its
name only, gets two annotations written into its text, and goes to server-side apply as it is.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.ragops.stack.plugins.module_utils._errors import RagopsError, explain_exception, failure, http_status, sentence
from ansible_collections.ragops.stack.plugins.module_utils._module import FIELD_MANAGER
from ansible_collections.ragops.stack.plugins.module_utils._preflight import METADATA, METADATA_LIST, Reader, served_crds

PATH = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
SHA = "ragops.stack/sha256"
SOURCE = "ragops.stack/source"  # only for a URL: which one, and how many definitions it holds
PARALLEL = 4
CREATED, REPLACED, UNCHANGED, KEPT, DELETED = "created", "replaced", "unchanged", "kept", "deleted"

_METADATA_LINE = re.compile(r"^metadata:[ \t]*\n", re.M)
_NAME_LINE = re.compile(r"^  name:[ \t]*[\"']?([a-z0-9.-]+)[\"']?[ \t]*$", re.M)
_ANNOTATIONS_LINE = re.compile(r"^  annotations:[ \t]*\n(?=    \S)", re.M)


@dataclass(frozen=True)
class Document:
    name: str
    text: str
    source: str = ""  # URL it came from, with the number of definitions there

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()

    def stamped(self) -> str:
        """The text with our annotations in it."""
        notes = {SHA: self.digest, **({SOURCE: self.source} if self.source else {})}
        lines = "".join(f"    {key}: {json.dumps(value)}\n" for key, value in notes.items())
        start, end = _metadata_block(self.text)
        block = self.text[start:end]
        match = _ANNOTATIONS_LINE.search(block)
        at = start + (match.end() if match else 0)
        return self.text[:at] + ("" if match else "  annotations:\n") + lines + self.text[at:]


def _metadata_block(text: str) -> tuple[int, int]:
    """Where the lines below the top-level ``metadata:`` are."""
    head = _METADATA_LINE.search(text)
    if head is None:
        return 0, 0
    tail = re.compile(r"^[^\s#]", re.M).search(text, head.end())
    return head.end(), tail.start() if tail else len(text)


def _normal_form(text: str, origin: str) -> list[str]:
    """Any other way to write it (JSON, another indentation, a List), brought into the form that is read without parsing."""
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        found = yaml.load(text, Loader=loader)  # noqa: S506 - a safe loader in either case
    except yaml.YAMLError as exc:
        raise RagopsError(f"Failed to read the definitions in {origin}: {sentence(str(exc))} Is it a YAML file of CustomResourceDefinitions?") from exc
    if not isinstance(found, dict):
        found = {}
    documents = []
    for item in found.get("items") or [found]:
        if item.get("kind") != "CustomResourceDefinition" or not (item.get("metadata") or {}).get("name"):
            kind = item.get("kind") or "no kind"
            raise RagopsError(f"Failed to read the definitions in {origin}: it holds something else ({kind}). Name files of CustomResourceDefinitions only")
        item["metadata"] = {k: v for k, v in item["metadata"].items() if v}
        dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
        documents.append(yaml.dump(item, Dumper=dumper, indent=2, sort_keys=False))
    return documents


def parse(text: str, origin: str, source: str = "") -> list[Document]:
    """All definitions in a text, read no further than their names."""
    pieces = [p for p in re.split(r"^---[ \t]*.*$\n?", text, flags=re.M) if re.search(r"^[^#\s]", p, re.M)]
    documents = []
    for piece in pieces:
        plain = re.search(r"^kind:[ \t]*CustomResourceDefinition[ \t]*$", piece, re.M)
        start, end = _metadata_block(piece)
        name = _NAME_LINE.search(piece[start:end])
        simple = plain and name and not re.search(r"^  annotations:[ \t]*\S", piece[start:end], re.M)
        for normal in [piece] if simple else _normal_form(piece, origin):
            begin, stop = _metadata_block(normal)
            found = _NAME_LINE.search(normal[begin:stop])
            if found is None:
                raise RagopsError(f"Failed to read the definitions in {origin}: a definition has no name. Name files of CustomResourceDefinitions only")
            documents.append(Document(found[1], normal, source))
    if not documents:
        raise RagopsError(f"Failed to read the definitions in {origin}: it holds none. Name files of CustomResourceDefinitions")
    return documents


def is_url(source: str) -> bool:
    return source.startswith(("http://", "https://"))


def read_local(source: str) -> list[Document]:
    """A file, or all YAML files of a folder (not of its subfolders)."""
    path = Path(source)
    if path.is_dir():
        files = sorted([*path.glob("*.yaml"), *path.glob("*.yml")])
    elif path.is_file():
        files = [path]
    else:
        raise RagopsError(f"Failed to read the definitions in {source}: no such file or folder. Name a folder, a file or a URL that exists")
    if not files:
        raise RagopsError(f"Failed to read the definitions in {source}: the folder has no YAML files. Name the folder that holds them")
    return [d for f in files for d in parse(f.read_text(encoding="utf-8"), str(f))]


def download(url: str) -> list[Document]:
    from ansible.module_utils.urls import open_url

    try:
        text = open_url(url, timeout=60, http_agent="ragops.stack").read().decode()
    except Exception as exc:
        remedy = "Check the address and the proxy settings, or download the file and name its path instead"
        raise RagopsError(f"Failed to download the definitions from {url}: {sentence(str(exc))} {remedy}.") from exc
    plain = parse(text, url)
    return [Document(d.name, d.text, f"{len(plain)} {url}") for d in plain]


# --- what is there ---


def live_metadata(reader: Reader) -> dict[str, dict[str, Any]]:
    """Metadata only: the definitions themselves are megabytes."""
    return {item["metadata"]["name"]: item["metadata"] for item in reader.items(PATH, accept=METADATA_LIST)}


def annotation(metadata: dict[str, Any], key: str) -> str:
    return str((metadata.get("annotations") or {}).get(key, ""))


def ours(metadata: dict[str, Any]) -> bool:
    """Whether the schema is still the one that we applied: who replaces it takes its ownership from us."""
    for entry in metadata.get("managedFields") or []:
        if entry.get("manager") == FIELD_MANAGER and entry.get("operation") == "Apply":
            return "f:versions" in ((entry.get("fieldsV1") or {}).get("f:spec") or {})
    return False


def complete_from(url: str, live: dict[str, dict[str, Any]]) -> list[str]:
    """Names of the definitions that came from this URL, if all of them are there and untouched; else none."""
    names = []
    count = 0
    for name, metadata in live.items():
        number, _space, origin = annotation(metadata, SOURCE).partition(" ")
        if origin == url and ours(metadata) and not metadata.get("deletionTimestamp"):
            names.append(name)
            count = int(number) if number.isdigit() else 0
    return sorted(names) if count and len(names) == count else []


@dataclass
class Plan:
    """operation per name, and the documents to send."""

    operations: dict[str, str]
    send: list[Document]


def plan(documents: Iterable[Document], live: dict[str, dict[str, Any]], *, replace: bool) -> Plan:
    result = Plan({}, [])
    for document in documents:
        metadata = live.get(document.name)
        if metadata is None:
            result.operations[document.name] = CREATED
        elif not replace:
            result.operations[document.name] = KEPT
            continue
        elif metadata.get("deletionTimestamp"):
            remedy = "Its deletion waits for objects of that kind: see kubectl get of it, and run again when it is gone"
            raise RagopsError(failure("apply", "CustomResourceDefinition", document.name, None, "it is being deleted", remedy))
        elif annotation(metadata, SHA) == document.digest and ours(metadata):
            result.operations[document.name] = UNCHANGED
            continue
        else:
            result.operations[document.name] = REPLACED
        result.send.append(document)
    return result


def gather(sources: Iterable[str], live: dict[str, dict[str, Any]], *, replace: bool) -> Plan:
    """The plan for all sources. A URL whose definitions are all in place is not downloaded again."""
    total = Plan({}, [])
    for source in sources:
        known = complete_from(source, live) if is_url(source) else []
        if known:
            total.operations.update(dict.fromkeys(known, UNCHANGED if replace else KEPT))
            continue
        part = plan(download(source) if is_url(source) else read_local(source), live, replace=replace)
        total.operations.update(part.operations)
        total.send += part.send
    return total


# --- writing ---


def side_by_side(work: Callable[[Any], None], items: list[Any]) -> None:
    """The biggest first, a few at a time; the first failure is raised after all have ended."""
    with ThreadPoolExecutor(max_workers=PARALLEL) as pool:
        for future in [pool.submit(work, item) for item in items]:
            future.result()


def apply(dynamic: Any, documents: list[Document]) -> None:
    def send(document: Document) -> None:
        query = [("fieldManager", FIELD_MANAGER), ("force", "true")]
        try:
            dynamic.request(
                "patch",
                f"{PATH}/{document.name}",
                body=document.stamped(),
                query_params=query,
                header_params={"Accept": METADATA},
                content_type="application/apply-patch+yaml",
                serialize=False,
            )
        except Exception as exc:
            reason, remedy = explain_exception(exc, str(dynamic.configuration.host))
            raise RagopsError(failure("apply", "CustomResourceDefinition", document.name, None, reason, remedy)) from exc

    side_by_side(send, sorted(documents, key=lambda d: -len(d.text)))


def wait_served(reader: Reader, names: list[str], timeout: float) -> None:
    """A definition counts only once the API server serves its kind."""
    deadline = time.monotonic() + timeout
    while True:
        missing = [name for name, served in served_crds(reader, names).items() if not served]
        if not missing:
            return
        if time.monotonic() > deadline:
            remedy = "See its conditions: kubectl describe crd"
            raise RagopsError(failure("serve", "CustomResourceDefinition", missing[0], None, f"not established after {timeout:.0f} seconds", remedy))
        time.sleep(0.3)


# --- deleting ---


def objects_left(reader: Reader, names: list[str]) -> dict[str, list[str]]:
    """Objects of these definitions, by definition."""
    left: dict[str, list[str]] = {}
    served: dict[str, dict[str, str]] = {}
    for name in names:
        plural, _dot, group = name.partition(".")
        if group not in served:
            served[group] = {}
            for version in (reader.get(f"/apis/{group}") or {}).get("versions") or []:
                for resource in (reader.get(f"/apis/{version['groupVersion']}") or {}).get("resources") or []:
                    served[group].setdefault(resource["name"], version["groupVersion"])
        if plural in served[group]:
            items = reader.items(f"/apis/{served[group][plural]}/{plural}", accept=METADATA_LIST)
            found = ["/".join(filter(None, (i["metadata"].get("namespace"), i["metadata"]["name"]))) for i in items]
            if found:
                left[name] = sorted(found)
    return left


def in_groups(live: dict[str, dict[str, Any]], suffix: str) -> list[str]:
    """Definitions of the API group ``suffix`` and of the groups below it."""
    return sorted(n for n in live if n.partition(".")[2] == suffix or n.endswith(f".{suffix}"))


def refuse_while_used(left: dict[str, list[str]]) -> None:
    if left:
        words = [f"{name} ({', '.join(found[:3])}{', ...' if len(found) > 3 else ''})" for name, found in sorted(left.items())]
        raise RagopsError(
            f"Failed to delete {len(left)} CustomResourceDefinitions: objects are left of {'; '.join(words[:6])}. "
            "Deleting the definition would delete them and their data: delete them first, while the operator still runs.",
            left=left,
        )


def delete(dynamic: Any, names: list[str], reader: Reader, timeout: float | None) -> None:
    """Delete them; wait for their end unless ``timeout`` is None."""

    def remove(name: str) -> None:
        try:
            dynamic.request("delete", f"{PATH}/{name}", header_params={"Accept": METADATA}, serialize=False)
        except Exception as exc:
            if http_status(exc) != 404:
                reason, remedy = explain_exception(exc, str(dynamic.configuration.host))
                raise RagopsError(failure("delete", "CustomResourceDefinition", name, None, reason, remedy)) from exc

    side_by_side(remove, names)
    deadline = time.monotonic() + (timeout or 0)
    while names and timeout is not None:
        held = sorted(set(live_metadata(reader)) & set(names))
        if not held:
            return
        if time.monotonic() > deadline:
            remedy = "Objects of that kind may wait for their operator: see kubectl get of it"
            raise RagopsError(failure("delete", "CustomResourceDefinition", held[0], None, f"still there after {timeout:.0f} seconds", remedy))
        time.sleep(0.3)
