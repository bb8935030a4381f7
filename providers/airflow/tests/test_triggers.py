"""What becomes of a deferred task, with the real runner and a stand-in for Airflow's triggerer."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import DAG
from airflow.sdk._shared.secrets_masker import reset_secrets_masker
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowNotFoundException, TaskDeferred
from oxiflow.reconnect import Handle
from oxiflow.stream import EventFile
from oxiflow_airflow_provider import OxiFlowOperator, triggers, work
from oxiflow_airflow_provider.launch import LAUNCH
from oxiflow_airflow_provider.triggers import OxiFlowTrigger

ROOT = Path(__file__).resolve().parents[3]
ORDERS = 50
#: A state that other machines reach, and leases that are soon over.
PROJECT = """
state_manager: { backend: nfs, heartbeat_interval: 200ms, nfs: { mount_path: state, lock_timeout: 1s } }
"""
PIPELINE = """
pipeline:
  - { name: read_file, config: { path: orders.ndjson } }
  - { name: parse_json }
  - { name: exec, config: { command: [python3, patient.py] } }
  - { name: write_file, config: { path: out.ndjson } }
"""
#: Hands on what it gets, but not while the shop is shut.
PATIENT = """
import os, sys, time
while os.path.exists("shut"):
    time.sleep(0.02)
for line in sys.stdin:
    print(line, end="", flush=True)
"""


class Store(dict[str, Any]):
    """The task state store."""

    def set(self, key: str, value: Any) -> None:
        self[key] = value

    def delete(self, key: str) -> None:
        self.pop(key, None)


class Lines:
    """The log of a trigger."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def log(self, _level: int, text: str, *parts: object) -> None:
        self.lines.append(text % parts if parts else text)

    def info(self, text: str, *parts: object) -> None:
        self.log(0, text, *parts)

    warning = error = debug = info


class Deferred:
    """A task of the shop that has been deferred, and its run."""

    def __init__(self, shop: Path, **more: Any) -> None:
        self.shop = shop
        self.task = self._task(**more)
        self.store = Store()
        with pytest.raises(TaskDeferred) as deferred:
            self.task.execute(self.context())
        _, self.kwargs = deferred.value.trigger.serialize()
        self.handle = Handle(**self.kwargs["handle"])
        self._more = more

    def _task(self, **more: Any) -> OxiFlowOperator:
        with DAG("shop", schedule=None, start_date=datetime(2026, 1, 1)):
            task = OxiFlowOperator(
                task_id="load",
                pipeline_name="slow",
                project_dir=str(self.shop),
                deferrable=True,
                # What is in the program is waited for so long, and the shop is shut.
                drain_timeout="1s",
                **more,
            )
        task.allow_nested_operators = True
        return task

    def context(self, try_number: int = 1, max_tries: int = 0) -> dict[str, Any]:
        ti = SimpleNamespace(
            dag_id="shop", run_id="monday", task_id="load", map_index=-1, try_number=try_number, max_tries=max_tries
        )
        return {"ti": ti, "dag_run": SimpleNamespace(clear_number=0), "task_state_store": self.store}

    def trigger(self, **kwargs: Any) -> OxiFlowTrigger:
        trigger = OxiFlowTrigger(**{**self.kwargs, **kwargs})
        trigger._log = Lines()  # type: ignore[assignment]
        return trigger

    def elsewhere(self, **kwargs: Any) -> OxiFlowTrigger:
        """In a triggerer on another machine."""
        return self.trigger(handle={**self.kwargs["handle"], "host": "elsewhere"}, **kwargs)

    def again(self, try_number: int = 2, max_tries: int = 0) -> dict[str, Any]:
        """What the next try defers on."""
        with pytest.raises(TaskDeferred) as deferred:
            self._task(**self._more).execute(self.context(try_number, max_tries))
        kwargs: dict[str, Any] = deferred.value.trigger.serialize()[1]
        return kwargs

    def resume(self, event: dict[str, Any], handle: Handle | None = None) -> dict[str, Any]:
        document = (handle or self.handle).document()
        task = self._task(**self._more)
        summary: dict[str, Any] = task.resume(self.context(), event, document)
        return summary

    def open(self) -> None:
        (self.shop / "shut").unlink(missing_ok=True)

    def until_gone(self) -> None:
        until("the end of the run", lambda: not self.handle.alive())


def lines_of(trigger: Any) -> list[str]:
    lines: list[str] = trigger._log.lines
    return lines


def until(what: str, condition: Callable[[], Any], within: float = 20) -> None:
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not come within {within} s"
        time.sleep(0.02)


def event_of(trigger: OxiFlowTrigger) -> dict[str, Any]:
    async def first() -> dict[str, Any]:
        async for event in trigger.run():
            payload: dict[str, Any] = event.payload
            return payload
        raise AssertionError("a trigger without an event")

    return asyncio.run(asyncio.wait_for(first(), 30))


@pytest.fixture(autouse=True)
def xcoms(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    written: dict[str, Any] = {}
    monkeypatch.setenv("OXIFLOW_RUNNER", str(ROOT / "dist/oxiflow.mjs"))
    monkeypatch.setattr(triggers, "set_xcom", lambda _ti, key, value: written.update({key: value}))
    monkeypatch.setattr(triggers, "ASK", 0.1)
    monkeypatch.setattr(triggers, "LOOK", 0.05)
    return written


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    (tmp_path / "pipelines").mkdir()
    (tmp_path / "state").mkdir()
    (tmp_path / "oxiflow.yaml").write_text(PROJECT)
    (tmp_path / "pipelines/slow.yaml").write_text(PIPELINE)
    (tmp_path / "patient.py").write_text(PATIENT)
    (tmp_path / "orders.ndjson").write_text("".join(f'{{"order": {number}}}\n' for number in range(ORDERS)))
    (tmp_path / "shut").touch()
    return tmp_path


@pytest.fixture
def deferred(shop: Path) -> Iterator[Deferred]:
    one = Deferred(shop)
    yield one
    # The program of a runner that is killed waits for nothing then, and ends.
    one.open()
    if one.handle.alive():
        os.killpg(one.handle.pid or 0, signal.SIGKILL)
    one.handle.clear()


def test_a_run_that_died_on_another_machine_fails_its_task_for_another_try(
    deferred: Deferred, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(triggers, "NOBODY", 0.3)
    os.killpg(deferred.handle.pid or 0, signal.SIGKILL)
    event = event_of(deferred.elsewhere())
    assert event["status"] == "failed"
    assert "said to be running, but no worker of it has been alive for 0.3 s" in event["message"]
    with pytest.raises(AirflowException, match="no worker of it has been alive") as raised:
        deferred.resume(event, replace(deferred.handle, host="elsewhere"))
    assert not isinstance(raised.value, AirflowFailException)


def test_a_run_that_lives_on_another_machine_is_waited_for(deferred: Deferred, monkeypatch: pytest.MonkeyPatch) -> None:
    # Longer than a worker is looked for, and its lease is renewed meanwhile.
    monkeypatch.setattr(triggers, "NOBODY", 0.3)
    asked = []
    trigger = deferred.elsewhere()
    call = trigger._call

    def counted(verb: str) -> Any:
        asked.append(verb)
        if len(asked) == 5:
            deferred.open()
        return call(verb)

    monkeypatch.setattr(trigger, "_call", counted)
    assert event_of(trigger) == {"status": "finished", "told": False}


def test_a_triggerer_that_is_started_again_tells_what_came_behind_a_new_beginning(deferred: Deferred) -> None:
    """Of an event file that has begun anew: fewer events are there than were told, and their numbers go on."""
    told = triggers.Told(deferred.handle)
    events = list(EventFile(deferred.handle.events).poll())
    assert told.new([*events]) == events
    later = replace(events[-1], seq=events[-1].seq + 1000)
    assert triggers.Told(deferred.handle).new([events[0], later]) == [later]


def test_ending_a_deferred_task_needs_no_connection_on_the_runs_machine(deferred: Deferred) -> None:
    trigger = deferred.trigger(oxiflow_conn_id="taken_away")
    began = time.monotonic()
    asyncio.run(asyncio.wait_for(trigger.on_kill(), 30))
    assert not deferred.handle.alive()
    assert time.monotonic() - began < deferred.kwargs["grace"]
    assert not os.path.exists(deferred.handle.folder)


@pytest.mark.parametrize("error", [AirflowNotFoundException("no such connection"), ValueError("no JSON")])
def test_a_question_that_fails_in_whatever_way_is_one_without_an_answer(
    deferred: Deferred, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def refuse(_verb: str) -> Any:
        raise error

    trigger = deferred.elsewhere()
    monkeypatch.setattr(trigger, "_call", refuse)
    asyncio.run(trigger.on_kill())
    assert any(str(error) in line for line in lines_of(trigger))

    other = deferred.elsewhere()
    monkeypatch.setattr(other, "_call", refuse)
    event = event_of(other)
    assert event["status"] == "unreachable"
    with pytest.raises(AirflowException, match=str(error)) as raised:
        deferred.resume(event, replace(deferred.handle, host="elsewhere"))
    # Another try may find it again.
    assert not isinstance(raised.value, AirflowFailException)


def test_the_trigger_knows_that_the_state_is_one_machines_alone(deferred: Deferred) -> None:
    assert deferred.kwargs["found_backend"] == "nfs"
    event = event_of(deferred.elsewhere(found_backend="sqlite"))
    assert (event["status"], event["retry"]) == ("unreachable", False)
    with pytest.raises(AirflowFailException, match="the state in sqlite is that machine's alone"):
        deferred.resume(event, replace(deferred.handle, host="elsewhere"))


def test_a_run_that_the_trigger_could_not_follow_is_followed_on_its_own_machine(deferred: Deferred) -> None:
    event = event_of(deferred.elsewhere(found_backend="sqlite"))
    deferred.open()
    summary = deferred.resume(event)
    assert (summary["records_read"], summary["attempt"]) == (ORDERS, 1)
    assert deferred.store["oxiflow_run"]["state"] == "succeeded"


def test_a_late_run_that_the_trigger_could_only_ask_to_end_is_ended_on_its_own_machine(
    deferred: Deferred, monkeypatch: pytest.MonkeyPatch
) -> None:
    long_ago = (datetime.now(timezone.utc) - timedelta(hours=1)).isoformat()
    trigger = deferred.elsewhere(deadline=long_ago)

    def unheard(_verb: str) -> Any:
        raise OSError("no way there")

    monkeypatch.setattr(trigger, "_call", unheard)
    event = event_of(trigger)
    assert event["status"] == "timeout"
    with pytest.raises(AirflowException, match="longer than its execution_timeout"):
        deferred.resume(event)
    assert not deferred.handle.alive()
    assert deferred.store["oxiflow_run"]["state"] == "stopped"


def test_a_run_that_failed_fails_its_task_on_whatever_machine_that_goes_on(deferred: Deferred) -> None:
    os.killpg(deferred.handle.pid or 0, signal.SIGTERM)
    deferred.until_gone()
    event = event_of(deferred.trigger())
    assert (event["status"], event["retry"]) == ("failed", True)
    deferred.open()
    with pytest.raises(AirflowException):
        deferred.resume(event, replace(deferred.handle, host="elsewhere"))
    assert not (deferred.shop / "out.ndjson").exists()


def test_a_fresh_task_whose_run_has_ended_elsewhere_does_not_start_over(shop: Path) -> None:
    deferred = Deferred(shop, fresh=True)
    deferred.open()
    event = event_of(deferred.trigger())
    assert event == {"status": "finished", "told": True}
    written = (shop / "out.ndjson").stat().st_mtime_ns
    run_id = deferred.store["oxiflow_run"]["run_id"]
    summary = deferred.resume(event, replace(deferred.handle, host="elsewhere"))
    assert (summary["run_id"], summary["records_read"]) == (run_id, ORDERS)
    assert (shop / "out.ndjson").stat().st_mtime_ns == written
    deferred.handle.clear()


def test_what_a_connection_holds_is_told_by_no_trigger(
    shop: Path, monkeypatch: pytest.MonkeyPatch, xcoms: dict[str, Any]
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_DEPOT", json.dumps({"conn_type": "http", "password": "hidden-by-depot"}))
    (shop / "pipelines/slow.yaml").write_text(PIPELINE.replace("out.ndjson", '"${AT}.ndjson"'))
    deferred = Deferred(shop, conn_env={"AT": "depot#password"})
    # The triggerer is another process than the task's.
    reset_secrets_masker()
    deferred.open()
    event = event_of(deferred.trigger())
    assert event["status"] == "finished"
    assert (shop / "hidden-by-depot.ndjson").exists()
    assert xcoms["oxiflow_run"]["outputs"][0]["to"].endswith("/***.ndjson")
    assert "hidden-by-depot" not in json.dumps(xcoms)
    deferred.handle.clear()


def test_a_triggerer_that_is_started_again_tells_nothing_twice(deferred: Deferred) -> None:
    async def interrupted(trigger: OxiFlowTrigger) -> None:
        waiting = asyncio.ensure_future(trigger.run().__anext__())
        while not any(line.startswith("run ") for line in lines_of(trigger)):
            await asyncio.sleep(0.02)
        waiting.cancel()
        await asyncio.wait([waiting])

    first, second = deferred.trigger(), deferred.trigger()
    asyncio.run(asyncio.wait_for(interrupted(first), 20))
    deferred.open()
    event_of(second)
    # A group ends with the same line as every other.
    assert set(lines_of(first)) & set(lines_of(second)) <= {"::endgroup::"}
    assert any("out.ndjson: 50 rows" in line for line in lines_of(second))


@pytest.mark.parametrize("written_down", [True, False])
def test_a_run_whose_trigger_was_lost_is_waited_for_by_the_next_try(deferred: Deferred, written_down: bool) -> None:
    if not written_down:
        # The task's process was killed when it had started the run, and had not yet said so.
        deferred.store[LAUNCH]["handle"].update(pid=None, began=None)
    kwargs = deferred.again()
    assert kwargs["handle"] == deferred.kwargs["handle"]
    deferred.open()
    event = event_of(deferred.trigger(**kwargs))
    assert event == {"status": "finished", "told": True}
    summary = deferred.resume(event)
    assert (summary["records_read"], summary["attempt"], summary["resumed_from"]) == (ORDERS, 1, None)
    assert LAUNCH not in deferred.store
    assert not os.path.exists(deferred.handle.folder)


def test_a_run_that_ended_when_its_trigger_was_lost_is_collected_by_the_next_try(
    deferred: Deferred, monkeypatch: pytest.MonkeyPatch
) -> None:
    deferred.open()
    deferred.until_gone()
    monkeypatch.setattr(work, "start", None)
    summary = deferred._task().execute(deferred.context(2))
    assert (summary["records_read"], summary["attempt"]) == (ORDERS, 1)
    assert LAUNCH not in deferred.store


def test_a_run_that_failed_when_its_trigger_was_lost_is_gone_on_with(deferred: Deferred) -> None:
    os.killpg(deferred.handle.pid or 0, signal.SIGTERM)
    deferred.until_gone()
    kwargs = deferred.again()
    assert kwargs["handle"]["pid"] != deferred.handle.pid
    deferred.handle = Handle(**kwargs["handle"])
    deferred.open()
    assert deferred.resume(event_of(deferred.trigger(**kwargs)))["attempt"] == 2


def test_a_run_without_a_trigger_ends_when_its_task_is_cleared(
    deferred: Deferred, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(work, "MARGIN", 1.0)
    before = deferred.handle
    deferred.handle = Handle(**deferred.again(2, max_tries=1)["handle"])
    assert not before.alive()
    assert deferred.handle.alive()
    assert deferred.handle.pid != before.pid
    before.clear()


def test_a_trigger_that_can_not_read_the_run_says_so_and_the_next_try_waits_for_it(
    deferred: Deferred, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_file: EventFile) -> bytes:
        raise OSError(errno.EIO, "the disk does not answer")

    with monkeypatch.context() as patched:
        patched.setattr(EventFile, "_read", broken)
        event = event_of(deferred.trigger())
    assert (event["status"], event["told"]) == ("unreachable", False)
    with pytest.raises(AirflowException, match=r"can't read what it says: .*the disk does not answer") as raised:
        deferred.resume(event, replace(deferred.handle, host="elsewhere"))
    assert not isinstance(raised.value, AirflowFailException)
    assert deferred.again()["handle"] == deferred.kwargs["handle"]


def test_a_triggerer_without_the_project_asks_the_state_at_its_address(deferred: Deferred, tmp_path: Path) -> None:
    state = {"OXIFLOW_STATE_URL": str(deferred.shop / "state")}
    deferred.open()
    trigger = deferred.elsewhere(project_dir=str(tmp_path / "nowhere"), env=state)
    assert event_of(trigger) == {"status": "finished", "told": False}


def test_a_triggerer_without_the_project_cancels_through_the_state(deferred: Deferred, tmp_path: Path) -> None:
    state = {"OXIFLOW_STATE_URL": str(deferred.shop / "state")}
    asyncio.run(deferred.elsewhere(project_dir=str(tmp_path / "nowhere"), env=state).on_kill())
    deferred.until_gone()


def test_a_triggerer_that_can_not_know_where_the_state_is_names_the_folder_at_once(
    deferred: Deferred, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OXIFLOW_STATE_URL", raising=False)
    monkeypatch.setattr(triggers, "ASK", 60)
    event = event_of(deferred.elsewhere(project_dir=str(tmp_path / "nowhere")))
    assert (event["status"], event["retry"]) == ("unreachable", False)
    with pytest.raises(
        AirflowFailException, match=f"no folder {tmp_path}/nowhere on the triggerer's machine, which says"
    ):
        deferred.resume(event, replace(deferred.handle, host="elsewhere"))


def test_what_a_connection_holds_is_not_in_the_event_of_a_failure(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_DEPOT", json.dumps({"conn_type": "http", "password": "hidden-by-depot"}))
    (shop / "pipelines/slow.yaml").write_text(PIPELINE.replace("patient.py", 'patient.py, "${AT}"'))
    (shop / "patient.py").write_text(f'{PATIENT}\nsys.exit("no way to " + sys.argv[1])\n')
    deferred = Deferred(shop, conn_env={"AT": "depot#password"})
    reset_secrets_masker()
    deferred.open()
    event = event_of(deferred.trigger())
    assert event["status"] == "failed"
    assert "no way to ***" in event["message"]
    assert "hidden-by-depot" not in json.dumps(event)
    deferred.handle.clear()
