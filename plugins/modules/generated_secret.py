#!/usr/bin/python
# Copyright: ragops.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: generated_secret
short_description: Keep a Secret whose missing keys are filled with random values once
description:
  - Creates a Secret, or adds the keys that it lacks. A key that has a value keeps it, on every later run.
  - Values are never returned, shown in a diff or logged. Consumers refer to the Secret by name and key.
  - A key with a O(keys[].value) of its own, say from Ansible Vault, is made to have that value.
author:
  - ragops.stack contributors (@ragops)
version_added: 0.1.0
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
  - ragops.stack._attributes
options:
  name:
    description: Name of the Secret.
    type: str
    required: true
  namespace:
    description: Its namespace.
    type: str
    required: true
  state:
    description: V(absent) deletes the Secret, if ragops.stack made it.
    type: str
    choices: [present, absent]
    default: present
  keys:
    description: The keys the Secret has to have. Other keys in it are left alone.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name of the key.
        type: str
        required: true
      value:
        description: Secret value to set. Without this and O(keys[].text) a missing value is generated.
        type: str
      text:
        description: Value that is no secret, such as a user name; unlike O(keys[].value) it is not masked elsewhere in the output.
        type: str
      length:
        description: Number of characters to generate.
        type: int
        default: 32
      charset:
        description: >-
          Characters to draw from. V(alphanumeric) survives URLs, shells and configuration files unquoted;
          its first character is a letter.
        type: str
        choices: [alphanumeric, hex]
        default: alphanumeric
  labels:
    description: Labels to add to the Secret.
    type: dict
    default: {}
  adopt:
    description: Whether a Secret of that name that somebody else made may be changed or deleted.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: A password for the application's database user
  ragops.stack.generated_secret:
    name: rag-lightrag-postgresql
    namespace: demo
    keys:
      - {name: username, text: lightrag}
      - {name: password}

- name: A key that comes from Ansible Vault
  ragops.stack.generated_secret:
    name: rag-model
    namespace: demo
    keys:
      - name: api-key
        value: "{{ vault_openai_api_key }}"
"""

RETURN = r"""
secret:
  description: Where the values are; never the values.
  returned: success
  type: dict
  contains:
    name:
      description: Name of the Secret.
      type: str
    namespace:
      description: Its namespace.
      type: str
    key_names:
      description: The keys it has.
      type: list
      elements: str
    resource_version:
      description: Changes whenever the Secret does; use it as a checksum that reveals nothing. Empty in check mode.
      type: str
generated:
  description: Keys that got a random value in this run.
  returned: success
  type: list
  elements: str
"""

import base64
import secrets
import string
from typing import Any

from ansible_collections.ragops.stack.plugins.module_utils._api import Api
from ansible_collections.ragops.stack.plugins.module_utils._errors import RagopsError, explain_exception, failure, http_status
from ansible_collections.ragops.stack.plugins.module_utils._module import FIELD_MANAGER, MANAGED_BY, Session, run_module
from ansible_collections.ragops.stack.plugins.module_utils._redact import redact_object

_CHARSETS = {"alphanumeric": string.ascii_letters + string.digits, "hex": string.digits + "abcdef"}


def generate(length: int, charset: str) -> str:
    letters = _CHARSETS[charset]
    first = string.ascii_letters if charset == "alphanumeric" else letters
    return secrets.choice(first) + "".join(secrets.choice(letters) for _i in range(length - 1))


def missing_and_changed(keys: list[dict[str, Any]], data: dict[str, str]) -> tuple[dict[str, str], list[str]]:
    """(base64 values to write, names of the generated ones)."""
    write: dict[str, str] = {}
    generated: list[str] = []
    for key in keys:
        name, value = key["name"], key["value"] if key["text"] is None else key["text"]
        if value == "":
            raise RagopsError(f"Failed to set key {name}: its value is empty. Leave value out to have one generated, or give one.")
        if value is None and not data.get(name):
            value = generate(key["length"], key["charset"])
            generated.append(name)
        if value is not None:
            encoded = base64.b64encode(value.encode()).decode()
            if data.get(name) != encoded:
                write[name] = encoded
    return write, generated


def execute(session: Session) -> dict[str, Any]:
    params, api = session.params, Api(session.dynamic)
    name, namespace = params["name"], params["namespace"]
    live = api.get("Secret", name, namespace)
    labels = (live or {}).get("metadata", {}).get("labels") or {}
    ours = labels.get("app.kubernetes.io/managed-by") == MANAGED_BY["app.kubernetes.io/managed-by"]
    if live is not None and not ours and not params["adopt"]:
        if params["state"] == "absent":
            reason = "it was not made by ragops.stack"
            raise RagopsError(failure("delete", "Secret", name, namespace, reason, "Delete it yourself, or set adopt: true"))
        write, _generated = missing_and_changed(params["keys"], live.get("data") or {})
        if write:
            reason = f"it was not made by ragops.stack and lacks or differs in {', '.join(sorted(write))}"
            raise RagopsError(failure("change", "Secret", name, namespace, reason, "Choose another name, or set adopt: true"))
    if params["state"] == "absent":
        if live is not None:
            api.delete("Secret", name, namespace, dry_run=session.check_mode)
        diff = {"before": redact_object(live) if live else {}, "after": {}}
        return {"changed": live is not None, "diff": diff, "generated": [], "secret": {"name": name, "namespace": namespace, "key_names": []}}

    data = dict((live or {}).get("data") or {})
    write, generated = missing_and_changed(params["keys"], data)
    wanted_labels = {**MANAGED_BY, **params["labels"]} if ours or live is None or params["adopt"] else {}
    changed = live is None or bool(write) or any(labels.get(k) != v for k, v in wanted_labels.items())
    desired = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": namespace, "labels": wanted_labels},
        "type": (live or {}).get("type") or "Opaque",
        "data": {**data, **write},
    }
    result = live
    if changed:
        try:
            if live is None:
                result = api.create(desired, dry_run=session.check_mode, manager=FIELD_MANAGER)
            else:
                merged = {**live, "data": desired["data"]}
                merged["metadata"] = {**live["metadata"], "labels": {**labels, **wanted_labels}}
                result = api.replace(merged, dry_run=session.check_mode, manager=FIELD_MANAGER)
        except Exception as exc:
            if not (session.check_mode and live is None and http_status(exc) == 404):
                reason, remedy = explain_exception(exc, api.host)
                raise RagopsError(failure("write", "Secret", name, namespace, reason, remedy)) from exc
            result = desired  # the namespace is missing only because this is a check
    version = "" if session.check_mode and changed else str((result or {}).get("metadata", {}).get("resourceVersion", ""))
    return {
        "changed": changed,
        "generated": generated,
        "secret": {"name": name, "namespace": namespace, "key_names": sorted(desired["data"]), "resource_version": version},
        "diff": {"before": _shown(live, None), "after": _shown({**desired, "kind": "Secret"}, live or {})} if changed else {"before": "", "after": ""},
    }


def _shown(obj: dict[str, Any] | None, other: dict[str, Any] | None) -> dict[str, Any]:
    if obj is None:
        return {}
    shown = redact_object({**obj, "kind": "Secret"}, other)
    return {"data": shown.get("data", {}), "labels": (shown.get("metadata") or {}).get("labels") or {}}


def main() -> None:
    keys = {
        "name": {"type": "str", "required": True},
        "value": {"type": "str", "no_log": True},
        "text": {"type": "str"},
        "length": {"type": "int", "default": 32},
        "charset": {"type": "str", "choices": sorted(_CHARSETS), "default": "alphanumeric"},
    }
    run_module(
        {
            "name": {"type": "str", "required": True},
            "namespace": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "keys": {"type": "list", "elements": "dict", "default": [], "options": keys, "mutually_exclusive": [("value", "text")], "no_log": False},
            "labels": {"type": "dict", "default": {}},
            "adopt": {"type": "bool", "default": False},
        },
        execute,
    )


if __name__ == "__main__":
    main()
