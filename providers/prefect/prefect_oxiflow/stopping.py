"""
When a run has to stop because Prefect wants the flow run to. In the main thread of a flow's process, Prefect says so by a signal;
a task that was submitted, to threads or to another machine, hears nothing, and has to ask.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import State
from prefect.context import FlowRunContext

from .identity import Place

#: So long the main thread is left to the signal, in seconds; nobody sends it where no runner or worker holds the flow run.
PATIENCE = 10.0


class Stopping:
    """Made in the task's own thread."""

    def __init__(self, place: Place, clock: Callable[[], float] = time.monotonic) -> None:
        self.stopped_by: str | None = None
        self._place = place
        self._clock = clock
        self._patience = PATIENCE if threading.current_thread() is threading.main_thread() else 0.0
        self._seen_at: float | None = None

    def look(self, client: SyncPrefectClient | None, stop: Callable[[], None]) -> None:
        """One question to the server, at most one call of `stop`."""
        if self.stopped_by is not None or client is None or self._place.flow_run_id is None:
            return
        state = client.read_flow_run(self._place.flow_run_id).state
        if state is None or not (wants_an_end(state) or (given_up(self._place) and not state.is_final())):
            self._seen_at = None
            return
        if self._seen_at is None:
            self._seen_at = self._clock()
        if self._clock() - self._seen_at >= self._patience:
            self.stopped_by = state.name or state.type.value
            stop()


def wants_an_end(state: State[Any]) -> bool:
    """A flow that failed, or has succeeded, waits for its tasks."""
    return state.is_cancelling() or state.is_cancelled() or state.is_crashed() or state.name == "TimedOut"


def given_up(place: Place) -> bool:
    """The flow's thread is on its way out, and has told the task runner; the server may not know."""
    context = FlowRunContext.get()
    events = getattr(None if context is None else context.task_runner, "_cancel_events", None) or {}
    told = events.get(place.task_run_id)
    return told is not None and bool(told.is_set())
