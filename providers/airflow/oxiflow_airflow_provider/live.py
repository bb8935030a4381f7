"""
What Airflow's page shows of a run, translated from its events: plain documents of JSON, each below 64 KB. They stand in the
task's state store (Airflow 3.3), or in XCom under the same keys; the tab reads them and nothing else. Counts are over all
attempts; names are those of the event protocol where it has one.

`oxiflow_run` is a RunDocument, `oxiflow_checkpoint` the newest CheckpointDocument, `oxiflow_checkpoints` the last 20, oldest first.
"""

from __future__ import annotations

from typing import Literal, Optional, TypedDict

RUN = "oxiflow_run"
CHECKPOINT = "oxiflow_checkpoint"
CHECKPOINTS = "oxiflow_checkpoints"

#: Points of the history; when there are more, every second one goes.
POINTS = 120
#: Checkpoints in the list.
KEPT = 20

State = Literal["starting", "running", "deferred", "succeeded", "failed", "stopped"]


class OxiDocument(TypedDict):
    """A step, in the order of the plan. Rates and percents are None until the first sample, and after the end."""

    step: str
    oxi: str
    kind: str
    stage: int
    records_in: int
    records_out: int
    bytes_in: int
    bytes_out: int
    #: Dropped, dead-lettered, failed or passed on.
    errors: int
    rate_per_s: Optional[float]
    #: 100 is one thread.
    busy_percent: Optional[float]
    wait_input_percent: Optional[float]
    wait_room_percent: Optional[float]
    wait_outside_percent: Optional[float]
    memory_mb: Optional[float]
    #: Of the queue that it fills, from 0 to 1; None where it fills none.
    queue_fill: Optional[float]
    bottleneck: bool


class OutputDocument(TypedDict):
    step: str
    #: A path or a table.
    to: Optional[str]
    rows: int
    bytes: int


class DeadLettersDocument(TypedDict):
    records: int
    #: The last few, without the records' content.
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
    size: Optional[int]


class RunDocument(TypedDict):
    v: int
    state: State
    pipeline: str
    run_key: str
    invocation: str
    run_id: Optional[str]
    #: The runner's count of attempts.
    attempt: Optional[int]
    worker_id: Optional[str]
    #: `sqlite: /path`, `redis: ...`, without secrets.
    backend: Optional[str]
    #: The checkpoint that this attempt went on from.
    resumed_from: Optional[int]
    #: ISO 8601 in UTC, of this attempt.
    started_at: Optional[str]
    updated_at: str
    finished_at: Optional[str]
    exit_code: Optional[int]
    error: Optional[str]
    rows_read: int
    rows_written: int
    bytes_read: int
    bytes_written: int
    errors: int
    #: From 0 to 1, where the size of the input is known.
    progress: Optional[float]
    total_bytes: Optional[int]
    eta_seconds: Optional[float]
    #: Records and bytes a second.
    rate: Optional[float]
    rate_bytes: Optional[float]
    #: Seconds of the attempt and of all attempts; None until the end.
    attempt_seconds: Optional[float]
    seconds: Optional[float]
    #: [seconds since this attempt began, rows read, bytes read], oldest first.
    history: list[list[float]]
    oxis: list[OxiDocument]
    bottleneck: Optional[BottleneckDocument]
    dead_letters: DeadLettersDocument
    outputs: list[OutputDocument]
    #: Messages of alerts and notices, the last 10.
    alerts: list[str]
