"""Which of a run's documents the tab shows, asked as the page asks: in a JavaScript engine, of a server with Airflow's paths."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import resources
from typing import Any
from urllib.parse import urlsplit

import pytest
from oxiflow.runner import node

PAGE = resources.files("oxiflow_airflow_provider") / "tab/page/ask.js"
TASK = "/api/v2/dags/shop/dagRuns/monday/taskInstances/load"
SCRIPT = """
const [file, base] = process.argv.slice(1);
globalThis.location = { href: `${base}/oxiflow/tab` };
const { ask } = await import(file);
const { run, checkpoints } = await ask({ dag: 'shop', run: 'monday', task: 'load', index: -1 }, AbortSignal.timeout(10000));
console.log(JSON.stringify({ run, checkpoints }));
"""


class Airflow:
    """What the server answers: the state store, and XComs; a number is a refusal."""

    def __init__(self) -> None:
        self.store: dict[str, Any] = {}
        self.xcoms: dict[str, Any] | int = {}
        self.asked: list[str] = []
        self.base = ""

    def answer(self, path: str) -> Any:
        if path == TASK:
            return {"state": "deferred"}
        if path == f"{TASK}/state-store":
            return {"task_state_store": [{"key": key, "value": value} for key, value in self.store.items()]}
        key = path.removeprefix(f"{TASK}/xcomEntries/")
        if isinstance(self.xcoms, int):
            return self.xcoms
        return {"key": key, "value": self.xcoms[key]} if key in self.xcoms else 404

    def shown(self) -> dict[str, Any]:
        """By the page."""
        done = subprocess.run(
            [node(), "--input-type=module", "--eval", SCRIPT, "--", PAGE.as_uri(), self.base],  # type: ignore[attr-defined]
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        shown: dict[str, Any] = json.loads(done.stdout)
        return shown


@pytest.fixture
def airflow() -> Iterator[Airflow]:
    one = Airflow()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = urlsplit(self.path).path
            one.asked.append(path)
            answer = one.answer(path)
            self.send_response(answer if isinstance(answer, int) else 200)
            self.end_headers()
            self.wfile.write(json.dumps(None if isinstance(answer, int) else answer).encode())

        def log_message(self, *_: object) -> None:
            """Nothing: what was asked is in `asked`."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    one.base = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield one
    server.shutdown()
    thread.join()
    server.server_close()


def document(state: str, updated_at: str, rows: int) -> dict[str, Any]:
    return {"v": 1, "state": state, "updated_at": updated_at, "rows_read": rows}


DEFERRED = document("deferred", "2026-03-02T08:00:00.500Z", 0)


@pytest.mark.parametrize("state", ["deferred", "stopped"])
def test_a_deferred_run_is_shown_as_its_trigger_tells_it(airflow: Airflow, state: str) -> None:
    airflow.store = {"oxiflow_run": DEFERRED}
    newer = document(state, "2026-03-02T08:00:09Z", 4_000)
    # Airflow hands some of them on as text.
    airflow.xcoms = {"oxiflow_run": json.dumps(newer), "oxiflow_checkpoints": [{"n": 3}]}
    assert airflow.shown() == {"run": newer, "checkpoints": [{"n": 3}]}


def test_what_a_trigger_left_behind_does_not_hide_what_is_newer(airflow: Airflow) -> None:
    airflow.store = {"oxiflow_run": DEFERRED, "oxiflow_checkpoints": [{"n": 1}]}
    airflow.xcoms = {"oxiflow_run": document("stopped", "2026-03-02T07:59:59Z", 4_000), "oxiflow_checkpoints": []}
    assert airflow.shown() == {"run": DEFERRED, "checkpoints": [{"n": 1}]}


@pytest.mark.parametrize("xcoms", [{}, 403])
def test_a_deferred_run_without_word_of_its_trigger_is_shown_as_it_was(
    airflow: Airflow, xcoms: dict[str, Any] | int
) -> None:
    airflow.store = {"oxiflow_run": DEFERRED}
    airflow.xcoms = xcoms
    assert airflow.shown() == {"run": DEFERRED, "checkpoints": []}


def test_xcoms_are_asked_for_a_deferred_run_only(airflow: Airflow) -> None:
    airflow.store = {"oxiflow_run": document("running", "2026-03-02T08:00:00Z", 7)}
    assert airflow.shown()["run"]["rows_read"] == 7
    assert airflow.asked == [TASK, f"{TASK}/state-store"]
