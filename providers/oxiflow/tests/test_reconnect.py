"""A detached run is found again by another process, by its handle."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from oxiflow.errors import Died
from oxiflow.events import RunStarted
from oxiflow.reconnect import Handle, began, new_handle

from oxiflow import RunRequest, process, start

from .conftest import PACKAGE, until

Rides = Callable[[int], Path]

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
    handle.clear()


def test_one_that_was_killed_has_died(held_rides: Rides) -> None:
    handle = started_elsewhere(held_rides(MANY))
    assert handle.pid is not None
    os.killpg(handle.pid, signal.SIGKILL)
    with handle.run() as run, pytest.raises(Died):
        run.result().check()
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
