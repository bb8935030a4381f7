"""Runs that go no further than the test that watches them lets them."""

from __future__ import annotations

import os

from airflow.sdk import DAG
from oxiflow_airflow_provider import OxiFlowOperator

for name in ("watched", "watched_deferred"):
    with DAG(name, schedule=None):
        OxiFlowOperator(
            task_id="load",
            pipeline_name="watched",
            project_dir=f"{os.environ['OXIFLOW_WORK']}/{name}",
            deferrable=name == "watched_deferred",
            oxiflow_conn_id="watched_redis",
        )
