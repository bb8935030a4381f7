"""Who a run is to the runner, so that a retry and a re-execution go on where the run before stopped."""

from __future__ import annotations

from dataclasses import dataclass

import dagster as dg

from .partitions import Part

#: Of a step, whether it makes assets or not.
StepContext = dg.AssetExecutionContext | dg.OpExecutionContext
BACKFILL = "dagster/backfill"
ROOT_BACKFILL = "dagster/root_backfill_id"


@dataclass(frozen=True)
class Identity:
    #: What is resumed. It outlives retries of the step and re-executions of the run.
    run_key: str
    #: A second start for the same request repeats nothing that has finished.
    invocation: str
    worker_id: str


def identity_of(context: StepContext, key: dg.AssetKey, part: Part) -> Identity:
    """`key`: the asset that names the run; one for all assets of a pipeline."""
    run = context.run
    request = request_of(context.instance, run)
    asset = "/".join(map(_word, key.path))
    worker = f"dagster-{run.run_id}"
    if part.shard is not None:
        # All shards of a backfill are one run, and its request.
        return Identity(f"dagster/{request}/{asset}", request, f"{worker}-{part.shard[0]}")
    # Dagster has no key with three dots in it, which stand between the first and the last of a range.
    partition = "" if part.name is None else f":{_word(part.name)}"
    return Identity(f"dagster/{request}/{asset}{partition}", run.run_id, worker)


def _word(text: str) -> str:
    """One that is told from two: `/` stands between the words of an asset, `:` in front of a partition."""
    return text.replace("%", "%25").replace("/", "%2F").replace(":", "%3A")


def request_of(instance: dg.DagsterInstance, run: dg.DagsterRun) -> str:
    """
    What somebody asked for first: the root of all re-executions of this run, or the backfill that it was begun for, itself the
    root of those that repeat a backfill. A run that is executed again when the backfill is over has none of its tags.
    """
    root = run if run.root_run_id is None else instance.get_run_by_id(run.root_run_id)
    tags = {**run.tags, **({} if root is None else root.tags)}
    return tags.get(ROOT_BACKFILL) or tags.get(BACKFILL) or run.root_run_id or run.run_id
