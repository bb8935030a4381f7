"""
When a run has to stop because Prefect wants the flow run to. In the main thread of a flow's process, Prefect says so by a signal;
a task that was submitted, to threads or to another machine, hears nothing, and has to ask.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient
from prefect.context import FlowRunContext

from .identity import Place

#: Between two questions, in seconds: in a thread, and in the main thread.
OFTEN, SELDOM = 3.0, 20.0
#: So long the main thread is left to the signal, in seconds; nobody sends it where no runner or worker holds the flow run.
PATIENCE = 10.0
#: Types of states that are the last ones.
FINAL = ("COMPLETED", "FAILED", "CANCELLED", "CRASHED")


class Stopping:
    """Made in the task's own thread."""

    def __init__(self, place: Place, clock: Callable[[], float] = time.monotonic) -> None:
        self.stopped_by: str | None = None
        self._place = place
        self._clock = clock
        main = threading.current_thread() is threading.main_thread()
        self._patience = PATIENCE if main else 0.0
        self._often = SELDOM if main else OFTEN
        self._asked_at = float("-inf")
        self._seen_at: float | None = None

    def look(self, client: SyncPrefectClient | None, stop: Callable[[], None]) -> None:
        """At most one question to the server, and one call of `stop`."""
        if self.stopped_by is not None or client is None or self._place.flow_run_id is None:
            return
        told = given_up(self._place)
        # What was seen is looked at again when the signal has had its time.
        often = self._often if self._seen_at is None else min(self._often, PATIENCE)
        if not told and self._clock() - self._asked_at < often:
            return
        self._asked_at = self._clock()
        kind, name = state_of(client, self._place.flow_run_id)
        if not (wants_an_end(kind, name) or (told and kind not in FINAL)):
            self._seen_at = None
            return
        if self._seen_at is None:
            self._seen_at = self._clock()
        if self._clock() - self._seen_at >= self._patience:
            self.stopped_by = name or kind
            stop()


def state_of(client: SyncPrefectClient, flow_run: UUID) -> tuple[str, str]:
    """Type and name. The rest of a flow run is not even looked at: this is asked again and again."""
    state = client.request("GET", "/flow_runs/{id}", path_params={"id": flow_run}).json()["state"]
    return ("", "") if state is None else (state["type"], state["name"] or "")


def wants_an_end(kind: str, name: str) -> bool:
    """A flow that failed, or has succeeded, waits for its tasks."""
    return kind in ("CANCELLING", "CANCELLED", "CRASHED") or name == "TimedOut"


def given_up(place: Place) -> bool:
    """The flow's thread is on its way out, and has told the task runner; the server may not know."""
    context = FlowRunContext.get()
    events = getattr(None if context is None else context.task_runner, "_cancel_events", None) or {}
    told = events.get(place.task_run_id)
    return told is not None and bool(told.is_set())
