"""Flows that run the pipelines of this folder."""

from pathlib import Path

from prefect import flow, unmapped
from prefect.task_runners import ThreadPoolTaskRunner
from prefect_oxiflow import oxiflow_flow, run_pipeline

PROJECT = Path(__file__).parent
PARTS = 3

# A try that fails is followed by others, which go on where it stopped.
patient = run_pipeline.with_options(retries=2, retry_delay_seconds=5)


@flow
def punctuality(minutes: int = 60):
    """All flights, and those that were late."""
    patient("flights", PROJECT)
    return patient("late_flights", PROJECT, params={"minutes": minutes})


# A flow whose parameters, with their types, defaults and choices, are the pipeline's.
late_flights = oxiflow_flow("late_flights", PROJECT, task_options={"retries": 2})


@flow(task_runner=ThreadPoolTaskRunner(max_workers=PARTS))
def in_parts():
    """One run of a pipeline by several tasks: Prefect's task runner says where they work, Redis who does what."""
    parts = patient.map(
        "in_parts", unmapped(PROJECT), state_backend="redis", shard=[f"{part}/{PARTS}" for part in range(PARTS)]
    )
    return parts.result()
