"""
Starts Oxide Flow's runner and follows it:

    from oxiflow import RunRequest, start

    with start(RunRequest("orders", project="shop", run_key="orders-monday")) as run:
        for item in run.follow():
            print(item)
        print(run.result().check().outputs)

Loaded at first use: importing this package starts no process and reads no other file.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .errors import NotRetryable as NotRetryable
    from .errors import OxiFlowError as OxiFlowError
    from .errors import Retryable as Retryable
    from .errors import RunFailed as RunFailed
    from .errors import RunnerMissing as RunnerMissing
    from .errors import WrongRequest as WrongRequest
    from .output import Line as Line
    from .process import Run as Run
    from .process import start as start
    from .request import RunRequest as RunRequest
    from .result import Result as Result
    from .stream import EventFile as EventFile

__version__ = "0.1.0"

_HOME = {
    "NotRetryable": "errors",
    "OxiFlowError": "errors",
    "Retryable": "errors",
    "RunFailed": "errors",
    "RunnerMissing": "errors",
    "WrongRequest": "errors",
    "Line": "output",
    "Run": "process",
    "start": "process",
    "RunRequest": "request",
    "Result": "result",
    "EventFile": "stream",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_HOME[name]}", __name__), name)
