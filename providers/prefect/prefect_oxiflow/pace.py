"""
How often the same thing is told: at once, soon again while a run is young, and less often the longer it goes on. Nobody watches a
run of hours by the second, and what tells of it should cost next to nothing beside it.
"""

from __future__ import annotations

import time
from collections.abc import Callable

#: Of the time that has passed.
SHARE = 1 / 2


class Pace:
    """`shortest` and `longest`: between two times, in seconds."""

    def __init__(self, shortest: float, longest: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._shortest = shortest
        self._longest = longest
        self._clock = clock
        self._began = clock()
        self._last = float("-inf")

    def due(self) -> bool:
        return self._clock() - self._last >= self.pause

    def told(self) -> None:
        self._last = self._clock()

    @property
    def pause(self) -> float:
        return min(self._longest, max(self._shortest, SHARE * (self._clock() - self._began)))
