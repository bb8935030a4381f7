"""Two pipelines, one after the other; what they have done so far is kept in Redis."""

from airflow.sdk import DAG
from oxiflow_airflow_provider import OxiFlowOperator

with DAG(
    "late_flights",
    schedule=None,
    max_active_runs=1,
    default_args={"env": {"OUTPUT_DIR": "output/late_flights"}},
) as dag:
    extract_task = OxiFlowOperator(
        task_id="extract_data",
        pipeline_name="extract_api_data",
        state_backend="redis",
        worker_id="{{ ti.run_id }}",
        dag=dag,
    )

    transform_task = OxiFlowOperator(
        task_id="transform_data",
        pipeline_name="transform_batch",
        depends_on=["extract_data"],
        state_backend="redis",
        dag=dag,
    )
