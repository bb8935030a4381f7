"""Runs on every version of Airflow that the provider knows."""

from __future__ import annotations

import os
from datetime import datetime

from oxiflow_airflow_provider import OxiFlowOperator

try:
    from airflow.sdk import DAG, Asset
except ImportError:
    from airflow.datasets import Dataset as Asset  # type: ignore[no-redef]

    from airflow import DAG

SHOP = os.environ["SHOP"]

with DAG("matrix", schedule=None, start_date=datetime(2026, 1, 1), catchup=False, params={"region": "north"}) as dag:
    OxiFlowOperator(
        task_id="transform_data",
        pipeline_name="big",
        project_dir=SHOP,
        depends_on=["extract_data"],
        worker_id="{{ ti.run_id }}",
        params={"least": "{{ 20 + 5 }}"},
        conn_env={"SHOP_URL": "shop_db"},
        outlets=[Asset(f"file://{SHOP}/big.ndjson")],
    )
    OxiFlowOperator(task_id="extract_data", pipeline_name="all", project_dir=SHOP)
    each = OxiFlowOperator.partial(
        task_id="each", project_dir=SHOP, params={"least": 40}, depends_on=["extract_data", "transform_data"]
    )
    each.expand(pipeline_name=["big2", "big3"])
