"""
What of a run is worth an event of Prefect, for automations to act on. Few, whatever the run says: the first of a kind at once,
and what comes faster than its pace is told together. The numbers of all dead-letter events of an attempt make up those of the
attempt.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from oxiflow.events import Alert, Checkpoint, Event, RecordDeadLettered, RunFinished, RunStarted

from oxiflow import Result

from .pace import Pace
from .texts import plain

CHECKPOINT = "oxiflow.checkpoint"
DEAD_LETTER = "oxiflow.dead_letter"
ALERT = "oxiflow.alert"
FINISHED = "oxiflow.run.finished"
#: Between two events of checkpoints, and of dead letters, in seconds, at first and at last; and between two of one alert.
INTERVAL, LONGEST = 2.0, 30.0
ALERTS, LONGEST_ALERTS = 10.0, 300.0
#: Alerts that are kept apart, and reasons in an event of dead letters.
MOST_ALERTS = 100
MOST_REASONS = 5


@dataclass(frozen=True)
class Piece:
    name: str
    #: Of the run, for automations to match.
    labels: dict[str, str]
    payload: dict[str, Any]


@dataclass
class Alarm:
    """An alert of one name and step: the newest, and how often since it was told."""

    newest: Alert
    pace: Pace
    times: int = 0


class News:
    def __init__(self, pipeline: str, run_key: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._about = {"oxiflow.pipeline": plain(pipeline), "oxiflow.run-key": plain(run_key)}
        self._clock = clock
        self._checkpoint: Checkpoint | None = None
        self._told_checkpoint = 0
        self._letters: list[RecordDeadLettered] = []
        #: Of the letters that have not been told: how many, and by which step.
        self._untold: Counter[str] = Counter()
        self._told_letters = 0
        self._pace = {name: Pace(INTERVAL, LONGEST, clock) for name in (CHECKPOINT, DEAD_LETTER)}
        self._alarms: dict[tuple[str, str | None], Alarm] = {}
        self._started = False
        self._ready: list[Piece] = []

    def observe(self, event: Event) -> None:
        if isinstance(event, Checkpoint):
            self._checkpoint = event if event.n > self._told_checkpoint else None
        elif isinstance(event, RecordDeadLettered):
            self._untold[event.step] += 1
            self._letters = [*self._letters[-MOST_REASONS + 1 :], event]
        elif isinstance(event, Alert):
            self._note_alert(event)
        elif isinstance(event, RunStarted):
            self._started = True
        elif isinstance(event, RunFinished) and self._started:
            # What it has counted holds, whatever of its events arrived. One that did not start repeats an earlier report.
            missing = event.counters.attempt.dead_lettered - self._told_letters - self._untold.total()
            if missing > 0:
                self._untold[""] += missing

    def take(self, all_of_it: bool = False) -> list[Piece]:
        """What is to be told now."""
        if self._checkpoint is not None and (all_of_it or self._pace[CHECKPOINT].due()):
            self._tell_checkpoint(self._checkpoint)
        if self._untold and (all_of_it or self._pace[DEAD_LETTER].due()):
            self._tell_letters()
        for alarm in self._alarms.values():
            if alarm.times and (all_of_it or alarm.pace.due()):
                self._tell_alert(alarm)
        ready, self._ready = self._ready, []
        return ready

    def last(self, result: Result, error: str | None) -> list[Piece]:
        """The rest, when the run has ended, and how it has."""
        for event in (result.checkpoint, result.finished):
            if event is not None:
                self.observe(event)
        ready = self.take(all_of_it=True)
        summary = result.summary()
        finished = result.finished
        bottleneck = None if finished is None else finished.bottleneck
        payload = {
            "pipeline": self._about["oxiflow.pipeline"],
            "run_key": self._about["oxiflow.run-key"],
            **summary,
            "outputs": [{**one, "to": plain(one["to"] or one["step"])} for one in summary.get("outputs", [])[:50]],
            "error": None if error is None else plain(error),
            "bottleneck": None
            if bottleneck is None
            else {"step": plain(bottleneck.step), "reason": plain(bottleneck.reason)},
        }
        return [*ready, self._piece(FINISHED, payload, {"oxiflow.status": summary["status"]})]

    def _tell_checkpoint(self, event: Checkpoint) -> None:
        self._pace[CHECKPOINT].told()
        self._checkpoint, self._told_checkpoint = None, event.n
        payload = {
            name: getattr(event, name)
            for name in ("n", "grade", "attempt", "records", "bytes", "splits_done", "splits_total")
        }
        self._ready.append(self._piece(CHECKPOINT, payload))

    def _tell_letters(self) -> None:
        self._pace[DEAD_LETTER].told()
        records = self._untold.total()
        self._told_letters += records
        payload = {
            "records": records,
            "records_in_attempt": self._told_letters,
            "steps": {plain(step): number for step, number in self._untold.most_common(20) if step},
            "reasons": [
                {"step": plain(one.step), "split": plain(one.split), "offset": one.offset, "reason": plain(one.reason)}
                for one in self._letters
            ],
        }
        self._untold.clear()
        self._letters = []
        self._ready.append(self._piece(DEAD_LETTER, payload))

    def _note_alert(self, event: Alert) -> None:
        key = (event.name, event.step)
        if key not in self._alarms:
            if len(self._alarms) == MOST_ALERTS:
                return
            self._alarms[key] = Alarm(event, Pace(ALERTS, LONGEST_ALERTS, self._clock))
        self._alarms[key].newest = event
        self._alarms[key].times += 1

    def _tell_alert(self, alarm: Alarm) -> None:
        event = alarm.newest
        payload = {
            "name": event.name,
            "severity": event.severity,
            "message": plain(event.message),
            "step": None if event.step is None else plain(event.step),
            "value": event.value,
            "threshold": event.threshold,
            "times": alarm.times,
        }
        alarm.times = 0
        alarm.pace.told()
        labels = {"oxiflow.severity": event.severity, "oxiflow.alert": plain(event.name)}
        self._ready.append(self._piece(ALERT, payload, labels))

    def _piece(self, name: str, payload: dict[str, Any], labels: dict[str, str] | None = None) -> Piece:
        return Piece(name, {**self._about, **(labels or {})}, payload)
