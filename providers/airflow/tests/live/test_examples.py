"""examples/airflow, as its README says: installed, started and run by its commands, and looked at in the tab."""

from __future__ import annotations

import json
import math
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from oxiflow.documents import RUN
from playwright.sync_api import Browser, FrameLocator, Page, expect

from .browser import figure, number, open_tab, session
from .client import Api, Task
from .newcomer import ROOT, Newcomer, commands

FLIGHTS = ROOT / "node_modules/vega-datasets/data/flights-200k.json"
PICTURE = ROOT / "examples/airflow/tab.png"


@pytest.fixture(scope="module")
def api(newcomer: Newcomer) -> Iterator[Api]:
    with newcomer.api() as one:
        yield one


@pytest.fixture(scope="module")
def runs(api: Api) -> dict[str, str]:
    """Of the DAGs that the README does not start, all at once."""
    return {name: api.trigger(name) for name in ("late_flights", "flights_in_shards", "deferred_birdstrikes")}


@pytest.fixture(scope="module")
def output(newcomer: Newcomer) -> Path:
    return newcomer.clone / "examples/airflow/output"


@pytest.fixture
def page(browser: Browser, newcomer: Newcomer) -> Iterator[Page]:
    with session(browser, newcomer) as one:
        yield one


@pytest.fixture(scope="module")
def flights() -> list[dict[str, float]]:
    found: list[dict[str, float]] = json.loads(FLIGHTS.read_text())
    return found


def records(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def shows(tab: FrameLocator, summary: dict[str, Any]) -> None:
    """The tab and the run's own summary say the same."""
    expect(tab.locator("#head .badge")).to_have_text("Succeeded")
    assert number(tab, "rows_read") == summary["records_read"]
    assert number(tab, "rows_written") == summary["rows"]
    assert number(tab, "errors") == summary["errors"]


def test_a_run_that_fails_in_the_middle_is_resumed_by_its_retry(
    newcomer: Newcomer, api: Api, runs: dict[str, str], page: Page, output: Path, flights: list[dict[str, float]]
) -> None:
    api.wait_for_dag("scored_flights")
    newcomer.second_shell(commands("Run"))
    run_id = api.get("/dags/scored_flights/dagRuns")["dag_runs"][0]["dag_run_id"]
    task = Task("scored_flights", run_id, "score")
    assert api.wait_for_run("scored_flights", run_id) == "success"
    assert api.task(task)["try_number"] == 2

    scores = [round(one["delay"] / math.sqrt(1 + one["distance"]) * (1 + one["time"] / 24), 3) for one in flights]
    written = records(output / "scored_flights/scores.ndjson")
    assert [one["score"] for one in written] == scores

    summary = api.xcom(task)
    assert summary["rows"] == len(flights)
    assert summary["attempt"] == 2
    assert summary["resumed_from"] > 0
    [event] = api.asset_events("scored_flights", run_id)
    assert event["extra"]["rows"] == len(flights)

    tab = open_tab(page, newcomer, task)
    shows(tab, summary)
    expect(tab.locator("#head")).to_contain_text(f"checkpoint {summary['resumed_from']}")
    # The second try took up what the first had done.
    saved = [row.split("\t") for row in tab.locator("#checkpoints tbody tr").all_inner_texts()]
    assert min(int(number) for number, _, _, attempt, *_ in saved if attempt == "2") == summary["resumed_from"] + 1
    page.set_viewport_size({"width": 1440, "height": 1100})
    # Beside the one in the checkout; in its place when it is to be made anew.
    record = os.environ.get("OXIFLOW_PICTURE") == "record"
    page.screenshot(path=PICTURE if record else newcomer.clone / "examples/airflow/tab.png")


def test_the_picture_in_the_readme_is_one_of_the_tab() -> None:
    head = PICTURE.read_bytes()[:24]
    assert head.startswith(b"\x89PNG")
    assert struct.unpack(">II", head[16:]) == (1440, 1100)
    assert f"]({PICTURE.name})" in (PICTURE.parent / "README.md").read_text()


def test_two_pipelines_one_after_the_other_with_their_state_in_redis(
    api: Api, newcomer: Newcomer, runs: dict[str, str], page: Page, output: Path, flights: list[dict[str, float]]
) -> None:
    assert api.get("/dags/late_flights/tasks/extract_data")["downstream_task_ids"] == ["transform_data"]
    run_id = runs["late_flights"]
    assert api.wait_for_run("late_flights", run_id) == "success"
    late = [one for one in flights if one["delay"] >= 15]
    assert len((output / "late_flights/late_flights.csv").read_text().splitlines()) == 1 + len(late)
    task = Task("late_flights", run_id, "transform_data")
    summary = api.xcom(task)
    assert (summary["records_read"], summary["rows"]) == (len(flights), len(late))
    tab = open_tab(page, newcomer, task)
    shows(tab, summary)
    expect(tab.locator("#head")).to_contain_text("redis")


def test_the_instances_of_a_mapped_task_share_one_run_and_each_has_a_tab(
    api: Api, newcomer: Newcomer, runs: dict[str, str], page: Page, output: Path, flights: list[dict[str, float]]
) -> None:
    run_id = runs["flights_in_shards"]
    assert api.wait_for_run("flights_in_shards", run_id) == "success"
    written = records(output / "flights_in_shards/in_kilometres.ndjson")
    assert [one["distance_km"] for one in written] == [math.floor(one["distance"] * 1.609344 + 0.5) for one in flights]

    instances = [Task("flights_in_shards", run_id, "in_kilometres", index) for index in range(3)]
    assert [one["map_index"] for one in api.mapped("flights_in_shards", run_id, "in_kilometres")] == [0, 1, 2]
    told = [api.stored(one, RUN) for one in instances]
    assert len({run["run_key"] for run in told}) == 1
    assert len({run["worker_id"] for run in told}) == 3
    for one, run in zip(instances, told, strict=True):
        tab = open_tab(page, newcomer, one)
        expect(tab.locator("#head")).to_contain_text(run["worker_id"])
        assert number(tab, "rows_read") == run["rows_read"]


def test_a_deferred_run_takes_no_slot_and_its_dead_letters_are_in_the_tab(
    api: Api, newcomer: Newcomer, runs: dict[str, str], page: Page
) -> None:
    run_id = runs["deferred_birdstrikes"]
    assert api.wait_for_run("deferred_birdstrikes", run_id) == "success"
    task = Task("deferred_birdstrikes", run_id, "check_reports")
    # It woke up in another process than the one that began it.
    assert any("defer" in line["event"].lower() for line in api.log(task))
    doubtful = records(newcomer.clone / "examples/birdstrikes/output/doubtful.ndjson")
    tab = open_tab(page, newcomer, task)
    shows(tab, api.xcom(task))
    assert figure(tab, "dead_letters") == str(len(doubtful))
    assert tab.locator("#dead-letters tbody tr").count() > 0
