"""Runs are started, followed and stopped, with the real runner and with programs that misbehave in its place."""

from __future__ import annotations

import errno
import json
import os
import pickle
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import cast

import pytest
from oxiflow.errors import BadData, Died, Failed, NoPipeline, Refused, Stopped
from oxiflow.events import Checkpoint, Progress, RunFinished, RunStarted

from oxiflow import Line, RunFailed, RunnerMissing, RunRequest, WrongRequest, process, start

from .conftest import EVENTS, LONGEST, MB, PACKAGE, PEAK, is_gone, run, until

Rides = Callable[[int], Path]
StandIn = Callable[[str], Path]

SUCCESS = f"events.write(open({str(EVENTS / 'recorded/resumed.ndjson')!r}, 'rb').read())\n"
ONE_BLOCK = 10_000
#: So many times 10,000 rides that the first half of them has a checkpoint in it.
MANY = 200


def test_a_run_tells_its_events_and_how_it_ended(rides: Rides) -> None:
    root = rides(1)
    with start(RunRequest("rides", project=str(root), run_key="rides-monday")) as running:
        items = list(running.follow())
        assert not running.running
        result = running.result()
    assert isinstance(items[0], RunStarted)
    assert items[0].process.pid == running.pid
    assert items[0].run_key == "rides-monday"
    assert isinstance(items[-1], RunFinished)
    finished = result.check()
    assert finished == items[-1]
    assert finished.counters.total.added == ONE_BLOCK
    (output,) = finished.outputs
    assert output.path == str(root / "long.ndjson")
    assert output.rows == (root / "long.ndjson").read_text().count("\n")
    summary = result.summary()
    assert summary["rows"] == output.rows
    assert summary["bytes"] == (root / "long.ndjson").stat().st_size
    assert summary["resumed_from"] is None
    assert json.loads(json.dumps(summary)) == summary
    assert (result.malformed, result.lost) == (0, 0)


def test_a_request_that_has_finished_is_a_success_again(rides: Rides) -> None:
    request = RunRequest("rides", project=str(rides(1)), invocation="monday")
    with start(request) as first:
        before = first.result().check()
    with start(request) as second:
        result = second.result()
    assert result.started is None
    assert result.check().counters == before.counters


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"pipeline": "tides"}, NoPipeline, "tides"),
        ({"params": {"day": 1}}, Refused, "day"),
        ({"set": {"filter.where": "km"}}, BadData, "filter"),
        ({"set": {"read_file.path": "none.ndjson"}}, Failed, "none.ndjson: no such file"),
    ],
)
def test_a_run_that_fails_says_why_and_whether_a_retry_helps(
    rides: Rides, change: dict[str, object], error: type[RunFailed], words: str
) -> None:
    fields = {"pipeline": "rides", "project": str(rides(1)), **change}
    with start(RunRequest(**fields)) as running, pytest.raises(error) as caught:  # type: ignore[arg-type]
        running.result().check()
    assert words in str(caught.value)
    assert str(caught.value).endswith(f"(exit code {caught.value.result.exit_code})")
    assert caught.value.retry == (error is Failed)
    again = pickle.loads(pickle.dumps(caught.value))  # noqa: S301 - made in the line before
    assert (type(again), str(again), again.result) == (error, str(caught.value), caught.value.result)


def test_a_run_that_is_stopped_saves_a_checkpoint_and_the_next_one_goes_on(held_rides: Rides) -> None:
    root = held_rides(MANY)
    request = RunRequest("rides", project=str(root), invocation="monday")
    with start(request) as running:
        until("a checkpoint", lambda: any(isinstance(item, Checkpoint) for item in running.poll()))
        result = running.stop()
    assert result.exit_code == 143
    assert result.checkpoint is not None
    assert result.checkpoint.grade == "hard"
    with pytest.raises(Stopped):
        result.check()
    (root / "shut").unlink()
    with start(request) as again:
        ended = again.result()
    assert ended.started is not None
    assert ended.started.resumed_from is not None
    assert ended.started.resumed_from.checkpoint == result.checkpoint.n
    assert ended.check().counters.total.added == MANY * ONE_BLOCK
    assert ended.check().counters.attempt.added < MANY * ONE_BLOCK
    kept = sum(1 for ride in range(ONE_BLOCK) if ride % 7 + 0.5 > 3)
    assert (root / "long.ndjson").read_text().count("\n") == MANY * kept


def test_terminate_returns_at_once_and_the_loop_sees_the_end(held_rides: Rides) -> None:
    told = False
    with start(RunRequest("rides", project=str(held_rides(MANY)))) as running:
        for item in running.follow():
            if isinstance(item, Checkpoint) and not told:
                running.terminate()
                told = True
        assert running.result().finished is not None
        assert running.result().exit_code == 143


def test_a_run_that_dies_in_the_middle_is_worth_a_retry(held_rides: Rides) -> None:
    with start(RunRequest("rides", project=str(held_rides(MANY)))) as running:
        until("a checkpoint", lambda: any(isinstance(item, Checkpoint) for item in running.poll()))
        running.kill()
        with pytest.raises(Died, match="killed by SIGKILL") as caught:
            running.result().check()
    assert caught.value.retry
    assert caught.value.result.checkpoint is not None


def test_a_launcher_that_is_killed_leaves_a_checkpoint_and_no_process(held_rides: Rides, tmp_path: Path) -> None:
    root = held_rides(MANY)
    events = tmp_path / "events.ndjson"
    program = (
        "import sys, time\nfrom oxiflow import RunRequest, start\n"
        "run = start(RunRequest('rides', project=sys.argv[1]), events=sys.argv[2])\n"
        "print(run.pid, flush=True)\ntime.sleep(600)\n"
    )
    env = {**os.environ, "PYTHONPATH": str(PACKAGE)}
    launcher = subprocess.Popen(
        [sys.executable, "-c", program, root, events], stdout=subprocess.PIPE, env=env, text=True
    )
    assert launcher.stdout is not None
    with launcher, launcher.stdout as out:
        pid = int(out.readline())
        until("a checkpoint", lambda: events.exists() and b'"checkpoint","run_key"' in events.read_bytes())
        launcher.kill()
    until("the end of the runner", lambda: is_gone(pid))
    last = json.loads(events.read_text().splitlines()[-1])
    assert (last["type"], last["status"], last["exit_code"]) == ("run.finished", "interrupted", 143)


def test_a_detached_run_outlives_who_started_it(rides: Rides, tmp_path: Path) -> None:
    events, said = tmp_path / "events.ndjson", tmp_path / "output.txt"
    program = (
        "import sys\nfrom oxiflow import RunRequest, start\n"
        "start(RunRequest('rides', project=sys.argv[1]), events=sys.argv[2], detached=True, output=sys.argv[3])\n"
        "import os; os._exit(0)\n"
    )
    env = {**os.environ, "PYTHONPATH": str(PACKAGE)}
    assert run(sys.executable, "-c", program, rides(20), events, said, env=env).returncode == 0
    until("its end", lambda: events.exists() and b'"type":"run.finished"' in events.read_bytes())
    assert json.loads(events.read_text().splitlines()[-1])["status"] == "succeeded"


def test_a_detached_run_that_is_refused_is_told_by_its_output(rides: Rides, tmp_path: Path) -> None:
    with (
        start(RunRequest("tides", project=str(rides(1))), detached=True, output=tmp_path / "said") as running,
        pytest.raises(NoPipeline, match="tides"),
    ):
        running.result().check()


def test_a_success_without_run_finished_is_a_failure(stand_in: StandIn) -> None:
    with (
        start(RunRequest("rides"), runner=stand_in("sys.exit(0)\n")) as running,
        pytest.raises(Died, match="without saying how the run went"),
    ):
        running.result().check()


def test_the_last_words_of_a_run_that_did_not_say_how_it_went_are_told(stand_in: StandIn) -> None:
    body = "sys.stderr.write('the disk is full\\n')\nsys.exit(0)\n"
    with (
        start(RunRequest("rides"), runner=stand_in(body)) as running,
        pytest.raises(Died, match=r"without saying how the run went; its last words: the disk is full \(exit code 0\)"),
    ):
        running.result().check()


def test_a_success_and_another_exit_code_is_a_failure(stand_in: StandIn) -> None:
    with start(RunRequest("rides"), runner=stand_in(f"{SUCCESS}sys.exit(7)\n")) as running:
        result = running.result()
    with pytest.raises(Failed, match="exit code 7"):
        result.check()
    assert result.finished is not None


def test_an_exit_code_that_somebody_else_collected_is_that_of_the_event(stand_in: StandIn) -> None:
    body = f"events.write(open({str(EVENTS / 'recorded/bad-data.ndjson')!r}, 'rb').read())\nsys.exit(0)\n"
    with start(RunRequest("rides"), runner=stand_in(body)) as running, pytest.raises(BadData):
        running.result().check()


def test_stop_does_not_ask_twice(stand_in: StandIn) -> None:
    body = (
        "asked = []\nsignal.signal(signal.SIGTERM, lambda *_: asked.append(1))\nprint('ready', flush=True)\n"
        "while not asked:\n    time.sleep(0.01)\ntime.sleep(0.3)\nsys.exit(143 if len(asked) == 1 else 1)\n"
    )
    with start(RunRequest("rides"), runner=stand_in(body)) as running:
        next(item for item in running.follow() if isinstance(item, Line))
        running.terminate()
        assert running.stop().exit_code == 143


def test_a_launcher_with_many_open_files_is_still_noticed_when_it_is_gone(held_rides: Rides) -> None:
    root = held_rides(MANY)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limits[1] < 1200:
        pytest.skip("the system permits no more than 1200 open files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(limits[0], 1200), limits[1]))
    many = [os.open(os.devnull, os.O_RDONLY) for _ in range(1100)]
    try:
        with start(RunRequest("rides", project=str(root))) as running:
            until("a checkpoint", lambda: any(isinstance(item, Checkpoint) for item in running.poll()))
            assert running._parent is not None
            assert running._parent > 1023
            os.close(running._parent)
            running._parent = None
            result = running.result()
    finally:
        for fd in many:
            os.close(fd)
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert result.exit_code == 143


def test_what_can_not_be_started_leaves_no_descriptor(stand_in: StandIn, tmp_path: Path) -> None:
    runner = stand_in("sys.exit(0)\n")
    before = len(os.listdir("/dev/fd"))
    with pytest.raises(WrongRequest, match="what it was given: embedded null byte"):
        start(RunRequest("rides", params={"day": "\0"}), runner=runner)
    for env in ({"A=B": "c"}, cast("dict[str, str]", {"A": 3})):
        with pytest.raises(WrongRequest):
            start(RunRequest("rides"), runner=runner, env=env)
    with pytest.raises(RunnerMissing, match="nowhere"):
        start(RunRequest("rides"), runner=runner, cwd="/nowhere")
    with pytest.raises(FileNotFoundError):
        start(RunRequest("rides"), runner=runner, output=tmp_path / "nowhere/said")
    assert len(os.listdir("/dev/fd")) == before


def test_another_version_of_the_protocol_is_named(stand_in: StandIn) -> None:
    body = """events.write(b'{"v":2,"type":"run.finished"}\\n')\n"""
    with (
        start(RunRequest("rides"), runner=stand_in(body)) as running,
        pytest.raises(Died, match="version 2 of the protocol is not known here"),
    ):
        running.result().check()


def test_output_that_is_not_utf_8_comes_as_replacements(stand_in: StandIn) -> None:
    body = f"{SUCCESS}os.write(1, b'caf\\xe9\\r\\n\\xff\\xfe\\nh\\xc3')\ntime.sleep(0.1)\nos.write(1, b'\\xbcgel')\n"
    with start(RunRequest("rides"), runner=stand_in(body)) as running:
        lines = [item.text for item in running.follow() if isinstance(item, Line)]
        running.result().check()
    assert lines == ["caf\ufffd", "\ufffd\ufffd", "hügel"]


def test_a_line_without_end_comes_in_pieces(stand_in: StandIn) -> None:
    body = f"{SUCCESS}os.set_blocking(1, True)\nsys.stdout.write('x' * 1_000_000)\n"
    with start(RunRequest("rides"), runner=stand_in(body)) as running:
        lines = [item.text for item in running.follow() if isinstance(item, Line)]
    assert sum(map(len, lines)) == 1_000_000
    assert max(map(len, lines)) < 200_000


def test_a_gigabyte_on_standard_output_neither_blocks_nor_is_kept(stand_in: StandIn) -> None:
    body = (
        "piece = (b'r' * 999 + b'\\n') * 1_000\n"
        "for _ in range(1000):\n    sys.stdout.buffer.write(piece)\nsys.stdout.flush()\n" + SUCCESS
    )
    program = (
        "import sys\nfrom oxiflow import Line, RunRequest, start\nlines = 0\n"
        "with start(RunRequest('rides'), runner=sys.argv[1]) as run:\n"
        "    for item in run.follow():\n        lines += isinstance(item, Line)\n"
        "    run.result().check()\n"
        "print(lines, peak())\n"
    )
    done = run(sys.executable, "-c", PEAK + program, stand_in(body), env={**os.environ, "PYTHONPATH": str(PACKAGE)})
    lines, memory = map(int, done.stdout.split())
    assert lines == 1_000_000
    assert memory < 60 * MB


def test_the_last_words_are_kept_and_no_more(stand_in: StandIn) -> None:
    body = "for i in range(100_000):\n    sys.stderr.write(f'line {i}\\n')\nsys.exit(1)\n"
    with start(RunRequest("rides"), runner=stand_in(body)) as running, pytest.raises(Failed) as caught:
        running.result().check()
    assert "line 99999" in str(caught.value)
    assert len(str(caught.value)) < 5000


def test_stop_kills_what_does_not_listen_and_what_it_has_started(stand_in: StandIn) -> None:
    body = (
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\nchild = os.fork()\n"
        "sys.stdout.write(f'{os.getpid()} {child}\\n' if child else '')\nsys.stdout.flush()\ntime.sleep(600)\n"
    )
    with start(RunRequest("rides"), runner=stand_in(body)) as running:
        line = next(item for item in running.follow() if isinstance(item, Line))
        began = time.monotonic()
        result = running.stop(grace=0.3)
    assert result.exit_code == -signal.SIGKILL
    assert 0.3 <= time.monotonic() - began < LONGEST
    pids = [int(word) for word in line.text.split()]
    until("both to be gone", lambda: all(map(is_gone, pids)))


def test_stop_ends_a_child_that_is_left_when_the_runner_is_gone(stand_in: StandIn) -> None:
    body = (
        "child = os.fork()\nif child == 0:\n    signal.signal(signal.SIGTERM, signal.SIG_IGN)\n    time.sleep(600)\n"
        "sys.stdout.write(f'{child}\\n')\nsys.stdout.flush()\ntime.sleep(600)\n"
    )
    with start(RunRequest("rides"), runner=stand_in(body)) as running:
        line = next(item for item in running.follow() if isinstance(item, Line))
        running.stop(grace=0.3)
    until("the child to be gone", lambda: is_gone(int(line.text)))


def test_a_child_that_holds_the_pipes_does_not_hold_up_the_end(stand_in: StandIn) -> None:
    body = f"{SUCCESS}if os.fork() == 0:\n    os.setsid()\n    print(os.getpid(), flush=True)\n    time.sleep(600)\n"
    with start(RunRequest("rides"), runner=stand_in(body)) as running:
        lines = [item.text for item in running.follow() if isinstance(item, Line)]
        assert running.result().succeeded
    for line in lines:
        os.kill(int(line), signal.SIGKILL)


def test_leaving_the_block_stops_the_run_and_removes_its_files(stand_in: StandIn) -> None:
    body = "print(path, flush=True)\ntime.sleep(600)\n"
    with suppress(KeyboardInterrupt), start(RunRequest("rides"), runner=stand_in(body)) as running:
        path = Path(next(item.text for item in running.follow() if isinstance(item, Line)))
        assert path.exists()
        raise KeyboardInterrupt
    assert is_gone(running.pid)
    assert not path.parent.exists()


def test_terminate_in_a_signal_handler_ends_the_loop(stand_in: StandIn) -> None:
    body = "signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))\nprint('ready', flush=True)\ntime.sleep(600)\n"
    with start(RunRequest("rides"), runner=stand_in(body)) as running:
        before = signal.signal(signal.SIGUSR1, lambda *_: running.terminate())
        try:
            for item in running.follow():
                if isinstance(item, Line):
                    threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGUSR1)).start()
        finally:
            signal.signal(signal.SIGUSR1, before)
        assert running.result().exit_code == 143


def test_only_events_of_this_start_are_read(stand_in: StandIn, tmp_path: Path) -> None:
    events = tmp_path / "events.ndjson"
    events.write_bytes((EVENTS / "recorded/interrupted.ndjson").read_bytes())
    with start(RunRequest("rides"), runner=stand_in(SUCCESS), events=events) as running:
        items = list(running.follow())
        assert running.result().succeeded
    assert isinstance(items[0], RunStarted)
    assert items[0].resumed_from is not None
    assert events.exists()


def test_poll_never_waits(stand_in: StandIn) -> None:
    with start(RunRequest("rides"), runner=stand_in("time.sleep(600)\n")) as running:
        began = time.monotonic()
        for _ in range(100):
            assert running.poll() == []
        assert time.monotonic() - began < 5
        running.stop(grace=5)


def test_progress_comes_while_it_runs(held_rides: Rides) -> None:
    with start(RunRequest("rides", project=str(held_rides(MANY)))) as running:
        for item in running.follow():
            if isinstance(item, Progress) and running.running:
                break
        assert running.running
        running.kill()


@pytest.mark.parametrize(
    ("runner", "words"),
    [
        ("/nowhere/oxiflow", "is not a file; PATH is not searched"),
        ("node", "is not a file; PATH is not searched"),
        ("plain", "is not executable"),
        ("broken", "could not be started"),
    ],
)
def test_a_runner_that_can_not_be_started_is_named(tmp_path: Path, runner: str, words: str) -> None:
    (tmp_path / "plain").write_text("")
    (tmp_path / "broken").write_text("#!/nowhere/python\n")
    (tmp_path / "broken").chmod(0o755)
    path = tmp_path / runner if runner in ("plain", "broken") else Path(runner)
    before = len(os.listdir("/dev/fd"))
    with pytest.raises(RunnerMissing, match=words) as caught:
        start(RunRequest("rides"), runner=path)
    assert not caught.value.retry
    assert len(os.listdir("/dev/fd")) == before


@pytest.mark.parametrize("number", [errno.ENOMEM, errno.EAGAIN])
def test_a_system_that_has_no_room_for_a_runner_now_may_have_some_later(
    stand_in: StandIn, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    runner = stand_in(SUCCESS)
    before = len(os.listdir("/dev/fd"))
    with monkeypatch.context() as patched:
        patched.setattr(subprocess, "Popen", full)
        with pytest.raises(OSError, match=os.strerror(number)):
            start(RunRequest("rides"), runner=runner)
    assert len(os.listdir("/dev/fd")) == before
    with start(RunRequest("rides"), runner=runner) as running:
        assert running.result().succeeded


def test_a_stop_of_many_runs_leaves_no_descriptor(stand_in: StandIn) -> None:
    runner = stand_in(SUCCESS)
    before = len(os.listdir("/dev/fd"))
    for _ in range(5):
        with start(RunRequest("rides"), runner=runner) as running:
            assert running.result().succeeded
    assert len(os.listdir("/dev/fd")) == before


def test_a_group_whose_members_nobody_collects_counts_as_gone() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""], start_new_session=True)
    until("its end", lambda: is_gone(child.pid))
    assert not process.group_lives(child.pid)
    child.wait()
