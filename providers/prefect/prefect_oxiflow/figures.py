"""What Prefect's artifacts say of a run: made of its documents, with every text of others escaped."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from oxiflow.documents import CheckpointDocument, RunDocument

from .texts import address_of, escaped, link_text, plain

Row = dict[str, Any]
#: Outputs that get a link of their own.
MOST_LINKS = 10


def percent(run: RunDocument, checkpoints: Sequence[CheckpointDocument]) -> float:
    """How far it is; 100 means that it has succeeded."""
    if run["state"] == "succeeded":
        return 100.0
    share = run["progress"]
    if share is None and checkpoints and checkpoints[-1]["splits_total"]:
        share = checkpoints[-1]["splits_done"] / checkpoints[-1]["splits_total"]
    return round(min(99.0, 100 * (share or 0.0)), 1)


def progress_text(run: RunDocument, checkpoints: Sequence[CheckpointDocument], title: str) -> str:
    parts = [f"**{escaped(title)}**: {run['state']}"]
    if run["started_at"] is not None:
        parts.append(f"{run['rows_read']:,} records read")
    if run["rate"]:
        parts.append(f"{run['rate']:,.0f} a second")
    if run["eta_seconds"] is not None:
        parts.append(f"{run['eta_seconds']:.0f} s left")
    if run["errors"]:
        parts.append(f"{run['errors']:,} bad")
    if checkpoints:
        parts.append(f"checkpoint {checkpoints[-1]['n']}")
    return ", ".join(parts)


def oxi_rows(run: RunDocument) -> list[Row]:
    """A line for each step, in the order of the plan."""
    return [
        {
            "step": plain(oxi["step"]),
            "oxi": plain(oxi["oxi"]),
            "records in": oxi["records_in"],
            "records out": oxi["records_out"],
            "errors": oxi["errors"],
            "records/s": rounded(oxi["rate_per_s"]),
            "busy %": rounded(oxi["busy_percent"]),
            "waits for input %": rounded(oxi["wait_input_percent"]),
            "waits for room %": rounded(oxi["wait_room_percent"]),
            "waits outside %": rounded(oxi["wait_outside_percent"]),
            "memory MB": oxi["memory_mb"],
            "bottleneck": "yes" if oxi["bottleneck"] else "",
        }
        for oxi in run["oxis"]
    ]


def checkpoint_rows(checkpoints: Sequence[CheckpointDocument]) -> list[Row]:
    """The newest first."""
    return [
        {
            "checkpoint": one["n"],
            "saved": one["ts"],
            "attempt": one["attempt"],
            "records": one["records"],
            "bytes": one["bytes"],
            "splits done": f"{one['splits_done']} of {one['splits_total']}",
            "survives": "the machine" if one["grade"] == "hard" else "the process",
            "goes on at": "; ".join(f"{plain(at['name'])}: byte {at['offset']}" for at in one["positions"][:3]),
        }
        for one in reversed(checkpoints)
    ]


def summary_text(run: RunDocument, checkpoints: Sequence[CheckpointDocument]) -> str:
    """Markdown."""
    lines = [f"## {escaped(run['pipeline'])}: {run['state']}", ""]
    if run["error"]:
        lines += [f"> {escaped(run['error'])}", ""]
    seconds = run["seconds"]
    figures = {
        "records read": f"{run['rows_read']:,}",
        "rows written": f"{run['rows_written']:,}",
        "bytes written": f"{run['bytes_written']:,}",
        "bad records": f"{run['errors']:,}",
        "seconds": "" if seconds is None else f"{seconds:.1f}",
        "records a second": "" if not seconds else f"{run['rows_read'] / seconds:,.0f}",
        "attempt": "" if run["attempt"] is None else str(run["attempt"]),
        "went on from checkpoint": "" if run["resumed_from"] is None else str(run["resumed_from"]),
        "last checkpoint": str(checkpoints[-1]["n"]) if checkpoints else "",
        "run key": escaped(run["run_key"]),
        "state": "" if run["backend"] is None else escaped(run["backend"]),
    }
    lines += ["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in figures.items() if value), ""]
    bottleneck = run["bottleneck"]
    if bottleneck is not None:
        lines += [f"**Bottleneck**: {escaped(bottleneck['step'])}, {escaped(bottleneck['reason'])}", ""]
    letters = run["dead_letters"]
    if letters["records"]:
        lines += [f"**Dead letters**: {letters['records']:,}", ""]
        lines += [f"- {escaped(one['step'])}: {escaped(one['reason'])}" for one in letters["reasons"]]
        lines.append("")
    if run["outputs"]:
        lines += ["| output | rows | bytes |", "|---|---|---|"]
        lines += [
            f"| {escaped(one['to'] or one['step'])} | {one['rows']:,} | {one['bytes']:,} |" for one in run["outputs"]
        ]
        lines.append("")
    for alert in run["alerts"]:
        lines.append(f"- {escaped(alert)}")
    return "\n".join(lines).rstrip() + "\n"


def links(run: RunDocument) -> list[str]:
    """Markdown, one for each output that has an address."""
    return [
        f"[{link_text(one['to'])}](<{address_of(one['to'])}>)"
        for one in run["outputs"][:MOST_LINKS]
        if one["to"] is not None
    ]


def rounded(number: float | None) -> float | None:
    return None if number is None else round(number, 1)
