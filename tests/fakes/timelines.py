# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The recorded status sequences of real Clusters."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Json = dict[str, Any]

FIXTURES = Path(__file__).resolve().parent.parent / "fixtures" / "kubeblocks"

_MESSAGES = {
    "PreCheckSucceed": "The operator has started the provisioning of Cluster: {name}",
    "PreCheckFailed": 'no matched component definition found with componentDef "minipg-17-0.1.0" and serviceVersion "99.0.0"',
    "ApplyResourcesSucceed": "Successfully applied for resources",
    "ClusterReady": "cluster {name} is ready",
    "ComponentsNotReady": "cluster {name} is NOT ready, unavailable components: {bad}",
}


@dataclass(frozen=True)
class Step:
    t: float
    event: str
    generation: int
    observed: int | None
    phase: str | None
    deleting: bool
    components: Json
    conditions: dict[str, list[str]]

    def status(self, name: str) -> Json:
        """The Cluster's status as it was at this step."""
        if self.phase is None and not self.conditions:
            return {}
        bad = ",".join(sorted(key for key, value in self.components.items() if value.get("phase") in ("Failed", "Abnormal")))
        status: Json = {}
        if self.phase is not None:
            status["phase"] = self.phase
        if self.observed is not None:
            status["observedGeneration"] = self.observed
        if self.components:
            status["components"] = {
                key: {**value, **({"observedGeneration": self.observed} if "message" not in value or "phase" in value else {})}
                for key, value in self.components.items()
            }
        status["conditions"] = [
            {
                "type": kind,
                "status": state,
                "reason": reason,
                "message": _MESSAGES.get(reason, reason).format(name=name, bad=bad),
                "lastTransitionTime": "2026-11-22T13:45:33Z",
            }
            for kind, (state, reason) in self.conditions.items()
        ]
        return status


@dataclass(frozen=True)
class Timeline:
    name: str
    what: str
    steps: tuple[Step, ...]

    @property
    def components(self) -> list[str]:
        return sorted({key for step in self.steps for key in step.components} or {"postgresql"})


def load() -> dict[str, Timeline]:
    recorded = json.loads((FIXTURES / "cluster-timelines.json").read_text(encoding="utf-8"))
    return {
        name: Timeline(
            name,
            item["what"],
            tuple(
                Step(
                    step["t"],
                    step["event"],
                    step["generation"],
                    step["observedGeneration"],
                    step["phase"],
                    step["deleting"],
                    step["components"],
                    step["conditions"],
                )
                for step in item["steps"]
            ),
        )
        for name, item in recorded.items()
    }
