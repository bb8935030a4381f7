"""The scenario on Dask, in a file of its own: importing Dask takes time that others need not."""

from __future__ import annotations

from typing import Any

from prefect import flow
from prefect_dask import DaskTaskRunner
from shared import run_in_parts

CLUSTER = {"n_workers": 2, "threads_per_worker": 4, "dashboard_address": None}


@flow(task_runner=DaskTaskRunner(cluster_kwargs=CLUSTER))
def shared_on_dask() -> Any:
    return run_in_parts("dask")

