"""What the tests share: the runner of this checkout, a project to run, and a Prefect that is nobody's but theirs."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from .harbour import write_project

ROOT = Path(__file__).resolve().parents[3]

# Prefect reads its settings when it is imported: before any test, no setting of whoever runs them is left.
for name in [*os.environ]:
    if name.startswith(("OXIFLOW_", "PREFECT_")) and name not in ("OXIFLOW_PICTURE", "OXIFLOW_UV"):
        del os.environ[name]
HOME = tempfile.TemporaryDirectory(prefix="prefect-home-")
os.environ.update(
    OXIFLOW_RUNNER=str(ROOT / "dist/oxiflow.mjs"),
    PREFECT_HOME=HOME.name,
    PREFECT_SERVER_ANALYTICS_ENABLED="false",
    DO_NOT_TRACK="1",
)


@pytest.fixture(autouse=True, scope="session")
def _home() -> Iterator[None]:
    yield
    HOME.cleanup()


@pytest.fixture(scope="session")
def harbour(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_project(tmp_path_factory.mktemp("harbour"))
