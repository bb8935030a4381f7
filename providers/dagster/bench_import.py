"""
What loading a project of 500 pipelines costs, beside a plain file of 500 assets with the same descriptions, groups and tags:
`providers/dagster/.venv/bin/python providers/dagster/bench_import.py`. Each time is of a process of its own, without the import
of Dagster; of several, alternating, the least. `--count`, `--times`: how many pipelines, and how often each is loaded. `--calls`:
counts calls of functions, in thousands, which are the same on a busy machine.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

COUNTED = """
import cProfile, pstats, sys
import dagster as dg
sys.path.insert(0, {folder!r})
profile = cProfile.Profile()
profile.enable()
import {module}
{module}.defs.get_repository_def()
profile.disable()
print(pstats.Stats(profile).total_calls / 1000)
"""
TIMED = """
import sys, time
import dagster as dg
sys.path.insert(0, {folder!r})
began = time.perf_counter()
import {module}
{module}.defs.get_repository_def()
print(time.perf_counter() - began)
"""
PLAIN_HEAD = "import dagster as dg\n"
PLAIN = """
@dg.asset(description="Rides of day {i}", group_name="rides", tags={{"nightly": ""}}, kinds={{"json"}}, deps={deps})
def rides_{i}(context: dg.AssetExecutionContext):
    pass
"""
OURS = """
import dagster as dg
from dagster_oxiflow import {what}
project = {project!r}
resource = OxiFlowResource(project=project)
"""
ONE_STEP = """
@oxiflow_assets(project=project)
def some(context: dg.AssetExecutionContext, oxiflow: OxiFlowResource):
    yield from oxiflow.run(context=context).stream()
defs = dg.Definitions(assets=[some], resources={"oxiflow": resource})
"""
STEPS = """
def body(context: dg.AssetExecutionContext):
    yield from resource.run(context=context).stream()
defs = dg.Definitions(assets=build_oxiflow_assets(body, project=project))
"""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--times", type=int, default=7)
    parser.add_argument("--calls", action="store_true")
    options = parser.parse_args()
    count: int = options.count
    times: int = options.times
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "oxiflow-manifest.json").write_text(json.dumps(manifest(count)))
        plain = [PLAIN.format(i=i, deps=[f"rides_{i - 1}"] if i % 10 else []) for i in range(count)]
        names = ", ".join(f"rides_{i}" for i in range(count))
        (root / "plain.py").write_text(PLAIN_HEAD + "".join(plain) + f"defs = dg.Definitions(assets=[{names}])\n")
        (root / "one_step.py").write_text(
            OURS.format(what="OxiFlowResource, oxiflow_assets", project=folder) + ONE_STEP
        )
        (root / "steps.py").write_text(
            OURS.format(what="OxiFlowResource, build_oxiflow_assets", project=folder) + STEPS
        )
        best: dict[str, float] = {}
        for _ in range(times):
            for module in ("plain", "one_step", "steps"):
                program = (COUNTED if options.calls else TIMED).format(folder=folder, module=module)
                done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
                best[module] = min(best.get(module, float("inf")), float(done.stdout))
    for module, cost in best.items():
        sys.stdout.write(f"{module:10} {cost:8.2f} {'k' if options.calls else 's'}  {cost / best['plain']:5.2f}\n")


def manifest(count: int) -> dict[str, object]:
    pipelines: list[dict[str, object]] = [
        {
            "name": f"rides_{i}",
            "file": f"pipelines/rides_{i}.yaml",
            "description": f"Rides of day {i}",
            "author": None,
            "version": "1",
            "category": "rides",
            "tags": ["nightly"],
            "inputs": [
                {
                    "step": "read_file",
                    "oxi": "read_file",
                    "paths": [f"out/rides_{i - 1}.ndjson" if i % 10 else f"in/{i}/*.ndjson"],
                    "format": "json",
                }
            ],
            "outputs": [
                {
                    "step": "write_file",
                    "oxi": "write_file",
                    "path": f"out/rides_{i}.ndjson",
                    "format": "json",
                    "columns": None,
                    "validations": [],
                }
            ],
            "dead_letters": None,
            "max_errors": None,
            "parameters": [],
            "resumable": True,
            "plan_hash": f"{i:032}",
        }
        for i in range(count)
    ]
    project = {"name": "rides", "version": None, "description": None}
    return {"manifest_version": 1, "project": project, "pipelines": pipelines, "errors": []}


if __name__ == "__main__":
    main()
