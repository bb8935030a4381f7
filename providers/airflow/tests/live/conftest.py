"""One real Airflow for all live tests, with the DAGs in `dags`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from .client import Api
from .standalone import Airflow

ROOT = Path(__file__).resolve().parents[4]
DAGS = Path(__file__).with_name("dags")


@pytest.fixture(scope="session")
def airflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Airflow]:
    """Its home is a folder of its own; `airflow.home / "work"` is for what the DAGs read and write (there as OXIFLOW_WORK)."""
    home = tmp_path_factory.mktemp("airflow")
    work = home / "work"
    work.mkdir()
    env = {"OXIFLOW_RUNNER": str(ROOT / "dist/oxiflow.mjs"), "OXIFLOW_WORK": str(work)}
    one = Airflow(home, {"tests": DAGS}, env)
    try:
        one.start()
        yield one
    finally:
        one.close()


@pytest.fixture(scope="session")
def api(airflow: Airflow) -> Iterator[Api]:
    with airflow.api() as one:
        yield one
