"""How a run has ended, and whether that is a success. Without `run.finished` it is none, whatever the exit code says."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from typing import Any

from .errors import BY_EXIT_CODE, Died, Failed, RunFailed
from .events import Checkpoint, RunFinished, RunStarted


@dataclass(frozen=True)
class Result:
    #: Of the process; the negative number of the signal that killed it. Of one that somebody else has started, what it has said
    #: itself; None where it said nothing.
    exit_code: int | None
    started: RunStarted | None = None
    #: The last checkpoint of this attempt.
    checkpoint: Checkpoint | None = None
    finished: RunFinished | None = None
    #: The end of what it said on standard error.
    last_words: str = ""
    #: Lines of the event file that were not of the protocol, and why the last of them was not.
    malformed: int = 0
    problem: str | None = None
    #: Events that it counted and that did not arrive.
    lost: int = 0

    @property
    def succeeded(self) -> bool:
        return self.exit_code == 0 and self.finished is not None and self.finished.status == "succeeded"

    def check(self) -> RunFinished:
        """The last event of a success. Throws the RunFailed of its exit code otherwise."""
        if self.succeeded and self.finished is not None:
            return self.finished
        raise self._failure()(self._sentence(), self)

    def _failure(self) -> type[RunFailed]:
        # Where somebody else has collected the process, the system has 0 for us, and the event has the truth.
        said = self.finished.exit_code if self.finished is not None else 0
        known = BY_EXIT_CODE.get(self.exit_code or said)
        if known is not None:
            return known
        return Died if self.finished is None or (self.exit_code or 0) < 0 else Failed

    def _sentence(self) -> str:
        return f"{self._what()} ({self._how()})"

    def _what(self) -> str:
        if self.finished is not None and self.finished.error is not None:
            return self.finished.error.message
        words = self.last_words.strip()
        if self.exit_code not in (0, None) and words:
            return words
        if self.finished is not None:
            return f"the run is {self.finished.status}"
        why = f"; of its events, the last one that could not be read: {self.problem}" if self.problem else ""
        last = f"; its last words: {words}" if words else ""
        return f"the runner ended without saying how the run went{why}{last}"

    def _how(self) -> str:
        if self.exit_code is None:
            return "its exit code is not known"
        if self.exit_code >= 0:
            return f"exit code {self.exit_code}"
        try:
            return f"killed by {signal.Signals(-self.exit_code).name}"
        except ValueError:
            return f"killed by signal {-self.exit_code}"

    def summary(self) -> dict[str, Any]:
        """Figures for an orchestrator to show, as JSON; over all attempts, but for attempt_seconds."""
        finished = self.finished
        if finished is None:
            return {"status": "failed", "exit_code": self.exit_code}
        total = finished.counters.total
        return {
            "status": finished.status,
            "exit_code": self.exit_code,
            "pipeline": finished.pipeline,
            "run_key": finished.run_key,
            "run_id": finished.run_id,
            "attempt": finished.attempt,
            "records_read": total.added,
            "rows": total.out,
            "bytes": sum(output.bytes for output in finished.outputs),
            "errors": total.dropped + total.dead_lettered + total.failed + total.passed_on_error,
            "seconds": finished.durations.total_ms / 1000,
            "attempt_seconds": finished.durations.attempt_ms / 1000,
            "checkpoint": finished.checkpoint,
            "resumed_from": None
            if self.started is None or self.started.resumed_from is None
            else self.started.resumed_from.checkpoint,
            "outputs": [
                {"step": output.step, "to": output.path or output.table, "rows": output.rows, "bytes": output.bytes}
                for output in finished.outputs
            ],
        }
