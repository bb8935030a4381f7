"""
The tab on another version of Airflow than that of the tests, over XComs: a run is watched in a browser while it goes on. Called
by ../../matrix in the environment of the tests, with the folder of the other one's programs. Says what it saw; ends with 1 where
something is wrong.
"""

from __future__ import annotations

import sys
import tempfile
from functools import partial
from pathlib import Path

from livetests.waiting import until
from playwright.sync_api import expect
from tests.live.browser import chromium, listen, number, open_tab, session
from tests.live.client import Task
from tests.live.standalone import Airflow
from tests.live.test_watched import GATES, ROWS, done_beyond, make

ROOT = Path(__file__).resolve().parents[3]
DAG = """
import os
from airflow.sdk import DAG
from oxiflow_airflow_provider import OxiFlowOperator

with DAG("watched", schedule=None):
    OxiFlowOperator(task_id="load", pipeline_name="watched", project_dir=os.environ["PROJECT"])
"""


def main(programs: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="oxiflow-matrix-") as folder:
        home, project = Path(folder) / "home", Path(folder) / "project"
        (home / "dags").mkdir(parents=True)
        (home / "dags/watched.py").write_text(DAG)
        make(project)
        env = {"OXIFLOW_RUNNER": str(ROOT / "dist/oxiflow.mjs"), "PROJECT": str(project)}
        airflow = Airflow(home, {"watched": home / "dags"}, env, programs=programs)
        try:
            airflow.launch()
            airflow.wait()
            seen = watch(airflow, project, programs.parent / "tab.png")
        finally:
            airflow.close()
    print(f"the tab of {programs.parent.name}: {seen}")


def watch(airflow: Airflow, project: Path, picture: Path) -> str:
    with airflow.api() as api, chromium() as browser, session(browser, airflow) as page:
        task = Task("watched", api.trigger("watched"), "load")
        until("a document", lambda: api.xcom(task, "oxiflow_run"))
        complaints = listen(page)
        tab = open_tab(page, airflow, task)
        expect(tab.locator("#head .badge")).to_have_text("Running")
        seen = [number(tab, "rows_written")]
        for gate in GATES[:-1]:
            (project / f"open-{gate}").touch()
            seen.append(until("more rows in the tab", partial(done_beyond, tab, seen[-1])) + seen[-1])
        assert api.task(task)["state"] == "running"
        # To be looked at.
        page.screenshot(path=picture)
        (project / f"open-{GATES[-1]}").touch()
        expect(tab.locator("#head .badge")).to_have_text("Succeeded")
        summary = api.xcom(task)
        assert summary["rows"] == number(tab, "rows_written") == ROWS
        # Before there is a checkpoint there is no XCom of it, and that there is no state store is found out once.
        (about,) = [one for one in complaints if "/xcomEntries/oxiflow_checkpoints" not in one]
        assert "state-store" in about, complaints
    return f"rows written {', '.join(f'{rows:,}' for rows in (*seen, ROWS))}"


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]))
    except AssertionError as error:
        sys.exit(f"the tab: {error}")
