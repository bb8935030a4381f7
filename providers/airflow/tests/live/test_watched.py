"""A run of the operator, watched in the tab from its start to its end."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from livetests.redis import redis_server
from livetests.waiting import until
from oxiflow.documents import CHECKPOINT, RUN
from playwright.sync_api import Browser, FrameLocator, expect

from .browser import figure, listen, look_again, number, open_tab, session
from .client import Api, Task
from .standalone import Airflow

ROWS = 120_000
GATES = (0, 40_000, 80_000)
PIPELINE = """
pipeline:
  - name: read_file
    config: { path: rides.ndjson }
  - name: parse_json
  - name: exec
    config: { command: [python3, gates.py] }
  - name: write_file
    config: { path: out.ndjson }
"""
#: Hands lines on; at some of them it waits until the test has opened the gate.
PROGRAM = f"""
import os, sys, time
for number, line in enumerate(sys.stdin):
    if number in {GATES}:
        while not os.path.exists(f"open-{{number}}"):
            time.sleep(0.02)
    print(line, end="", flush=True)
"""


#: A DAG, its badge in the tab while it runs, and Airflow's word for that.
NAMES = {"watched": ("Running", "running"), "watched_deferred": ("Running, deferred", "deferred")}


def make(project: Path) -> None:
    (project / "pipelines").mkdir(parents=True)
    (project / "pipelines/watched.yaml").write_text(PIPELINE)
    (project / "gates.py").write_text(PROGRAM)
    with (project / "rides.ndjson").open("w") as file:
        file.writelines(f'{{"ride":{ride},"km":{ride % 7}.5}}\n' for ride in range(ROWS))


def done_beyond(tab: FrameLocator, least: int) -> int:
    return max(0, number(tab, "rows_written") - least)


@pytest.fixture(scope="module")
def tasks(airflow: Airflow, api: Api, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Task]]:
    for name in NAMES:
        make(airflow.home / "work" / name)
    with redis_server(tmp_path_factory.mktemp("redis")) as port:
        api.add_connection("watched_redis", "oxiflow", host="127.0.0.1", port=port)
        yield {name: Task(name, api.trigger(name), "load") for name in NAMES}


@pytest.mark.parametrize("name", NAMES)
def test_the_numbers_move_while_the_run_goes_on_and_are_its_summary_at_the_end(
    airflow: Airflow, api: Api, browser: Browser, tasks: dict[str, Task], name: str
) -> None:
    project = airflow.home / "work" / name
    task = tasks[name]
    badge, state = NAMES[name]
    api.wait_for_task(task, [state])
    api.wait_for_stored(task, RUN)

    with session(browser, airflow) as page:
        complaints = listen(page)
        tab = open_tab(page, airflow, task)
        expect(tab.locator("#head .badge")).to_have_text(badge)
        tab.locator("body").evaluate("body => { body.dataset.same = 'yes' }")

        before = number(tab, "rows_written")
        assert before == 0
        for gate in GATES[:-1]:
            (project / f"open-{gate}").touch()
            least = before
            before = until(f"more than {least} rows in the tab", partial(done_beyond, tab, least)) + least
            assert before <= gate + 40_000, "the next gate is closed"
            assert api.task(task)["state"] == state
        # While the last rows wait.
        expect(tab.locator("#head .badge")).to_have_text(badge)
        expect(tab.locator("#throughput svg")).to_have_count(1)
        page.set_viewport_size({"width": 1440, "height": 900})
        # Kept beside Airflow's logs, to be looked at.
        page.screenshot(path=airflow.home / f"{name}.png")
        (project / f"open-{GATES[-1]}").touch()

        expect(tab.locator("#head .badge")).to_have_text("Succeeded", timeout=60_000)
        assert api.wait_for_task(task)["state"] == "success"
        assert tab.locator("body").get_attribute("data-same") == "yes"
        # What the trigger of a deferred task has not written yet is not there.
        assert [one for one in complaints if "/xcomEntries/" not in one] == []

        summary = api.xcom(task)
        document = api.stored(task, RUN)
        assert summary["records_read"] == document["rows_read"] == number(tab, "rows_read") == ROWS
        assert summary["rows"] == document["rows_written"] == number(tab, "rows_written") == ROWS
        assert summary["bytes"] == document["bytes_written"] == (project / "out.ndjson").stat().st_size
        assert summary["checkpoint"] == api.stored(task, CHECKPOINT)["n"]
        assert int(tab.locator("#checkpoints tbody td").first.inner_text()) == summary["checkpoint"]
        assert figure(tab, "dead_letters") == "0"
        assert tab.locator("#oxis tbody tr").count() == 4
        expect(tab.get_by_role("progressbar")).to_have_attribute("aria-valuenow", "100")

        # Airflow keeps documents for a time only.
        api.ask("DELETE", f"{task.path}/state-store/{RUN}")
        look_again(tab)
        expect(tab.locator("h1")).to_have_text("No report")
