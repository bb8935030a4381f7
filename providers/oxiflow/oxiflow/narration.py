"""
A run in the log of an orchestrator's task: levels kept, plan and steps, and one line of progress an interval. Bounded, whatever
the run says.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

from .events import (
    Alert,
    Checkpoint,
    Log,
    Progress,
    RecordDeadLettered,
    RunFinished,
    RunStarted,
    StepCounters,
)
from .output import Line

#: Between two lines of progress, in seconds, and between two of the same alert.
INTERVAL = 10.0
ALERTS = 60.0
#: Lines of the run's own output, and dead letters; further ones are counted.
MOST_LINES = 1000
MOST_LETTERS = 10

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warn": logging.WARNING, "error": logging.ERROR}


class Narrator:
    """`log`: of `logging`, or what has its `log(level, ...)`."""

    def __init__(self, log: Any, interval: float = INTERVAL, clock: Callable[[], float] = time.monotonic) -> None:
        self._log = log
        self._interval = interval
        self._clock = clock
        self._told_at = clock()
        self._checkpoint = 0
        self._lines = 0
        self._letters = 0
        self._alert = ""
        self._alerts: dict[tuple[str, str | None], float] = {}
        self._said = ""

    def tell(self, item: Any) -> None:
        if isinstance(item, Line):
            self._line(item)
        elif isinstance(item, RunStarted):
            self._started(item)
        elif isinstance(item, Log):
            # People are warned of an alert in the same words.
            if item.message != self._alert:
                self.say(LEVELS[item.level], item.message)
            self._said = item.message
        elif isinstance(item, Progress):
            if self._clock() - self._told_at >= self._interval:
                self._told_at = self._clock()
                self.say(logging.INFO, progress_text(item, self._checkpoint))
        elif isinstance(item, Checkpoint):
            self._checkpoint = item.n
            self.say(logging.DEBUG, f"checkpoint {item.n} ({item.grade}): {item.records:,} records are safe")
        elif isinstance(item, Alert):
            self._alerted(item)
        elif isinstance(item, RecordDeadLettered):
            self._letter(item)
        elif isinstance(item, RunFinished):
            self._finished(item)

    def _started(self, event: RunStarted) -> None:
        self.say(
            logging.INFO,
            f"run {event.run_key}, attempt {event.attempt}, as worker {event.worker_id}; "
            f"state in {event.backend.name} ({event.backend.location})",
        )
        if event.resumed_from is not None:
            self.say(
                logging.INFO,
                f"going on from checkpoint {event.resumed_from.checkpoint}: {event.resumed_from.records:,} records are done",
            )
        for notice in event.notices:
            self.say(logging.WARNING, notice)
        steps = [
            f"{step.step}: {step.kind} {step.oxi}, stage {stage.stage}, {stage.threads} thread(s), {stage.tier}"
            for stage in event.plan.stages
            for step in stage.steps
        ]
        self.fold(f"Plan of {event.pipeline}: {len(steps)} steps", steps)

    def _alerted(self, event: Alert) -> None:
        """What crosses its threshold to and fro is told now and then."""
        self._alert = event.message
        key = (event.name, event.step)
        if key not in self._alerts or self._clock() - self._alerts[key] >= ALERTS:
            self._alerts[key] = self._clock()
            self.say(logging.ERROR if event.severity == "critical" else logging.WARNING, event.message)

    def _letter(self, event: RecordDeadLettered) -> None:
        self._letters += 1
        # People are warned of the first bad records, with the place.
        told = self._said.startswith(f"{event.split}: record at byte {event.offset}:")
        if self._letters <= MOST_LETTERS and not told:
            self.say(
                logging.WARNING, f"dead letter at byte {event.offset} of {event.split}, by {event.step}: {event.reason}"
            )
        if self._letters == MOST_LETTERS:
            self.say(logging.WARNING, "further dead letters are counted, not listed")

    def _line(self, line: Line) -> None:
        self._lines += 1
        if self._lines <= MOST_LINES:
            self.say(logging.WARNING if line.stream == "stderr" else logging.INFO, line.text)
        elif self._lines == MOST_LINES + 1:
            self.say(logging.WARNING, "further output of the run is left out here")

    def _finished(self, event: RunFinished) -> None:
        self.fold("Steps", [step_text(step) for step in event.counters.steps])
        if event.bottleneck is not None:
            self.say(logging.INFO, f"bottleneck {event.bottleneck.step}: {event.bottleneck.reason}")
        for output in event.outputs:
            to = output.path or output.table or output.step
            self.say(logging.INFO, f"{to}: {output.rows:,} rows, {output.bytes:,} bytes")
        total, seconds = event.counters.total, event.durations.attempt_ms / 1000
        self.say(
            logging.INFO if event.status == "succeeded" else logging.ERROR,
            f"{event.status}: {total.added:,} records read, {total.out:,} written; "
            f"this attempt read {event.counters.attempt.added:,} in {seconds:.1f} s",
        )

    def fold(self, title: str, lines: list[str]) -> None:
        """Lines that belong together; here, they are one record of the log."""
        self.say(logging.INFO, "\n  ".join([title, *lines]))

    def say(self, level: int, text: str) -> None:
        self._log.log(level, "%s", text)


def progress_text(event: Progress, checkpoint: int) -> str:
    parts = [f"{event.records:,} records, {event.bytes:,} bytes", f"{event.rate_records_per_s:,.0f} records/s"]
    if event.total_bytes:
        parts.insert(0, f"{min(100, 100 * event.bytes // event.total_bytes)} %")
    if event.eta_seconds is not None:
        parts.append(f"{event.eta_seconds:.0f} s left")
    if event.errors:
        parts.append(f"{event.errors:,} bad records")
    if checkpoint:
        parts.append(f"checkpoint {checkpoint}")
    if event.busiest is not None:
        parts.append(f"busiest is {event.busiest.step}, {event.busiest.busy_percent:.0f} %")
    return "progress: " + "; ".join(parts)


def step_text(step: StepCounters) -> str:
    names = ("in_", "added", "out", "filtered", "dropped", "dead_lettered", "failed", "collected", "passed_on_error")
    counts = [f"{name.rstrip('_')} {getattr(step.counters, name):,}" for name in names if getattr(step.counters, name)]
    return f"{step.step} ({step.oxi}): {', '.join(counts) or 'nothing'}; busy {step.busy_ms / 1000:.2f} s"
