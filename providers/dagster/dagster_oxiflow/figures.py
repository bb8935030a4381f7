"""What Dagster is shown of a run: the metadata of observations and materializations. Numbers keep their names, so they plot."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg
from oxiflow.events import Checkpoint, Output, Progress, RunFinished

from .manifest import Output as PlannedOutput
from .partitions import Part
from .translator import table_column, table_schema

#: Rows of a table, at most: every materialization keeps its own.
MOST_ROWS = 50

Metadata = dict[str, Any]


def observed(checkpoint: Checkpoint, progress: Progress | None) -> Metadata:
    """Of a run at a checkpoint: counts are over all attempts."""
    metadata: Metadata = {
        "oxiflow/checkpoint": checkpoint.n,
        "oxiflow/grade": checkpoint.grade,
        "oxiflow/records": checkpoint.records,
        "oxiflow/bytes": checkpoint.bytes,
        "oxiflow/splits_done": checkpoint.splits_done,
        "oxiflow/splits_total": checkpoint.splits_total,
        "oxiflow/attempt": checkpoint.attempt,
        "oxiflow/run_key": checkpoint.run_key,
    }
    if progress is not None:
        metadata["oxiflow/rate_records_per_s"] = progress.rate_records_per_s
        metadata["oxiflow/rate_bytes_per_s"] = progress.rate_bytes_per_s
        metadata["oxiflow/errors"] = progress.errors
        if progress.total_bytes:
            metadata["oxiflow/progress_percent"] = min(100.0, 100 * checkpoint.bytes / progress.total_bytes)
        if progress.eta_seconds is not None:
            metadata["oxiflow/eta_seconds"] = progress.eta_seconds
    if checkpoint.positions:
        metadata["oxiflow/frontier"] = table(
            [
                {
                    "split": position.name,
                    "offset": position.offset,
                    **({} if position.size is None else {"size": position.size}),
                }
                for position in checkpoint.positions
            ],
            {"split": "string", "offset": "int", "size": "int"},
        )
    return metadata


def materialized(
    finished: Sequence[RunFinished], step: str | None, planned: PlannedOutput | None, parts: Sequence[Part]
) -> Metadata:
    """
    Of runs that succeeded, the values summed: one, or one for each of the partitions `parts`. `step`: the output that the asset
    is, or None for all of them together.
    """
    totals = [one.counters.total for one in finished]
    outputs = [
        _own([output for output in one.outputs if step in (None, output.step)], part)
        for one, part in zip(finished, parts, strict=True)
    ]
    written = [output for some in outputs for output in some]
    rows = sum(output.rows for output in written)
    seconds = sum(one.durations.total_ms for one in finished) / 1000
    records = sum(total.added for total in totals)
    metadata: Metadata = {}
    # What the shards of a run make together is told by the one that ends last.
    if written or parts[0].shard is None:
        metadata["dagster/row_count"] = rows
        metadata["oxiflow/bytes"] = sum(output.bytes for output in written)
        # Nobody counts the rows of one partition in what a range of them writes at once.
        is_one = len(parts) == 1 and len(parts[0].keys) == 1
        if is_one and (parts[0].shard is None or all(_is_part(output, parts[0]) for output in written)):
            metadata["dagster/partition_row_count"] = rows
    metadata |= {
        "oxiflow/records": records,
        "oxiflow/filtered": sum(total.filtered for total in totals),
        "oxiflow/dropped": sum(total.dropped for total in totals),
        "oxiflow/dead_lettered": sum(total.dead_lettered for total in totals),
        "oxiflow/errors": sum(errors_of(one) for one in finished),
        "oxiflow/duration_seconds": seconds,
        "oxiflow/checkpoints": sum(one.checkpoint for one in finished),
        "oxiflow/attempt": max(one.attempt for one in finished),
    }
    if seconds > 0:
        metadata["oxiflow/rate_records_per_s"] = records / seconds
    if len(finished) == 1:
        (one,) = finished
        metadata["oxiflow/run_key"] = one.run_key
        metadata["oxiflow/run_id"] = one.run_id
        metadata["oxiflow/oxis"] = oxis(one)
        if one.bottleneck is not None:
            metadata["oxiflow/bottleneck"] = one.bottleneck.reason
    else:
        metadata["oxiflow/runs"] = table(
            [
                {"partition": part.name or "", "rows": sum(output.rows for output in some), "run_key": one.run_key}
                for part, one, some in zip(parts, finished, outputs, strict=True)
            ],
            {"partition": "string", "rows": "int", "run_key": "string"},
        )
    for i, output in enumerate(written[:MOST_ROWS]):
        key = "oxiflow/output" if i == 0 else f"oxiflow/output_{i + 1}"
        if output.path is not None:
            metadata[key] = dg.MetadataValue.path(output.path)
        elif output.table is not None:
            metadata[key] = output.table
    schema = schema_of(written, planned)
    if schema is not None:
        metadata["dagster/column_schema"] = schema
    return metadata


def _own(outputs: Sequence[Output], part: Part) -> Sequence[Output]:
    """Of a shard, its part: the one that ends last tells of all of them. Parts that were merged are one."""
    return [output for output in outputs if _is_part(output, part)] or outputs


def _is_part(output: Output, part: Part) -> bool:
    if part.shard is None:
        return False
    index, count = part.shard
    return f"-{index:05}-of-{count:05}" in os.path.basename(output.path or "")


def errors_of(finished: RunFinished) -> int:
    total = finished.counters.total
    return total.dropped + total.dead_lettered + total.failed + total.passed_on_error


def oxis(finished: RunFinished) -> dg.TableMetadataValue:
    """What each step did and cost."""
    return table(
        [
            {
                "step": one.step,
                "oxi": one.oxi,
                "in": one.counters.in_,
                "added": one.counters.added,
                "out": one.counters.out,
                "filtered": one.counters.filtered,
                "dropped": one.counters.dropped,
                "dead_lettered": one.counters.dead_lettered,
                "failed": one.counters.failed,
                "busy_ms": round(one.busy_ms, 1),
            }
            for one in finished.counters.steps
        ],
        {
            "step": "string",
            "oxi": "string",
            **dict.fromkeys(("in", "added", "out", "filtered", "dropped", "dead_lettered", "failed"), "int"),
            "busy_ms": "float",
        },
    )


def schema_of(outputs: Sequence[Output], planned: PlannedOutput | None) -> dg.TableSchema | None:
    """The columns that were written, with the types that the pipeline gives them."""
    names = next((output.columns for output in outputs if output.columns is not None), None)
    known = () if planned is None or planned.columns is None else planned.columns
    if names is None:
        return table_schema(known) if known else None
    types = {column.name: column for column in known}
    return dg.TableSchema(
        columns=[table_column(types[name]) if name in types else dg.TableColumn(name, "string") for name in names]
    )


def table(records: Sequence[Mapping[str, Any]], columns: Mapping[str, str]) -> dg.TableMetadataValue:
    return dg.TableMetadataValue(
        records=[dg.TableRecord(dict(record)) for record in records[:MOST_ROWS]],
        schema=dg.TableSchema(columns=[dg.TableColumn(name, kind) for name, kind in columns.items()]),
    )
