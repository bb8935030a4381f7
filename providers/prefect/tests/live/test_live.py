"""A real server and a runner of flows, asked as Prefect's own pages ask: what shows while runs go on, and how they end."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from livetests.waiting import command_of, until
from oxiflow.runner import runner_command

from ..harbour import BAD, CROSSINGS, TICKETS, crossings_with_cars, numbers_in
from .api import ENDED, Api
from .conftest import PAUSED, SECRET, SHARDS, Runs
from .server import Prefect


def works_on(to: str) -> list[int]:
    """The runner of that output, and the program that its pipeline has started."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            words = f"{command_of(int(entry.name))} "
            if f"--param=to={to} " in words or f" {to}.shut " in words:
                found.append(int(entry.name))
    return found


def is_runner(pid: int) -> bool:
    return "oxiflow.mjs" in command_of(pid)


def runner_of(to: str) -> int:
    (found,) = filter(is_runner, works_on(to))
    return found


def flow_run_of(to: str) -> int:
    """The process that has started the runner."""
    return int(Path(f"/proc/{runner_of(to)}/stat").read_text().rpartition(")")[2].split()[1])


def told(api: Api, run: str, name: str) -> list[dict[str, Any]]:
    """The payloads of a flow run's events of that name."""
    return [one["payload"] for one in api.events(run) if one["event"] == name]


def until_under_way(api: Api, run: str) -> None:
    """There is a checkpoint with records, and Prefect knows it."""

    def saved() -> bool:
        assert api.state(run) not in ENDED, explained(api, run)
        return any(one["records"] for one in told(api, run, "oxiflow.checkpoint"))

    until("a checkpoint", saved)


def explained(api: Api, run: str) -> str:
    return "\n".join(f"{one['level']} {one['message']}" for one in api.logs(run)[-60:])


def summary_of(api: Api, run: str) -> dict[str, Any]:
    """Of the only pipeline of a flow run that has ended."""
    (payload,) = until("the last event", lambda: told(api, run, "oxiflow.run.finished"))
    found: dict[str, Any] = payload
    return found


def test_the_progress_moves_while_it_runs(api: Api, runs: Runs) -> None:
    run = runs["stopped_directly"]

    def progress() -> float:
        return float(api.artifacts(run).get("oxiflow-crossings-progress", {}).get("data", -1))

    seen: list[float] = []

    def moved() -> bool:
        now = progress()
        if now >= 0 and now not in seen:
            seen.append(now)
        return len(seen) >= 3

    until("the progress to move twice", moved)
    assert seen == sorted(seen)
    assert seen[-1] < 100
    assert api.state(run) == "RUNNING"
    shown = api.artifacts(run)
    assert "records read" in shown["oxiflow-crossings-progress"]["description"]
    assert [row["step"] for row in shown["oxiflow-crossings-oxis"]["data"]][:2] == ["read_file", "parse_json"]


@pytest.mark.parametrize("name", ["stopped_directly", "stopped_in_a_thread", "stopped_in_a_loop"])
def test_cancelling_ends_it_within_ten_seconds_with_nothing_left_and_a_checkpoint(
    api: Api, harbour: Path, runs: Runs, name: str
) -> None:
    run = runs[name]
    until_under_way(api, run)
    assert len(works_on(name)) == 2
    began = time.monotonic()
    api.cancel(run)
    until("its processes to end", lambda: not works_on(name), within=60)
    ended = time.monotonic() - began
    assert api.wait(run) == "CANCELLED", explained(api, run)
    assert not (harbour / f"out/{name}.ndjson").exists()
    last = summary_of(api, run)
    assert last["status"] == "interrupted"
    assert last["checkpoint"] > 0
    assert ended < 10


def test_cancelling_a_map_on_dask_ends_all_its_parts_within_ten_seconds_with_nothing_left(
    prefect: Prefect, api: Api, harbour: Path, runs: Runs
) -> None:
    run = runs["stopped_on_dask"]
    until_under_way(api, run)
    until("all parts to be at work", lambda: len(works_on("stopped_on_dask")) == 2 * 3)
    began = time.monotonic()
    api.cancel(run)
    until("its processes to end", lambda: not works_on("stopped_on_dask"), within=60)
    ended = time.monotonic() - began
    assert api.wait(run) == "CANCELLED", explained(api, run)
    assert [*(harbour / "out").glob("stopped_on_dask*")] == []
    # They come to the feed when their server has time for them.
    finished = until("the last events", lambda: told(api, run, "oxiflow.run.finished"))
    assert {one["status"] for one in finished} == {"interrupted"}
    assert max(one["checkpoint"] for one in finished) > 0
    assert ended < 10


def test_an_automation_acts_on_the_events(api: Api, runs: Runs) -> None:
    until("the automation", lambda: api.get(f"/deployments/{api.deployments()[PAUSED]}")["paused"])
    letters = [one for one in api.events(runs[PAUSED]) if one["event"] == "oxiflow.dead_letter"]
    roles = {one["prefect.resource.role"] for one in letters[0]["related"]}
    assert roles >= {"flow-run", "task-run", "flow", "deployment"}


def test_a_flow_run_that_is_terminated_drains_its_submitted_task(api: Api, harbour: Path, runs: Runs) -> None:
    run = runs["terminated"]
    until_under_way(api, run)
    os.kill(flow_run_of("terminated"), signal.SIGTERM)
    until("its processes to end", lambda: not works_on("terminated"), within=60)
    assert api.wait(run, ["CRASHED"]) == "CRASHED", explained(api, run)
    assert not (harbour / "out/terminated.ndjson").exists()
    last = summary_of(api, run)
    assert last["status"] == "interrupted"
    assert last["checkpoint"] > 0


def test_a_task_that_takes_too_long_ends_its_run(api: Api, runs: Runs) -> None:
    run = runs["too_slow"]
    assert api.wait(run) == "FAILED", explained(api, run)
    assert [one["state_name"] for one in api.tasks(run)] == ["TimedOut"]
    assert works_on("too_slow") == []
    assert summary_of(api, run)["status"] == "interrupted"


@pytest.mark.parametrize("name", ["flow_too_slow", "flow_too_slow_in_a_thread"])
def test_a_flow_that_takes_too_long_ends_its_run(api: Api, runs: Runs, name: str) -> None:
    run = runs[name]
    assert api.wait(run) == "FAILED", explained(api, run)
    assert api.run(run)["state_name"] == "TimedOut"
    until("its processes to end", lambda: not works_on(name), within=20)
    assert summary_of(api, run)["status"] == "interrupted"


def test_a_flow_run_that_is_killed_leaves_no_process_and_its_retry_resumes_with_exact_output(
    api: Api, harbour: Path, runs: Runs
) -> None:
    run = runs["killed"]
    until_under_way(api, run)
    os.kill(flow_run_of("killed"), signal.SIGKILL)
    until("the end of the run", lambda: not works_on("killed"), within=60)
    assert api.wait(run, ["CRASHED"]) == "CRASHED"
    (harbour / "killed.shut").unlink()
    api.retry(run)
    assert api.wait(run, ["COMPLETED", "FAILED"]) == "COMPLETED", explained(api, run)
    summary = summary_of(api, run)
    assert summary["attempt"] == 2
    assert summary["resumed_from"] > 0
    assert summary["records_read"] == CROSSINGS
    assert numbers_in(harbour / "out/killed.ndjson") == crossings_with_cars()


def test_a_runner_that_is_killed_is_resumed_by_the_next_try(api: Api, harbour: Path, runs: Runs) -> None:
    run = runs["dies"]
    until_under_way(api, run)
    os.killpg(runner_of("dies"), signal.SIGKILL)
    (harbour / "dies.shut").unlink()
    assert api.wait(run) == "COMPLETED", explained(api, run)
    assert [one["run_count"] for one in api.tasks(run)] == [2]
    finished = until("both ends", lambda: one if len(one := told(api, run, "oxiflow.run.finished")) == 2 else None)
    assert finished is not None
    assert [one["status"] for one in finished] == ["failed", "succeeded"]
    assert finished[-1]["resumed_from"] > 0
    assert numbers_in(harbour / "out/dies.ndjson") == crossings_with_cars()


def test_a_flow_within_one_resumes_when_either_is_tried_again(api: Api, harbour: Path, runs: Runs) -> None:
    outer = runs["dies_within"]
    inner = until("the flow within", lambda: within(api, outer))[0]
    until_under_way(api, inner)
    first = runner_of("dies_within")
    os.killpg(first, signal.SIGKILL)
    # The flow within is tried again, and fails again; then the one around it is, and calls another one.
    until("the second runner", lambda: [pid for pid in works_on("dies_within") if pid != first and is_runner(pid)])
    os.killpg(runner_of("dies_within"), signal.SIGKILL)
    (harbour / "dies_within.shut").unlink()
    assert api.wait(outer) == "COMPLETED", explained(api, outer)
    (asked, again) = within(api, outer)
    assert asked == inner
    finished = until("the last event", lambda: told(api, again, "oxiflow.run.finished"))
    assert [one["status"] for one in finished] == ["succeeded"]
    assert finished[0]["resumed_from"] > 0
    assert numbers_in(harbour / "out/dies_within.ndjson") == crossings_with_cars()


def within(api: Api, run: str) -> list[str]:
    """The flow runs that a flow run has called, the oldest first."""
    body = {"flow_runs": {"parent_flow_run_id": {"any_": [run]}}, "sort": "EXPECTED_START_TIME_ASC"}
    return [str(one["id"]) for one in api.post("/flow_runs/filter", body)]


def test_all_that_prefect_shows_of_a_success_is_the_runners_own_summary(api: Api, harbour: Path, runs: Runs) -> None:
    run = runs["steady"]
    assert api.wait(run) == "COMPLETED", explained(api, run)
    (task,) = api.tasks(run)
    assert task["name"] == "crossings"
    summary = runners_own(harbour, "crossings", summary_of(api, run)["run_key"], f"prefect/{run}/1/{task['id']}")
    total, (output,) = summary["counters"]["total"], summary["outputs"]
    assert total["out"] == len(crossings_with_cars())

    finished = summary_of(api, run)
    assert (finished["rows"], finished["records_read"], finished["bytes"]) == (total["out"], CROSSINGS, output["bytes"])
    assert (finished["run_id"], finished["checkpoint"]) == (summary["run_id"], summary["checkpoint"])
    assert finished["seconds"] == summary["durations"]["total_ms"] / 1000
    assert told(api, run, "oxiflow.checkpoint")[-1]["n"] == summary["checkpoint"]
    letters = told(api, run, "oxiflow.dead_letter")
    assert sum(one["records"] for one in letters) == total["dead_lettered"] == CROSSINGS // BAD
    alerts = [one for one in api.events(run) if one["event"] == "oxiflow.alert"]
    assert alerts[0]["resource"]["oxiflow.pipeline"] == "crossings"
    assert "error" in alerts[0]["payload"]["name"]

    shown = api.artifacts(run)
    assert shown["oxiflow-crossings-progress"]["data"] == 100
    assert [(row["step"], row["records out"]) for row in shown["oxiflow-crossings-oxis"]["data"]] == [
        (step["step"], step["counters"]["out"]) for step in summary["counters"]["steps"]
    ]
    assert shown["oxiflow-crossings-checkpoints"]["data"][0]["checkpoint"] == summary["checkpoint"]
    text = shown["oxiflow-crossings-summary"]["data"]
    assert f"| rows written | {total['out']:,} |" in text
    # Where it is plain to see.
    assert ("**Bottleneck**" in text) == (summary.get("bottleneck") is not None) == (finished["bottleneck"] is not None)
    assert f"(<file://{harbour}/out/steady.ndjson>)" in shown["oxiflow-crossings-output-1"]["data"]
    assert {one["task_run_id"] for one in shown.values()} == {task["id"]}

    (asset,) = until("the asset", lambda: api.events(run, "prefect.asset.materialization"))
    assert asset["event"] == "prefect.asset.materialization.succeeded"
    assert asset["resource"]["prefect.resource.id"] == f"file://{harbour}/out/steady.ndjson"
    assert (asset["payload"]["rows"], asset["payload"]["bytes"]) == (output["rows"], output["bytes"])


def runners_own(harbour: Path, pipeline: str, run_key: str, invocation: str) -> dict[str, Any]:
    """What the runner itself says of a run that has finished: the same request again repeats nothing."""
    words = ["run", "--json", "-q", f"--project={harbour}", f"--run-key={run_key}", f"--invocation={invocation}"]
    words += ["--param=to=steady", pipeline]
    done = subprocess.run([*runner_command(), *words], capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_the_log_keeps_levels(api: Api, runs: Runs) -> None:
    run = runs["steady"]
    api.wait(run)
    lines = until("the end of the log", lambda: [one for one in api.logs(run) if "succeeded: " in one["message"]])
    assert [one["level"] for one in lines] == [20]
    levels = {one["message"]: one["level"] for one in api.logs(run)}
    assert [level for text, level in levels.items() if text.startswith("in/crossings.ndjson: record at byte")] == [
        30
    ] * 10


def test_bad_data_is_not_tried_again(api: Api, runs: Runs) -> None:
    run = runs["refused"]
    assert api.wait(run) == "FAILED"
    (task,) = api.tasks(run)
    assert (task["state_type"], task["run_count"]) == ("FAILED", 1)
    assert "cars" in summary_of(api, run)["error"]


@pytest.mark.parametrize(("name", "to"), [("shared_on_dask", "dask"), ("shared_in_threads", "threads")])
def test_the_parts_of_a_map_are_one_run_and_no_record_is_lost_or_repeated(
    api: Api, harbour: Path, runs: Runs, name: str, to: str
) -> None:
    run = runs[name]
    assert api.wait(run) == "COMPLETED", explained(api, run)
    finished = until("all ends", lambda: one if len(one := told(api, run, "oxiflow.run.finished")) == SHARDS else None)
    assert finished is not None
    assert len({one["run_id"] for one in finished}) == 1
    assert numbers_in(harbour / f"out/{to}.ndjson", "ticket") == list(range(TICKETS))
    keys = [key for key in api.artifacts(run) if key.endswith("-progress")]
    assert sorted(keys) == [f"oxiflow-tickets-{part}-of-{SHARDS}-progress" for part in range(SHARDS)]


def test_a_second_map_is_told_that_the_run_of_the_first_has_finished_and_does_it_anew_with_a_run_key(
    api: Api, runs: Runs
) -> None:
    run = runs["mapped_twice"]
    assert api.wait(run) == "COMPLETED", explained(api, run)
    finished = until("all ends", lambda: one if len(one := told(api, run, "oxiflow.run.finished")) == 6 else None)
    assert finished is not None
    assert [len({one["run_id"] for one in finished if one["run_key"].endswith(end)}) for end in ("", "/again")] == [
        2,
        1,
    ]
    warned = until("the warnings", lambda: [one for one in api.logs(run) if "nothing was done" in one["message"]])
    parts = [re.findall(r"tickets, part \d of 2", one["message"]) for one in warned]
    assert sorted(parts) == [["tickets, part 0 of 2"], ["tickets, part 1 of 2"]]


def test_the_task_takes_little_of_the_processor_beside_the_runner(api: Api, runs: Runs) -> None:
    run = runs["measured"]
    assert api.wait(run) == "COMPLETED", explained(api, run)
    assert float(api.artifacts(run)["cpu"]["data"]) <= 0.3


def test_what_others_have_named_is_shown_and_does_nothing(api: Api, runs: Runs) -> None:
    run = runs["hostile"]
    assert api.wait(run) == "COMPLETED", explained(api, run)
    shown = api.artifacts(run)
    for key in ("summary", "output-1", "progress"):
        for text in (str(shown[f"oxiflow-crossings-{key}"][place]) for place in ("data", "description")):
            assert re.findall(r"(?<!\\)<img|(?<!\\)\[a\]", text) == []
    blocks = api.post("/block_documents/filter")
    assert [one["name"] for one in blocks if one["block_type"]["slug"] == "oxiflow-project"] == ["harbour"]
    everything = json.dumps(
        [shown, api.events(run), api.events(run, "prefect."), api.logs(run), api.tasks(run), blocks]
    )
    assert "onerror" in everything
    assert "| c ***" in everything
    assert SECRET not in everything


def test_the_flow_of_a_pipeline_has_its_parameters(api: Api, harbour: Path, runs: Runs) -> None:
    deployment = api.get(f"/deployments/{api.deployments()['crossings']}")
    assert set(deployment["parameter_openapi_schema"]["properties"]) == {"to", "rest", "from_day"}
    run = runs["crossings"]
    assert api.wait(run) == "COMPLETED", explained(api, run)
    assert numbers_in(harbour / "out/of_a_flow.ndjson") == crossings_with_cars()


def test_nothing_of_the_runner_is_left(prefect: Prefect, api: Api, runs: Runs) -> None:
    for run in runs.all():
        api.wait(run)
    assert prefect.processes("oxiflow.mjs run") == {}
