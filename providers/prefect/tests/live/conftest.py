"""One real Prefect for all live tests: its server, Redis, and a runner that serves scenarios.py."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]
from livetests.redis import redis_server
from livetests.waiting import until

from ..harbour import CROSSINGS
from .api import Api
from .server import Prefect

SHARDS = 8
#: Nobody may see it.
SECRET = "-".join(("s3cret", "of", "the", "harbour"))
#: Those of scenarios.py that are met while they go on, and wait for it; and the one that runs all others.
MET = (
    *("stopped_directly", "stopped_in_a_thread", "stopped_in_a_loop", "stopped_on_dask"),
    *("terminated", "killed", "dies", "dies_within"),
)
OTHERS = "in_order"
#: A deployment that an automation stops when its runs meet bad records.
PAUSED = "stopped_in_a_thread"
HERE = Path(__file__).parent
README = HERE.parents[1] / "README.md"


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
        yield one
    finally:
        one.api.close()
        one.close()


@pytest.fixture(scope="session")
def api(prefect: Prefect) -> Api:
    return prefect.api


class Runs:
    """The flow runs of the scenarios by the names of their functions, all begun side by side."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._started = {name: api.start(name) for name in (*MET, OTHERS)}

    def __getitem__(self, name: str) -> str:
        found = self._started.get(name) or until(f"the flow {name}", lambda: self._subflow(name))
        assert found is not None
        return found

    def _subflow(self, name: str) -> str | None:
        # One that another flow has called.
        body = {
            "flows": {"name": {"any_": [name.replace("_", "-"), name]}},
            "flow_runs": {"parent_flow_run_id": {"any_": [self._started[OTHERS]]}},
        }
        found = self._api.post("/flow_runs/filter", body)
        return str(found[0]["id"]) if found else None

    def all(self) -> list[str]:
        return list(self._started.values())


@pytest.fixture(scope="session")
def runs(prefect: Prefect, api: Api, harbour: Path) -> Runs:
    for name in MET:
        # Of several parts, each has one.
        crossings = (1500, 3500, 5500) if name == "stopped_on_dask" else (CROSSINGS - 1,)
        (harbour / f"{name}.shut").write_text(" ".join(map(str, crossings)))
    prefect.until_deployed({*MET, OTHERS})
    api.post("/automations/", automation())
    return Runs(api)


def automation() -> dict[str, Any]:
    """The one of the README, for the pipeline of the tests and one of their deployments."""
    (text,) = re.findall(r"```yaml\n(name: bad records\n.*?)```", README.read_text(), re.DOTALL)
    found: dict[str, Any] = yaml.safe_load(text)
    found["trigger"]["match"]["oxiflow.pipeline"] = "crossings"
    found["trigger"]["match_related"] = {"prefect.resource.role": "deployment", "prefect.resource.name": PAUSED}
    return found
