"""One run of a pipeline by several tasks: Airflow's executor says where they work, Redis who does what. One file comes out."""

from airflow.sdk import DAG
from oxiflow_airflow_provider import OxiFlowOperator

SHARDS = 3

with DAG(
    "flights_in_shards",
    schedule=None,
    max_active_runs=1,
    default_args={"env": {"OUTPUT_DIR": "output/flights_in_shards"}, "state_backend": "redis"},
):
    extract = OxiFlowOperator(task_id="extract_data", pipeline_name="extract_api_data")

    extract >> OxiFlowOperator.partial(task_id="in_kilometres", pipeline_name="in_kilometres").expand(
        shard=[f"{shard}/{SHARDS}" for shard in range(SHARDS)]
    )
