"""
Airflow runs Oxide Flow's pipelines:

    from oxiflow_airflow_provider import OxiFlowOperator

Loaded at first use: importing this package starts no process and reads no other file.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .hooks import OxiFlowHook as OxiFlowHook
    from .operators import OxiFlowOperator as OxiFlowOperator

__version__ = "0.1.0"

_HOME = {"OxiFlowHook": "hooks", "OxiFlowOperator": "operators"}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_HOME[name]}", __name__), name)
