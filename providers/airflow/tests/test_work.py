"""A task at work, with the real runner, and a stand-in for what Airflow hands to a task."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import DAG, Asset, Param, timezone
from airflow.sdk.exceptions import AirflowException, AirflowFailException
from oxiflow.events import RunStarted
from oxiflow.process import Run
from oxiflow.reconnect import Handle
from oxiflow.runner import runner_command
from oxiflow.system import began, boot
from oxiflow_airflow_provider import OxiFlowHook, OxiFlowOperator, work
from oxiflow_airflow_provider.assets import is_at
from oxiflow_airflow_provider.hooks import Settings
from oxiflow_airflow_provider.launch import LAUNCH, Launch
from oxiflow_airflow_provider.parameters import duration_text, said, shard_of

ROOT = Path(__file__).resolve().parents[3]
ORDERS = 100_000
PIPELINE = """
pipeline:
  - { name: read_file, config: { path: orders.ndjson } }
  - { name: parse_json }
  - { name: filter, config: { where: total >= 10 } }
  - { name: write_file, config: { path: big.ndjson } }
"""
#: Hands lines on, and dies when there is a checkpoint behind it.
DIES = """
import os, sys
for number, line in enumerate(sys.stdin):
    if number == 700_000:
        sys.exit("lost the connection")
    sys.stdout.write(line)
"""


@pytest.fixture(autouse=True)
def _runner(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OXIFLOW_RUNNER", str(ROOT / "dist/oxiflow.mjs"))


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    (tmp_path / "pipelines").mkdir()
    (tmp_path / "pipelines/orders.yaml").write_text(PIPELINE)
    rows = (json.dumps({"order": number, "total": number % 50}) + "\n" for number in range(ORDERS))
    (tmp_path / "orders.ndjson").write_text("".join(rows))
    return tmp_path


class Store:
    """The task state store."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}

    def set(self, key: str, value: Any) -> None:
        self.values[key] = json.loads(json.dumps(value))

    def get(self, key: str) -> Any:
        return self.values.get(key)

    def delete(self, key: str) -> None:
        self.values.pop(key, None)


class Events(dict[Any, Any]):
    def __missing__(self, asset: Any) -> Any:
        self[asset] = SimpleNamespace(extra=None)
        return self[asset]


def context(store: Store, try_number: int = 1, max_tries: int = 0) -> dict[str, Any]:
    ti = SimpleNamespace(
        dag_id="shop", run_id="monday", task_id="load", map_index=-1, try_number=try_number, max_tries=max_tries
    )
    return {"ti": ti, "dag_run": SimpleNamespace(clear_number=0), "task_state_store": store, "outlet_events": Events()}


def load(shop: Path, **more: Any) -> OxiFlowOperator:
    with DAG("shop", schedule=None, start_date=datetime(2026, 1, 1)):
        return OxiFlowOperator(task_id="load", pipeline_name="orders", project_dir=str(shop), **more)


def execute(task: OxiFlowOperator, told: dict[str, Any]) -> dict[str, Any]:
    task.allow_nested_operators = True
    summary: dict[str, Any] = task.execute(told)
    return summary


def make_long(shop: Path) -> None:
    """Long enough to be under way when it is asked."""
    with (shop / "orders.ndjson").open("a") as file:
        for _ in range(10):
            file.write("".join(json.dumps({"order": number, "total": 20}) + "\n" for number in range(ORDERS)))


def leave_behind(task: OxiFlowOperator, told: dict[str, Any]) -> tuple[Run, Handle]:
    """A durable run whose task's process has died after it has started it."""
    one = work.Work(task, told)
    handle, run = one._start_detached(one._launch())
    return run, handle


def exit_code(run: Run) -> int:
    """Its files are gone, so that it has no other result."""
    assert isinstance(run._popen, subprocess.Popen)
    return run._popen.wait(10)


@contextlib.contextmanager
def leave_behind_halted(shop: Path, store: Store) -> Iterator[tuple[Run, Handle]]:
    """It goes on when it has been looked at: so it is under way, however slow this machine is."""
    run, handle = leave_behind(load(shop, durable=True), context(store))
    alive = Handle.alive

    def look(one: Handle) -> bool:
        lives = alive(one)
        if lives:
            os.killpg(run.pid, signal.SIGCONT)
        return lives

    try:
        next(item for item in run.follow() if isinstance(item, RunStarted))
        os.killpg(run.pid, signal.SIGSTOP)
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(Handle, "alive", look)
            yield run, handle
    finally:
        run.kill()
        run.close()
        handle.clear()


def test_what_it_costs_beside_its_run(shop: Path) -> None:
    store = Store()
    task = load(shop)
    began = time.process_time()
    summary = execute(task, context(store))
    assert time.process_time() - began < 0.3
    assert summary["records_read"] == ORDERS


def test_a_lost_report_of_success_runs_nothing_twice(shop: Path) -> None:
    first = execute(load(shop, retries=1), context(Store(), 1, 1))
    written = (shop / "big.ndjson").stat().st_mtime_ns
    second = execute(load(shop, retries=1), context(Store(), 2, 1))
    assert (second["run_id"], second["rows"], second["resumed_from"]) == (first["run_id"], first["rows"], None)
    assert (shop / "big.ndjson").stat().st_mtime_ns == written


def test_a_durable_run_that_ended_unseen_is_collected(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store()
    run, handle = leave_behind(load(shop, durable=True, retries=1), context(store, 1, 1))
    left = run.result().summary()
    monkeypatch.setattr(work, "start", None)
    summary = execute(load(shop, durable=True, retries=1), context(store, 2, 1))
    assert (summary["run_id"], summary["attempt"], summary["rows"]) == (left["run_id"], 1, ORDERS * 4 // 5)
    assert store.values["oxiflow_run"]["state"] == "succeeded"
    assert LAUNCH not in store.values
    assert not Path(handle.folder).exists()


def test_a_cleared_task_follows_its_durable_run_that_lives(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_long(shop)
    store = Store()
    with leave_behind_halted(shop, store) as (run, handle):
        monkeypatch.setattr(work, "start", None)
        # Of the one try that there was.
        summary = execute(load(shop, durable=True), context(store, 2, 1))
        assert summary["attempt"] == 1
        assert exit_code(run) == 0
    assert LAUNCH not in store.values
    assert not Path(handle.folder).exists()


def test_a_cleared_task_that_starts_over_stops_its_durable_run_first(shop: Path) -> None:
    make_long(shop)
    store = Store()
    with leave_behind_halted(shop, store) as (run, handle):
        summary = execute(load(shop, durable=True, fresh=True), context(store, 2, 1))
        assert exit_code(run) == 143
    assert (summary["attempt"], summary["resumed_from"], summary["rows"]) == (1, None, ORDERS * 4 // 5 + 10 * ORDERS)
    assert not Path(handle.folder).exists()


def test_a_cleared_task_takes_away_what_an_ended_durable_run_has_left(shop: Path) -> None:
    store = Store()
    run, handle = leave_behind(load(shop, durable=True), context(store))
    before = run.result().summary()
    summary = execute(load(shop, durable=True), context(store, 2, 1))
    assert summary["run_id"] != before["run_id"]
    assert not Path(handle.folder).exists()


def test_a_launch_that_a_user_of_airflow_has_written_ends_no_process_and_removes_no_folder(
    shop: Path, tmp_path: Path
) -> None:
    store = Store()
    kept = tmp_path / "kept"
    kept.mkdir()
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, start_new_session=True) as other:
        handle = Handle(socket.gethostname(), boot(), str(kept), other.pid, began(other.pid))
        store.set(LAUNCH, {"invocation": "of another request", "handle": handle.document()})
        # Cleared, and to start over: what an earlier try has left is stopped and taken away.
        summary = execute(load(shop, durable=True, fresh=True), context(store, 2, 1))
        assert other.poll() is None
        other.communicate(b"\n")
    assert kept.is_dir()
    assert summary["rows"] == ORDERS * 4 // 5
    assert LAUNCH not in store.values


@pytest.mark.parametrize("written", ["a run", 7, {}, {"handle": None}, {"handle": {"folder": "/"}}, {"handle": "/"}])
def test_a_launch_that_is_none_is_no_launch(written: Any) -> None:
    store = Store()
    store.set(LAUNCH, written)
    assert Launch(store, "load", "1").find() is None


def test_a_task_takes_no_run_of_another_task(shop: Path) -> None:
    store = Store()
    run, handle = leave_behind(load(shop, durable=True), context(store))
    try:
        assert Launch(store, "airflow/shop/monday/load", "any").find() == handle
        assert Launch(store, "airflow/shop/tuesday/load", "any").find() is None
    finally:
        run.result()
        handle.clear()


@pytest.mark.parametrize("way", [{}, {"durable": True}, {"deferrable": True}])
@pytest.mark.parametrize("early", [True, False])
def test_a_task_that_is_ended_before_it_has_a_run_starts_none(
    shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: dict[str, bool], early: bool
) -> None:
    store, started = Store(), []
    monkeypatch.setattr(work, "start", lambda *_, **__: started.append(1))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    task = load(shop, **way)
    if early:
        task.on_kill()
    else:
        # The signal comes while connections are asked for.
        settings = OxiFlowHook.settings

        def ended(hook: OxiFlowHook) -> Settings:
            task.on_kill()
            return settings(hook)

        monkeypatch.setattr(OxiFlowHook, "settings", ended)
    with pytest.raises(AirflowException, match="ended before its run began"):
        execute(task, context(store))
    assert started == []
    assert LAUNCH not in store.values
    assert list((tmp_path / "temporary").iterdir()) == []


def test_what_the_task_returns_is_what_the_runner_says_of_its_run(shop: Path) -> None:
    summary = execute(load(shop), context(Store()))
    status = ask(shop, "status", f"--run-key={summary['run_key']}")
    assert summary["checkpoint"] == status["checkpoint"] > 0
    assert (summary["run_id"], summary["attempt"]) == (status["run_id"], status["attempt"])
    assert summary["records_read"] == status["records"] == ORDERS
    (attempt,) = ask(shop, "history")["runs"]
    assert attempt["run_id"] == summary["run_id"]
    assert summary["seconds"] == summary["attempt_seconds"] == attempt["duration_ms"] / 1000 > 0
    assert (summary["rows"], summary["errors"]) == (attempt["records_out"], attempt["errors"])


def ask(shop: Path, *words: str) -> Any:
    done = subprocess.run(
        [*runner_command(), *words, "--json", f"--project={shop}"], capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


def test_parameters_that_are_no_json_reach_the_run_as_text(shop: Path) -> None:
    (shop / "pipelines/orders.yaml").write_text(
        PIPELINE.replace("total >= 10", "total >= 10 && params.day == '2026-03-02'")
        + "parameters: { day: { type: date } }\n"
    )
    day = timezone.datetime(2026, 3, 2).date()
    task = load(shop, params={"day": "{{ day }}"})
    # As a template in native code leaves it.
    task.pipeline_params = {"day": day}
    assert execute(task, context(Store()))["rows"] == ORDERS * 4 // 5


def test_a_param_of_airflow_is_its_value() -> None:
    assert said("params", {"day": Param("2026-03-02", type="string"), "most": 3}) == {"day": "2026-03-02", "most": 3}


def test_a_connection_reaches_the_run(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (shop / "pipelines/orders.yaml").write_text(PIPELINE.replace("big.ndjson", '"${BIG_AT}.ndjson"'))
    monkeypatch.setenv("AIRFLOW_CONN_DEPOT", json.dumps({"conn_type": "http", "password": "by-connection"}))
    store = Store()
    summary = execute(load(shop, conn_env={"BIG_AT": "depot#password"}), context(store))
    assert (shop / "by-connection.ndjson").stat().st_size > 0
    # Nor is it told where it shows up in a path or an error.
    assert summary["outputs"][0]["to"].endswith("/***.ndjson")
    assert "by-connection" not in json.dumps([summary, store.values])
    (shop / "pipelines/orders.yaml").write_text(PIPELINE.replace("orders.ndjson", '"${BIG_AT}.json"'))
    with pytest.raises(AirflowException):
        execute(load(shop, conn_env={"BIG_AT": "depot#password"}, run_key="other"), context(store))
    assert "***.json: no such file" in store.values["oxiflow_run"]["error"]
    assert "by-connection" not in json.dumps(store.values)


def test_one_part_that_is_cleared_alone_is_told_what_to_do(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (shop / "pipelines/orders.yaml").write_text(PIPELINE.replace("big.ndjson", "big.ndjson, merge: true"))
    (shop / "state").mkdir()

    def work_on(shard: str, *tries: int, clear_number: int = 0) -> dict[str, Any]:
        told = context(Store(), *tries)
        told["dag_run"].clear_number = clear_number
        return execute(load(shop, state_backend="nfs", shard=shard, env=state), told)

    state = {"OXIFLOW_STATE_URL": str(shop / "state")}
    work_on("0/2")
    assert [output["rows"] for output in work_on("1/2")["outputs"]] == [ORDERS * 4 // 5]
    assert "clear all of them" not in capsys.readouterr().out
    assert work_on("0/2", 2, 1, clear_number=1)["outputs"] == []
    assert "clear all of them" in capsys.readouterr().out
    assert work_on("1/2", 2, 1, clear_number=1)["outputs"] != []
    assert "clear all of them" not in capsys.readouterr().out


def test_parts_that_are_all_worked_on_here_share_this_machines_state(shop: Path) -> None:
    (shop / "pipelines/orders.yaml").write_text(PIPELINE.replace("big.ndjson", "big.ndjson, merge: true"))
    execute(load(shop, shard="0/2", same_host=True), context(Store()))
    assert execute(load(shop, shard="1/2", same_host=True), context(Store()))["outputs"][0]["rows"] == ORDERS * 4 // 5
    # Where there are no parts, nothing is shared.
    assert execute(load(shop, same_host=True, run_key="alone"), context(Store()))["rows"] == ORDERS * 4 // 5


def test_outlets_get_the_figures_of_their_output(shop: Path) -> None:
    big = Asset(name="big", uri=f"file://{shop}/big.ndjson")
    other = Asset(name="other", uri="s3://lake/other")
    told = context(Store())
    summary = execute(load(shop, outlets=[big, other]), told)
    extra = told["outlet_events"][big].extra
    assert (extra["rows"], extra["bytes"]) == (ORDERS * 4 // 5, (shop / "big.ndjson").stat().st_size)
    assert told["outlet_events"][other].extra["rows"] == summary["rows"]


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"pipeline_name": "tides"}, AirflowFailException, "tides"),
        ({"set": {"filter.where": "total"}}, AirflowFailException, "filter"),
        ({"set": {"read_file.path": "none.ndjson"}}, AirflowException, "none.ndjson"),
        ({"shard": "first"}, AirflowFailException, "is not I/N"),
        ({"shard": "0/2"}, AirflowFailException, "this host's alone.*; in Airflow, that is same_host=True"),
        ({"runner_path": "/nowhere/oxiflow"}, AirflowFailException, "/nowhere/oxiflow"),
        ({"project_dir": "/nowhere"}, AirflowFailException, "no folder /nowhere on this worker"),
        ({"pipeline_params": {"leest": 1}}, AirflowFailException, "leest"),
        (
            {"pipeline_params": {"least": object()}},
            AirflowFailException,
            "params: 'least' is of type object: give text",
        ),
        ({"set": {"filter.where": {1}}}, AirflowFailException, "set: 'filter.where' is of type set: give text"),
        ({"state_backend": "mongo"}, AirflowFailException, "mongo"),
        (
            {"state_backend": "redis", "env": {"OXIFLOW_STATE_URL": "redis://127.0.0.1:1/0"}},
            AirflowException,
            "redis://127.0.0.1:1.*out of reach",
        ),
        ({"oxiflow_conn_id": "nobodys"}, AirflowException, "nobodys"),
        ({"conn_env": {"SHOP_URL": "nobodys"}}, AirflowException, "nobodys"),
    ],
)
def test_only_what_may_help_is_tried_again(
    shop: Path, change: dict[str, Any], error: type[Exception], words: str
) -> None:
    store = Store()
    task = load(shop)
    for name, value in change.items():
        setattr(task, name, value)
    with pytest.raises(error, match=words) as raised:
        execute(task, context(store))
    assert isinstance(raised.value, AirflowFailException) == (error is AirflowFailException)
    if "oxiflow_run" in store.values:
        assert store.values["oxiflow_run"]["state"] == "failed"
        assert re.search(words, store.values["oxiflow_run"]["error"])


def test_a_folder_that_may_not_be_looked_into_is_told_from_one_that_is_not_there(
    shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(_folder: str) -> Any:
        raise PermissionError(errno.EACCES, "no")

    # Root may look into all of them.
    monkeypatch.setattr(os, "scandir", refused)
    with pytest.raises(AirflowFailException, match="may not look into"):
        execute(load(shop), context(Store()))


def test_another_pipeline_is_not_gone_on_with_and_the_task_says_how_it_starts_over(shop: Path) -> None:
    dying = PIPELINE.replace(
        "  - { name: write_file", "  - { name: exec, config: { command: [python3, dies.py] } }\n  - { name: write_file"
    )
    (shop / "pipelines/orders.yaml").write_text(dying)
    (shop / "dies.py").write_text(DIES)
    make_long(shop)
    store = Store()
    with pytest.raises(AirflowException, match="lost the connection"):
        execute(load(shop, retries=1), context(store, 1, 1))
    assert store.values["oxiflow_checkpoint"]["records"] > 0
    (shop / "pipelines/orders.yaml").write_text(PIPELINE)
    with pytest.raises(AirflowFailException, match="when it has fresh=True and is cleared"):
        execute(load(shop, retries=1), context(store, 2, 1))
    summary = execute(load(shop, retries=1, fresh=True), context(store, 3, 3))
    assert (summary["resumed_from"], summary["rows"]) == (None, ORDERS * 4 // 5 + 10 * ORDERS)


def test_a_state_that_the_triggerer_may_not_reach_is_refused(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_long(shop)
    monkeypatch.setattr(work, "executors", lambda: ["CeleryExecutor"])
    with pytest.raises(AirflowFailException, match="sqlite is this machine's alone, and with CeleryExecutor"):
        execute(load(shop, deferrable=True), context(Store()))


def test_shards_and_durations_are_read() -> None:
    assert (shard_of("1/4"), shard_of((1, 4)), shard_of(None)) == ((1, 4), (1, 4), None)
    assert (duration_text(1.5), duration_text("2m"), duration_text(None)) == ("1500ms", "2m", None)


def test_an_output_is_found_at_the_address_of_an_asset() -> None:
    assert is_at("/shop/big.ndjson", "file:///shop/big.ndjson")
    assert is_at("orders", "postgres://db/shop/public/orders")
    assert not is_at("/shop/big.ndjson", "file:///shop/small.ndjson")
    assert not is_at(None, "file:///shop")
