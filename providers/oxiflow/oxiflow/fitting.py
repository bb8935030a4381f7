"""
Documents that are too large for a value of Airflow's, cut. Whatever is left out, the tab says so or shows nothing of it: the
steps in the middle and the last outputs (told by an alert), older points and messages, older checkpoints.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, cast

from .documents import CheckpointDocument, RunDocument

#: In bytes of JSON; Airflow's own advice for a value is 64 KB.
LIMIT = 60_000

#: What is left of a list that has to be shorter.
Cut = Callable[[list[Any]], list[Any]]


def first(items: list[Any]) -> list[Any]:
    return items[: len(items) // 2]


def last(items: list[Any]) -> list[Any]:
    return items[(len(items) + 1) // 2 :]


def ends(items: list[Any]) -> list[Any]:
    """The sources and the last one, which is a sink as a rule."""
    return [*items[: len(items) // 2 - 1], items[-1]] if len(items) > 3 else []


def thinned(items: list[Any]) -> list[Any]:
    """Every second one, and the newest."""
    return [*items[:-1:2], items[-1]] if len(items) > 2 else []


CUTS: dict[str, Cut] = {"oxis": ends, "outputs": first, "history": thinned, "alerts": last, "reasons": last}


def fitted_run(run: RunDocument) -> RunDocument:
    document: dict[str, Any] = {**run, "dead_letters": dict(run["dead_letters"])}
    lists = {name: document["dead_letters"] if name == "reasons" else document for name in CUTS}
    while size_of(document) > LIMIT:
        longest = max(CUTS, key=lambda name: size_of(lists[name][name]))
        if not lists[longest][longest]:
            break
        lists[longest][longest] = CUTS[longest](lists[longest][longest])
    for name, what in (("oxis", "steps"), ("outputs", "outputs")):
        shown, there = len(document[name]), len(run[name])  # type: ignore[literal-required]
        if shown < there:
            document["alerts"] = [*document["alerts"], f"only {shown} of {there:,} {what} are shown here"]
    return cast(RunDocument, document)


def fitted_checkpoints(checkpoints: list[CheckpointDocument]) -> list[CheckpointDocument]:
    """The newest is the last to go, and keeps what it can of its positions: a next attempt goes on from there."""
    if size_of(checkpoints) <= LIMIT:
        return checkpoints
    *before, newest = checkpoints
    before = [{**one, "positions": []} for one in before]
    while size_of([*before, newest]) > LIMIT:
        if before:
            before = last(before)
        else:
            newest = {**newest, "positions": first(newest["positions"])}
    return [*before, newest]


def size_of(document: Any) -> int:
    return len(json.dumps(document))
