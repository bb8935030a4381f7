"""Pipelines of this folder as assets of Dagster, with a schedule and a sensor."""

import os
from pathlib import Path

import dagster as dg
from dagster_oxiflow import OxiFlowResource, oxiflow_assets

PROJECT = Path(__file__).parent
DATA = Path(os.environ.get("DATA_DIR", PROJECT / "../../node_modules/vega-datasets/data"))
PARTS_OF_THE_DAY = dg.StaticPartitionsDefinition(["night", "morning", "afternoon", "evening"])
RESUME = dg.RetryPolicy(max_retries=2, delay=5)


@oxiflow_assets(project=PROJECT, select="category:strikes", retry_policy=RESUME)
def strikes(context: dg.AssetExecutionContext, oxiflow: OxiFlowResource):
    yield from oxiflow.run(context=context).stream()


@oxiflow_assets(project=PROJECT, select="late_flights", partitions_def=PARTS_OF_THE_DAY, retry_policy=RESUME)
def flights(context: dg.AssetExecutionContext, oxiflow: OxiFlowResource):
    yield from oxiflow.run(context=context).stream()


every_night = dg.ScheduleDefinition(
    name="every_night",
    target=dg.AssetSelection.tag("nightly", ""),
    cron_schedule="0 3 * * *",
)


@dg.sensor(target=dg.AssetSelection.assets("strikes", "costly"), minimum_interval_seconds=60)
def new_reports(context: dg.SensorEvaluationContext):
    """Another file of reports than the last time."""
    file = DATA / "birdstrikes.csv"
    if not file.exists():
        return dg.SkipReason(f"{file} is not there")
    about = file.stat()
    seen = f"{about.st_mtime_ns}-{about.st_size}"
    if seen == context.cursor:
        return dg.SkipReason("no new reports")
    context.update_cursor(seen)
    return dg.RunRequest(run_key=seen)


defs = dg.Definitions(
    assets=[strikes, flights],
    schedules=[every_night],
    sensors=[new_reports],
    resources={"oxiflow": OxiFlowResource(project=str(PROJECT), observe_seconds=1)},
)
