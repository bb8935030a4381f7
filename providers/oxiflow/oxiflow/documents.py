"""
What an orchestrator shows of a run, translated from its events: plain documents of JSON, each below 64 KB. In Airflow they stand
in the task's state store (3.3), or in XCom under the same keys; the tab reads them and nothing else. Counts are over all
attempts; names are those of the event protocol where it has one.

`oxiflow_run` is a RunDocument, `oxiflow_checkpoint` the newest CheckpointDocument, `oxiflow_checkpoints` the last 20 of them,
oldest first; where they are long, fewer of them, and only the newest with its positions. See `fitting` for what else is cut.
"""

from __future__ import annotations

from typing import Literal, TypedDict

RUN = "oxiflow_run"
CHECKPOINT = "oxiflow_checkpoint"
CHECKPOINTS = "oxiflow_checkpoints"


State = Literal["starting", "running", "deferred", "succeeded", "failed", "stopped"]


class OxiDocument(TypedDict):
    """
    A step, in the order of the plan. Rates and percents are None until the first sample; at the end the rate is None again, and
    the percents are those of the whole attempt.
    """

    step: str
    oxi: str
    kind: str
    stage: int
    records_in: int
    #: Until the step has ended, what the one after it has taken in; None where several follow.
    records_out: int | None
    bytes_in: int
    bytes_out: int
    #: Dropped, dead-lettered, failed or passed on.
    errors: int
    rate_per_s: float | None
    #: 100 is one thread.
    busy_percent: float | None
    wait_input_percent: float | None
    wait_room_percent: float | None
    wait_outside_percent: float | None
    memory_mb: float | None
    #: Of the queue that it fills, from 0 to 1; None where it fills none.
    queue_fill: float | None
    bottleneck: bool


class OutputDocument(TypedDict):
    step: str
    #: A path or a table.
    to: str | None
    rows: int
    bytes: int


class DeadLettersDocument(TypedDict):
    records: int
    #: The last 5, without the records' content.
    reasons: list[DeadLetterDocument]


class DeadLetterDocument(TypedDict):
    step: str
    split: str
    offset: int
    reason: str


class BottleneckDocument(TypedDict):
    step: str
    reason: str


class CheckpointDocument(TypedDict):
    n: int
    grade: Literal["soft", "hard"]
    #: ISO 8601 in UTC.
    ts: str
    attempt: int
    records: int
    bytes: int
    splits_done: int
    splits_total: int
    #: Open splits, 10 at most.
    positions: list[PositionDocument]


class PositionDocument(TypedDict):
    split: int
    name: str
    offset: int
    size: int | None


class RunDocument(TypedDict):
    v: int
    state: State
    pipeline: str
    run_key: str
    invocation: str
    run_id: str | None
    #: The runner's count of attempts.
    attempt: int | None
    worker_id: str | None
    #: `sqlite: /path`, `redis: ...`, without secrets.
    backend: str | None
    #: The checkpoint that this attempt went on from.
    resumed_from: int | None
    #: ISO 8601 in UTC, of this attempt.
    started_at: str | None
    updated_at: str
    finished_at: str | None
    exit_code: int | None
    error: str | None
    rows_read: int
    rows_written: int
    bytes_read: int
    bytes_written: int
    errors: int
    #: From 0 to 1, where the size of the input is known.
    progress: float | None
    total_bytes: int | None
    eta_seconds: float | None
    #: Records and bytes a second.
    rate: float | None
    rate_bytes: float | None
    #: Seconds of the attempt and of all attempts; None until the end.
    attempt_seconds: float | None
    seconds: float | None
    #: [seconds since this attempt began, rows read, bytes read], oldest first.
    history: list[list[float]]
    oxis: list[OxiDocument]
    bottleneck: BottleneckDocument | None
    dead_letters: DeadLettersDocument
    outputs: list[OutputDocument]
    #: Messages of alerts and notices, the last 10.
    alerts: list[str]
