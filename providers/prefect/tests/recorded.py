"""Events of real runs, as the runner's side of the protocol has recorded them."""

from __future__ import annotations

from pathlib import Path

from oxiflow.events import Checkpoint, Event, RunFinished, RunStarted
from oxiflow.live import Live
from oxiflow.stream import decode

from oxiflow import Result

RECORDED = Path(__file__).resolve().parents[3] / "test/contract/events/recorded"
NOW = "2026-11-30T10:00:00.000Z"


def events(name: str) -> list[Event]:
    found = [decode(line) for line in (RECORDED / f"{name}.ndjson").read_bytes().splitlines()]
    return [event for event in found if event is not None]


def first(told: list[Event], kind: type[Event]) -> Event:
    return next(event for event in told if isinstance(event, kind))


def live(told: list[Event]) -> Live:
    one = Live("rides", "rides", "monday", "depot", NOW)
    for event in told:
        one.observe(event)
    return one


def result_of(told: list[Event]) -> Result:
    finished, started = told[-1], told[0]
    assert isinstance(finished, RunFinished)
    saved = [event for event in told if isinstance(event, Checkpoint)]
    return Result(
        exit_code=finished.exit_code,
        started=started if isinstance(started, RunStarted) else None,
        checkpoint=saved[-1] if saved else None,
        finished=finished,
    )
