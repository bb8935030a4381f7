"""A project of a bike hire: small pipelines, and two whose pace a program sets, so that a run can be met while it goes on."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from oxiflow.runner import runner_command

#: Answers each line, and rests after so many. With a file: half way it waits until that is there.
PACED = """
import os, sys, time
every, rest = int(sys.argv[1]), float(sys.argv[2])
for number, line in enumerate(sys.stdin, 1):
    while number == 3000 and sys.argv[3:] and not os.path.exists(sys.argv[3]):
        time.sleep(0.05)
    sys.stdout.write(line)
    sys.stdout.flush()
    if number % every == 0:
        time.sleep(rest)
"""
#: At 2,000 a second, three seconds; at 1,000, longer than any test looks at it. Of two KB each: a checkpoint is between blocks.
STEADY = 6_000
LONG = 60_000
WIDE = "." * 2_000
RIDES = """
metadata:
  description: Rides beyond three kilometres
  category: rides
  author: rides@example.com
  tags: [nightly, "by pace"]
pipeline:
  - name: read_file
    config: {{ path: in/{name}.ndjson }}
  - name: parse_json
  - name: exec
    config: {{ command: [python3, paced.py, "100", "{rest}"] }}
  - name: filter
    config: {{ where: km > 3 }}
  - name: write_file
    config: {{ path: out/{name}.ndjson }}
"""
CONTRACT = """
max_errors: 10
pipeline:
  - name: read_file
    config: { path: in/contract.ndjson }
  - name: parse_json
  - name: validate
    on_error: dead_letter
    config: { fields: { ride: int, km: number } }
  - name: validate
    id: strict
    config: { fields: { to: "string?" } }
  - name: write_file
    config: { path: out/contract.ndjson }
"""
FILES = {
    "oxiflow.yaml": "project:\n  name: bikes\n",
    "paced.py": PACED,
    "pipelines/steady.yaml": RIDES.format(name="steady", rest="0.05"),
    "pipelines/long.yaml": RIDES.format(name="long", rest="0.1"),
    "pipelines/report.yaml": """
metadata: { tags: [nightly], category: reports }
pipeline:
  - name: read_file
    config: { path: "out/ste*.ndjson" }
  - name: parse_json
  - name: map
    config: { select: [ride, km] }
  - name: tee
    config:
      steps:
        - name: filter
          config: { where: km > 5 }
        - name: format_csv
          config: { columns: [ride, km] }
        - name: write_file
          id: far
          config: { path: out/far.csv }
  - name: write_file
    id: all
    config: { path: out/report.ndjson }
""",
    "pipelines/contract.yaml": CONTRACT,
    "pipelines/daily.yaml": """
parameters:
  partition: { type: date, default: "2026-01-01" }
pipeline:
  - name: read_file
    config: { path: "in/daily/${partition}.ndjson" }
  - name: parse_json
  - name: write_file
    config: { path: "out/daily/${partition}.ndjson" }
""",
}
#: At its pace for each partition, from the same rides.
PACED_BY_MONTH = """
parameters:
  partition: {{ type: date, default: "2026-01-01" }}
pipeline:
  - name: read_file
    config: {{ path: in/steady.ndjson }}
  - name: parse_json
  - name: exec
    config: {{ command: [python3, paced.py, "100", "{rest}"] }}
  - name: filter
    config: {{ where: km > 3 }}
  - name: write_file
    config: {{ path: "out/paced/${{partition}}.ndjson" }}
"""
#: All months in one file, whoever does a part of it.
WHOLE = """
pipeline:
  - name: read_file
    config: { path: in/daily/*.ndjson }
  - name: parse_json
  - name: write_file
    config: { path: out/whole.ndjson, merge: true }
"""
MONTHS = [f"2026-{month:02}-01" for month in range(1, 13)]


def rides(count: int, more: str = "") -> str:
    return "".join(f'{{"ride":{ride},"to":"Hügel{more}","km":{ride % 7}.5}}\n' for ride in range(count))


def far_rides(count: int) -> str:
    lines = rides(count, WIDE).splitlines(keepends=True)
    return "".join(line for ride, line in enumerate(lines) if ride % 7 + 0.5 > 3)


def write_project(root: Path) -> Path:
    for name, text in FILES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    (root / "in/daily").mkdir(parents=True)
    (root / "in/steady.ndjson").write_text(rides(STEADY, WIDE))
    (root / "in/long.ndjson").write_text(rides(LONG, WIDE))
    (root / "in/contract.ndjson").write_text(rides(3))
    for i, month in enumerate(MONTHS, 1):
        (root / f"in/daily/{month}.ndjson").write_text(rides(i))
    write_manifest(root)
    return root


def copy_project(project: Path, root: Path) -> Path:
    """Without the large files, which are the same."""
    shutil.copytree(project, root, dirs_exist_ok=True, ignore=shutil.ignore_patterns("steady.ndjson", "long.ndjson"))
    for name in ("steady", "long"):
        (root / f"in/{name}.ndjson").symlink_to(project / f"in/{name}.ndjson")
    return root


def add_pipelines(root: Path, **pipelines: str) -> None:
    for name, text in pipelines.items():
        (root / f"pipelines/{name}.yaml").write_text(text)
    write_manifest(root)


def write_manifest(root: Path) -> None:
    command = [*runner_command(), "pipeline", "manifest", "--project", str(root)]
    subprocess.run([*command, "-o", str(root / "oxiflow-manifest.json")], check=True, capture_output=True)
