"""Run keys, invocations and workers, by what Airflow says of a task."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from oxiflow_airflow_provider.identity import Identity, identify


def ti(**more: Any) -> SimpleNamespace:
    told = {"dag_id": "shop", "run_id": "monday", "task_id": "load", "map_index": -1, "try_number": 1, "max_tries": 2}
    return SimpleNamespace(**{**told, **more})


def of(one: SimpleNamespace, sharded: bool = False, clear_number: int = 0, **more: Any) -> Identity:
    context = {"ti": one, "dag_run": SimpleNamespace(clear_number=clear_number)}
    asked: dict[str, Any] = {"pipeline": "orders", "run_key": None, "worker_id": None, **more}
    return identify(context, sharded=sharded, retries=2, **asked)


def test_a_retry_is_the_same_request_by_another_worker() -> None:
    first, second = of(ti()), of(ti(try_number=2))
    assert (first.run_key, first.invocation) == (second.run_key, second.invocation)
    assert first.worker_id != second.worker_id
    assert (first.first_try, second.first_try) == (True, False)


def test_a_cleared_task_is_another_request_for_the_same_run() -> None:
    # One try, and two retries again.
    before, after = of(ti()), of(ti(try_number=2, max_tries=3))
    assert before.run_key == after.run_key
    assert before.invocation != after.invocation
    assert after.first_try


def test_tasks_of_a_map_have_runs_of_their_own() -> None:
    assert of(ti(map_index=0)).run_key != of(ti(map_index=1)).run_key


def test_shards_share_one_run_and_one_request_whatever_their_tries() -> None:
    first = of(ti(map_index=0), sharded=True)
    second = of(ti(map_index=1, try_number=3, max_tries=4), sharded=True)
    assert (first.run_key, first.invocation) == (second.run_key, second.invocation)
    assert first.worker_id != second.worker_id


def test_shards_that_are_cleared_together_are_another_request() -> None:
    assert of(ti(), sharded=True).invocation != of(ti(), sharded=True, clear_number=1).invocation


def test_a_key_and_a_worker_may_be_given() -> None:
    given = of(ti(), run_key="orders-monday", worker_id="depot")
    assert given.run_key == "orders-monday"
    assert given.worker_id.startswith("depot/")


def test_runs_of_other_dags_and_pipelines_have_other_keys() -> None:
    keys = {
        of(ti()).run_key,
        of(ti(dag_id="depot")).run_key,
        of(ti(run_id="tuesday")).run_key,
        of(ti(task_id="count")).run_key,
        of(ti(), pipeline="rides").run_key,
    }
    assert len(keys) == 5
