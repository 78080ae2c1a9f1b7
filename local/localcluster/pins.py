"""The versions of pins.toml, as typed values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tomllib


class Pins:
    """Versions by section and key; asking for one that is not there is an error at once."""

    def __init__(self, data: dict[str, dict[str, Any]]) -> None:
        self._data = data

    @classmethod
    def load(cls, path: Path) -> Pins:
        with path.open("rb") as handle:
            return cls(tomllib.load(handle))

    def text(self, section: str, key: str) -> str:
        value = self._data[section][key]
        if not isinstance(value, str):
            raise TypeError(f"pins.toml: {section}.{key} must be a string")
        return value

    def texts(self, section: str, key: str) -> list[str]:
        value = self._data[section][key]
        if not isinstance(value, list):
            raise TypeError(f"pins.toml: {section}.{key} must be a list")
        return [str(item) for item in value]
