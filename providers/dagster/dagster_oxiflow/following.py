"""Follows one run of the runner for a step of Dagster: what it says becomes logs, its checkpoints are handed on as they come."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import dagster as dg
from oxiflow.events import Alert, Checkpoint, Log, Progress

from oxiflow import Line, OxiFlowError, Result, Run, RunFailed

from .figures import Metadata, observed

LEVELS = {"debug": "DEBUG", "info": "INFO", "warn": "WARNING", "error": "ERROR"}


@contextmanager
def stopping(run: Run, log: Any, grace: float) -> Iterator[None]:
    """What ends the block early, Dagster's interrupt first of all, ends the run: drained, checkpointed, and its children too."""
    try:
        yield
    except BaseException:
        if run.running:
            result = run.stop(grace)
            saved = result.checkpoint or result.finished
            n = 0 if saved is None else saved.n if isinstance(saved, Checkpoint) else saved.checkpoint
            log.info(f"Oxide Flow has stopped; checkpoint {n} is saved" if n else "Oxide Flow has stopped")
        raise
    finally:
        run.close()


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
