"""What the tests share: the runner of this checkout and a project to run."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from .bikes import copy_project, write_project

ROOT = Path(__file__).resolve().parents[3]
EXAMPLE = ROOT / "examples/dagster"


@pytest.fixture(autouse=True, scope="session")
def _environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No setting of whoever runs the tests reaches a run. OXIFLOW_PICTURES=1 keeps the picture for the example's README."""
    kept = dict(os.environ)
    for name in kept:
        if name.startswith(("OXIFLOW_", "DAGSTER_")) and name != "OXIFLOW_PICTURES":
            del os.environ[name]
    os.environ["OXIFLOW_RUNNER"] = str(ROOT / "dist/oxiflow.mjs")
    os.environ["DAGSTER_DISABLE_TELEMETRY"] = "yes"
    # Each process of Dagster would compile all of it: half of its time. And none leaves anything beside the sources.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    os.environ["PYTHONPYCACHEPREFIX"] = str(tmp_path_factory.mktemp("compiled"))
    yield
    os.environ.clear()
    os.environ.update(kept)


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_project(tmp_path_factory.mktemp("template"))


@pytest.fixture
def bikes(template: Path, tmp_path: Path) -> Path:
    return copy_project(template, tmp_path)
