# Copyright: ragops.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    """How the PostgreSQL modules find and enter a server."""

    DOCUMENTATION = r"""
options:
  connection:
    description:
      - The connection that the role P(ragops.stack.postgresql#role) publishes. The way in follows from its provider.
      - >-
        With V(external), psql runs in a short-lived pod of C(client_image) that gets host and credentials by reference. It is
        made in check mode as well, since nothing could be read without it, and is always removed.
    type: dict
    suboptions:
      engine:
        description: V(postgresql).
        type: str
      host:
        description: Host name that pods in the cluster connect to.
        type: str
      port:
        description: TCP port.
        type: int
      database:
        description: Default database.
        type: str
      tls:
        description: Whether TLS is required.
        type: bool
      namespace:
        description: Namespace of the Secrets, of the Cluster and of a client pod.
        type: str
      secret:
        description: Account the applications may use.
        type: dict
        suboptions: &secret
          name:
            description: Name of the Secret.
            type: str
            required: true
          username_key:
            description: Key of the user name.
            type: str
            default: username
          password_key:
            description: Key of the password.
            type: str
            default: password
      superuser_secret:
        description: Account that may create databases, roles and extensions.
        type: dict
        suboptions: *secret
      provider:
        description: Who runs the server.
        type: str
        choices: [kubeblocks, standalone, external]
        default: kubeblocks
      cluster:
        description: Name of the KubeBlocks Cluster, or of our StatefulSet.
        type: str
      component:
        description: Component of the Cluster; the engine's name when not given.
        type: str
      container:
        description: Container of the server.
        type: str
      client_image:
        description: Image with psql, for V(external).
        type: str
  namespace:
    description: Namespace of O(cluster) or O(pod).
    type: str
  cluster:
    description: Name of a KubeBlocks Cluster; its primary pod is found by role.
    type: str
  component:
    description: Component of O(cluster).
    type: str
    default: postgresql
  pod:
    description: Name of a pod with a PostgreSQL server.
    type: str
  container:
    description: Container of the server in the pod.
    type: str
    default: postgresql
  login_user:
    description: Role to log in as over the pod's local socket. Not used with an external server.
    type: str
    default: postgres
  timeout:
    description: Longest time for one psql call, in seconds.
    type: int
    default: 60
"""
