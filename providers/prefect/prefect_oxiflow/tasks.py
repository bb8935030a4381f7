"""The tasks that run a pipeline."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from copy import copy
from functools import partial
from typing import Any

from prefect import Task, task, unmapped
from prefect.blocks.core import Block
from prefect.client.schemas.objects import State, TaskRun
from prefect.context import TaskRunContext, get_run_context
from prefect.exceptions import MissingContextError

from oxiflow import OxiFlowError

from .work import Backend, Outcome, Project, Value, Work


def another_try_helps(task: Any, task_run: TaskRun, state: State[Any]) -> bool:
    """What would end the same way is not tried again, whatever the task's retries say."""
    error = state.data
    return error.retry if isinstance(error, OxiFlowError) else True


def name_of_run(parameters: dict[str, Any]) -> str:
    shard = parameters.get("shard")
    part = "" if shard is None else f" {shard if isinstance(shard, str) else '/'.join(map(str, shard))}"
    return f"{parameters['pipeline_name']}{part}"


class PipelineTask(Task[..., Any]):
    """A task that async code awaits and other code calls, like Prefect's own functions; `_sync` says which, where it is given."""

    def __call__(self, *args: Any, _sync: bool | None = None, **given: Any) -> Any:
        if _sync or (_sync is None and not in_async_code()):
            return super().__call__(*args, **given)
        awaited = copy(self)
        awaited.fn, awaited.isasync = arun_pipeline.fn, True
        return Task.__call__(awaited, *args, **given)

    def map(self, *args: Any, **given: Any) -> Any:
        """Blocks, params and env are the same for all, if they are not in a list: nobody means their fields one by one."""
        return super().map(*map(whole, args), **{name: whole(value) for name, value in given.items()})

    def with_options(self, *args: Any, **options: Any) -> PipelineTask:
        # Prefect makes a plain task of it.
        made = copy(self)
        vars(made).update(vars(super().with_options(*args, **options)))
        return made


def whole(value: Any) -> Any:
    return unmapped(value) if isinstance(value, (Block, Mapping)) else value


def in_async_code() -> bool:
    """Whether the flow or task around is async; outside of both, whether there is a loop."""
    try:
        around = get_run_context()
    except MissingContextError:
        with contextlib.suppress(RuntimeError):
            return asyncio.get_running_loop() is not None
        return False
    caller = around.task if isinstance(around, TaskRunContext) else around.flow
    return caller is None or caller.isasync


@partial(PipelineTask, task_run_name=name_of_run, retry_condition_fn=another_try_helps)  # type: ignore[arg-type]
def run_pipeline(
    pipeline_name: str,
    project_dir: Project = ".",
    run_key: str | None = None,
    worker_id: str | None = None,
    state_backend: Backend = None,
    params: Mapping[str, Any] | None = None,
    shard: str | tuple[int, int] | None = None,
    env: Mapping[str, Value] | None = None,
) -> Outcome:
    """
    Runs a pipeline to its end and returns its summary: rows, bytes, seconds, checkpoint, outputs. Throws RunFailed. Async flows
    await it.

    Args:
        pipeline_name: Name of a pipeline in the project, or the path of a file.
        project_dir: Folder of the project, from the working directory, or an `OxiFlowProject` block.
        run_key: What a try resumes, where that is not this pipeline in this flow run.
        worker_id: Says who works; made unique for each try.
        state_backend: auto, sqlite, file, nfs or redis, or an `OxiFlowStateBackend` block; none: what the project says.
        params: Parameters of the pipeline.
        shard: Part of how many, as "0/8"; all parts that have the same params share one run.
        env: Variables for the pipeline; a `SecretStr` is shown nowhere.
    """
    return _work(pipeline_name, project_dir, run_key, worker_id, state_backend, params, shard, env).execute()


@task(task_run_name=name_of_run, retry_condition_fn=another_try_helps)  # type: ignore[arg-type]
async def arun_pipeline(
    pipeline_name: str,
    project_dir: Project = ".",
    run_key: str | None = None,
    worker_id: str | None = None,
    state_backend: Backend = None,
    params: Mapping[str, Any] | None = None,
    shard: str | tuple[int, int] | None = None,
    env: Mapping[str, Value] | None = None,
) -> Outcome:
    """What `run_pipeline` is in async flows: others go on meanwhile."""
    work = _work(pipeline_name, project_dir, run_key, worker_id, state_backend, params, shard, env)
    return await work.aexecute()


def _work(
    pipeline_name: str,
    project_dir: Project,
    run_key: str | None,
    worker_id: str | None,
    state_backend: Backend,
    params: Mapping[str, Any] | None,
    shard: str | tuple[int, int] | None,
    env: Mapping[str, Value] | None,
) -> Work:
    return Work(
        pipeline_name,
        project_dir,
        run_key=run_key,
        worker_id=worker_id,
        state_backend=state_backend,
        params=params,
        shard=shard,
        env=env,
    )
