"""
The events of the runner, version 1, made by generate_events.py from its JSON Schemas: change those, not this file.
Counts are over all attempts where nothing else is said. Fields that may be absent are None then.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal, Optional, Union

from .fields import AtLeast, Between, Matches, MoreThan


@dataclass(frozen=True)
class PlannedStep:
    #: Id of the step.
    step: str
    #: Name of the oxi that the step runs.
    oxi: str
    kind: Literal["source", "parser", "step", "formatter", "sink", "batch", "tee"]


@dataclass(frozen=True)
class PlannedStage:
    #: Number of the stage.
    stage: Annotated[int, AtLeast(0)]
    #: Most threads that it may use.
    threads: Annotated[int, MoreThan(0)]
    #: How its records are worked on.
    tier: Literal["bytes", "spans", "values"]
    steps: tuple[PlannedStep, ...]


@dataclass(frozen=True)
class Plan:
    stages: tuple[PlannedStage, ...]


@dataclass(frozen=True)
class Backend:
    #: file, sqlite, redis.
    name: str
    #: Where the state is kept, without secrets.
    location: str


@dataclass(frozen=True)
class Position:
    #: Number of the split.
    split: Annotated[int, AtLeast(0)]
    #: Name of the split: a path, stdin.
    name: str
    #: Where reading goes on, in bytes of the split.
    offset: Annotated[int, AtLeast(0)]
    #: Bytes of the split, where known.
    size: Optional[Annotated[int, AtLeast(0)]] = None


@dataclass(frozen=True)
class ResumedFrom:
    #: Number of the checkpoint.
    checkpoint: Annotated[int, AtLeast(0)]
    #: soft survives the death of the process, hard the death of the machine.
    grade: Literal["soft", "hard"]
    #: The splits that are open; finished ones are only counted.
    positions: tuple[Position, ...]
    #: Records read before it.
    records: Annotated[int, AtLeast(0)]


@dataclass(frozen=True)
class RunnerProcess:
    #: Process id.
    pid: Annotated[int, AtLeast(0)]
    #: Host name.
    host: str
    #: The runner's version.
    version: str


@dataclass(frozen=True)
class Counters:
    """in + added = out + filtered + dropped + dead_lettered + failed + collected + in_flight."""

    #: Records that came in.
    in_: Annotated[int, AtLeast(0)]
    #: Records made by the step itself: read by a source, or more out than in.
    added: Annotated[int, AtLeast(0)]
    #: Records that left the step towards the next one, or into the output.
    out: Annotated[int, AtLeast(0)]
    #: Records that the step was asked to leave out.
    filtered: Annotated[int, AtLeast(0)]
    #: Bad records given up by on_error: drop.
    dropped: Annotated[int, AtLeast(0)]
    #: Bad records in the dead-letter file.
    dead_lettered: Annotated[int, AtLeast(0)]
    #: Bad records that stopped the run, or that a sink could not take.
    failed: Annotated[int, AtLeast(0)]
    #: Records that became part of another one.
    collected: Annotated[int, AtLeast(0)]
    #: Records that left as they came because the step failed; also counted in out.
    passed_on_error: Annotated[int, AtLeast(0)]
    #: Records inside the step; 0 at the end of a run that succeeded.
    in_flight: Annotated[int, AtLeast(0)]
    #: Bytes that came in.
    bytes_in: Annotated[int, AtLeast(0)]
    #: Bytes that left.
    bytes_out: Annotated[int, AtLeast(0)]


@dataclass(frozen=True)
class Busiest:
    """The step that works most at the moment, where one works at all."""

    #: Id of the step.
    step: str
    #: Time that its threads worked of late; 100 is one thread.
    busy_percent: Annotated[float, AtLeast(0)]


@dataclass(frozen=True)
class ProcessMetrics:
    #: 100 is one core.
    cpu_usage_percent: Annotated[float, AtLeast(0)]
    #: Resident memory, MiB.
    memory_usage_mb: Annotated[float, AtLeast(0)]


@dataclass(frozen=True)
class OxiMetrics:
    #: Id of the step.
    step: str
    #: Name of the oxi that the step runs.
    oxi: str
    #: Processor use of the threads that it runs on, shared out by the busy time of the steps on them; 100 is
    #: one core.
    cpu_usage_percent: Annotated[float, AtLeast(0)]
    #: Memory in MiB, of what memory_of says; the steps there share it.
    memory_usage_mb: Annotated[float, AtLeast(0)]
    #: Bytes read from outside, by a source.
    io_read_bytes: Annotated[int, AtLeast(0)]
    #: Bytes written to the outside, by a sink.
    io_write_bytes: Annotated[int, AtLeast(0)]
    #: Records that the step has dealt with.
    records_processed: Annotated[int, AtLeast(0)]
    #: Records a second since the sample before.
    processing_rate_per_sec: Annotated[float, AtLeast(0)]
    #: Bad records: dropped, dead-lettered, failed or passed on.
    error_count: Annotated[int, AtLeast(0)]
    #: Busy time per record.
    avg_processing_time_ms: Annotated[float, AtLeast(0)]
    #: threads: heap and buffers of the threads of its stage. process: all resident memory.
    memory_of: Optional[Literal["threads", "process"]] = None
    #: Bytes that came into its stage, with its first step; 0 within.
    bytes_in: Optional[Annotated[int, AtLeast(0)]] = None
    #: Bytes that left its stage, with its last step; 0 within.
    bytes_out: Optional[Annotated[int, AtLeast(0)]] = None
    #: Its busy time is found by samples: it shares a pass with other steps.
    sampled: Optional[bool] = None
    #: Threads of its own stage; 0 where it works on the main thread.
    threads: Optional[Annotated[int, AtLeast(0)]] = None
    #: Busy time since the sample before; 100 is one thread.
    busy_percent: Optional[Annotated[float, AtLeast(0)]] = None
    #: Share of the time that its node waited for input; steps of a stage are one node.
    wait_input_percent: Optional[Annotated[float, AtLeast(0)]] = None
    #: Share of the time that its node waited for room in the queue behind it.
    wait_room_percent: Optional[Annotated[float, AtLeast(0)]] = None
    #: Share of the time that the sink waited for what it writes to.
    wait_outside_percent: Optional[Annotated[float, AtLeast(0)]] = None


@dataclass(frozen=True)
class Queue:
    #: The step that fills it.
    from_: str
    #: The step that empties it.
    to: str
    #: Bytes that wait in it.
    bytes: Annotated[int, AtLeast(0)]
    #: Records that wait in it.
    records: Annotated[int, AtLeast(0)]
    #: How full it is; 1 while the step that fills it waits.
    fill: Annotated[float, Between(0, 1)]


@dataclass(frozen=True)
class Bottleneck:
    """What holds the run back, where it is plain to see."""

    #: Id of the step.
    step: str
    #: One sentence: why this step, and what helps.
    reason: str


@dataclass(frozen=True)
class Failure:
    #: A stable name for the kind of failure; INTERNAL for a bug.
    code: Annotated[str, Matches(r"^[A-Z][A-Z0-9_]*$")]
    #: One sentence: what happened, where, what to do.
    message: str


@dataclass(frozen=True)
class StepCounters:
    #: Id of the step.
    step: str
    #: Name of the oxi that the step runs.
    oxi: str
    #: Time that its threads worked on records, summed over the threads, in this attempt.
    busy_ms: Annotated[float, AtLeast(0)]
    #: Over all attempts.
    counters: Counters
    #: Its time was found by samples: it shares a pass with others.
    sampled: Optional[bool] = None
    #: Its node waited for input, in this attempt; steps of a stage are one node.
    wait_input_ms: Optional[Annotated[float, AtLeast(0)]] = None
    #: Its node waited for room in the queue behind it.
    wait_room_ms: Optional[Annotated[float, AtLeast(0)]] = None
    #: The sink waited for what it writes to.
    wait_outside_ms: Optional[Annotated[float, AtLeast(0)]] = None


@dataclass(frozen=True)
class RunCounters:
    #: The run as one step, over all attempts: added is read, out is written.
    total: Counters
    #: The same for this attempt.
    attempt: Counters
    steps: tuple[StepCounters, ...]


@dataclass(frozen=True)
class Durations:
    #: This attempt.
    attempt_ms: Annotated[float, AtLeast(0)]
    #: All attempts, without the time between them.
    total_ms: Annotated[float, AtLeast(0)]


@dataclass(frozen=True)
class Output:
    #: Id of the step.
    step: str
    #: Records in it.
    rows: Annotated[int, AtLeast(0)]
    #: Bytes in it.
    bytes: Annotated[int, AtLeast(0)]
    #: The file that was published.
    path: Optional[str] = None
    #: The table that was written.
    table: Optional[str] = None
    #: Its columns, where it has a header.
    columns: Optional[tuple[str, ...]] = None


@dataclass(frozen=True)
class Envelope:
    """What every event tells. (run_id, attempt, seq) is unique; a gap in seq is lines lost."""

    type: ClassVar[str] = ""
    #: Version of the protocol.
    v: Literal[1]
    #: When it happened, ISO 8601 in UTC with milliseconds.
    ts: Annotated[str, Matches(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")]
    #: Counts the events of an attempt from 1.
    seq: Annotated[int, MoreThan(0)]
    #: What is resumed; the launcher chose it.
    run_key: str
    #: One run, the same in all its attempts.
    run_id: str
    #: Counts the attempts of a run from 1, by the state store.
    attempt: Annotated[int, MoreThan(0)]
    #: Who works on it, unique for each attempt.
    worker_id: str
    #: Name of the pipeline.
    pipeline: str


@dataclass(frozen=True)
class RunStarted(Envelope):
    """An attempt begins: the plan, the state backend, and where it goes on from."""

    type: ClassVar[str] = "run.started"
    plan: Plan
    backend: Backend
    #: The checkpoint that this attempt goes on from; null from the beginning.
    resumed_from: Optional[ResumedFrom]
    #: What the operator should know before the run.
    notices: tuple[str, ...]
    process: RunnerProcess
    #: Events after this one that are in the file no more: it has a limit, and began anew.
    left_out: Optional[Annotated[int, AtLeast(0)]] = None


@dataclass(frozen=True)
class StepStarted(Envelope):
    """A step was opened."""

    type: ClassVar[str] = "step.started"
    #: Id of the step.
    step: str
    #: Name of the oxi that the step runs.
    oxi: str
    #: Number of its stage.
    stage: Annotated[int, AtLeast(0)]


@dataclass(frozen=True)
class StepFinished(Envelope):
    """A step has ended."""

    type: ClassVar[str] = "step.finished"
    #: Id of the step.
    step: str
    #: Name of the oxi that the step runs.
    oxi: str
    status: Literal["succeeded", "failed", "interrupted", "skipped"]
    #: From its start to its end in this attempt.
    duration_ms: Annotated[float, AtLeast(0)]
    #: Time that its threads worked on records, summed, in this attempt.
    busy_ms: Annotated[float, AtLeast(0)]
    #: Over all attempts.
    counters: Counters


@dataclass(frozen=True)
class Progress(Envelope):
    """How far the run is; about once a second."""

    type: ClassVar[str] = "progress"
    #: Records read so far, over all attempts.
    records: Annotated[int, AtLeast(0)]
    #: Bytes of the input dealt with so far, over all attempts.
    bytes: Annotated[int, AtLeast(0)]
    #: Bad records so far, over all attempts.
    errors: Annotated[int, AtLeast(0)]
    #: Smoothed over about ten seconds.
    rate_records_per_s: Annotated[float, AtLeast(0)]
    #: Smoothed over about ten seconds.
    rate_bytes_per_s: Annotated[float, AtLeast(0)]
    #: Bytes of the whole input, where known.
    total_bytes: Optional[Annotated[int, AtLeast(0)]] = None
    #: Of them, in the dead-letter file, where there are any.
    dead_lettered: Optional[Annotated[int, AtLeast(0)]] = None
    #: Time left at this rate, where the total is known.
    eta_seconds: Optional[Annotated[float, AtLeast(0)]] = None
    busiest: Optional[Busiest] = None


@dataclass(frozen=True)
class Metrics(Envelope):
    """What every step costs, since the sample before."""

    type: ClassVar[str] = "metrics"
    #: Time since the sample before.
    interval_ms: Annotated[float, AtLeast(0)]
    process: ProcessMetrics
    steps: tuple[OxiMetrics, ...]
    #: Between two stages, now.
    queues: Optional[tuple[Queue, ...]] = None
    bottleneck: Optional[Bottleneck] = None


@dataclass(frozen=True)
class Checkpoint(Envelope):
    """A checkpoint is in the store: a later attempt goes on from here."""

    type: ClassVar[str] = "checkpoint"
    #: Number of the checkpoint in the run.
    n: Annotated[int, MoreThan(0)]
    #: soft survives the death of the process, hard the death of the machine.
    grade: Literal["soft", "hard"]
    #: The splits that are open; finished ones are only counted.
    positions: tuple[Position, ...]
    #: Splits read to their end.
    splits_done: Annotated[int, AtLeast(0)]
    #: Splits of the run.
    splits_total: Annotated[int, AtLeast(0)]
    #: Records read before it, over all attempts.
    records: Annotated[int, AtLeast(0)]
    #: Bytes of the input before it, over all attempts.
    bytes: Annotated[int, AtLeast(0)]


@dataclass(frozen=True)
class Alert(Envelope):
    """Something crossed a threshold."""

    type: ClassVar[str] = "alert"
    #: Which rule spoke: cpu_threshold, stuck.
    name: str
    severity: Literal["warning", "critical"]
    #: One sentence for people.
    message: str
    #: Id of the step.
    step: Optional[str] = None
    #: What was measured.
    value: Optional[float] = None
    #: What it was held against.
    threshold: Optional[float] = None


@dataclass(frozen=True)
class Log(Envelope):
    """A line for people."""

    type: ClassVar[str] = "log"
    level: Literal["debug", "info", "warn", "error"]
    #: For people.
    message: str
    #: Id of the step.
    step: Optional[str] = None


@dataclass(frozen=True)
class RecordDeadLettered(Envelope):
    """A bad record went to the dead-letter file."""

    type: ClassVar[str] = "record.dead_lettered"
    #: Id of the step.
    step: str
    #: Name of the split that the record came from.
    split: str
    #: Where the record begins in its split, in bytes.
    offset: Annotated[int, AtLeast(0)]
    #: Why, without the record's content.
    reason: str
    #: What kind of error.
    code: Optional[Literal["GRAMMAR", "ENCODING", "TOO_LARGE", "VALUE", "SCHEMA", "TIMEOUT", "REFUSED"]] = None


@dataclass(frozen=True)
class RunFinished(Envelope):
    """The attempt ends, always its last event. An attempt without it failed."""

    type: ClassVar[str] = "run.finished"
    status: Literal["succeeded", "failed", "interrupted", "cancelled"]
    exit_code: Annotated[int, Between(0, 255)]
    #: The last checkpoint; 0 where there was none.
    checkpoint: Annotated[int, AtLeast(0)]
    counters: RunCounters
    durations: Durations
    outputs: tuple[Output, ...]
    error: Optional[Failure] = None
    bottleneck: Optional[Bottleneck] = None


Event = Union[
    RunStarted,
    StepStarted,
    StepFinished,
    Progress,
    Metrics,
    Checkpoint,
    Alert,
    Log,
    RecordDeadLettered,
    RunFinished,
]

#: The class of each type.
EVENTS: dict[str, type[Event]] = {
    "run.started": RunStarted,
    "step.started": StepStarted,
    "step.finished": StepFinished,
    "progress": Progress,
    "metrics": Metrics,
    "checkpoint": Checkpoint,
    "alert": Alert,
    "log": Log,
    "record.dead_lettered": RecordDeadLettered,
    "run.finished": RunFinished,
}
