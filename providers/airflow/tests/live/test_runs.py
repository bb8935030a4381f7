"""What happens to runs on a real Airflow, asked for through its REST API."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from livetests.redis import redis_server
from livetests.waiting import command_of, processes_of, until

from .client import Api, Task
from .shop import FEW, ORDERS, make_shop, numbers_in, order
from .standalone import Airflow

#: Nobody may see it.
SECRET = "-".join(("s3cret", "of", "the", "shop"))


@pytest.fixture(scope="module")
def shop(airflow: Airflow, api: Api) -> Path:
    folder = airflow.home / "work/shop"
    make_shop(folder)
    api.add_connection("shop_db", "postgres", host="db", login="shop", password=SECRET, schema="orders")
    return folder


def runners(airflow: Airflow, pipeline: str) -> list[int]:
    """The runner's processes of a pipeline, and the programs that they started."""
    ours = processes_of(f"OXIFLOW_WORK={airflow.home / 'work'}")
    return [pid for pid, command in ours.items() if command.endswith(f"-- {pipeline}")]


def programs(shop: Path) -> list[int]:
    """The programs that runs have started; they see none of Airflow's variables."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and command_of(int(entry.name)).startswith("python3 slowly.py "):
            try:
                at_home = os.readlink(entry / "cwd") == str(shop)
            except OSError:
                continue
            if at_home:
                found.append(int(entry.name))
    return found


def is_under_way(api: Api, task: Task) -> bool:
    """There is a checkpoint with records, and Airflow knows it."""
    known = api.stored(task, "oxiflow_checkpoint") or api.xcom(task, "oxiflow_checkpoint") or {}
    return int(known.get("records", 0)) > 0


def all_texts(api: Api, task: Task, try_number: int = 1) -> str:
    return "\n".join(line["event"] for line in api.log(task, try_number))


def test_a_run_succeeds_and_all_of_airflow_says_the_same(api: Api, shop: Path) -> None:
    run_id, state = api.run("orders", conf={"least": 20})
    task = Task("orders", run_id, "load")
    assert state == "success", all_texts(api, task)
    expected = [number for number in range(ORDERS) if order(number)["total"] >= 20]
    assert numbers_in(shop / "big.ndjson") == expected
    summary = api.xcom(task)
    size = (shop / "big.ndjson").stat().st_size
    assert (summary["records_read"], summary["rows"], summary["bytes"]) == (ORDERS, len(expected), size)
    document = api.stored(task, "oxiflow_run")
    assert document["state"] == "succeeded"
    assert (document["rows_read"], document["rows_written"], document["bytes_written"]) == (
        summary["records_read"],
        summary["rows"],
        summary["bytes"],
    )
    assert (document["run_key"], document["run_id"]) == (summary["run_key"], summary["run_id"])
    assert document["seconds"] == summary["seconds"]
    assert [one["to"] for one in document["outputs"]] == [str(shop / "big.ndjson")]
    assert api.stored(task, "oxiflow_checkpoint")["n"] == summary["checkpoint"]
    (event,) = api.asset_events("orders", run_id)
    assert (event["extra"]["rows"], event["extra"]["bytes"]) == (summary["rows"], summary["bytes"])
    assert event["extra"]["checkpoint"] == summary["checkpoint"]


def test_the_log_keeps_levels_and_folds_the_steps(api: Api, shop: Path) -> None:
    run_id, _ = api.run("orders")
    lines = api.log(Task("orders", run_id, "load"))
    texts = [line["event"] for line in lines]
    assert any(text.startswith("::group::Plan of orders: 4 steps") for text in texts)
    assert any(text.startswith("::group::Steps") for text in texts)
    (end,) = [line for line in lines if line["event"].startswith("succeeded: ")]
    assert end["level"] == "info"


def test_a_connection_is_shown_nowhere(api: Api, shop: Path) -> None:
    run_id, _ = api.run("orders")
    task = Task("orders", run_id, "load")
    shown: dict[str, Any] = {
        "task": api.task(task),
        "log": api.log(task),
        "state store": api.state_store(task),
        "xcom": api.get(f"{task.path}/xcomEntries"),
    }
    assert shown["task"]["rendered_fields"]["conn_env"] == {"SHOP_URL": "shop_db"}
    for place, content in shown.items():
        assert SECRET not in json.dumps(content), place


def test_a_task_killed_in_the_middle_leaves_no_process_and_its_retry_resumes(
    api: Api, airflow: Airflow, shop: Path
) -> None:
    run_id = api.trigger("slow")
    task = Task("slow", run_id, "load")
    until("a checkpoint", lambda: is_under_way(api, task))
    (runner,) = runners(airflow, "slow")
    parent = int(Path(f"/proc/{runner}/stat").read_text().rpartition(")")[2].split()[1])
    os.kill(parent, signal.SIGKILL)
    until("the end of the run", lambda: runner not in runners(airflow, "slow"))
    assert api.wait_for_run("slow", run_id) == "success", all_texts(api, task, 2)
    assert api.task(task)["try_number"] == 2
    summary = api.xcom(task)
    assert summary["resumed_from"] > 0
    assert summary["attempt"] == 2
    assert summary["records_read"] == FEW
    assert numbers_in(shop / "slow.ndjson") == list(range(FEW))
    assert not programs(shop)


def test_clearing_a_success_runs_anew(api: Api, shop: Path) -> None:
    run_id, _ = api.run("orders")
    task = Task("orders", run_id, "load")
    before = api.xcom(task)
    api.clear("orders", run_id, ["load"])
    assert api.wait_for_task(task, try_number=2)["state"] == "success"
    after = api.xcom(task)
    assert after["run_key"] == before["run_key"]
    assert after["run_id"] != before["run_id"]
    assert after["attempt"] == 1


def test_marking_failed_ends_the_run_and_clearing_it_resumes(api: Api, airflow: Airflow, shop: Path) -> None:
    run_id = api.trigger("slow")
    task = Task("slow", run_id, "load")
    until("a checkpoint", lambda: is_under_way(api, task))
    assert programs(shop)
    api.set_state(task, "failed")
    until("the end of the run", lambda: not runners(airflow, "slow") and not programs(shop), within=10)
    assert api.task(task)["state"] == "failed"
    api.clear("slow", run_id, ["load"])
    assert api.wait_for_task(task, ["success", "failed"], try_number=2)["state"] == "success"
    summary = api.xcom(task)
    assert summary["resumed_from"] > 0
    assert summary["attempt"] == 2
    assert numbers_in(shop / "slow.ndjson") == list(range(FEW))


def test_clearing_a_failure_starts_over_where_that_is_asked_for(api: Api, airflow: Airflow, shop: Path) -> None:
    run_id = api.trigger("slow_fresh")
    task = Task("slow_fresh", run_id, "load")
    until("a checkpoint", lambda: is_under_way(api, task))
    api.set_state(task, "failed")
    until("the end of the run", lambda: not runners(airflow, "slow_fresh"))
    api.clear("slow_fresh", run_id, ["load"])
    assert api.wait_for_task(task, ["success", "failed"], try_number=2)["state"] == "success"
    summary = api.xcom(task)
    assert summary["resumed_from"] is None
    assert numbers_in(shop / "slow_fresh.ndjson") == list(range(FEW))


def test_a_durable_run_survives_its_task_and_the_retry_goes_on_following_it(
    api: Api, airflow: Airflow, shop: Path
) -> None:
    (shop / "slow_durable.shut").touch()
    run_id = api.trigger("slow_durable")
    task = Task("slow_durable", run_id, "load")
    until("a checkpoint", lambda: is_under_way(api, task))
    (runner,) = runners(airflow, "slow_durable")
    parent = int(Path(f"/proc/{runner}/stat").read_text().rpartition(")")[2].split()[1])
    os.kill(parent, signal.SIGKILL)
    api.wait_for_task(task, ["running"], try_number=2)
    assert runners(airflow, "slow_durable") == [runner]
    (shop / "slow_durable.shut").unlink()
    assert api.wait_for_run("slow_durable", run_id) == "success", all_texts(api, task, 2)
    summary = api.xcom(task)
    assert (summary["attempt"], summary["resumed_from"], summary["records_read"]) == (1, None, FEW)
    assert numbers_in(shop / "slow_durable.ndjson") == list(range(FEW))
    assert api.stored(task, "oxiflow_launch") is None


def test_a_deferred_task_holds_no_place_and_tells_the_end_of_its_run(api: Api, shop: Path) -> None:
    run_id = api.trigger("slow_deferrable")
    task = Task("slow_deferrable", run_id, "load")
    api.wait_for_task(task, ["deferred"])
    assert api.stored(task, "oxiflow_run")["state"] == "deferred"
    until("a checkpoint", lambda: is_under_way(api, task))
    assert api.wait_for_run("slow_deferrable", run_id) == "success", all_texts(api, task)
    summary = api.xcom(task)
    assert (summary["attempt"], summary["records_read"]) == (1, FEW)
    assert api.stored(task, "oxiflow_run")["state"] == "succeeded"
    assert numbers_in(shop / "slow_deferrable.ndjson") == list(range(FEW))


def test_marking_a_deferred_task_failed_cancels_its_run(api: Api, airflow: Airflow, shop: Path) -> None:
    run_id = api.trigger("slow_deferrable")
    task = Task("slow_deferrable", run_id, "load")
    api.wait_for_task(task, ["deferred"])
    until("a checkpoint", lambda: is_under_way(api, task))
    api.set_state(task, "failed")
    until("the end of the run", lambda: not runners(airflow, "slow_deferrable") and not programs(shop), within=10)
    document = until("its last word", lambda: ended(api.xcom(task, "oxiflow_run")))
    assert document["state"] == "stopped"
    assert document["exit_code"] == 143


def ended(document: Any) -> Any:
    return document if document and document["finished_at"] else None


def test_a_task_that_takes_too_long_ends_its_run(api: Api, airflow: Airflow, shop: Path) -> None:
    run_id, state = api.run("too_slow")
    task = Task("too_slow", run_id, "load")
    assert state == "failed"
    assert not runners(airflow, "too_slow")
    document = api.stored(task, "oxiflow_run")
    assert (document["state"], document["exit_code"]) == ("stopped", 143)
    assert api.stored(task, "oxiflow_checkpoint")["records"] > 0


def test_depends_on_makes_edges_in_any_order(api: Api) -> None:
    api.wait_for_dag("edges")
    tasks = {one["task_id"]: one["downstream_task_ids"] for one in api.get("/dags/edges/tasks")["tasks"]}
    assert tasks["extract_data"] == ["transform_data"]
    assert tasks["transform_data"] == ["load"]
    assert tasks["load"] == ["night.count"]
    assert tasks["night.fetch"] == ["night.count"]


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[int]:
    """The port of a Redis server of this test's own."""
    with redis_server(tmp_path) as port:
        yield port


def test_the_tasks_of_a_map_do_their_parts_of_one_run(api: Api, shop: Path, redis: int) -> None:
    api.add_connection("oxiflow_redis", "oxiflow", host="127.0.0.1", port=redis)
    run_id, state = api.run("shards")
    tasks = [Task("shards", run_id, "load", index) for index in (0, 1)]
    assert state == "success", [all_texts(api, task) for task in tasks]
    summaries = [api.xcom(task) for task in tasks]
    assert summaries[0]["run_key"] == summaries[1]["run_key"]
    expected = [number for number in range(ORDERS) if order(number)["total"] >= 10]
    assert numbers_in(shop / "shards.ndjson") == expected
    assert api.stored(tasks[1], "oxiflow_run")["backend"].startswith("redis: ")
