"""A run that fails in the middle, and whose retry goes on where it stopped."""

from datetime import timedelta

from airflow.sdk import DAG, Asset
from oxiflow_airflow_provider import OxiFlowOperator

with DAG(
    "scored_flights",
    schedule=None,
    max_active_runs=1,
    default_args={"env": {"OUTPUT_DIR": "output/scored_flights"}},
):
    OxiFlowOperator(task_id="extract_data", pipeline_name="extract_api_data")

    OxiFlowOperator(
        task_id="score",
        pipeline_name="score_flights",
        depends_on=["extract_data"],
        # On the first try, the program that scores the flights dies at the 120000th.
        env={
            "OUTPUT_DIR": "output/scored_flights",
            "FAIL_AT": "{{ 120000 if ti.try_number == 1 else 0 }}",
        },
        retries=1,
        retry_delay=timedelta(seconds=3),
        outlets=[Asset("scored_flights")],
    )
