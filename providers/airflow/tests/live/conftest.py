"""The two Airflows of the live tests, when they are up; what they run on is in the conftest above."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from ..conftest import Airflows
from .browser import chromium
from .client import Api
from .newcomer import Newcomer
from .standalone import Airflow


@pytest.fixture(scope="session")
def airflow(airflows: Airflows) -> Airflow:
    """`airflow.home / "work"` is for what the DAGs read and write (there as OXIFLOW_WORK)."""
    airflows.ours.wait()
    return airflows.ours


@pytest.fixture(scope="session")
def newcomer(airflows: Airflows) -> Newcomer:
    airflows.newcomer.wait()
    return airflows.newcomer


@pytest.fixture(scope="session")
def api(airflow: Airflow) -> Iterator[Api]:
    with airflow.api() as one:
        yield one


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with chromium() as one:
        yield one
