"""What happens while a DAG is parsed: edges, refusals, and nothing else."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, TaskGroup, XComArg
from airflow.sdk.exceptions import AirflowDagCycleException
from oxiflow_airflow_provider import OxiFlowOperator


def dag(**more: Any) -> DAG:
    return DAG("night", schedule=None, start_date=datetime(2026, 1, 1), **more)


def oxi(task_id: str, *depends_on: str, **more: Any) -> OxiFlowOperator:
    return OxiFlowOperator(task_id=task_id, pipeline_name="orders", depends_on=depends_on, **more)


def test_upstream_tasks_may_be_defined_later() -> None:
    with dag() as night:
        load = oxi("load", "transform")
        transform = oxi("transform", "extract")
        EmptyOperator(task_id="extract")
    night.resolve_template_files()
    assert load.upstream_task_ids == {"transform"}
    assert transform.upstream_task_ids == {"extract"}


def test_the_operator_of_the_specification_works_to_the_letter() -> None:
    with dag() as night:
        pass
    OxiFlowOperator(
        task_id="extract_data",
        pipeline_name="extract_api_data",
        state_backend="redis",
        worker_id="{{ ti.run_id }}",
        dag=night,
    )
    transform = OxiFlowOperator(
        task_id="transform_data",
        pipeline_name="transform_batch",
        depends_on=["extract_data"],
        state_backend="redis",
        dag=night,
    )
    assert transform.upstream_task_ids == {"extract_data"}


def test_in_a_task_group_its_own_tasks_come_first() -> None:
    with dag() as night:
        EmptyOperator(task_id="fetch")
        EmptyOperator(task_id="count")
        with TaskGroup("shop"):
            EmptyOperator(task_id="fetch")
            with TaskGroup("orders"):
                load = oxi("load", "fetch", "count")
    night.resolve_template_files()
    assert load.upstream_task_ids == {"shop.fetch", "count"}


def test_a_task_further_out_is_not_taken_for_one_of_the_own_group_that_is_defined_later() -> None:
    with dag() as night:
        EmptyOperator(task_id="fetch")
        with TaskGroup("shop"):
            load = oxi("load", "fetch")
            many = OxiFlowOperator.partial(task_id="many", pipeline_name="orders", depends_on="fetch").expand(
                set=[{"filter.where": "total > 1"}]
            )
            EmptyOperator(task_id="fetch")
    night.resolve_template_files()
    assert load.upstream_task_ids == {"shop.fetch"}
    assert many.upstream_task_ids == {"shop.fetch"}
    assert night.get_task("fetch").downstream_task_ids == set()


def test_a_mapped_task_waits_too() -> None:
    with dag() as night:
        EmptyOperator(task_id="extract")
        partial = OxiFlowOperator.partial(task_id="load", pipeline_name="orders", depends_on=["extract", "count"])
        load = partial.expand(shard=["0/2", "1/2"])
        EmptyOperator(task_id="count")
    night.resolve_template_files()
    assert load.upstream_task_ids == {"extract", "count"}
    one = load.unmap({"shard": "0/2"})
    assert one.upstream_task_ids == {"extract", "count"}
    assert one.shard == "0/2"


def test_a_mapped_task_that_waits_for_nobody_is_refused_with_the_names() -> None:
    with dag() as night:
        OxiFlowOperator.partial(task_id="load", pipeline_name="orders", depends_on="extrakt").expand(shard=["0/1"])
    with pytest.raises(ValueError, match=r"'load' of DAG 'night': depends_on names 'extrakt'"):
        night.resolve_template_files()


def test_params_of_a_mapped_task_are_the_pipelines() -> None:
    with dag(params={"region": "north"}):
        load = OxiFlowOperator.partial(task_id="load", params={"least": 5}).expand(pipeline_name=["a", "b"])
    assert load.unmap({"pipeline_name": "a"}).pipeline_params == {"least": 5}


def test_an_id_that_nobody_has_is_refused_with_the_names() -> None:
    with dag() as night:
        oxi("load", "extrakt")
        EmptyOperator(task_id="extract")
    with pytest.raises(ValueError, match=r"'load' of DAG 'night': depends_on names 'extrakt'.*'extract'"):
        night.resolve_template_files()


def test_a_cycle_is_refused_with_the_names() -> None:
    with dag() as night:
        oxi("load", "count")
        oxi("clean", "load")
        oxi("count", "clean")
    with pytest.raises(ValueError, match=r"cycle: (load|clean|count) -> (load|clean|count) -> "):
        night.resolve_template_files()


def test_a_task_that_waits_for_itself_is_refused() -> None:
    with dag() as night:
        oxi("load", "load")
    with pytest.raises(AirflowDagCycleException, match="load"):
        night.check_cycle()


def test_only_params_of_the_task_are_the_pipelines() -> None:
    with dag(params={"region": "north", "day": "today"}):
        load = oxi("load", params={"day": "{{ ds }}", "least": 5})
    assert load.pipeline_params == {"day": "{{ ds }}", "least": 5}


def test_params_in_the_default_args_of_groups_and_tasks_are_the_pipelines() -> None:
    of_groups: list[Any] = [
        {"params": {"day": "today", "region": "north", "least": 1}},
        {"params": {"least": 5, "most": 9}},
    ]
    with dag(params={"week": 1}), TaskGroup("shop", default_args=of_groups[0]):
        with TaskGroup("orders", default_args=of_groups[1]):
            load = oxi("load", default_args={"params": {"region": "south", "most": 7}}, params={"most": 8})
        many = OxiFlowOperator.partial(task_id="many", params={"least": 2}).expand(pipeline_name=["a", "b"])
    assert load.pipeline_params == {"day": "today", "region": "south", "least": 5, "most": 8}
    assert many.unmap({"pipeline_name": "a"}).pipeline_params == {"day": "today", "region": "north", "least": 2}


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"deferrable": True, "durable": True}, "exclude each other"),
        ({"fresh": True, "shard": "0/2"}, "fresh and shard"),
        (
            {"deferrable": True, "shard": "0/2"},
            "deferrable and shard exclude each other: the run is that of all shards",
        ),
    ],
)
def test_what_can_not_work_is_refused(more: dict[str, Any], words: str) -> None:
    with dag(), pytest.raises(ValueError, match=words):
        oxi("load", **more)


@pytest.mark.parametrize("way", ["deferrable", "fresh"])
def test_what_can_not_work_is_refused_of_a_map_when_its_file_is_parsed(way: str) -> None:
    shards = ["0/2", "1/2"]
    with dag():
        partial = OxiFlowOperator.partial(task_id="a", pipeline_name="orders", **{way: True})
        with pytest.raises(ValueError, match=f"task 'a': {way} and shard"):
            partial.expand(shard=shards)
        partial = OxiFlowOperator.partial(task_id="b", pipeline_name="orders", depends_on="a")
        with pytest.raises(ValueError, match=f"task 'b': {way} and shard"):
            partial.expand_kwargs([{"shard": shard, way: True} for shard in shards])
        partial = OxiFlowOperator.partial(task_id="c", pipeline_name="orders", shard="0/1")
        with pytest.raises(ValueError, match=f"task 'c': {way} and shard"):
            partial.expand(**{way: [False, True]})
        # Of a map whose tasks are runs of their own.
        OxiFlowOperator.partial(task_id="d", pipeline_name="orders", **{way: True}).expand(params=[{"a": 1}, {"a": 2}])


def test_shards_that_another_task_tells_are_refused_too() -> None:
    with dag():
        told = EmptyOperator(task_id="told")
        partial = OxiFlowOperator.partial(task_id="load", pipeline_name="orders", deferrable=True)
        with pytest.raises(ValueError, match="deferrable and shard"):
            partial.expand(shard=XComArg(told))


PARSE = """
import sys
from airflow.sdk import DAG
from airflow.providers.standard.operators.empty import EmptyOperator
from datetime import datetime
from oxiflow_airflow_provider import OxiFlowOperator
with DAG("before", schedule=None, start_date=datetime(2026, 1, 1), params={"x": 1}) as dag:
    # What Airflow loads when it is first used.
    EmptyOperator(task_id="a") >> EmptyOperator(task_id="b", params={"x": 1})
dag.resolve_template_files()
dag.check_cycle()
done = []
def watch(event, words):
    if event in ("open", "subprocess.Popen", "os.exec", "os.posix_spawn", "os.fork", "socket.connect", "os.listdir"):
        done.append((event, words[0] if words else None))
sys.addaudithook(watch)
with DAG("d", schedule=None, start_date=datetime(2026, 1, 1)) as dag:
    for i in range(50):
        OxiFlowOperator(task_id=f"t{i}", pipeline_name="p", depends_on=[f"t{i + 1}"] if i < 49 else [],
                        conn_env={"A": "b"}, oxiflow_conn_id="c", params={"x": 1})
dag.resolve_template_files()
print(done, [name for name in sys.modules if name.partition(".")[0] == "oxiflow"])
"""


def test_parsing_starts_no_process_and_reads_no_file(tmp_path: Path) -> None:
    told = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PARSE],
        env={"AIRFLOW_HOME": str(tmp_path), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout.splitlines()[-1] == "[] []"


COUNT = """
import json, os, sys
from airflow.sdk import DAG
from airflow.providers.standard.operators.bash import BashOperator
from datetime import datetime
import oxiflow_airflow_provider
from oxiflow_airflow_provider import OxiFlowOperator
OURS = os.path.dirname(oxiflow_airflow_provider.__file__)
calls = [0, 0]
def count(frame, event, _):
    if event == "call":
        calls[0] += 1
        calls[1] += frame.f_code.co_filename.startswith(OURS)
def parse(make, tasks):
    calls[:] = [0, 0]
    sys.setprofile(count)
    with DAG("d", schedule=None, start_date=datetime(2026, 1, 1)) as dag:
        last = None
        for i in range(tasks):
            last = make(i, last)
    dag.resolve_template_files()
    dag.check_cycle()
    sys.setprofile(None)
    return list(calls)
def bash(i, last):
    task = BashOperator(task_id=f"t{i}", bash_command="true")
    if last is not None:
        last >> task
    return task
def oxi(i, last):
    return OxiFlowOperator(task_id=f"t{i}", pipeline_name="p", depends_on=[f"t{i - 1}"] if i else [])
def later(i, last):
    return OxiFlowOperator(task_id=f"t{i}", pipeline_name="p", depends_on=[f"t{i + 1}"] if i < LAST else [])
found = {}
for name, make in {"bash": bash, "oxi": oxi, "later": later}.items():
    for tasks in (100, 200):
        LAST = tasks - 1
        parse(make, tasks)
        found[f"{name} {tasks}"] = parse(make, tasks)
print(json.dumps(found))
"""


def test_parsing_is_as_much_work_as_with_bash_operators_and_no_more_a_task_where_there_are_more(tmp_path: Path) -> None:
    """Calls, which are the same on every machine; `npm run matrix` measures the time."""
    told = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", COUNT],
        env={"AIRFLOW_HOME": str(tmp_path), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    calls = json.loads(told.stdout.splitlines()[-1])
    for name in ("oxi", "later"):
        assert calls[f"{name} 200"][0] <= 1.2 * calls["bash 200"][0], calls
    # Of them in this package, for a task.
    assert calls["oxi 200"][1] <= 20 * 200, calls
    for name in ("oxi", "later"):
        assert calls[f"{name} 200"][0] <= 2 * calls[f"{name} 100"][0] + 100, calls
