"""One real Dagster for all live tests, with the assets of definitions.py."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from ..bikes import MONTHS, copy_project
from .api import Api
from .server import Dagster


@pytest.fixture(scope="session")
def project(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_project(template, tmp_path_factory.mktemp("bikes"))


@pytest.fixture(scope="session")
def dagster(tmp_path_factory: pytest.TempPathFactory, project: Path) -> Iterator[Dagster]:
    env = {"OXIFLOW_RUNNER": os.environ["OXIFLOW_RUNNER"], "OXIFLOW_BIKES": str(project)}
    one = Dagster(tmp_path_factory.mktemp("dagster"), Path(__file__).with_name("definitions.py"), env)
    try:
        one.start()
        yield one
    finally:
        one.close()


@pytest.fixture(scope="session")
def api(dagster: Dagster) -> Api:
    return dagster.api


@pytest.fixture(scope="session", autouse=True)
def backfill(api: Api) -> str:
    """Over all months; begun first, because the daemon takes its time, and looked at last."""
    return api.backfill("daily", MONTHS)
