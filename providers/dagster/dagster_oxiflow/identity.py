"""Who a run is to the runner, so that a retry and a re-execution go on where the run before stopped."""

from __future__ import annotations

from dataclasses import dataclass

import dagster as dg

from .partitions import Part

BACKFILL = "dagster/backfill"


@dataclass(frozen=True)
class Identity:
    #: What is resumed. It outlives retries of the step and re-executions of the run.
    run_key: str
    #: A second start for the same request repeats nothing that has finished.
    invocation: str
    worker_id: str


def identity_of(context: dg.AssetExecutionContext, key: dg.AssetKey, part: Part) -> Identity:
    """`key`: the asset that names the run; one for all assets of a pipeline."""
    run = context.run
    root = run.root_run_id or run.run_id
    asset = key.to_user_string()
    worker = f"dagster-{run.run_id}"
    if part.shard is not None:
        # All shards of a backfill are one run, and its request.
        together = run.tags.get(BACKFILL, root)
        return Identity(f"dagster/{together}/{asset}", together, f"{worker}-{part.shard[0]}")
    name = part.name
    return Identity(f"dagster/{root}/{asset}" + ("" if name is None else f"/{name}"), run.run_id, worker)
