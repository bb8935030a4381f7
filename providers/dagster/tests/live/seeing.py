"""What a test sees of a run while it goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .api import Api


def seen(api: Api, key: str, run: str, attempt: int = 1) -> list[dict[str, Any]]:
    """The observations of a run, in their order."""
    found = [one["metadata"] for one in api.observations(key) if one["runId"] == run]
    return [one for one in reversed(found) if one["oxiflow/attempt"] == attempt]


def lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] != b"Z"
    except FileNotFoundError:
        return False
