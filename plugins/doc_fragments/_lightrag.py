# Copyright: ragops.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    """Where a LightRAG server is, and how to log in to it."""

    DOCUMENTATION = r"""
options:
  url:
    description: Base URL of a LightRAG server that the host running the module can reach.
    type: str
  namespace:
    description: Namespace of O(service) and of O(app_key_secret).
    type: str
  service:
    description: Name of the server's Service. It is reached through the API server; no Ingress is needed.
    type: str
  port:
    description: Port of the Service.
    type: int
    default: 9621
  app_key:
    description: LightRAG's API key.
    type: str
  app_key_secret:
    description: Secret with LightRAG's API key.
    type: dict
    suboptions:
      name:
        description: Name of the Secret.
        type: str
        required: true
      key:
        description: Key in the Secret.
        type: str
        default: api-key
  app_validate_certs:
    description: Whether the certificate of an https O(url) is verified.
    type: bool
    default: true
  app_ca_path:
    description: File with the CA certificates that signed the certificate of an https O(url).
    type: path
"""
