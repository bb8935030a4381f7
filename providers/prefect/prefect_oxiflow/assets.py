"""What a run has written, as assets of Prefect: those of `@materialize`, found when the run has ended."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from prefect.assets import Asset
from prefect.context import AssetContext

from .texts import asset_key

BY = "oxiflow"
#: Assets of one run, at most.
MOST = 50


def tell_assets(summary: Mapping[str, Any]) -> None:
    """
    The task materializes each output: Prefect tells so when the task has ended well, with the rows and bytes. Assets that the
    task itself is declared with get theirs, too.
    """
    context = AssetContext.get()
    if context is None:
        return
    about = {name: summary[name] for name in ("records_read", "errors", "seconds", "checkpoint", "run_key", "run_id")}
    for output in summary["outputs"][:MOST]:
        if output["to"] is None:
            continue
        key = asset_key(output["to"], summary["pipeline"])
        context.downstream_assets.add(Asset(key=key))
        context.add_asset_metadata(key, {"rows": output["rows"], "bytes": output["bytes"], **about})
    context.materialized_by = context.materialized_by or BY
    context.update_tracked_assets()
