"""The example as its README says, and its page in a browser; the picture of it is the one in the README."""

from __future__ import annotations

import csv
import json
import os
import shutil
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from livetests.programs import need
from livetests.readme import blocks
from oxiflow.runner import runner_command
from playwright.sync_api import Page, expect, sync_playwright

from ..conftest import ROOT
from .api import Api
from .conftest import Runs
from .server import Prefect

EXAMPLE = ROOT / "examples/prefect"
README = EXAMPLE / "README.md"
PICTURE = EXAMPLE / "run.png"
DATA = ROOT / "node_modules/vega-datasets/data"
SIZE = (1440, 1100)
#: Milliseconds that anything in the browser may take.
PATIENCE = 90_000


@pytest.fixture(scope="module")
def clone(prefect: Prefect, redis: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the example with a worker for it, by the commands of its README."""
    folder = tmp_path_factory.mktemp("clone")
    ours = shutil.ignore_patterns("output", ".oxiflow", "__pycache__", "*.log")
    shutil.copytree(EXAMPLE, folder / "examples/prefect", ignore=ours)
    begin = "set -e\n" + blocks(README, "Start")[1] + "wait\n"
    prefect.launch("worker", ["bash", "-c", begin], cwd=folder, OXIFLOW_STATE_URL=redis, DATA_DIR=str(DATA))
    prefect.until_deployed({"nightly", "by-hand", "shared"})
    return folder / "examples/prefect"


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    with sync_playwright() as playwright:
        # Root has no sandbox to go to, and the pages are ours.
        browser = playwright.chromium.launch(executable_path=need("chromium"), args=["--no-sandbox"])
        try:
            one = browser.new_page(viewport={"width": SIZE[0], "height": SIZE[1]}, locale="en-US")
            # A busy machine is slow, not wrong.
            one.set_default_timeout(PATIENCE)
            expect.set_options(timeout=PATIENCE)
            yield one
        finally:
            browser.close()


def test_the_manifest_of_the_example_is_the_one_of_its_pipelines(tmp_path: Path) -> None:
    now = tmp_path / "manifest.json"
    words = ["pipeline", "manifest", "--project", str(EXAMPLE), "-o", str(now)]
    subprocess.run([*runner_command(), *words], check=True)
    assert json.loads(now.read_text()) == json.loads((EXAMPLE / "oxiflow-manifest.json").read_text())


def test_the_tests_of_the_pipelines_pass() -> None:
    subprocess.run([*runner_command(), "pipeline", "test", "--project", str(EXAMPLE)], check=True)


def test_the_commands_of_the_readme_run_its_deployments(prefect: Prefect, api: Api, clone: Path) -> None:
    (script,) = blocks(README, "Run")
    done = subprocess.run(
        ["bash", "-euc", script], env=prefect.env, cwd=clone, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr + prefect.last_words()
    # Some were early by more than an hour, which can't be true.
    flights = [one for one in json.loads((DATA / "flights-200k.json").read_text()) if one["delay"] >= -60]
    with (clone / "output/late_flights_all.csv").open() as file:
        late = list(csv.DictReader(file))
    expected = [one for one in flights if one["delay"] >= 60]
    assert [int(row["delay"]) for row in late] == [one["delay"] for one in expected]
    with (clone / "output/late_flights_evening.csv").open() as file:
        assert len(list(csv.DictReader(file))) == sum(one["time"] >= 18 for one in expected)
    shared = [json.loads(line) for line in (clone / "output/in_parts.ndjson").read_text().splitlines()]
    assert [one["delay"] for one in shared] == [one["delay"] for one in flights]
    nightly = api.get(f"/deployments/{api.deployments()['nightly']}")
    assert [one["schedule"]["cron"] for one in nightly["schedules"]] == ["0 3 * * *"]


def test_the_event_feed_shows_the_events_of_a_run(prefect: Prefect, clone: Path, page: Page, tmp_path: Path) -> None:
    page.goto(f"{prefect.url}/events")
    expect(page.get_by_text("oxiflow.run.finished").first).to_be_visible()
    page.screenshot(path=tmp_path / "events.png")


def test_the_page_of_a_run_shows_its_tasks_and_artifacts(
    prefect: Prefect, api: Api, clone: Path, page: Page, tmp_path: Path
) -> None:
    body = {"deployments": {"name": {"any_": ["nightly"]}}, "flow_runs": {"state": {"type": {"any_": ["COMPLETED"]}}}}
    (run,) = api.post("/flow_runs/filter", body)
    page.goto(f"{prefect.url}/runs/flow-run/{run['id']}")
    page.get_by_text("Artifacts", exact=True).first.click()
    expect(page.get_by_text("oxiflow-flights-summary").first).to_be_visible()
    page.screenshot(path=tmp_path / "run.png")
    if os.environ.get("OXIFLOW_PICTURE") == "record":
        shutil.copy(tmp_path / "run.png", PICTURE)
    shown = api.artifacts(run["id"])
    page.goto(f"{prefect.url}/artifacts/artifact/{shown['oxiflow-flights-oxis']['id']}")
    expect(page.get_by_text("parse_json").first).to_be_visible()
    page.screenshot(path=tmp_path / "oxis.png")
    page.goto(f"{prefect.url}/artifacts/artifact/{shown['oxiflow-flights-summary']['id']}")
    expect(page.get_by_role("cell", name="200,000")).to_be_visible()
    page.screenshot(path=tmp_path / "summary.png")


def test_what_others_have_named_is_text_in_the_browser(
    prefect: Prefect, api: Api, page: Page, runs: Runs, tmp_path: Path
) -> None:
    run = runs["hostile"]
    assert api.wait(run) == "COMPLETED"
    shown = api.artifacts(run)
    for key in ("summary", "output-1", "progress", "oxis", "checkpoints"):
        page.goto(f"{prefect.url}/artifacts/artifact/{shown[f'oxiflow-crossings-{key}']['id']}")
        expect(page.get_by_text("crossings").first).to_be_visible()
        if key == "summary":
            expect(page.get_by_text("[a](javascript:boom) <img src=x onerror=boom> **b** | c").first).to_be_visible()
        page.screenshot(path=tmp_path / f"{key}.png")
        for what in ("img[src='x']", "a[href^='javascript']"):
            assert page.locator(what).count() == 0


def test_the_picture_in_the_readme_is_one_of_the_page() -> None:
    head = PICTURE.read_bytes()[:24]
    assert head.startswith(b"\x89PNG")
    assert struct.unpack(">II", head[16:]) == SIZE
    assert f"]({PICTURE.name})" in README.read_text()
