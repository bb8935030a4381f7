"""A run that goes on beside Airflow: the task gives its slot away and wakes up when the run has ended. Airflow 3.3."""

from airflow.sdk import DAG
from oxiflow_airflow_provider import OxiFlowOperator

with DAG("deferred_birdstrikes", schedule=None, max_active_runs=1):
    # Reports that can't be true are dead letters; the tab shows the last of them.
    OxiFlowOperator(task_id="check_reports", pipeline_name="birdstrikes", project_dir="../birdstrikes", deferrable=True)
