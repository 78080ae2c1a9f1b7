#!/usr/bin/python
# Copyright: ragops.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: port_forward
short_description: Lead a local port to a Service or Pod for a while
description:
  - Listens on a local port of the host the module runs on and forwards each connection through the API server.
  - Ends by itself after O(duration), so it never blocks a play for ever. It changes nothing in the cluster.
author:
  - ragops.stack contributors (@ragops)
version_added: 0.1.0
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
  - ragops.stack._attributes.info
options:
  namespace:
    description: Namespace of the Service or Pod.
    type: str
    required: true
  service:
    description: Name of a Service; a ready pod behind it is chosen for each connection.
    type: str
  pod:
    description: Name of a Pod.
    type: str
  port:
    description: Port of the Service, or of the container in the Pod.
    type: int
    required: true
  local_port:
    description: Local port to listen on; V(0) takes a free one.
    type: int
    default: 0
  address:
    description: Local address to listen on.
    type: str
    default: 127.0.0.1
  duration:
    description: How long to keep it open, in seconds.
    type: int
    default: 600
"""

EXAMPLES = r"""
- name: The web interface at http://127.0.0.1:9621 for ten minutes
  ragops.stack.port_forward:
    namespace: demo
    service: rag-lightrag
    port: 9621
    local_port: 9621
    duration: 600
"""

RETURN = r"""
url:
  description: Where it listened; empty in check mode.
  returned: success
  type: str
  sample: http://127.0.0.1:9621
local_port:
  description: The local port.
  returned: success
  type: int
connections:
  description: How many connections were forwarded.
  returned: success
  type: int
"""

import time
from typing import Any

from ansible_collections.ragops.stack.plugins.module_utils._api import Api
from ansible_collections.ragops.stack.plugins.module_utils._errors import RagopsError, failure
from ansible_collections.ragops.stack.plugins.module_utils._module import Session, run_module
from ansible_collections.ragops.stack.plugins.module_utils._portforward import Forwarder


def execute(session: Session) -> dict[str, Any]:
    params = session.params
    if session.check_mode:
        return {"changed": False, "url": "", "local_port": params["local_port"], "connections": 0}
    try:
        forwarder = Forwarder(
            Api(session.dynamic),
            params["namespace"],
            service=params["service"],
            pod=params["pod"],
            port=params["port"],
            address=params["address"],
            local_port=params["local_port"],
        )
    except OSError as exc:
        kind, name = ("Pod", params["pod"]) if params["pod"] else ("Service", params["service"])
        reason = f"{params['address']}:{params['local_port']} cannot be listened on ({exc.strerror})"
        raise RagopsError(failure("forward a port to", kind, name, params["namespace"], reason, "Set another local_port, or 0 for a free one")) from exc
    try:
        forwarder.backend()
        end = time.monotonic() + params["duration"]
        while (left := end - time.monotonic()) > 0:
            session.progress.say(f"{forwarder.url} leads to {params['service'] or params['pod']}, {forwarder.connections} connections so far")
            time.sleep(min(left, 1.0))
    finally:
        forwarder.close()
    return {"changed": False, "url": forwarder.url, "local_port": forwarder.local_port, "connections": forwarder.connections}


def main() -> None:
    run_module(
        {
            "namespace": {"type": "str", "required": True},
            "service": {"type": "str"},
            "pod": {"type": "str"},
            "port": {"type": "int", "required": True},
            "local_port": {"type": "int", "default": 0},
            "address": {"type": "str", "default": "127.0.0.1"},
            "duration": {"type": "int", "default": 600},
        },
        execute,
        required_one_of=[("service", "pod")],
        mutually_exclusive=[("service", "pod")],
    )


if __name__ == "__main__":
    main()
