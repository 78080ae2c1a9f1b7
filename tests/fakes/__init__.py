# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stand-ins for the outside world, for tests."""

from __future__ import annotations

from .errors import ApiError
from .kube_api import FakeKubeApi
from .operator import KubeBlocksOperator
from .websocket import ExecReply
from .workloads import Workloads

__all__ = ["ApiError", "ExecReply", "FakeKubeApi", "KubeBlocksOperator", "Workloads"]
