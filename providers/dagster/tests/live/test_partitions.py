"""Backfills: begun with the server, and looked at when the daemon has had its time."""

from __future__ import annotations

from pathlib import Path

from livetests.waiting import until

from ..bikes import MONTHS, rides
from .api import Api

OVER = ("COMPLETED_SUCCESS", "COMPLETED", "COMPLETED_FAILED", "FAILED", "CANCELED")


def ended(api: Api, backfill: str) -> str:
    until("the end of the backfill", lambda: api.backfill_status(backfill) in OVER)
    return api.backfill_status(backfill)


def test_a_backfill_over_twelve_partitions(api: Api, project: Path, backfills: dict[str, str]) -> None:
    assert ended(api, backfills["daily"]) == "COMPLETED_SUCCESS"
    for i, month in enumerate(MONTHS, 1):
        assert (project / f"out/daily/{month}.ndjson").read_text() == rides(i)
    made = api.materializations("daily")
    assert sorted(one["partition"] for one in made) == MONTHS
    # A range of keys is a run of Dagster's; each of its partitions is a run of the pipeline, with a checkpoint of its own.
    assert len({one["runId"] for one in made}) == 3
    keys = {row["run_key"] for one in made for row in one["metadata"]["oxiflow/runs"]}
    assert keys == {f"dagster/{backfills['daily']}/daily:{month}" for month in MONTHS}


def test_a_backfill_over_shards_is_one_run_of_the_pipeline(api: Api, project: Path, backfills: dict[str, str]) -> None:
    assert ended(api, backfills["whole"]) == "COMPLETED_SUCCESS"
    assert (project / "out/whole.ndjson").read_text() == "".join(rides(i) for i in range(1, 13))
    made = api.materializations("whole")
    assert sorted(one["partition"] for one in made) == ["a", "b", "c"]
    assert len({one["runId"] for one in made}) == 3
    assert {one["metadata"]["oxiflow/run_key"] for one in made} == {f"dagster/{backfills['whole']}/whole"}
    assert len({one["metadata"]["oxiflow/run_id"] for one in made}) == 1
