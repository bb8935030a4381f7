"""One real Dagster for all live tests, with the assets of definitions.py."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path

import pytest

from ..bikes import CONTRACT, MONTHS, RIDES, WHOLE, add_pipelines, copy_project, rides
from ..conftest import EXAMPLE, ROOT
from .api import Api
from .server import Dagster


@pytest.fixture(scope="session")
def project(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = copy_project(template, tmp_path_factory.mktemp("bikes"))
    # Each for a test of its own, which lets it go on; the same rides.
    paced = {
        name: RIDES.format(name=name, rest=f'0.05", "go/{name}') for name in ("steady", "killed", "orphan", "again")
    }
    for name in ("killed", "orphan", "again"):
        (root / f"in/{name}.ndjson").symlink_to(template / "in/steady.ndjson")
    (root / "go").mkdir()
    first = CONTRACT.replace("contract", "a_first")
    (root / "in/a_first.ndjson").write_text(rides(3))
    add_pipelines(root, a_first=first, whole=WHOLE, **paced)
    return root


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
        assert one.runners() == {}, "all runs have ended"
    finally:
        one.close()


@pytest.fixture(scope="session")
def api(dagster: Dagster) -> Api:
    return dagster.api


@pytest.fixture(scope="session", autouse=True)
def backfills(api: Api) -> dict[str, str]:
    """Over all months, and over all shards; begun first, because the daemon takes its time, and looked at last."""
    return {"daily": api.backfill("daily", MONTHS), "whole": api.backfill("whole", ["a", "b", "c"])}


@pytest.fixture(scope="session", autouse=True)
def sensor(api: Api, backfills: dict[str, str]) -> str:
    """The sensor of the example is switched on: its first run is the one whose page is looked at."""
    api.start_sensor("aviation", "new_reports")
    return "new_reports"


@pytest.fixture(scope="session", autouse=True)
def scheduled(api: Api, backfills: dict[str, str]) -> list[str]:
    """What the schedule of the example asks for one night: begun with the others, and looked at last."""
    night = datetime(2026, 3, 1, 3, tzinfo=timezone.utc)
    return api.test_schedule("aviation", "every_night", night.timestamp())
