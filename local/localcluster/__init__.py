"""A throw-away Kubernetes on this machine. Entry: local/cluster.py."""

from __future__ import annotations
