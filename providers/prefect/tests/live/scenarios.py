"""
The flows that the tests run, each in a process of its own, as a runner or worker of Prefect starts them. OXIFLOW_HARBOUR is the
folder of the project.
"""

from __future__ import annotations

import os
import time
from typing import Any

from prefect import flow, serve, task
from prefect.artifacts import create_markdown_artifact
from prefect.runtime import flow_run
from prefect.task_runners import ThreadPoolTaskRunner
from prefect.types import SecretDict
from prefect_dask.task_runners import DaskTaskRunner
from prefect_oxiflow import OxiFlowProject, OxiFlowStateBackend, oxiflow_flow, run_pipeline
from pydantic import SecretStr

HARBOUR = os.environ["OXIFLOW_HARBOUR"]
#: What its program holds at a stop takes it long.
PORT = OxiFlowProject(project_dir=HARBOUR, drain_timeout="2s")
#: Of a run that is seen to move: a minute in all.
SLOWLY = 1.0
#: For a flow or a task that is to end before its run does, in seconds.
SOON = 4


ON_DASK: Any = DaskTaskRunner(cluster_kwargs={"n_workers": 2, "threads_per_worker": 4, "dashboard_address": None})


@flow
def steady() -> Any:
    return run_pipeline("crossings", HARBOUR, params={"to": "steady"})


@flow
def stopped_directly() -> Any:
    return run_pipeline("crossings", PORT, params={"to": "stopped_directly", "rest": SLOWLY})


@flow
def stopped_in_a_thread() -> Any:
    return run_pipeline.submit("crossings", PORT, params={"to": "stopped_in_a_thread"}).result()


@flow
async def stopped_in_a_loop() -> Any:
    return await run_pipeline("crossings", PORT, params={"to": "stopped_in_a_loop"})


@flow
def terminated() -> Any:
    return run_pipeline.submit("crossings", PORT, params={"to": "terminated"}).result()


@flow
def too_slow() -> Any:
    slow = run_pipeline.with_options(timeout_seconds=SOON)
    return slow.submit("crossings", PORT, params={"to": "too_slow", "rest": SLOWLY}).result()


@flow(timeout_seconds=SOON)
def flow_too_slow() -> Any:
    return run_pipeline("crossings", PORT, params={"to": "flow_too_slow", "rest": SLOWLY})


@flow(timeout_seconds=SOON)
def flow_too_slow_in_a_thread() -> Any:
    return run_pipeline.submit("crossings", PORT, params={"to": "flow_too_slow_in_a_thread", "rest": SLOWLY}).result()


@flow
def killed() -> Any:
    return run_pipeline("crossings", PORT, params={"to": "killed"})


@flow
def dies() -> Any:
    patient = run_pipeline.with_options(retries=2)
    return patient("crossings", PORT, params={"to": "dies"})


@flow(retries=1)
def dies_within() -> Any:
    return within()


@flow(retries=1)
def within() -> Any:
    return run_pipeline("crossings", PORT, params={"to": "dies_within"})


@flow
def refused() -> Any:
    """Bad data is not tried again, whatever the retries say."""
    patient = run_pipeline.with_options(retries=3)
    return patient("strict", HARBOUR)


@flow(task_runner=ThreadPoolTaskRunner(max_workers=4))  # type: ignore[arg-type]
def shared_in_threads() -> Any:
    return run_in_parts("threads")


@flow(task_runner=ON_DASK)
def shared_on_dask() -> Any:
    return run_in_parts("dask")


@flow(task_runner=ON_DASK)
def stopped_on_dask() -> Any:
    parts = [f"{part}/3" for part in range(3)]
    return run_pipeline.map(
        "crossings", PORT, state_backend=redis(), params={"to": "stopped_on_dask"}, shard=parts
    ).result()


@flow
def mapped_twice() -> Any:
    return [run_in_parts("twice", 2), run_in_parts("twice", 2), run_in_parts("twice", 2, f"{flow_run.id}/again")]


def redis() -> OxiFlowStateBackend:
    return OxiFlowStateBackend(backend="redis", url=SecretStr(os.environ["OXIFLOW_REDIS"]))


def run_in_parts(to: str, shards: int = int(os.environ["OXIFLOW_SHARDS"]), run_key: str | None = None) -> Any:
    parts = run_pipeline.map(
        "tickets",
        HARBOUR,
        state_backend=redis(),
        shard=[f"{part}/{shards}" for part in range(shards)],
        env={"TICKETS_TO": to},
        run_key=run_key,
    )
    return parts.result()


@task
def measure() -> None:
    began = time.process_time()
    run_pipeline.fn("crossings", HARBOUR, params={"to": "measured"})
    create_markdown_artifact(str(time.process_time() - began), key="cpu")


@flow
def measured() -> None:
    measure()


@flow
def hostile() -> Any:
    name = "[a](javascript:boom) <img src=x onerror=boom> **b** | c"
    secret = SecretStr(os.environ["OXIFLOW_SECRET"])
    OxiFlowProject(project_dir=HARBOUR, env=SecretDict({"API_TOKEN": secret.get_secret_value()})).save(
        "harbour", overwrite=True
    )
    project: Any = OxiFlowProject.load("harbour")
    assert project.variables() == {"API_TOKEN": secret.get_secret_value()}
    # The name of an output is told in many places.
    to = f"{name} {secret.get_secret_value()}"
    return run_pipeline("crossings", project, params={"to": to, "rest": 0}, env={"ALSO": secret})


crossings = oxiflow_flow("crossings", HARBOUR)


@flow
def in_order() -> None:
    """Flows that are looked at when they have ended share a process; each is a flow run of its own."""
    for one in (
        *(steady, too_slow, flow_too_slow, flow_too_slow_in_a_thread, refused, measured, hostile),
        *(shared_in_threads, shared_on_dask, mapped_twice),
    ):
        one(return_state=True)
    crossings(to="of_a_flow", rest=0, return_state=True)


SERVED = [
    *(stopped_directly, stopped_in_a_thread, stopped_in_a_loop, stopped_on_dask),
    *(terminated, killed, dies, dies_within, in_order, crossings),
]

# Runs are started by importing this file again.
if __name__ == "__main__":
    serve(*(one.to_deployment(one.fn.__name__) for one in SERVED), limit=20)  # type: ignore[arg-type]
