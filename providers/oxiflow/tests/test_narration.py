"""A run in the log of a task."""

from __future__ import annotations

import logging
from typing import Any

from oxiflow.events import Alert
from oxiflow.narration import ALERTS, Narrator


class Log:
    def __init__(self) -> None:
        self.lines: list[tuple[int, str]] = []

    def log(self, level: int, _: str, text: str) -> None:
        self.lines.append((level, text))


def alert(name: str, **more: Any) -> Alert:
    envelope = {"v": 1, "ts": "2026-11-30T10:00:00.000Z", "seq": 1, "run_key": "rides", "run_id": "1", "attempt": 1}
    return Alert(
        **{**envelope, "worker_id": "depot", "pipeline": "rides"},  # type: ignore[arg-type]
        name=name,
        **{"severity": "warning", "message": name, **more},
    )


def test_an_alert_that_comes_again_and_again_fills_no_log_and_hides_no_other() -> None:
    now, log = [0.0], Log()
    narrator = Narrator(log, clock=lambda: now[0])
    for second in range(int(2 * ALERTS)):
        now[0] = float(second)
        narrator.tell(alert("error_rate_threshold"))
        if second == 7:
            narrator.tell(alert("memory_threshold", severity="critical"))
    assert log.lines == [
        (logging.WARNING, "error_rate_threshold"),
        (logging.ERROR, "memory_threshold"),
        (logging.WARNING, "error_rate_threshold"),
    ]
