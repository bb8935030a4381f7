from __future__ import annotations

from .client import Api, Task


def test_a_dag_runs_on_the_airflow_of_the_tests(api: Api) -> None:
    run_id, state = api.run("hello")
    assert state == "success"
    task = Task("hello", run_id, "greet")
    assert api.task(task)["try_number"] == 1
    assert any("hello" in line["event"] for line in api.log(task))
    assert api.state_store(task) == {}
