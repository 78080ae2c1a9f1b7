from __future__ import annotations

import sys
from pathlib import Path

LOCAL = Path(__file__).resolve().parents[3] / "local"
sys.path.insert(0, str(LOCAL))
