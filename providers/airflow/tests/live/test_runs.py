"""
What happens to runs on a real Airflow, asked for through its REST API. They are started a few tests before the one that looks at
them, and those that something is to happen to wait behind a door.
"""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from livetests.redis import redis_server
from livetests.waiting import command_of, processes_of, until

from .client import Api, Task
from .shop import FEW, ORDERS, SLOW, door, make_shop, numbers_in, order
from .standalone import Airflow

#: Nobody may see it.
SECRET = "-".join(("s3cret", "of", "the", "shop"))


#: The DAGs, as the tests below come to them, and how many are started ahead: more, and they wait for Airflow's database.
DAGS = ("orders", "shards", *SLOW)
AHEAD = 4


@dataclass(frozen=True)
class Shop:
    """The project, and the DAG runs in it, by the name of their DAG."""

    folder: Path
    api: Api
    mark: str
    runs: dict[str, str] = field(default_factory=dict)

    def task(self, name: str, map_index: int = -1) -> Task:
        for one in DAGS[: DAGS.index(name) + 1 + AHEAD]:
            if one not in self.runs:
                self.runs[one] = self.api.trigger(one, conf={"least": 20} if one == "orders" else None)
        return Task(name, self.runs[name], "load", map_index)

    def open(self, name: str) -> None:
        door(self.folder, name).unlink()

    def runners(self, name: str) -> list[int]:
        """The runner's processes of a pipeline."""
        return [pid for pid, command in processes_of(self.mark).items() if command.endswith(f"-- {name}")]

    def processes(self, name: str) -> list[int]:
        """Those, and the programs that they have started, which see none of Airflow's variables."""
        found = self.runners(name)
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and command_of(int(entry.name)) == f"python3 slowly.py {name}.shut":
                try:
                    at_home = os.readlink(entry / "cwd") == str(self.folder)
                except OSError:
                    continue
                if at_home:
                    found.append(int(entry.name))
        return found

    def wait_for_checkpoint(self, name: str) -> None:
        """There is one with records, and Airflow knows it."""
        task = self.task(name)

        def known() -> bool:
            told = [self.api.stored(task, "oxiflow_checkpoint"), self.api.xcom(task, "oxiflow_checkpoint")]
            return any(one is not None and one["records"] > 0 for one in told)

        until(f"a checkpoint of {name}", known)

    def wait_for_end_of_run(self, name: str, within: float = 60) -> None:
        until(f"the end of the run of {name}", lambda: not self.processes(name), within)

    def ended(self, name: str, try_number: int = 1) -> str:
        """The state in which the task ends, in that try."""
        state: str = self.api.wait_for_task(self.task(name), ["success", "failed"], try_number=try_number)["state"]
        return state

    def numbers(self, name: str) -> list[int]:
        return numbers_in(self.folder / f"{name}.ndjson")

    def task_process(self, name: str) -> tuple[int, int]:
        """The runner, and the process of the task that has started it."""
        (runner,) = self.runners(name)
        return runner, int(Path(f"/proc/{runner}/stat").read_text().rpartition(")")[2].split()[1])


@pytest.fixture(scope="module")
def shop(airflow: Airflow, api: Api, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    folder = airflow.home / "work/shop"
    make_shop(folder)
    for name in SLOW:
        door(folder, name).touch()
    api.add_connection("shop_db", "postgres", host="db", login="shop", password=SECRET, schema="orders")
    with redis_server(tmp_path_factory.mktemp("redis")) as port:
        api.add_connection("oxiflow_redis", "oxiflow", host="127.0.0.1", port=port)
        yield Shop(folder, api, f"OXIFLOW_WORK={airflow.home / 'work'}")


def all_texts(api: Api, task: Task, try_number: int = 1) -> str:
    return "\n".join(line["event"] for line in api.log(task, try_number))


def test_a_run_succeeds_and_all_of_airflow_says_the_same(api: Api, shop: Shop) -> None:
    task = shop.task("orders")
    assert shop.ended("orders") == "success", all_texts(api, task)
    big = shop.folder / "big.ndjson"
    expected = [number for number in range(ORDERS) if order(number)["total"] >= 20]
    assert numbers_in(big) == expected
    summary = api.xcom(task)
    assert (summary["records_read"], summary["rows"], summary["bytes"]) == (ORDERS, len(expected), big.stat().st_size)
    document = api.stored(task, "oxiflow_run")
    assert document["state"] == "succeeded"
    assert (document["rows_read"], document["rows_written"], document["bytes_written"]) == (
        summary["records_read"],
        summary["rows"],
        summary["bytes"],
    )
    assert (document["run_key"], document["run_id"]) == (summary["run_key"], summary["run_id"])
    assert document["seconds"] == summary["seconds"]
    assert [one["to"] for one in document["outputs"]] == [str(big)]
    assert api.stored(task, "oxiflow_checkpoint")["n"] == summary["checkpoint"]
    (event,) = until("its asset event", lambda: api.asset_events("orders", task.run_id))
    assert (event["extra"]["rows"], event["extra"]["bytes"]) == (summary["rows"], summary["bytes"])
    assert event["extra"]["checkpoint"] == summary["checkpoint"]


def test_the_log_keeps_levels_and_folds_the_steps(api: Api, shop: Shop) -> None:
    lines = api.log(shop.task("orders"))
    texts = [line["event"] for line in lines]
    assert any(text.startswith("::group::Plan of orders: 4 steps") for text in texts)
    assert any(text.startswith("::group::Steps") for text in texts)
    (end,) = [line for line in lines if line["event"].startswith("succeeded: ")]
    assert end["level"] == "info"


def test_a_connection_is_shown_nowhere(api: Api, shop: Shop) -> None:
    task = shop.task("orders")
    shown: dict[str, Any] = {
        "task": api.task(task),
        "log": api.log(task),
        "state store": api.state_store(task),
        "xcom": api.get(f"{task.path}/xcomEntries"),
    }
    assert shown["task"]["rendered_fields"]["conn_env"] == {"SHOP_URL": "shop_db"}
    for place, content in shown.items():
        assert SECRET not in json.dumps(content), place


def test_clearing_a_success_runs_anew(api: Api, shop: Shop) -> None:
    task = shop.task("orders")
    before = api.xcom(task)
    api.clear("orders", task.run_id, ["load"])
    assert shop.ended("orders", 2) == "success"
    after = api.xcom(task)
    assert after["run_key"] == before["run_key"]
    assert after["run_id"] != before["run_id"]
    assert after["attempt"] == 1


def test_the_tasks_of_a_map_do_their_parts_of_one_run(api: Api, shop: Shop) -> None:
    tasks = [shop.task("shards", index) for index in (0, 1)]
    state = api.wait_for_run("shards", tasks[0].run_id)
    assert state == "success", [all_texts(api, task) for task in tasks]
    summaries = [api.xcom(task) for task in tasks]
    assert summaries[0]["run_key"] == summaries[1]["run_key"]
    expected = [number for number in range(ORDERS) if order(number)["total"] >= 10]
    assert numbers_in(shop.folder / "shards.ndjson") == expected
    assert api.stored(tasks[1], "oxiflow_run")["backend"].startswith("redis: ")


def test_a_task_killed_in_the_middle_leaves_no_process_and_its_retry_resumes(api: Api, shop: Shop) -> None:
    task = shop.task("killed")
    shop.wait_for_checkpoint("killed")
    runner, parent = shop.task_process("killed")
    os.kill(parent, signal.SIGKILL)
    until("the end of the run", lambda: runner not in shop.processes("killed"))
    shop.open("killed")
    assert shop.ended("killed", 2) == "success", all_texts(api, task, 2)
    summary = api.xcom(task)
    assert summary["resumed_from"] > 0
    assert summary["attempt"] == 2
    assert summary["records_read"] == FEW
    assert shop.numbers("killed") == list(range(FEW))
    assert not shop.processes("killed")


@pytest.mark.parametrize("name", ["marked", "durable_marked", "deferred_marked"])
def test_marking_failed_ends_the_run_and_clearing_it_resumes(api: Api, shop: Shop, name: str) -> None:
    task = shop.task(name)
    shop.wait_for_checkpoint(name)
    assert len(shop.processes(name)) == 2
    api.set_state(task, "failed")
    shop.wait_for_end_of_run(name, within=10)
    assert api.task(task)["state"] == "failed"
    document = until("its last word", lambda: last_word(api, task))
    assert (document["state"], document["exit_code"]) == ("stopped", 143)
    launch = api.stored(task, "oxiflow_launch")
    if name == "deferred_marked":
        # Its trigger has no state store, and what is there names nothing.
        until("the end of its folder", lambda: not os.path.exists(launch["handle"]["folder"]))
    else:
        assert launch is None
    shop.open(name)
    api.clear(name, task.run_id, ["load"])
    assert shop.ended(name, 2) == "success"
    summary = api.xcom(task)
    assert summary["resumed_from"] > 0
    assert summary["attempt"] == 2
    assert shop.numbers(name) == list(range(FEW))


def last_word(api: Api, task: Task) -> Any:
    """The document of a run that has ended; while a task is deferred, its trigger writes XComs."""
    told = (api.stored(task, "oxiflow_run"), api.xcom(task, "oxiflow_run"))
    return next((one for one in told if one is not None and one["finished_at"] is not None), None)


@pytest.mark.parametrize("name", ["cleared", "durable_cleared", "deferred_cleared"])
def test_clearing_a_run_that_goes_on_ends_it_and_the_next_one_resumes(api: Api, shop: Shop, name: str) -> None:
    task = shop.task(name)
    shop.wait_for_checkpoint(name)
    before = shop.processes(name)
    assert len(before) == 2
    api.clear(name, task.run_id, ["load"])
    until("the end of the run", lambda: not {*before} & {*shop.processes(name)})
    shop.open(name)
    assert shop.ended(name, 2) == "success", all_texts(api, task, 2)
    summary = api.xcom(task)
    assert (summary["attempt"], summary["records_read"]) == (2, FEW)
    assert summary["resumed_from"] > 0
    assert shop.numbers(name) == list(range(FEW))
    assert not shop.processes(name)


def test_clearing_a_failure_starts_over_where_that_is_asked_for(api: Api, shop: Shop) -> None:
    task = shop.task("fresh")
    shop.wait_for_checkpoint("fresh")
    api.set_state(task, "failed")
    shop.wait_for_end_of_run("fresh")
    shop.open("fresh")
    api.clear("fresh", task.run_id, ["load"])
    assert shop.ended("fresh", 2) == "success"
    assert api.xcom(task)["resumed_from"] is None
    assert shop.numbers("fresh") == list(range(FEW))


def test_a_durable_run_survives_its_task_and_the_retry_goes_on_following_it(api: Api, shop: Shop) -> None:
    task = shop.task("durable")
    shop.wait_for_checkpoint("durable")
    runner, parent = shop.task_process("durable")
    os.kill(parent, signal.SIGKILL)
    api.wait_for_task(task, ["running"], try_number=2)
    assert shop.runners("durable") == [runner]
    shop.open("durable")
    assert shop.ended("durable", 2) == "success", all_texts(api, task, 2)
    summary = api.xcom(task)
    assert (summary["attempt"], summary["resumed_from"], summary["records_read"]) == (1, None, FEW)
    assert shop.numbers("durable") == list(range(FEW))
    assert api.stored(task, "oxiflow_launch") is None


def test_a_deferred_task_holds_no_place_and_tells_the_end_of_its_run(api: Api, shop: Shop) -> None:
    task = shop.task("deferred")
    api.wait_for_task(task, ["deferred"])
    assert api.stored(task, "oxiflow_run")["state"] == "deferred"
    shop.wait_for_checkpoint("deferred")
    shop.open("deferred")
    assert shop.ended("deferred") == "success", all_texts(api, task)
    summary = api.xcom(task)
    assert (summary["attempt"], summary["records_read"]) == (1, FEW)
    assert api.stored(task, "oxiflow_run")["state"] == "succeeded"
    assert shop.numbers("deferred") == list(range(FEW))


def wait_for_answer(api: Api, task: Task) -> None:
    """The triggerer has asked the state, and there are records."""
    until(
        "an answer of the state",
        lambda: re.search(r"^[1-9]\d* records, checkpoint \d+$", all_texts(api, task), re.MULTILINE),
        every=1,
    )


def test_a_triggerer_on_another_machine_asks_the_state_for_the_run(api: Api, shop: Shop) -> None:
    task = shop.task("elsewhere")
    api.wait_for_task(task, ["deferred"])
    wait_for_answer(api, task)
    shop.open("elsewhere")
    assert shop.ended("elsewhere") == "success", all_texts(api, task)
    # It was told once more, by a runner that has found it done.
    summary = api.xcom(task)
    assert (summary["resumed_from"], summary["records_read"], summary["rows"]) == (None, FEW, FEW)
    assert api.stored(task, "oxiflow_run")["state"] == "succeeded"
    assert shop.numbers("elsewhere") == list(range(FEW))


def test_a_triggerer_on_another_machine_cancels_through_the_state(api: Api, shop: Shop) -> None:
    task = shop.task("elsewhere_marked")
    wait_for_answer(api, task)
    assert len(shop.processes("elsewhere_marked")) == 2
    api.set_state(task, "failed")
    shop.wait_for_end_of_run("elsewhere_marked")
    assert api.task(task)["state"] == "failed"
    shop.open("elsewhere_marked")
    api.clear("elsewhere_marked", task.run_id, ["load"])
    assert shop.ended("elsewhere_marked", 2) == "success"
    summary = api.xcom(task)
    assert summary["records_read"] == FEW
    assert summary["resumed_from"] == api.stored(task, "oxiflow_run")["resumed_from"] > 0
    assert shop.numbers("elsewhere_marked") == list(range(FEW))


@pytest.mark.parametrize("name", ["late", "durable_late", "deferred_late"])
def test_a_task_that_takes_too_long_ends_its_run(api: Api, shop: Shop, name: str) -> None:
    task = shop.task(name)
    assert shop.ended(name) == "failed"
    assert not shop.processes(name)
    document = api.stored(task, "oxiflow_run")
    assert (document["state"], document["exit_code"]) == ("stopped", 143)
    assert api.stored(task, "oxiflow_checkpoint")["records"] > 0
    assert api.stored(task, "oxiflow_launch") is None


def test_depends_on_makes_edges_in_any_order(api: Api) -> None:
    api.wait_for_dag("edges")
    tasks = {one["task_id"]: one["downstream_task_ids"] for one in api.get("/dags/edges/tasks")["tasks"]}
    assert tasks["extract_data"] == ["transform_data"]
    assert tasks["transform_data"] == ["load"]
    assert tasks["load"] == ["night.count"]
    assert tasks["night.fetch"] == ["night.count"]
