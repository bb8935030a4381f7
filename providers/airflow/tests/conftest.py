"""
The order of the tests, and the two Airflows of the live ones: both are told to start before the first test, and are up when
those that need none have run.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from .live.newcomer import Newcomer
from .live.standalone import Airflow

ROOT = Path(__file__).resolve().parents[3]
#: Where files of tests stand in a session: those that need no Airflow, then those of ours, then those of the newcomer's.
LAST = ("live/test_harness", "live/test_runs", "live/test_watched", "live/test_tab", "live/test_examples")


def place(item: pytest.Item) -> int:
    return next((at for at, name in enumerate(LAST, 1) if item.nodeid.partition(".py")[0].endswith(name)), 0)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=place)


class Airflows:
    def __init__(self, ours: Airflow, newcomer: Newcomer) -> None:
        self.ours = ours
        self.newcomer = newcomer


@pytest.fixture(scope="session", autouse=True)
def airflows(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Airflows]:
    home = tmp_path_factory.mktemp("airflow")
    work = home / "work"
    work.mkdir()
    # In its home, `work` is for what the DAGs read and write.
    env = {"OXIFLOW_RUNNER": str(ROOT / "dist/oxiflow.mjs"), "OXIFLOW_WORK": str(work)}
    both = Airflows(
        Airflow(home, {"tests": Path(__file__).with_name("live") / "dags"}, env),
        Newcomer(tmp_path_factory.mktemp("newcomer")),
    )
    needed = {name for item in request.session.items for name in getattr(item, "fixturenames", ())}
    with contextlib.ExitStack() as ending:
        for name, one in (("airflow", both.ours), ("newcomer", both.newcomer)):
            if name in needed:
                ending.callback(one.close)
                one.launch()
        yield both
        # Both at the same time.
        both.ours.end()
        both.newcomer.end()
