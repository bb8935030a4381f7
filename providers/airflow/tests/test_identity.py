"""Run keys, invocations and workers, by what Airflow says of a task."""

from __future__ import annotations

import subprocess
import sys
from datetime import datetime, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import DAG, task_group
from airflow.sdk.exceptions import AirflowFailException
from oxiflow_airflow_provider import OxiFlowOperator
from oxiflow_airflow_provider.identity import Identity, Part, identify, part_of

HERE = Path(__file__).resolve().parent


def ti(**more: Any) -> SimpleNamespace:
    told = {"dag_id": "shop", "run_id": "monday", "task_id": "load", "map_index": -1, "try_number": 1, "max_tries": 2}
    return SimpleNamespace(**{**told, **more})


def at(hour: int) -> datetime:
    return datetime(2026, 1, 5, hour, tzinfo=timezone.utc)


def run(clear_number: int = 0, **more: Any) -> SimpleNamespace:
    return SimpleNamespace(**{"clear_number": clear_number, "start_date": at(7), "logical_date": at(6), **more})


def of(one: SimpleNamespace, part: Part | None = None, dag_run: SimpleNamespace | None = None, **more: Any) -> Identity:
    context = {"ti": one, "dag_run": dag_run or run()}
    asked: dict[str, Any] = {"pipeline": "orders", "run_key": None, "worker_id": None, **more}
    return identify(context, part=part, retries=2, **asked)


SHARD = Part({})


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
    first = of(ti(map_index=0), SHARD)
    second = of(ti(map_index=1, try_number=3, max_tries=4), SHARD)
    assert (first.run_key, first.invocation) == (second.run_key, second.invocation)
    assert first.worker_id != second.worker_id


def test_shards_that_are_cleared_together_are_another_request() -> None:
    assert of(ti(), SHARD).invocation != of(ti(), SHARD, run(1)).invocation


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


def test_a_dag_run_that_is_made_anew_under_its_id_is_another_request() -> None:
    first, retried, anew = of(ti()), of(ti(try_number=2)), of(ti(), dag_run=run(start_date=at(9)))
    assert first.run_key == anew.run_key
    assert first.invocation == retried.invocation != anew.invocation


def test_runs_of_dag_test_for_one_date_are_told_apart() -> None:
    """They say that they began at their date: on Airflow 3 run_after is another, on Airflow 2 the process."""
    first, second = (of(ti(), dag_run=run(start_date=at(6), run_after=at(hour))) for hour in (8, 9))
    assert first.invocation != second.invocation
    ask = (
        "from tests.test_identity import at, of, run, ti\n"
        "for number in (1, 2):\n"
        "    print(of(ti(try_number=number), dag_run=run(start_date=at(6))).invocation)"
    )
    told = [
        subprocess.run([sys.executable, "-c", ask], cwd=HERE.parent, capture_output=True, text=True, check=True)
        for _ in range(2)
    ]
    (one, retried), (another, _) = (each.stdout.splitlines()[-2:] for each in told)
    assert one == retried != another


def test_tasks_of_one_dag_run_with_one_run_key_are_requests_of_their_own() -> None:
    one, another = (of(ti(task_id=name), run_key="orders-monday") for name in ("load", "again"))
    assert one.run_key == another.run_key
    assert one.invocation != another.invocation


def test_parts_that_are_given_something_else_are_of_another_run() -> None:
    keys = [of(ti(), Part({"params": given})).run_key for given in ({"least": 1}, {"least": 2}, {"least": 1})]
    assert keys[0] == keys[2] != keys[1]
    assert "least" not in keys[0]


def oxi(**more: Any) -> Any:
    with DAG("shop", schedule=None, start_date=at(6)):
        return OxiFlowOperator(task_id="load", pipeline_name="orders", **more)


def mapped(**more: Any) -> OxiFlowOperator:
    """The first task of a map along `more`."""
    said = {name: more.pop(name) for name in ("run_key",) if isinstance(more.get(name), str)}
    with DAG("shop", schedule=None, start_date=at(6)):
        task = OxiFlowOperator.partial(task_id="load", pipeline_name="orders", **said).expand(**more)
    made: OxiFlowOperator = task.unmap({name: values[0] for name, values in more.items()})
    return made


def test_shards_crossed_with_params_are_told_apart_and_with_env_are_refused() -> None:
    north, south = (part_of(oxi(shard="0/2", params={"region": region})) for region in ("north", "south"))
    assert of(ti(), north).run_key != of(ti(), south).run_key
    assert part_of(mapped(shard=["0/2", "1/2"], params=[{"a": 1}, {"a": 2}])) == Part(
        {"params": {"a": 1}, "set": {}, "conn_env": {}}
    )
    with pytest.raises(AirflowFailException, match="env, and here it is mapped"):
        part_of(mapped(shard=["0/2", "1/2"], env=[{"REGION": "north"}, {"REGION": "south"}]))


def test_one_run_key_for_several_sharded_runs_is_refused() -> None:
    crossed = {"shard": ["0/2", "1/2"], "params": [{"a": 1}, {"a": 2}]}
    with pytest.raises(AirflowFailException, match="params is mapped beside shard"):
        part_of(mapped(run_key="orders-monday", **crossed))
    assert part_of(mapped(run_key="orders-{{ params.a }}", **crossed)) is not None
    assert part_of(mapped(run_key="orders-monday", shard=["0/2", "1/2"])) is not None


def test_in_a_mapped_group_one_shard_for_all_is_a_run_of_each_and_a_mapped_one_is_a_part() -> None:
    @task_group
    def depot(shard: Any) -> None:
        OxiFlowOperator(task_id="said", pipeline_name="orders", shard="0/2")
        OxiFlowOperator(task_id="mapped", pipeline_name="orders", shard=shard)

    with DAG("shop", schedule=None, start_date=at(6)) as shop:
        depot.expand(shard=["0/2", "1/2"])
    said, along = (part_of(shop.get_task(f"depot.{name}")) for name in ("said", "mapped"))
    assert of(ti(map_index=0), said).run_key != of(ti(map_index=1), said).run_key
    assert of(ti(map_index=0), along).run_key == of(ti(map_index=1), along).run_key
