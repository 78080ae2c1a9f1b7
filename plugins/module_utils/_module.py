# Copyright: ragops.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How every module of the collection starts, and how it fails."""

from __future__ import annotations

import copy
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.kubernetes.core.plugins.module_utils.args_common import AUTH_ARG_SPEC
from ansible_collections.kubernetes.core.plugins.module_utils.k8s.client import get_api_client
from ansible_collections.kubernetes.core.plugins.module_utils.k8s.core import AnsibleK8SModule
from ansible_collections.ragops.stack.plugins.module_utils._errors import RagopsError, explain_exception
from ansible_collections.ragops.stack.plugins.module_utils._progress import Progress
from ansible_collections.ragops.stack.plugins.module_utils._redact import redact_text

FIELD_MANAGER = "ragops.stack"
MANAGED_BY = {"app.kubernetes.io/managed-by": "ragops.stack"}


@dataclass
class Session:
    """What a module works with: its parameters, the API client, and the way to tell progress."""

    params: dict[str, Any]
    check_mode: bool
    warn: Callable[[str], None]
    login: Callable[[], Any]  # makes kubernetes.core's client
    progress: Progress = field(default_factory=Progress)

    @cached_property
    def dynamic(self) -> Any:
        """The dynamic client; made on first use, since an application behind a URL needs no cluster."""
        return self.login().client

    @property
    def host(self) -> str:
        return str(self.dynamic.configuration.host) if "dynamic" in self.__dict__ else ""


def argument_spec(**options: Any) -> dict[str, Any]:
    """The module's own options beside kubernetes.core's login options."""
    spec: dict[str, Any] = copy.deepcopy(AUTH_ARG_SPEC)
    spec.update(options)
    return spec


def wait_options(timeout: int) -> dict[str, Any]:
    return {"wait": {"type": "bool", "default": True}, "wait_timeout": {"type": "int", "default": timeout}}


def run_module(options: dict[str, Any], execute: Callable[[Session], dict[str, Any]], **rules: Any) -> None:
    """Run ``execute`` with a session; every exception ends as one message with cause and remedy."""
    rules.setdefault("supports_check_mode", True)
    module = AnsibleK8SModule(module_class=AnsibleModule, argument_spec=argument_spec(**options), **rules)
    session = Session(params=module.params, check_mode=module.check_mode, warn=module.warn, login=lambda: get_api_client(module=module))
    try:
        result = execute(session)
    except RagopsError as exc:
        module.fail_json(msg=str(exc), **exc.details)  # foreign words in it were redacted where they came in
    except Exception as exc:
        reason, remedy = explain_exception(exc, session.host)
        text = f"Failed to talk to the cluster: {reason}. {remedy}".strip()
        module.fail_json(msg=redact_text(text), exception=redact_text(traceback.format_exc()))
    else:
        module.exit_json(**result)
