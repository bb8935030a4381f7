"""One real Prefect for all live tests: its server, Redis, and runners that serve scenarios.py and on_dask.py."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from livetests.redis import redis_server

from .api import Api
from .server import Prefect

SHARDS = 8
#: Nobody may see it.
SECRET = "-".join(("s3cret", "of", "the", "harbour"))
HOSTILE = "[a](javascript:boom) <img src=x onerror=boom> **b** | c"
#: The flows of scenarios.py and on_dask.py, those first that are looked at first.
NAMES = (
    "stopped_directly",
    "stopped_in_a_thread",
    "stopped_in_a_loop",
    "killed",
    "dies",
    "too_slow",
    "steady",
    "refused",
    "shared_on_dask",
    "shared_in_threads",
    "measured",
    "hostile",
    "crossings",
)
HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a Redis server."""
    with redis_server(tmp_path_factory.mktemp("redis")) as port:
        yield f"redis://127.0.0.1:{port}/0"


@pytest.fixture(scope="session")
def prefect(tmp_path_factory: pytest.TempPathFactory, harbour: Path, redis: str) -> Iterator[Prefect]:
    env = {"OXIFLOW_RUNNER": os.environ["OXIFLOW_RUNNER"], "OXIFLOW_HARBOUR": str(harbour), "OXIFLOW_REDIS": redis}
    env |= {"OXIFLOW_SHARDS": str(SHARDS), "OXIFLOW_SECRET": SECRET}
    one = Prefect(tmp_path_factory.mktemp("prefect"), env)
    try:
        one.start()
        one.launch("scenarios", ["python", str(HERE / "scenarios.py")])
        one.launch("on_dask", ["python", str(HERE / "on_dask.py")])
        yield one
    finally:
        one.api.close()
        one.close()


@pytest.fixture(scope="session")
def api(prefect: Prefect) -> Api:
    return prefect.api


@pytest.fixture(scope="session")
def runs(prefect: Prefect, api: Api, harbour: Path) -> dict[str, str]:
    """A run of each flow, all begun side by side; each test looks at its own."""
    for name in ("killed", "dies"):
        (harbour / f"{name}.slow").touch()
    parameters = {"hostile": {"name": HOSTILE}, "crossings": {"to": "of_a_flow", "rest": 0}}
    prefect.until_deployed(NAMES)
    return {name: api.start(name, **parameters.get(name, {})) for name in NAMES}
