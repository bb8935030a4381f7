"""What Dagster does when a run of it dies or is executed again: the pipeline goes on from its checkpoint, and nothing is left."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import psutil
import pytest
from livetests.waiting import until

from ..bikes import STEADY, far_rides
from .api import Api
from .seeing import lives, seen
from .server import Dagster


def test_a_runner_that_is_killed_is_resumed_by_the_retry_with_exact_output(
    api: Api, dagster: Dagster, project: Path
) -> None:
    run = api.launch("killed")
    first = until("an observation", lambda: seen(api, "killed", run))[0]
    os.killpg(dagster.runner_of("killed"), signal.SIGKILL)
    (project / "go/killed").touch()
    assert api.wait(run) == "SUCCESS"
    again = seen(api, "killed", run, attempt=2)
    assert again[0]["oxiflow/records"] >= first["oxiflow/records"]
    shown = api.materializations("killed")[0]["metadata"]
    assert shown["oxiflow/attempt"] == 2
    assert (project / "out/killed.ndjson").read_text() == far_rides(STEADY)


def test_a_run_of_dagster_that_is_killed_leaves_no_runner_and_is_resumed_by_the_run_that_repeats_it(
    api: Api, dagster: Dagster, project: Path
) -> None:
    run = api.launch("orphan", dagster__max_retries="1")
    first = until("an observation", lambda: seen(api, "orphan", run))[0]
    runner = dagster.runner_of("orphan")
    group = [runner, *(child.pid for child in psutil.Process(runner).children(recursive=True))]
    launcher = psutil.Process(runner).parent()
    assert launcher is not None
    assert len(group) == 2
    launcher.kill()
    (project / "go/orphan").touch()
    until("the runner and its program to end", lambda: not any(map(lives, group)), every=0.05)
    assert not (project / "out/orphan.ndjson").exists()
    # Dagster sees that its process is gone, and begins another run by itself.
    assert api.wait(run) == "FAILURE"
    (again,) = until("the run that repeats it", lambda: api.runs_of("dagster/parent_run_id", run))
    assert api.wait(again) == "SUCCESS"
    resumed = seen(api, "orphan", again, attempt=2)
    assert resumed[0]["oxiflow/records"] >= first["oxiflow/records"]
    shown = api.materializations("orphan")[0]["metadata"]
    assert shown["oxiflow/run_key"] == f"dagster/{run}/orphan"
    assert shown["oxiflow/attempt"] == 2
    assert (project / "out/orphan.ndjson").read_text() == far_rides(STEADY)


@pytest.mark.parametrize("strategy", ["FROM_FAILURE", "FROM_ASSET_FAILURE"])
def test_executing_a_run_again_from_its_failure_goes_on_from_the_checkpoint(
    api: Api, dagster: Dagster, project: Path, strategy: str
) -> None:
    for name in ("out/again.ndjson", "go/again"):
        (project / name).unlink(missing_ok=True)
    before = len(api.materializations("a_first"))
    run = api.launch("a_first", "again")
    first = until("an observation", lambda: seen(api, "again", run))[0]
    os.killpg(dagster.runner_of("again"), signal.SIGKILL)
    (project / "go/again").touch()
    assert api.wait(run) == "FAILURE"
    again = api.reexecute(run, strategy)
    assert api.wait(again) == "SUCCESS"
    resumed = seen(api, "again", again, attempt=2)
    assert resumed[0]["oxiflow/records"] >= first["oxiflow/records"]
    assert (project / "out/again.ndjson").read_text() == far_rides(STEADY)
    # The step is repeated, or the assets of it that are missing.
    assert len(api.materializations("a_first")) - before == (2 if strategy == "FROM_FAILURE" else 1)


def test_a_run_that_is_terminated_as_soon_as_it_is_there_leaves_nothing(api: Api, dagster: Dagster) -> None:
    run = api.launch("long", job="apart")
    api.wait(run, ("STARTING", "STARTED"))
    api.terminate(run)
    assert api.wait(run) == "CANCELED"
    until(
        "its runner to end, if there was one", lambda: not any("-- long" in one for one in dagster.runners().values())
    )
