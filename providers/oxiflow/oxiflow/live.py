"""Makes the documents that orchestrators show of a run's events."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from .documents import (
    CHECKPOINT,
    CHECKPOINTS,
    RUN,
    CheckpointDocument,
    DeadLetterDocument,
    OxiDocument,
    RunDocument,
    State,
)
from .events import (
    Alert,
    Checkpoint,
    Counters,
    Event,
    Metrics,
    Progress,
    RecordDeadLettered,
    RunFinished,
    RunStarted,
    StepFinished,
)
from .fitting import fitted_checkpoints, fitted_run
from .result import Result

#: Of a text, in characters.
LONGEST = 500
#: Points of the history; when there are more, every second one goes.
POINTS = 120
#: Checkpoints in the list.
KEPT = 20


class Live:
    """The documents of one attempt, kept up to date by its events. Holds a bounded number of them, and starts nothing."""

    def __init__(self, pipeline: str, run_key: str, invocation: str, worker_id: str, now: str) -> None:
        self._run: RunDocument = {
            "v": 1,
            "state": "starting",
            "pipeline": short(pipeline) or "",
            "run_key": short(run_key) or "",
            "invocation": short(invocation) or "",
            "run_id": None,
            "attempt": None,
            "worker_id": short(worker_id),
            "backend": None,
            "resumed_from": None,
            "started_at": None,
            "updated_at": now,
            "finished_at": None,
            "exit_code": None,
            "error": None,
            "rows_read": 0,
            "rows_written": 0,
            "bytes_read": 0,
            "bytes_written": 0,
            "errors": 0,
            "progress": None,
            "total_bytes": None,
            "eta_seconds": None,
            "rate": None,
            "rate_bytes": None,
            "attempt_seconds": None,
            "seconds": None,
            "history": [],
            "oxis": [],
            "bottleneck": None,
            "dead_letters": {"records": 0, "reasons": []},
            "outputs": [],
            "alerts": [],
        }
        self._oxis: dict[str, OxiDocument] = {}
        self._checkpoints: list[CheckpointDocument] = []
        self._letters_told = False
        #: How many seconds of history a point stands for; doubles whenever there are too many points.
        self._every = 1.0

    @property
    def run_id(self) -> str | None:
        """None until the run has said a word."""
        return self._run["run_id"]

    def observe(self, event: Event) -> bool:
        """Whether it changed a document."""
        known = True
        if isinstance(event, RunStarted):
            self._started(event)
        elif isinstance(event, Progress):
            self._progress(event)
        elif isinstance(event, Metrics):
            self._metrics(event)
        elif isinstance(event, Checkpoint):
            self._checkpoint(event)
        elif isinstance(event, RecordDeadLettered):
            self._dead_letter(event)
        elif isinstance(event, StepFinished):
            self._step_finished(event)
        elif isinstance(event, Alert):
            self._alert(event.message)
        elif isinstance(event, RunFinished):
            self._finished(event)
        else:
            known = False
        if known:
            self._run["run_id"], self._run["attempt"] = event.run_id, event.attempt
            self._run["worker_id"], self._run["pipeline"] = short(event.worker_id), short(event.pipeline) or ""
            self._run["updated_at"] = event.ts
        return known

    def deferred(self, now: str) -> None:
        """The task has given its place away; the run goes on, unless it has told its end."""
        if self._run["finished_at"] is None:
            self._run["state"], self._run["updated_at"] = "deferred", now

    def went_on_from(self, checkpoint: int | None) -> None:
        """Of a run whose beginning is told elsewhere."""
        self._run["resumed_from"] = checkpoint

    def ended(self, result: Result, error: str | None, now: str) -> None:
        """However the process ended: also without a word, and with words that nobody has read on the way."""
        if result.checkpoint is not None and (
            not self._checkpoints or self._checkpoints[-1]["n"] < result.checkpoint.n
        ):
            self.observe(result.checkpoint)
        if result.finished is not None and self._run["finished_at"] is None:
            self.observe(result.finished)
        self._run["updated_at"] = now
        self._run["finished_at"] = self._run["finished_at"] or now
        self._run["exit_code"] = result.exit_code
        if result.finished is not None:
            self._run["exit_code"] = result.finished.exit_code
            return
        self._run["state"] = "failed"
        self._run["error"] = short(error)

    def run(self) -> RunDocument:
        return fitted_run({**self._run, "oxis": list(self._oxis.values())})

    def checkpoints(self) -> list[CheckpointDocument]:
        return fitted_checkpoints(list(self._checkpoints))

    def documents(self) -> dict[str, Any]:
        """All of them, by their keys; those that there is nothing to say in are left out."""
        found: dict[str, Any] = {RUN: self.run()}
        if self._checkpoints:
            found[CHECKPOINTS] = self.checkpoints()
            found[CHECKPOINT] = found[CHECKPOINTS][-1]
        return found

    def _started(self, event: RunStarted) -> None:
        self._run["state"] = "running"
        self._run["started_at"] = event.ts
        self._run["backend"] = short(f"{event.backend.name}: {event.backend.location}")
        self._run["resumed_from"] = event.resumed_from.checkpoint if event.resumed_from else None
        for stage in event.plan.stages:
            for step in stage.steps:
                oxi = self._oxi(step.step, step.oxi)
                oxi["kind"], oxi["stage"] = step.kind, stage.stage
        for notice in event.notices:
            self._alert(notice)

    def _progress(self, event: Progress) -> None:
        run = self._run
        run["rows_read"], run["bytes_read"], run["errors"] = event.records, event.bytes, event.errors
        if event.dead_lettered is not None:
            run["dead_letters"]["records"], self._letters_told = event.dead_lettered, True
        run["rate"], run["rate_bytes"] = event.rate_records_per_s, event.rate_bytes_per_s
        run["total_bytes"], run["eta_seconds"] = event.total_bytes, event.eta_seconds
        run["progress"] = min(1.0, event.bytes / event.total_bytes) if event.total_bytes else None
        self._point(event.ts, event.records, event.bytes)

    def _point(self, ts: str, records: int, size: int) -> None:
        since = max(0.0, seconds_between(self._run["started_at"] or ts, ts))
        history = self._run["history"]
        if len(history) > 1 and since - history[-2][0] < self._every:
            # The newest is always there; it stands in for the one before until that is far enough away.
            history.pop()
        history.append([round(since, 1), records, size])
        if len(history) > POINTS:
            self._every *= 2
            self._run["history"] = [*history[:-1:2], history[-1]]

    def _metrics(self, event: Metrics) -> None:
        self._bottleneck(event)
        fills = {queue.from_: queue.fill for queue in event.queues or ()}
        written = size = 0
        for step in event.steps:
            oxi = self._oxi(step.step, step.oxi)
            oxi["records_in"] = step.records_processed
            oxi["errors"] = step.error_count
            oxi["rate_per_s"] = step.processing_rate_per_sec
            oxi["busy_percent"] = step.busy_percent
            oxi["wait_input_percent"] = step.wait_input_percent
            oxi["wait_room_percent"] = step.wait_room_percent
            oxi["wait_outside_percent"] = step.wait_outside_percent
            oxi["memory_mb"] = round(step.memory_usage_mb, 1)
            oxi["bytes_in"] = step.bytes_in or step.io_read_bytes
            oxi["bytes_out"] = step.bytes_out or step.io_write_bytes
            oxi["queue_fill"] = fills.get(step.step)
            if oxi["kind"] == "sink":
                written, size = written + step.records_processed, size + step.io_write_bytes
        self._run["rows_written"], self._run["bytes_written"] = written, size
        self._handed_on()

    def _handed_on(self) -> None:
        """A sample does not tell what left a step; behind a tee, several take it."""
        oxis = list(self._oxis.values())
        if any(oxi["kind"] == "tee" for oxi in oxis):
            return
        for oxi, after in zip(oxis, [*oxis[1:], None]):
            if after is not None:
                oxi["records_out"] = after["records_in"]
            elif oxi["kind"] == "sink":
                oxi["records_out"] = oxi["records_in"]

    def _bottleneck(self, event: Metrics | RunFinished) -> None:
        found = event.bottleneck
        self._run["bottleneck"] = (
            {"step": short(found.step) or "", "reason": short(found.reason) or ""} if found else None
        )
        for name, oxi in self._oxis.items():
            oxi["bottleneck"] = found is not None and name == found.step

    def _checkpoint(self, event: Checkpoint) -> None:
        document: CheckpointDocument = {
            "n": event.n,
            "grade": event.grade,
            "ts": event.ts,
            "attempt": event.attempt,
            "records": event.records,
            "bytes": event.bytes,
            "splits_done": event.splits_done,
            "splits_total": event.splits_total,
            "positions": [
                {"split": one.split, "name": short(one.name) or "", "offset": one.offset, "size": one.size}
                for one in event.positions[:10]
            ],
        }
        self._checkpoints = [*self._checkpoints[-KEPT + 1 :], document]

    def _dead_letter(self, event: RecordDeadLettered) -> None:
        letters = self._run["dead_letters"]
        # Until the run tells how many: not all of them have an event, and those of earlier attempts have none here.
        letters["records"] += not self._letters_told
        reason: DeadLetterDocument = {
            "step": short(event.step) or "",
            "split": short(event.split) or "",
            "offset": event.offset,
            "reason": short(event.reason) or "",
        }
        letters["reasons"] = [*letters["reasons"][-4:], reason]

    def _step_finished(self, event: StepFinished) -> None:
        self._count(event.step, event.oxi, event)

    def _count(self, step: str, oxi: str, told: Any) -> None:
        counters: Counters = told.counters
        document = self._oxi(step, oxi)
        document["records_in"] = counters.added if document["kind"] == "source" else counters.in_
        document["records_out"] = counters.out
        document["errors"] = bad(counters)

    def _alert(self, message: str) -> None:
        self._run["alerts"] = [*self._run["alerts"][-9:], short(message) or ""]

    def _finished(self, event: RunFinished) -> None:
        run, total = self._run, event.counters.total
        states: dict[str, State] = {"succeeded": "succeeded", "failed": "failed"}
        run["state"] = states.get(event.status, "stopped")
        run["started_at"] = run["started_at"] or event.ts
        run["finished_at"], run["exit_code"] = event.ts, event.exit_code
        run["error"] = short(event.error.message) if event.error else None
        run["rows_read"], run["rows_written"], run["bytes_read"] = total.added, total.out, total.bytes_in
        run["bytes_written"] = sum(output.bytes for output in event.outputs)
        run["errors"] = bad(total)
        run["rate"] = run["rate_bytes"] = run["eta_seconds"] = None
        run["attempt_seconds"] = event.durations.attempt_ms / 1000
        run["seconds"] = event.durations.total_ms / 1000
        if event.status == "succeeded":
            run["progress"] = 1.0
        run["dead_letters"]["records"] = total.dead_lettered
        run["outputs"] = [
            {"step": short(one.step) or "", "to": short(one.path or one.table), "rows": one.rows, "bytes": one.bytes}
            for one in event.outputs
        ]
        self._point(event.ts, total.added, total.bytes_in)
        for step in event.counters.steps:
            self._count(step.step, step.oxi, step)
            oxi = self._oxis[step.step]
            oxi["rate_per_s"] = oxi["queue_fill"] = None
            oxi["busy_percent"] = share(step.busy_ms, event)
            oxi["wait_input_percent"] = share(step.wait_input_ms, event)
            oxi["wait_room_percent"] = share(step.wait_room_ms, event)
            oxi["wait_outside_percent"] = share(step.wait_outside_ms, event)
        self._bottleneck(event)

    def _oxi(self, step: str, oxi: str) -> OxiDocument:
        if step not in self._oxis:
            self._oxis[step] = {
                "step": short(step) or "",
                "oxi": short(oxi) or "",
                "kind": "",
                "stage": 0,
                "records_in": 0,
                "records_out": None,
                "bytes_in": 0,
                "bytes_out": 0,
                "errors": 0,
                "rate_per_s": None,
                "busy_percent": None,
                "wait_input_percent": None,
                "wait_room_percent": None,
                "wait_outside_percent": None,
                "memory_mb": None,
                "queue_fill": None,
                "bottleneck": False,
            }
        return self._oxis[step]


def bad(counters: Counters) -> int:
    return counters.dropped + counters.dead_lettered + counters.failed + counters.passed_on_error


def share(ms: float | None, event: RunFinished) -> float | None:
    return None if ms is None or event.durations.attempt_ms == 0 else round(100 * ms / event.durations.attempt_ms, 1)


def short(text: str | None) -> str | None:
    return text if text is None or len(text) <= LONGEST else f"{text[: LONGEST - 1]}\u2026"


def seconds_between(earlier: str, later: str) -> float:
    return (moment(later) - moment(earlier)).total_seconds()


def moment(ts: str) -> datetime:
    return datetime.fromisoformat(ts.replace("Z", "+00:00"))
