"""Follows one run of the runner for a step of Dagster: what it says becomes logs, its checkpoints are handed on as they come."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import dagster as dg
from oxiflow.events import Alert, Checkpoint, Log, Progress
from oxiflow.request import drain_seconds

from oxiflow import Line, OxiFlowError, Result, Run, RunFailed

from .figures import Metadata, observed
from .identity import StepContext

INTERRUPTS = (dg.DagsterExecutionInterruptedError, KeyboardInterrupt)
LEVELS = {"debug": "DEBUG", "info": "INFO", "warn": "WARNING", "error": "ERROR"}


#: Beyond the time for draining, before what is left is killed, in seconds.
MARGIN = 5.0


def grace_of(seconds: float, drain_timeout: str | None) -> float:
    """What is left so long after a stop is killed: nobody before the time for draining is over."""
    return seconds if drain_timeout is None else max(seconds, drain_seconds(drain_timeout) + MARGIN)


def keys_of(context: StepContext) -> tuple[str, ...]:
    """Of all partitions that this run of Dagster is for."""
    return tuple(context.partition_keys) if context.has_partition_key or context.has_partition_key_range else ()


@contextmanager
def stopping(run: Run, context: Any, grace: float) -> Iterator[None]:
    """
    What ends the block early, Dagster's interrupt first of all, ends the run: drained, checkpointed, and its children too. Throws
    Failure where somebody has terminated the run of Dagster: of the interrupt itself, a retry policy would make another try.
    """
    log = context.log
    try:
        yield
    except BaseException as error:
        interrupted = isinstance(error, INTERRUPTS)
        try:
            if run.running:
                result = run.stop(grace)
                saved = result.checkpoint or result.finished
                n = 0 if saved is None else saved.n if isinstance(saved, Checkpoint) else saved.checkpoint
                log.info(f"Oxide Flow has stopped; checkpoint {n} is saved" if n else "Oxide Flow has stopped")
        except INTERRUPTS:
            # Somebody is impatient: the runner drains alone, its launcher is gone.
            interrupted = True
        if interrupted and is_canceled(context):
            raise dg.Failure(description="the run was terminated", allow_retries=False) from error
        raise
    finally:
        run.close()


def is_canceled(context: Any) -> bool:
    """By somebody, for good; a run that lost its machine is not."""
    record = context.instance.get_run_by_id(context.run.run_id)
    return record is not None and record.status == dg.DagsterRunStatus.CANCELING


def follow(run: Run, log: Any, every: float) -> Iterator[Metadata]:
    """
    To the end of the run; gives the metadata of checkpoints, one in `every` seconds and the first of them at once. What it
    writes on standard output is data and goes to ours; Dagster keeps that with the step. `log`: None where the runner logs by
    itself.
    """
    progress: Progress | None = None
    last = float("-inf")
    told = ""
    for item in run.follow():
        if isinstance(item, Line):
            stream = sys.stdout if item.stream == "stdout" else sys.stderr
            stream.write(f"{item.text}\n")
        elif isinstance(item, Progress):
            progress = item
        elif isinstance(item, Alert) and log is not None:
            told = item.message
            (log.error if item.severity == "critical" else log.warning)(item.message)
        elif isinstance(item, Log) and log is not None and item.message != told:
            # People are warned of an alert in the same words.
            log.log(level=LEVELS[item.level], msg=item.message)
        elif isinstance(item, Checkpoint) and time.monotonic() - last >= every:
            last = time.monotonic()
            yield observed(item, progress)
    sys.stdout.flush()
    sys.stderr.flush()


def failure_of(error: OxiFlowError) -> dg.Failure:
    """With Dagster's retries where another try goes on from the checkpoint, and without where it would end the same way."""
    metadata: Mapping[str, Any] = {}
    if isinstance(error, RunFailed):
        metadata = failed(error.result)
    return dg.Failure(description=str(error), metadata=metadata, allow_retries=error.retry)


def failed(result: Result) -> Metadata:
    metadata: Metadata = {"oxiflow/exit_code": result.exit_code}
    if result.finished is not None:
        metadata["oxiflow/run_key"] = result.finished.run_key
        metadata["oxiflow/checkpoint"] = result.finished.checkpoint
        if result.finished.error is not None:
            metadata["oxiflow/code"] = result.finished.error.code
    elif result.checkpoint is not None:
        metadata["oxiflow/run_key"] = result.checkpoint.run_key
        metadata["oxiflow/checkpoint"] = result.checkpoint.n
    return metadata
