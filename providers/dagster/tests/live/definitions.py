"""What the Dagster of the tests loads."""

import os
from collections.abc import Iterator
from typing import Any

import dagster as dg
from dagster_oxiflow import OxiFlowPipesClient, OxiFlowResource, oxiflow_assets
from oxiflow.runner import runner_command

from oxiflow import RunRequest

PROJECT = os.environ["OXIFLOW_BIKES"]
MONTHS = dg.StaticPartitionsDefinition([f"2026-{month:02}-01" for month in range(1, 13)])


@oxiflow_assets(
    project=PROJECT,
    select="steady long report contract killed",
    name="bikes",
    retry_policy=dg.RetryPolicy(max_retries=1),
)
def bikes(context: dg.AssetExecutionContext, oxiflow: OxiFlowResource) -> Iterator[Any]:
    yield from oxiflow.run(context=context).stream()


@oxiflow_assets(
    project=PROJECT,
    select="daily",
    name="daily",
    partitions_def=MONTHS,
    backfill_policy=dg.BackfillPolicy.multi_run(max_partitions_per_run=4),
)
def daily(context: dg.AssetExecutionContext, oxiflow: OxiFlowResource) -> Iterator[Any]:
    yield from oxiflow.run(context=context).stream()


@oxiflow_assets(
    project=PROJECT,
    select="whole",
    name="whole",
    partitions_def=dg.StaticPartitionsDefinition(["a", "b", "c"]),
    partition_shards=True,
)
def whole(context: dg.AssetExecutionContext, oxiflow: OxiFlowResource) -> Iterator[Any]:
    yield from oxiflow.run(context=context).stream()


@oxiflow_assets(project=PROJECT, select="orphan a_first again", name="untried")
def untried(context: dg.AssetExecutionContext, oxiflow: OxiFlowResource) -> Iterator[Any]:
    """Without a retry of its own."""
    yield from oxiflow.run(context=context).stream()


@dg.asset
def plain_pipes(context: dg.AssetExecutionContext, pipes: dg.PipesSubprocessClient) -> dg.MaterializeResult[Any]:
    command = [*runner_command(), "run", "-q", f"--project={PROJECT}", "--run-key=plain", "contract"]
    return pipes.run(context=context, command=command).get_materialize_result()


@dg.asset
def own_pipes(context: dg.AssetExecutionContext, own: OxiFlowPipesClient) -> Iterator[Any]:
    yield from own.stream(context=context, request=RunRequest("contract", project=PROJECT))


defs = dg.Definitions(
    # A process for each run is enough; one for each step is Dagster's own way, and the way of one job here.
    executor=dg.in_process_executor,
    jobs=[dg.define_asset_job("apart", dg.AssetSelection.assets("long"), executor_def=dg.multiprocess_executor)],
    assets=[bikes, daily, whole, untried, plain_pipes, own_pipes],
    resources={
        "oxiflow": OxiFlowResource(project=PROJECT, observe_seconds=1, same_host=True),
        "pipes": dg.PipesSubprocessClient(),
        "own": OxiFlowPipesClient(),
    },
)
