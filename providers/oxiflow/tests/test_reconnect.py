"""A detached run is found again by another process, by its handle."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from oxiflow.errors import Died, Stopped
from oxiflow.events import RunStarted
from oxiflow.folders import LEFT_BEHIND, Mark, write_mark
from oxiflow.reconnect import Handle, new_handle
from oxiflow.system import began

from oxiflow import RunRequest, folders, process, start

from .conftest import EVENTS, PACKAGE, until

Rides = Callable[[int], Path]
StandIn = Callable[[str], Path]

STARTER = """
import json, sys
from oxiflow import RunRequest, start
from oxiflow.reconnect import new_handle
handle = new_handle()
run = start(RunRequest("rides", project=sys.argv[1]), events=handle.events, output=handle.output, detached=True)
print(json.dumps(handle.of(run.pid).document()), flush=True)
"""
#: Rides that a run has still a while to go with when it is looked for.
MANY = 100


TALKING = """
pipeline:
  - { name: read_file, config: { path: rides.ndjson } }
  - { name: parse_json }
  - { name: exec, config: { command: [python3, hands_on.py] } }
  - { name: write_stdout }
"""
#: Hands lines on, and the last one when the file that all go into is no longer than it may be.
HANDS_ON = """
import os, sys, time
deadline = time.monotonic() + 60
output = open("output_at").read()
for line in sys.stdin:
    while "the last one" in line and os.path.getsize(output) > 2**20:
        assert time.monotonic() < deadline, "it stays too long"
        time.sleep(0.01)
    sys.stdout.write(line)
    sys.stdout.flush()
"""


def started_elsewhere(project: Path) -> Handle:
    told = subprocess.run(
        [sys.executable, "-c", STARTER, str(project)],
        env={**os.environ, "PYTHONPATH": str(PACKAGE)},
        capture_output=True,
        text=True,
        check=True,
    )
    return Handle(**json.loads(told.stdout))


def test_a_run_that_another_process_has_started_is_followed_to_its_end(rides: Rides) -> None:
    handle = started_elsewhere(rides(MANY))
    with handle.run() as run:
        first, *_ = list(run.follow())
        assert isinstance(first, RunStarted)
        assert first.process.pid == run.pid == handle.pid
        assert run.result().check().counters.total.added == MANY * 10_000
    assert not handle.alive()
    # And once more, when it has long ended.
    with handle.run() as run:
        assert run.result().succeeded
    handle.clear()
    assert not handle.here


def test_it_is_stopped_like_one_of_ones_own(held_rides: Rides) -> None:
    handle = started_elsewhere(held_rides(MANY))
    with handle.run() as run:
        until("its first event", lambda: any(isinstance(item, RunStarted) for item in run.poll()))
        result = run.stop()
    assert not handle.alive()
    assert result.finished is not None
    assert (result.finished.status, result.finished.exit_code) == ("interrupted", 143)
    with pytest.raises(Stopped, match=r"\(exit code 143\)$"):
        result.check()
    handle.clear()


def test_one_that_was_killed_has_died(held_rides: Rides) -> None:
    handle = started_elsewhere(held_rides(MANY))
    assert handle.pid is not None
    os.killpg(handle.pid, signal.SIGKILL)
    with Path(handle.output).open("a") as output:
        output.write("the disk is full\n")
    with handle.run() as run, pytest.raises(Died, match="the disk is full") as died:
        run.result().check()
    assert str(died.value).endswith("(its exit code is not known)")
    assert run.result().exit_code is None
    handle.clear()


def test_what_a_run_says_into_a_file_is_bounded(rides: Rides, monkeypatch: pytest.MonkeyPatch) -> None:
    project = rides(20)
    (project / "pipelines/rides.yaml").write_text(TALKING)
    (project / "hands_on.py").write_text(HANDS_ON)
    with (project / "rides.ndjson").open("a") as file:
        file.write('{"to":"the last one"}\n')
    read = (project / "rides.ndjson").stat().st_size
    monkeypatch.setattr(process, "OUTPUT_LIMIT", "1MB")
    handle = new_handle()
    (project / "output_at").write_text(handle.output)
    request = RunRequest("rides", project=str(project))
    with start(request, events=handle.events, output=handle.output, detached=True) as run:
        assert run.result().check().counters.total.out == 200_001
    said = Path(handle.output).read_text()
    assert len(said) < 2**20 < read / 4
    assert said.endswith('{"to":"the last one"}\n')
    handle.clear()


def test_a_handle_without_a_process_id_finds_the_one_that_the_run_told(rides: Rides) -> None:
    handle = replace(started_elsewhere(rides(1)), pid=None, began=None)
    write_mark(handle.folder, Mark())
    until("its first event", lambda: os.path.exists(handle.events) and os.path.getsize(handle.events) > 0)
    with handle.run() as run:
        assert run.result().succeeded
    handle.clear()


def test_a_process_id_that_was_given_out_again_is_not_the_run(rides: Rides) -> None:
    handle = new_handle().of(os.getpid())
    assert handle.alive()
    assert not replace(handle, began="long ago").alive()
    handle.clear()


def test_a_run_of_another_machine_or_boot_is_not_here() -> None:
    handle = new_handle()
    assert handle.here
    assert not replace(handle, host="depot").here
    assert not replace(handle, boot="before").here
    with pytest.raises(FileNotFoundError):
        handle.run()
    handle.clear()


def test_a_process_that_is_gone_has_no_beginning() -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    assert gone.wait() == 0
    assert began(gone.pid) is None
    assert began(os.getpid()) is not None


@pytest.fixture
def temp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The system's temporary folder, of this test alone."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.setattr(folders, "_looked", None)
    return folder


def test_a_launcher_that_died_before_it_could_write_the_process_down_is_no_loss(held_rides: Rides) -> None:
    started = started_elsewhere(held_rides(MANY))
    write_mark(started.folder, Mark("orders"))
    before = replace(started, pid=None, began=None)
    until("its first event", lambda: before.alive())
    handle = Handle.found(before.document(), "orders")
    assert handle == started
    with handle.run() as run:
        run.stop()
    assert not started.alive()
    handle.clear()


@pytest.mark.usefixtures("temp")
def test_a_told_process_id_that_was_given_out_again_is_not_the_run() -> None:
    handle = new_handle()
    first = json.loads((EVENTS / "recorded/resumed.ndjson").read_text().splitlines()[0])
    first["process"]["pid"] = os.getpid()
    Path(handle.events).write_text(json.dumps(first) + "\n")
    assert not handle.alive()


@pytest.mark.usefixtures("temp")
@pytest.mark.parametrize(
    "change",
    [
        {"pid": 1},
        {"pid": "1"},
        {"pid": True},
        {"began": None},
        {"began": "long ago"},
        {"host": "depot"},
        {"host": 7},
        {"boot": "before"},
        {"folder": 7},
        {"folder": "\0"},
        {"more": "of it"},
    ],
)
def test_a_document_that_somebody_has_changed_names_no_run(change: dict[str, Any]) -> None:
    handle = new_handle("orders").of(os.getpid())
    assert Handle.found(handle.document(), "orders") == handle
    assert Handle.found({**handle.document(), **change}, "orders") is None


@pytest.mark.usefixtures("temp")
def test_a_run_of_others_is_not_found() -> None:
    handle = new_handle("orders").of(os.getpid())
    assert Handle.found(handle.document(), "tides") is None
    documents: list[Any] = [None, [], "orders", {}, {"folder": handle.folder}]
    for document in documents:
        assert Handle.found(document, "orders") is None


@pytest.mark.parametrize(
    "where", ["elsewhere/oxiflow-run-1", "temporary/orders", "temporary/oxiflow-run-1/in/oxiflow-run-2"]
)
def test_a_folder_of_another_place_is_neither_followed_nor_removed(tmp_path: Path, temp: Path, where: str) -> None:
    handle = new_handle("orders").of(os.getpid())
    shutil.copytree(handle.folder, tmp_path / where)
    assert_none(handle, tmp_path / where)
    assert_none(handle, f"{temp}/../{where}")


def test_a_folder_that_others_can_reach_is_neither_followed_nor_removed(
    temp: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    handle = new_handle("orders").of(os.getpid())
    (temp / "oxiflow-run-link").symlink_to(handle.folder)
    assert_none(handle, temp / "oxiflow-run-link")
    (temp / "oxiflow-run-unmarked").mkdir(mode=0o700)
    assert_none(handle, temp / "oxiflow-run-unmarked")
    shutil.copytree(handle.folder, temp / "oxiflow-run-open")
    (temp / "oxiflow-run-open").chmod(0o777)
    assert_none(handle, temp / "oxiflow-run-open")
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    assert_none(handle, handle.folder)


def assert_none(handle: Handle, folder: Path | str) -> None:
    """It is not where a run of this user's is, though all that is in it says so."""
    other = replace(handle, folder=str(folder))
    assert Handle.found(other.document(), "orders") is None
    assert not other.here
    with pytest.raises(FileNotFoundError):
        other.run()
    other.clear()
    assert os.path.isdir(folder)


def test_a_process_that_has_the_id_of_a_run_by_now_is_not_signalled(temp: Path) -> None:
    handle = new_handle()
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, start_new_session=True) as other:
        write_mark(handle.folder, Mark(pid=other.pid, began="long ago"))
        with replace(handle, pid=other.pid, began="long ago").run() as run:
            run.terminate()
            run.stop(grace=0.1)
        assert other.poll() is None
        other.communicate(b"\n")
    assert other.returncode == 0
    assert temp.exists()


def test_what_launchers_have_left_behind_is_removed_a_day_after_its_run(temp: Path, stand_in: StandIn) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    never = new_handle()
    left, young, lives = new_handle().of(gone.pid), new_handle().of(gone.pid), new_handle().of(os.getpid())
    killed = folders.make(folders.EVENTS, Mark(pid=gone.pid, began="1"))
    others = temp / "oxiflow-run-of-others"
    others.mkdir(mode=0o700)
    with start(RunRequest("rides"), runner=stand_in("time.sleep(600)\n")) as running:
        followed = os.path.dirname(running._events.path)
        for folder in (never.folder, left.folder, lives.folder, killed, others, followed):
            age(folder)
        folders.sweep()
        assert {str(one) for one in temp.iterdir()} == {young.folder, lives.folder, str(others), followed}


def test_a_launcher_looks_for_what_others_have_left_now_and_then(temp: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    never = new_handle()
    age(never.folder)
    new_handle()
    assert os.path.exists(never.folder)
    monkeypatch.setattr(folders, "_looked", time.monotonic() - folders.LOOK)
    new_handle()
    assert not os.path.exists(never.folder)
    assert temp.exists()


def age(folder: str | os.PathLike[str]) -> None:
    long_ago = time.time() - LEFT_BEHIND - 60
    for path in (*Path(folder).iterdir(), Path(folder)):
        os.utime(path, (long_ago, long_ago))
