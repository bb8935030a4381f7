"""A run that goes no further than the test that watches it lets it."""

from __future__ import annotations

import os

from airflow.sdk import DAG
from oxiflow_airflow_provider import OxiFlowOperator

with DAG("watched", schedule=None):
    OxiFlowOperator(task_id="load", pipeline_name="watched", project_dir=f"{os.environ['OXIFLOW_WORK']}/watched")
