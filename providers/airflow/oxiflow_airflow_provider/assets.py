"""What the asset events of a task say of its run."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import unquote, urlparse

#: Of the summary, for every outlet.
FIGURES = ("records_read", "errors", "seconds", "checkpoint", "run_key", "run_id")


def tell_assets(
    context: Any, outlets: Iterable[Any], outputs: Sequence[Mapping[str, Any]], summary: Mapping[str, Any]
) -> None:
    """`outputs` with their addresses as they are, `summary` as it may be shown."""
    for outlet in outlets:
        uri = getattr(outlet, "uri", None)
        if uri is None:
            continue
        mine = [output for output in outputs if is_at(output["to"], uri)]
        context["outlet_events"][outlet].extra = {
            "rows": sum(output["rows"] for output in mine) if mine else summary["rows"],
            "bytes": sum(output["bytes"] for output in mine) if mine else summary["bytes"],
            **{name: summary[name] for name in FIGURES},
        }


def is_at(to: str | None, uri: str) -> bool:
    """The output is what the asset means: the same path, or the table that its address ends with."""
    if to is None:
        return False
    path = unquote(urlparse(uri).path)
    return path == to or (os.sep not in to and path.rpartition("/")[2] == to)
