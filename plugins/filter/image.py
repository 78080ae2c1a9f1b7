# Copyright: ragops.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: image
short_description: Take a container image from another registry
version_added: 0.1.0
author:
  - ragops.stack contributors (@ragops)
description:
  - Replaces the registry host of an image reference, for mirrors and for clusters without a way to the internet.
  - Repository, tag and digest stay, so that a mirror keeps the layout of its origin.
positional: registry
options:
  _input:
    description: An image reference as Kubernetes takes it, with or without a registry host.
    type: str
    required: true
  registry:
    description:
      - Host of the registry, with its port and a leading path where it has one.
      - Empty leaves the reference as it is.
    type: str
    default: ""
"""

EXAMPLES = r"""
- name: Name the image of PostgreSQL in a mirror
  ansible.builtin.debug:
    msg: "{{ 'docker.io/pgvector/pgvector:0.8.0-pg17' | ragops.stack.image('mirror.example.org:5000/hub') }}"
    # mirror.example.org:5000/hub/pgvector/pgvector:0.8.0-pg17

- name: Leave a reference as it is
  ansible.builtin.debug:
    msg: "{{ 'redis:7' | ragops.stack.image('') }}"
"""

RETURN = r"""
_value:
  description: The image reference at the given registry.
  type: str
"""

from typing import Any

from ansible.errors import AnsibleFilterError

DOCKER_HUB = ("docker.io", "index.docker.io")


def split_host(reference: str) -> tuple[str, str]:
    """(host, rest). The first part is a host when it holds a dot or a colon or is localhost, as the container engines read it."""
    first, slash, rest = reference.partition("/")
    if slash and (first == "localhost" or "." in first or ":" in first):
        return first, rest
    return "", reference


def image(reference: Any, registry: Any = "") -> str:
    if not isinstance(reference, str) or not reference.strip():
        raise AnsibleFilterError(f"ragops.stack.image needs an image reference, not {reference!r}. Set the image variable to name:tag")
    if not registry:
        return reference
    if not isinstance(registry, str) or "://" in registry or registry != registry.strip():
        raise AnsibleFilterError(f"ragops.stack.image needs a registry host such as mirror.example.org:5000, not {registry!r}")
    host, rest = split_host(reference)
    if host in ("", *DOCKER_HUB) and "/" not in rest:
        rest = f"library/{rest}"  # official images of Docker Hub live there; a mirror keeps that path
    return f"{registry.rstrip('/')}/{rest}"


class FilterModule:
    def filters(self) -> dict[str, Any]:
        return {"image": image}
