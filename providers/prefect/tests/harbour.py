"""The project of a harbour: one pipeline whose pace a program sets, so that runs can be met on their way, and one to share."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from oxiflow.runner import runner_command

#: With a rest of 0.05, three seconds. Of two KB each: a checkpoint is between blocks.
CROSSINGS = 6_000
#: Answers each line, and rests after every hundred; not the crossings whose numbers are in the file that it is told of, while it
#: is there.
PACED = """
import os, sys, time
rest, shut = float(sys.argv[1]), sys.argv[2]
def shut_to(line):
    try:
        with open(shut) as file:
            return line.startswith(tuple('{"crossing":' + number + ',' for number in file.read().split()))
    except FileNotFoundError:
        return False
for number, line in enumerate(sys.stdin, 1):
    while shut_to(line):
        time.sleep(0.05)
    sys.stdout.write(line)
    sys.stdout.flush()
    if number % 100 == 0:
        time.sleep(rest)
"""
WIDE = "." * 2_000
#: So often, the number of cars is none.
BAD = 500
#: For the pipeline that many share.
TICKETS = 40_000
FILES = {
    "oxiflow.yaml": """
project:
  name: harbour
monitoring:
  interval_seconds: 1
  alerts: { error_rate_threshold: 0.0005 }
""",
    "paced.py": PACED,
    "pipelines/crossings.yaml": """
metadata: { description: Crossings of the ferry with cars aboard }
parameters:
  to: { type: string, default: crossings, description: Name of the output }
  rest: { type: float, default: 0.05, description: Seconds between hundred crossings }
  from_day: { type: date, default: "2026-03-01" }
  api_token: { default: "${API_TOKEN:-none}" }
pipeline:
  - name: read_file
    config: { path: in/crossings.ndjson }
  - name: parse_json
  - name: exec
    config: { command: [python3, paced.py, "${rest}", "${to}.shut"] }
  - name: validate
    on_error: dead_letter
    config: { fields: { crossing: int, cars: int, note: string } }
  - name: filter
    config: { where: cars > 3 }
  - name: write_file
    config: { path: "out/${to}.ndjson" }
""",
    "pipelines/strict.yaml": """
pipeline:
  - name: read_file
    config: { path: in/crossings.ndjson }
  - name: parse_json
  - name: validate
    config: { fields: { crossing: int, cars: int, note: string } }
  - name: write_file
    config: { path: out/strict.ndjson }
""",
    "pipelines/tickets.yaml": """
pipeline:
  - name: read_file
    config: { path: in/tickets.ndjson }
  - name: parse_json
  - name: map
    config: { set: { paid: cents * 2 } }
  - name: write_file
    config: { path: "out/${TICKETS_TO:-tickets}.ndjson", merge: true }
""",
}


def crossing(number: int) -> dict[str, Any]:
    return {"crossing": number, "cars": "full" if number % BAD == 0 else number % 7, "note": WIDE}


def lines(records: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(record, separators=(",", ":")) + "\n" for record in records)


def crossings_with_cars() -> list[int]:
    return [number for number in range(CROSSINGS) if number % BAD != 0 and number % 7 > 3]


def numbers_in(path: Path, field: str = "crossing") -> list[int]:
    return [json.loads(line)[field] for line in path.read_text().splitlines()]


def write_project(root: Path) -> Path:
    for name, text in FILES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    (root / "in").mkdir()
    (root / "in/crossings.ndjson").write_text(lines([crossing(number) for number in range(CROSSINGS)]))
    (root / "in/tickets.ndjson").write_text(
        lines([{"ticket": number, "cents": number % 900} for number in range(TICKETS)])
    )
    words = ["pipeline", "manifest", "--project", str(root), "-o", str(root / "oxiflow-manifest.json")]
    subprocess.run([*runner_command(), *words], check=True, capture_output=True)
    return root
