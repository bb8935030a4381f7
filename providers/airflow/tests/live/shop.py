"""The project that the scenarios run, and what its outputs have to be."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

ORDERS = 20_000
#: Of the slow ones, whose last record is not let through while their door is shut.
FEW = 2_000
SLOW = (
    *("killed", "marked", "durable_marked", "deferred_marked", "cleared", "durable_cleared", "deferred_cleared"),
    *("fresh", "durable", "deferred", "elsewhere", "elsewhere_marked", "late", "durable_late", "deferred_late"),
)

PIPELINE = """
parameters: { least: { type: int, default: 10 } }
pipeline:
  - name: read_file
    config: { path: orders.ndjson }
  - name: parse_json
  - name: filter
    config: { where: total >= params.least }
  - name: write_file
    config: { path: big.ndjson }
"""
SLOWLY = """
pipeline:
  - name: read_file
    config: { path: few.ndjson }
  - name: parse_json
  - name: exec
    config: { command: [python3, slowly.py, %s.shut] }
  - name: write_file
    config: { path: %s.ndjson }
"""
SHARDED = """
pipeline:
  - name: read_file
    config: { path: orders.ndjson }
  - name: parse_json
  - name: filter
    config: { where: total >= 10 }
  - name: write_file
    config: { path: shards.ndjson, merge: true }
"""
#: Hands each line on, a little later, and the last one not while the file that it is told of is there.
PROGRAM = f"""
import json, os, sys, time
for line in sys.stdin:
    time.sleep(0.001)
    while json.loads(line)["order"] == {FEW - 1} and os.path.exists(sys.argv[1]):
        time.sleep(0.05)
    print(line, end="", flush=True)
"""


def order(number: int) -> dict[str, Any]:
    return {"order": number, "total": number * 7 % 50}


def make_shop(folder: Path) -> None:
    pipelines = folder / "pipelines"
    pipelines.mkdir(parents=True)
    (pipelines / "orders.yaml").write_text(PIPELINE)
    (pipelines / "shards.yaml").write_text(SHARDED)
    for name in SLOW:
        (pipelines / f"{name}.yaml").write_text(SLOWLY % (name, name))
    (folder / "slowly.py").write_text(PROGRAM)
    (folder / "orders.ndjson").write_text(lines(range(ORDERS)))
    (folder / "few.ndjson").write_text(lines(range(FEW), "x" * 15_000))


def door(folder: Path, name: str) -> Path:
    """While it is there, the run of that pipeline does not end by itself."""
    return folder / f"{name}.shut"


def lines(numbers: range, note: str = "") -> str:
    """With a note, they are of several blocks: there can be a checkpoint between them."""
    return "".join(json.dumps({**order(number), "note": note}) + "\n" for number in numbers)


def numbers_in(path: Path) -> list[int]:
    return [json.loads(line)["order"] for line in path.read_text().splitlines()]
