"""What the tests let happen to runs of Oxide Flow. The project is made by the tests, in OXIFLOW_WORK."""

from __future__ import annotations

import os
import socket
from datetime import datetime, timedelta
from typing import Any

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, Asset, TaskGroup
from oxiflow_airflow_provider import OxiFlowOperator

WORK = os.environ["OXIFLOW_WORK"]
SHOP = f"{WORK}/shop"
START = datetime(2026, 1, 1)
SOON = timedelta(seconds=1)


def dag(name: str) -> DAG:
    return DAG(name, schedule=None, start_date=START, catchup=False)


with dag("orders"):
    OxiFlowOperator(
        task_id="load",
        pipeline_name="orders",
        project_dir=SHOP,
        worker_id="{{ ti.run_id }}",
        params={"least": "{{ dag_run.conf.get('least', 10) }}"},
        outlets=[Asset(name="big_orders", uri=f"file://{SHOP}/big.ndjson")],
        conn_env={"SHOP_URL": "shop_db"},
    )


class OnDepot(OxiFlowOperator):
    """It works on a machine that has another name than that of the triggerer."""

    def execute(self, context: Any) -> dict[str, Any]:
        socket.gethostname = lambda: "depot"
        return super().execute(context)


#: A stop waits so long for what is behind a door that is shut.
SHORT = {"drain_timeout": "1s"}
REDIS = {"oxiflow_conn_id": "oxiflow_redis"}
LATE = {"execution_timeout": timedelta(seconds=30), "retries": 0}
WAYS: dict[str, dict[str, Any]] = {
    "killed": {},
    "marked": {},
    "fresh": {"fresh": True},
    "late": LATE,
    "durable": {"durable": True},
    "durable_marked": {"durable": True},
    "cleared": {},
    "durable_cleared": {"durable": True},
    "durable_late": {"durable": True, **LATE},
    "deferred": {"deferrable": True},
    "deferred_marked": {"deferrable": True},
    "deferred_cleared": {"deferrable": True},
    "deferred_late": {"deferrable": True, **LATE},
    "elsewhere": {"deferrable": True, **REDIS},
    "elsewhere_marked": {"deferrable": True, **REDIS},
}
for name, more in WAYS.items():
    operator = OnDepot if name.startswith("elsewhere") else OxiFlowOperator
    with dag(name):
        operator(
            task_id="load",
            pipeline_name=name,
            project_dir=SHOP,
            **{"retries": 1, "retry_delay": SOON, **SHORT, **more},
        )

with dag("edges"):
    OxiFlowOperator(task_id="load", pipeline_name="orders", depends_on=["transform_data"])
    OxiFlowOperator(task_id="transform_data", pipeline_name="orders", depends_on=["extract_data"])
    EmptyOperator(task_id="extract_data")
    with TaskGroup("night"):
        OxiFlowOperator(task_id="count", pipeline_name="orders", depends_on=["fetch", "load"])
        EmptyOperator(task_id="fetch")

with dag("shards"):
    OxiFlowOperator.partial(task_id="load", pipeline_name="shards", project_dir=SHOP, **REDIS).expand(
        shard=["0/2", "1/2"]
    )
