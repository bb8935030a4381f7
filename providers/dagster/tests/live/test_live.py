"""A real webserver and daemon, asked as Dagster's own pages ask: what shows while a run goes on, and how it ends."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path

import psutil
from livetests.waiting import until
from oxiflow.runner import runner_command

from ..bikes import STEADY, far_rides, rides
from .api import Api
from .seeing import lives, seen
from .server import Dagster


def test_observations_appear_while_it_runs_and_the_end_is_the_runners_own_summary(api: Api, project: Path) -> None:
    run = api.launch("steady")
    first = until("an observation", lambda: seen(api, "steady", run))[0]
    assert api.status(run) == "STARTED"
    assert 0 < first["oxiflow/records"] < STEADY
    assert first["oxiflow/frontier"][0]["offset"] > 0
    (project / "go/steady").touch()
    assert api.wait(run) == "SUCCESS"
    # The first may come before there is a rate.
    assert max(one["oxiflow/rate_records_per_s"] for one in seen(api, "steady", run)) > 0

    shown = api.materializations("steady")[0]["metadata"]
    words = ["run", "--json", "-q", f"--project={project}", f"--run-key={shown['oxiflow/run_key']}"]
    done = subprocess.run(
        [*runner_command(), *words, f"--invocation={run}", "steady"], capture_output=True, text=True, check=True
    )
    summary = json.loads(done.stdout)
    total = summary["counters"]["total"]
    assert shown["dagster/row_count"] == total["out"] == far_rides(STEADY).count("\n")
    assert shown["oxiflow/bytes"] == summary["outputs"][0]["bytes"]
    assert shown["oxiflow/records"] == total["added"] == STEADY
    assert shown["oxiflow/duration_seconds"] == summary["durations"]["total_ms"] / 1000
    assert shown["oxiflow/checkpoints"] == summary["checkpoint"]
    assert shown["oxiflow/run_id"] == summary["run_id"]
    assert [row["out"] for row in shown["oxiflow/oxis"]] == [
        step["counters"]["out"] for step in summary["counters"]["steps"]
    ]


def test_terminate_ends_it_within_five_seconds_with_nothing_left_and_a_checkpoint(
    api: Api, dagster: Dagster, project: Path
) -> None:
    run = api.launch("long", job="apart")
    until("an observation", lambda: seen(api, "long", run))
    runner = dagster.runner_of("long")
    # And the program that its pipeline started, in a session of its own.
    group = [runner, *(child.pid for child in psutil.Process(runner).children(recursive=True))]
    assert len(group) == 2
    began = time.monotonic()
    api.terminate(run)
    until("its processes to end", lambda: not any(map(lives, group)), within=30, every=0.05)
    ended = time.monotonic() - began
    assert api.wait(run) == "CANCELED"
    assert not (project / "out/long.ndjson").exists()
    (saved,) = [one["message"] for one in api.log(run) if "is saved" in one.get("message", "")]
    assert "checkpoint" in saved
    assert ended < 5


def test_a_check_fails_when_the_data_breaks_the_contract(api: Api, project: Path) -> None:
    well = api.launch("contract")
    assert api.wait(well) == "SUCCESS"
    assert [one["status"] for one in api.checks("contract", "validate")] == ["SUCCEEDED"]
    (project / "in/contract.ndjson").write_text('{"ride":1,"km":"far"}\n' + rides(2))
    try:
        broken = api.launch("contract")
        assert api.wait(broken) == "SUCCESS"
    finally:
        (project / "in/contract.ndjson").write_text(rides(3))
    newest = api.checks("contract", "validate")[0]
    assert newest["runId"] == broken
    assert newest["status"] == "FAILED"
    assert newest["evaluation"] == {"severity": "WARN", "success": False}
    assert api.checks("contract", "strict")[0]["status"] == "SUCCEEDED"


def test_pipes_clients_report_to_a_real_dagster(api: Api) -> None:
    run = api.launch("plain_pipes", "own_pipes")
    assert api.wait(run) == "SUCCESS"
    for key in ("plain_pipes", "own_pipes"):
        (one,) = api.materializations(key)
        assert one["metadata"]["dagster/row_count"] == 3
