"""
Who a run is, from what Prefect knows. The run key is the same in every try of the task and of the flow run, so that each goes on
where the one before stopped. The invocation is another one for each task run: a success whose report got lost is not repeated,
and a later run of what has finished is a new one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from prefect.context import FlowRunContext, TaskRunContext
from prefect.exceptions import MissingContextError


@dataclass(frozen=True)
class Place:
    """Where in Prefect this code runs."""

    flow_run_id: UUID | None
    #: What stands for the flow run in the one that called it: it is the same when that is run again, and the flow run is not.
    called_as: UUID | None
    flow_run_name: str
    #: Counts the runs of the flow run: one more each time that it is retried.
    run_count: int
    task_run_id: UUID | None
    #: Name of the task's function.
    task: str
    #: Counts the tries of the task run, from 1.
    tries: int


def here() -> Place:
    """Throws MissingContextError outside of flows and tasks."""
    flow, task = FlowRunContext.get(), TaskRunContext.get()
    if flow is None and task is None:
        raise MissingContextError("run_pipeline is a task: call it, or what it is called by, in a flow or as a task")
    flow_run = None if flow is None else flow.flow_run
    task_run = None if task is None else task.task_run
    flow_run_id = flow_run.id if flow_run is not None else None if task_run is None else task_run.flow_run_id
    counts = [0 if flow_run is None else flow_run.run_count, 0 if task_run is None else task_run.flow_run_run_count]
    return Place(
        flow_run_id=flow_run_id,
        called_as=None if flow_run is None else flow_run.parent_task_run_id,
        flow_run_name="task" if flow_run is None else flow_run.name,
        run_count=max(counts),
        task_run_id=None if task_run is None else task_run.id,
        # Behind it, Prefect puts a hash of the code; a new version of it goes on, too.
        task="flow" if task_run is None else task_run.task_key.rpartition("-")[0] or task_run.task_key,
        tries=1 if task_run is None else max(1, task_run.run_count),
    )


@dataclass(frozen=True)
class Identity:
    #: What is resumed.
    run_key: str
    #: A second start for the same request repeats nothing that has finished.
    invocation: str
    worker_id: str


def identity_of(
    place: Place,
    *,
    pipeline: str,
    run_key: str | None,
    worker_id: str | None,
    given: Mapping[str, Any],
    shared: bool,
) -> Identity:
    """
    `given`: what makes a run of the pipeline another one than its neighbour's in the same flow run. `shared`: this is a part of
    a run, and the other parts are other task runs.
    """
    root = place.flow_run_id or place.task_run_id
    request = f"prefect/{root}/{place.run_count}"
    if not shared and place.task_run_id is not None:
        request = f"{request}/{place.task_run_id}"
    return Identity(
        run_key=run_key or f"prefect/{place.called_as or root}/{place.task}/{pipeline}{tail_of(given)}",
        invocation=request,
        worker_id=f"{worker_id or place.flow_run_name}/{place.task_run_id or root}/{place.run_count}.{place.tries}",
    )


def tail_of(given: Mapping[str, Any]) -> str:
    """Differs where what is given differs; says nothing of it."""
    said = {name: value for name, value in given.items() if value}
    if not said:
        return ""
    text = json.dumps(said, sort_keys=True, default=str)
    return "/" + hashlib.sha256(text.encode()).hexdigest()[:12]
