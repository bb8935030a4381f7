"""A task that is not ours."""

from __future__ import annotations

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG

with DAG("hello", schedule=None):
    BashOperator(task_id="greet", bash_command="echo hello")
