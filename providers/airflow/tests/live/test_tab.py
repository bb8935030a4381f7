"""
The tab on a task instance, in a real Airflow and a real browser. The documents are put where the operator puts them, by Airflow's
own API, on a task that somebody else's operator ran: what the page makes of them is then known to the last digit.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import httpx
import pytest
from oxiflow.documents import CHECKPOINTS, RUN
from playwright.sync_api import Browser, Page, Route, expect

from . import documents
from .browser import Theme, figure, listen, look_again, number, open_tab, session
from .client import Api, ApiError, Task
from .standalone import Airflow

FILES = ("tab", "tab.js", "tab.css", "ask.js", "view.js", "icon.svg")
HOSTILE = """<img src=x onerror="document.title='owned'"><script>document.title='owned'</script>"""


@pytest.fixture
def admin(browser: Browser, airflow: Airflow) -> Iterator[Page]:
    with session(browser, airflow) as page:
        yield page


@pytest.fixture(scope="module")
def greeting(api: Api) -> Task:
    """A task that ran, and has nothing to do with pipelines."""
    run_id, state = api.run("hello")
    assert state == "success"
    return Task("hello", run_id, "greet")


@pytest.fixture
def reported(api: Api, greeting: Task) -> Iterator[Task]:
    """The same with documents of a run."""
    api.store(greeting, RUN, documents.run())
    api.store(greeting, CHECKPOINTS, documents.checkpoints())
    yield greeting
    for key in (RUN, CHECKPOINTS):
        api.ask("DELETE", f"{greeting.path}/state-store/{key}")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_tab_shows_what_the_documents_say(browser: Browser, airflow: Airflow, reported: Task, theme: Theme) -> None:
    with session(browser, airflow, theme=theme) as page:
        complaints = listen(page)
        tab = open_tab(page, airflow, reported)

        expect(tab.locator("h1")).to_have_text("flights")
        expect(tab.locator("#head .badge")).to_have_text("Running")
        expect(tab.locator("#head")).to_contain_text("checkpoint 14")
        expect(tab.get_by_role("progressbar")).to_have_attribute("aria-valuenow", "53")
        expect(tab.locator("#progress")).to_contain_text("53.7 %")
        names = ("rows_read", "rows_written", "dead_letters", "errors")
        assert [number(tab, name) for name in names] == [531_204, 48_120, 3, 3]
        assert figure(tab, "rate") == "9.12K"
        expect(tab.locator("#alerts li")).to_have_text("errors are above 1 % of the records")

        assert tab.locator("#oxis tbody tr").count() == 4
        marked = tab.locator("#oxis tr.bottleneck")
        expect(marked).to_have_count(1)
        expect(marked).to_contain_text("parse_json")
        expect(marked).to_contain_text("98 %")
        expect(tab.locator("#oxis")).to_contain_text("It is busy all the time, and read_file waits for room.")

        # The newest first.
        assert tab.locator("#checkpoints tbody tr td:first-child").all_inner_texts() == [
            str(n) for n in range(18, 10, -1)
        ]
        expect(tab.locator("#positions tbody tr")).to_contain_text("51.1 %")
        expect(tab.locator("#dead-letters tbody tr")).to_contain_text("120,331")
        expect(tab.locator("#outputs tbody tr")).to_contain_text("output/late.json")

        # The theme is Airflow's: ink is dark on a light ground, and light on a dark one.
        ink = tab.locator("h1").evaluate("e => getComputedStyle(e).color.match(/\\d+/g).map(Number)[0]")
        assert (ink < 128) == (theme == "light")
        assert complaints == []


def test_the_chart_says_how_fast_it_was_at_the_pointer(admin: Page, airflow: Airflow, reported: Task) -> None:
    tab = open_tab(admin, airflow, reported)
    tab.locator("#throughput svg").hover(position={"x": 400, "y": 60})
    # The documents have 1098000 bytes every second, and 18900 rows, or 15300 every fourth.
    expect(tab.locator("#throughput output")).to_have_text(re.compile(r"^(18\.9|15\.3)K rows/s at \d+ s$"))
    tab.get_by_role("button", name="Bytes").click()
    tab.locator("#throughput svg").hover(position={"x": 500, "y": 60})
    expect(tab.locator("#throughput output")).to_contain_text("1.0 MB/s at")


def test_numbers_move_without_loading_the_page_again(admin: Page, airflow: Airflow, api: Api, reported: Task) -> None:
    tab = open_tab(admin, airflow, reported)
    expect(tab.locator("[data-field='rows_read'] dd").first).to_have_text("531,204")
    tab.locator("body").evaluate("body => { body.dataset.same = 'yes' }")
    api.store(reported, RUN, documents.run(rows_read=700_001, state="succeeded", rate=None, seconds=35.0, progress=1.0))
    look_again(tab)
    expect(tab.locator("[data-field='rows_read'] dd").first).to_have_text("700,001")
    expect(tab.locator("#head .badge")).to_have_text("Succeeded")
    # Over now, so a rate is that of the whole run.
    assert figure(tab, "rate") == "20K"
    assert tab.locator("body").get_attribute("data-same") == "yes"


def test_what_a_run_is_called_is_never_markup(admin: Page, airflow: Airflow, api: Api, reported: Task) -> None:
    run = documents.run(
        pipeline=HOSTILE,
        run_key=HOSTILE,
        worker_id=HOSTILE,
        backend=HOSTILE,
        error=HOSTILE,
        state=HOSTILE,
        oxis=[documents.oxi(HOSTILE, oxi=HOSTILE + "2", kind=HOSTILE, bottleneck=True)],
        bottleneck={"step": HOSTILE, "reason": HOSTILE},
        dead_letters={"records": 1, "reasons": [{"step": HOSTILE, "split": HOSTILE, "offset": 1, "reason": HOSTILE}]},
        outputs=[{"step": HOSTILE, "to": HOSTILE, "rows": 1, "bytes": 1}],
        alerts=[HOSTILE],
    )
    api.store(reported, RUN, run)
    tab = open_tab(admin, airflow, reported)
    expect(tab.locator("h1")).to_have_text(HOSTILE)
    assert tab.locator("body").inner_text().count(HOSTILE) >= 13
    assert tab.locator("img, script:not([src='tab.js'])").count() == 0
    assert tab.locator("body").evaluate("() => document.title") == "Oxide Flow"


def test_a_task_of_somebody_else_has_an_empty_page(admin: Page, airflow: Airflow, greeting: Task) -> None:
    complaints = listen(admin)
    tab = open_tab(admin, airflow, greeting)
    expect(tab.locator("h1")).to_have_text("No pipeline here")
    expect(tab.locator("body")).to_contain_text("OxiFlowOperator")
    assert complaints == []


def test_a_report_that_was_cut_short_is_told_apart_from_airflows_word(
    admin: Page, airflow: Airflow, reported: Task
) -> None:
    tab = open_tab(admin, airflow, reported)
    expect(tab.locator("#note")).to_contain_text("Airflow's word for this task is “success”")
    expect(tab.locator("#note")).to_contain_text("says “running”")


@pytest.mark.parametrize(
    ("status", "sentence"),
    [
        (401, "Your session has ended: log in to Airflow again."),
        (403, "Airflow does not let you see this task."),
        (404, "Airflow does not know this task instance."),
    ],
)
def test_a_refusal_of_the_api_is_a_sentence_and_takes_away_what_was_shown(
    admin: Page, airflow: Airflow, reported: Task, status: int, sentence: str
) -> None:
    tab = open_tab(admin, airflow, reported)
    expect(tab.locator("h1")).to_have_text("flights")
    admin.route("**/api/v2/dags/*/dagRuns/*/taskInstances/greet", lambda route: route.fulfill(status=status, json={}))
    look_again(tab)
    expect(tab.locator("body")).to_contain_text(sentence)
    expect(tab.locator("body")).not_to_contain_text("flights")


def test_an_airflow_that_is_away_is_waited_for(admin: Page, airflow: Airflow, api: Api, reported: Task) -> None:
    there = "**/api/v2/dags/*/dagRuns/*/taskInstances/greet/state-store**"
    admin.route(there, lambda route: route.abort())
    tab = open_tab(admin, airflow, reported)
    expect(tab.locator("body")).to_contain_text("Airflow can't be reached. Trying again.")
    admin.unroute(there)
    admin.route(there, lambda route: route.fulfill(body="<h1>Log in</h1>", content_type="text/html"))
    look_again(tab)
    expect(tab.locator("body")).to_contain_text("Something between this page and Airflow answers in its place.")
    admin.unroute(there)
    look_again(tab)
    expect(tab.locator("h1")).to_have_text("flights")
    expect(tab.locator("#refusal")).to_have_count(0)


def refuse_with(status: int, route: Route) -> None:
    route.fulfill(status=status, json={"detail": "no"})


def test_where_there_is_no_state_store_the_documents_are_xcoms(
    admin: Page, airflow: Airflow, api: Api, greeting: Task
) -> None:
    for key, value in ((RUN, documents.run(pipeline="of an xcom")), (CHECKPOINTS, documents.checkpoints())):
        api.ask("POST", f"{greeting.path}/xcomEntries", {"key": key, "value": value, "map_index": -1})
    # Airflow before 3.3 answers this to a path that it does not know, or takes for another one.
    missing = "**/api/v2/dags/*/dagRuns/*/taskInstances/greet/state-store**"
    for status in (404, 422):
        admin.route(missing, partial(refuse_with, status))
        tab = open_tab(admin, airflow, greeting)
        expect(tab.locator("h1")).to_have_text("of an xcom")
        assert number(tab, "rows_read") == 531_204
        assert tab.locator("#checkpoints tbody tr").count() == 8
        admin.unroute(missing)
    for key in (RUN, CHECKPOINTS):
        api.ask("DELETE", f"{greeting.path}/xcomEntries/{key}")


def test_nobody_gets_a_file_of_the_tab_without_a_session(airflow: Airflow) -> None:
    for name in (*FILES, "nothing", "docs", "openapi.json"):
        answer = httpx.get(f"{airflow.url}/oxiflow/{name}")
        assert answer.status_code == 401, name
    forged = httpx.get(f"{airflow.url}/oxiflow/tab", headers={"Authorization": "Bearer e30.e30.e30"})
    assert forged.status_code in (401, 403)


def test_the_files_come_with_a_policy_that_lets_nothing_else_in(airflow: Airflow, api: Api) -> None:
    for name in FILES:
        answer = httpx.get(f"{airflow.url}/oxiflow/{name}", headers={"Authorization": f"Bearer {api.token}"})
        assert answer.status_code == 200, name
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "http" not in answer.text.replace("http://www.w3.org/2000/svg", ""), name
    for name in ("../tab.py", "%2e%2e%2f__init__.py", "..%2fplugin.py"):
        answer = httpx.get(f"{airflow.url}/oxiflow/{name}", headers={"Authorization": f"Bearer {api.token}"})
        assert "import" not in answer.text


def test_a_user_without_any_right_gets_no_page_and_no_document(
    browser: Browser, airflow: Airflow, reported: Task
) -> None:
    with airflow.api("nobody") as nobody:
        for path in (f"{reported.path}/state-store", f"{reported.path}/state-store/{RUN}", reported.path):
            with pytest.raises(ApiError) as refused:
                nobody.get(path)
            assert refused.value.status == 403
        for name in FILES:
            answer = httpx.get(f"{airflow.url}/oxiflow/{name}", headers={"Authorization": f"Bearer {nobody.token}"})
            assert answer.status_code == 403, name
    with session(browser, airflow, "nobody") as page:
        page.goto(f"{airflow.url}/oxiflow/tab?dag=hello&run={reported.run_id}&task=greet&map=-1")
        expect(page.locator("body")).to_contain_text("Forbidden")
        assert "flights" not in page.content()


def test_a_user_without_the_right_to_the_dag_sees_nothing_of_it(
    browser: Browser, airflow: Airflow, api: Api, reported: Task
) -> None:
    with airflow.api("guest") as guest:
        with pytest.raises(ApiError) as refused:
            guest.get(f"{reported.path}/state-store/{RUN}")
        assert refused.value.status == 403
        # Of others it does.
        guest.wait_for_dag("watched")
    with session(browser, airflow, "guest") as page:
        page.goto(f"{airflow.url}/oxiflow/tab?dag=hello&run={reported.run_id}&task=greet&map={{MAP_INDEX}}")
        expect(page.locator("body")).to_contain_text("Airflow does not let you see this task.")
        assert "flights" not in page.content()


def test_whoever_may_look_at_the_dag_may_look_at_the_tab(browser: Browser, airflow: Airflow, reported: Task) -> None:
    with session(browser, airflow, "viewer") as page:
        expect(open_tab(page, airflow, reported).locator("h1")).to_have_text("flights")


def test_a_task_that_was_never_there_is_told_in_a_sentence(admin: Page, airflow: Airflow, greeting: Task) -> None:
    gone = replace(greeting, task_id="never")
    admin.goto(f"{airflow.url}/oxiflow/tab?dag={gone.dag_id}&run={gone.run_id}&task={gone.task_id}&map={{MAP_INDEX}}")
    expect(admin.locator("body")).to_contain_text("Airflow does not know this task instance.")
    admin.goto(f"{airflow.url}/oxiflow/tab")
    expect(admin.locator("body")).to_contain_text("This page is a tab of a task instance: open it there.")
