"""The tasks that run a pipeline."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from prefect import task
from prefect.client.schemas.objects import State, TaskRun

from oxiflow import OxiFlowError

from .work import Backend, Outcome, Project, Value, Work


def another_try_helps(task: Any, task_run: TaskRun, state: State[Any]) -> bool:
    """What would end the same way is not tried again, whatever the task's retries say."""
    error = state.data
    return not isinstance(error, OxiFlowError) or error.retry


def name_of_run(parameters: dict[str, Any]) -> str:
    shard = parameters.get("shard")
    part = "" if shard is None else f" {shard if isinstance(shard, str) else '/'.join(map(str, shard))}"
    return f"{parameters['pipeline_name']}{part}"


@task(task_run_name=name_of_run, retry_condition_fn=another_try_helps)  # type: ignore[arg-type]
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
    Runs a pipeline to its end and returns its summary: rows, bytes, seconds, checkpoint, outputs. Throws RunFailed.

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
    """`run_pipeline` for async flows: others go on meanwhile."""
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
