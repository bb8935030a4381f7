"""A pipeline whose parts are tasks of Prefect, for the flows beside this file."""

from __future__ import annotations

import os
from typing import Any

from prefect import unmapped
from prefect_oxiflow import OxiFlowStateBackend, run_pipeline
from pydantic import SecretStr

SHARDS = int(os.environ["OXIFLOW_SHARDS"])


def run_in_parts(to: str) -> list[Any]:
    state = OxiFlowStateBackend(backend="redis", url=SecretStr(os.environ["OXIFLOW_REDIS"]))
    parts = run_pipeline.map(
        "tickets",
        unmapped(os.environ["OXIFLOW_HARBOUR"]),
        state_backend=unmapped(state),
        shard=[f"{part}/{SHARDS}" for part in range(SHARDS)],
        env=unmapped({"TICKETS_TO": to}),
    )
    return parts.result()
