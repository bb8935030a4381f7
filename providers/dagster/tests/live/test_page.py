"""The example: what fires by itself, and the page of an asset in a browser; its picture is the one in the example's README."""

from __future__ import annotations

import os
from pathlib import Path

from livetests.programs import need
from livetests.waiting import LONGEST, until
from playwright.sync_api import expect, sync_playwright

from ..conftest import EXAMPLE
from .api import Api
from .server import Dagster


def test_the_sensor_fires_and_the_run_that_it_asks_for_makes_its_assets(api: Api, sensor: str) -> None:
    (run,) = until("a run of the sensor", lambda: api.runs_of("dagster/sensor_name", sensor))
    api.stop_sensor("aviation", sensor)
    assert api.wait(run) == "SUCCESS"
    fired = api.ticks("aviation", sensor)[-1]
    assert (fired["status"], fired["runIds"]) == ("SUCCESS", [run])
    for key in ("strikes", "costly"):
        assert run in [one["runId"] for one in api.materializations(key)]


def test_the_schedule_asks_for_a_run_that_makes_its_assets(api: Api, scheduled: list[str]) -> None:
    (run,) = scheduled
    assert api.wait(run) == "SUCCESS"
    assert run in api.runs_of("dagster/schedule_name", "every_night")
    for key in ("strikes", "costly"):
        assert run in [one["runId"] for one in api.materializations(key)]


def test_the_page_of_an_asset_shows_its_figures_and_checks(api: Api, dagster: Dagster, tmp_path: Path) -> None:
    shown = api.materializations("strikes")[0]["metadata"]
    assert shown["dagster/row_count"] == 9_985
    assert shown["oxiflow/dead_lettered"] == 15
    costly = api.materializations("costly")[0]["metadata"]
    assert [name for name, _ in costly["dagster/column_schema"]] == [
        "date",
        "state",
        "species",
        "damage",
        "cost_repair",
    ]

    with sync_playwright() as playwright:
        # Root has no sandbox to go to, and the pages are ours.
        browser = playwright.chromium.launch(executable_path=need("chromium"), args=["--no-sandbox"])
        try:
            page = browser.new_page(viewport={"width": 1440, "height": 1100}, locale="en-US")
            # A busy machine is slow, not wrong.
            page.set_default_timeout(LONGEST * 1000)
            expect.set_options(timeout=LONGEST * 1000)
            page.goto(f"{dagster.url}/assets/strikes?view=overview")
            expect(page.get_by_text("Reports of wildlife strikes that can be true").first).to_be_visible()
            expect(page.get_by_text("9,985").first).to_be_visible()
            page.screenshot(path=tmp_path / "asset.png")
            page.goto(f"{dagster.url}/assets/strikes?view=checks")
            expect(page.get_by_text("dead_letters").first).to_be_visible()
            expect(page.get_by_text("validate").first).to_be_visible()
            page.goto(f"{dagster.url}/assets/strikes?view=overview")
            page.get_by_text("Plots", exact=True).first.click()
            expect(page.get_by_text("dagster/row_count").first).to_be_visible()
            expect(page.locator("canvas").first).to_be_visible()
        finally:
            browser.close()
    assert (tmp_path / "asset.png").stat().st_size > 20_000
    if os.environ.get("OXIFLOW_PICTURES"):
        (EXAMPLE / "asset.png").write_bytes((tmp_path / "asset.png").read_bytes())
