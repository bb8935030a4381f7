"""Documents as the operator writes them, for what the tab makes of them, whatever a run would bring."""

from __future__ import annotations

from typing import Any

from oxiflow.documents import CheckpointDocument, OxiDocument, RunDocument


def oxi(step: str, **more: Any) -> OxiDocument:
    document: OxiDocument = {
        "step": step,
        "oxi": step,
        "kind": "step",
        "stage": 0,
        "records_in": 531_204,
        "records_out": 531_204,
        "bytes_in": 0,
        "bytes_out": 0,
        "errors": 0,
        "rate_per_s": 9120.4,
        "busy_percent": 21.0,
        "wait_input_percent": 79.0,
        "wait_room_percent": 0.0,
        "wait_outside_percent": 0.0,
        "memory_mb": 34.2,
        "queue_fill": 0.02,
        "bottleneck": False,
    }
    document.update(more)  # type: ignore[typeddict-item]
    return document


def run(**more: Any) -> RunDocument:
    """Half way through the flights, on its second attempt."""
    document: RunDocument = {
        "v": 1,
        "state": "running",
        "pipeline": "flights",
        "run_key": "airflow/flights/late",
        "invocation": "airflow/flights/1",
        "run_id": "r-1",
        "attempt": 2,
        "worker_id": "worker-7",
        "backend": "redis: 127.0.0.1:6379",
        "resumed_from": 14,
        "started_at": "2026-03-02T08:00:00Z",
        "updated_at": "2026-03-02T08:00:30Z",
        "finished_at": None,
        "exit_code": None,
        "error": None,
        "rows_read": 531_204,
        "rows_written": 48_120,
        "bytes_read": 32_412_000,
        "bytes_written": 4_120_331,
        "errors": 3,
        "progress": 0.5379,
        "total_bytes": 60_254_000,
        "eta_seconds": 26.0,
        "rate": 9120.4,
        "rate_bytes": 556_344.0,
        "attempt_seconds": None,
        "seconds": None,
        "history": [[second, 18_000 * second + 900 * (second % 4), 1_098_000 * second] for second in range(31)],
        "oxis": [
            oxi("read_file", kind="source", bytes_out=32_412_000, busy_percent=12.0, wait_input_percent=0.0),
            oxi("parse_json", kind="parser", busy_percent=98.0, wait_input_percent=2.0, errors=3, bottleneck=True),
            oxi("filter", records_out=48_120),
            oxi("write_file", kind="sink", records_in=48_120, records_out=48_120, queue_fill=None, rate_per_s=820.0),
        ],
        "bottleneck": {"step": "parse_json", "reason": "It is busy all the time, and read_file waits for room."},
        "dead_letters": {
            "records": 3,
            "reasons": [{"step": "parse_json", "split": "flights.json", "offset": 120_331, "reason": "no JSON: '<'"}],
        },
        "outputs": [{"step": "write_file", "to": "output/late.json", "rows": 48_120, "bytes": 4_120_331}],
        "alerts": ["errors are above 1 % of the records"],
    }
    document.update(more)  # type: ignore[typeddict-item]
    return document


def checkpoints(last: int = 18) -> list[CheckpointDocument]:
    return [
        {
            "n": n,
            "grade": "soft" if n % 2 else "hard",
            "ts": f"2026-03-02T08:00:{n:02}Z",
            "attempt": 1 if n < 15 else 2,
            "records": 28_000 * n,
            "bytes": 1_712_000 * n,
            "splits_done": 0,
            "splits_total": 1,
            "positions": [{"split": 0, "name": "flights.json", "offset": 1_712_000 * n, "size": 60_254_000}],
        }
        for n in range(last - 7, last + 1)
    ]
