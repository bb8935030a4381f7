"""One real Dagster for all live tests, with the assets of definitions.py."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from ..bikes import MONTHS, copy_project
from ..conftest import ROOT
from .api import Api
from .server import Dagster

EXAMPLE = ROOT / "examples/dagster"


@pytest.fixture(scope="session")
def project(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_project(template, tmp_path_factory.mktemp("bikes"))


@pytest.fixture(scope="session")
def example(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of examples/dagster, because it is run."""
    folder = tmp_path_factory.mktemp("example")
    ours = shutil.ignore_patterns("output", ".oxiflow", "__pycache__")
    shutil.copytree(EXAMPLE, folder, dirs_exist_ok=True, ignore=ours)
    return folder


@pytest.fixture(scope="session")
def dagster(tmp_path_factory: pytest.TempPathFactory, project: Path, example: Path) -> Iterator[Dagster]:
    env = {
        "OXIFLOW_RUNNER": os.environ["OXIFLOW_RUNNER"],
        "OXIFLOW_BIKES": str(project),
        "DATA_DIR": str(ROOT / "node_modules/vega-datasets/data"),
    }
    definitions = {"bikes": Path(__file__).with_name("definitions.py"), "aviation": example / "definitions.py"}
    one = Dagster(tmp_path_factory.mktemp("dagster"), definitions, env)
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
