"""
Where the documents of `live` stand: the task's state store where Airflow has one, else XCom. What Airflow can't take at the
moment never harms the run; each write is a call over the network and into a database, so they are few.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from oxiflow.live import Live

from .compat import HAS_TAB, state_store, without_secrets

#: Between two writes, in seconds: at first, and at most. In between, a fortieth of the time so far.
SOONEST = 1.0
#: At first, in a triggerer: it does nothing else while it hands on what one of its many triggers writes, not even see that
#: somebody has ended a task.
SOONEST_OF_MANY = 3.0
LATEST = 15.0

Put = Callable[[str, Any], None]


def put_of(context: Any) -> tuple[Put, bool]:
    """How a task writes, and whether anybody looks while it runs."""
    store = state_store(context)
    if store is not None:
        return store.set, True
    ti = context["ti"]
    return (lambda key, value: ti.xcom_push(key=key, value=value)), HAS_TAB


class Surface:
    def __init__(
        self,
        put: Put,
        log: Any,
        live: bool = True,
        clock: Callable[[], float] = time.monotonic,
        soonest: float = SOONEST,
    ) -> None:
        self._put = put
        self._soonest = soonest
        self._log = log
        self._while_running = live
        self._clock = clock
        self._began = clock()
        self._wrote: float | None = None
        self._last: dict[str, Any] = {}
        self._failed = False

    def due(self) -> bool:
        if not self._while_running:
            return False
        now = self._clock()
        return self._wrote is None or now - self._wrote >= min(LATEST, max(self._soonest, (now - self._began) / 40))

    def write(self, live: Live) -> None:
        self._wrote = self._clock()
        for key, value in live.documents().items():
            if self._last.get(key) == value:
                continue
            try:
                # A path or an error may say what a connection holds.
                self._put(key, without_secrets(value))
            except Exception as error:
                # Whatever Airflow's side throws: the run is worth more than its picture.
                if not self._failed:
                    self._failed = True
                    self._log.warning("Airflow does not take the documents of the run: %s", error)
            else:
                self._last[key] = value
