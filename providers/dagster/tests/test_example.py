"""examples/dagster, as far as it needs no server."""

from __future__ import annotations

import filecmp
import runpy
import shutil
import subprocess
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from oxiflow.runner import runner_command

from .conftest import EXAMPLE, ROOT


def test_the_manifest_of_the_example_is_the_one_of_its_pipelines(tmp_path: Path) -> None:
    now = tmp_path / "manifest.json"
    words = ["pipeline", "manifest", "--project", str(EXAMPLE), "-o", str(now)]
    subprocess.run([*runner_command(), *words], check=True)
    assert filecmp.cmp(now, EXAMPLE / "oxiflow-manifest.json", shallow=False)


def test_the_sensor_asks_for_a_run_when_the_file_of_reports_is_another_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    sensor: dg.SensorDefinition = runpy.run_path(str(EXAMPLE / "definitions.py"))["new_reports"]

    def tick(cursor: str | None) -> Any:
        return sensor.evaluate_tick(dg.build_sensor_context(cursor=cursor, definitions=definitions))

    definitions: dg.Definitions = runpy.run_path(str(EXAMPLE / "definitions.py"))["defs"]
    assert "is not there" in str(tick(None).skip_message)
    reports = tmp_path / "birdstrikes.csv"
    shutil.copyfile(ROOT / "node_modules/vega-datasets/data/birdstrikes.csv", reports)
    first = tick(None)
    assert len(first.run_requests) == 1
    again = tick(first.cursor)
    assert (again.run_requests, again.skip_message) == ([], "no new reports")
    reports.write_text(reports.read_text() + "\n")
    other = tick(first.cursor)
    assert [request.run_key for request in other.run_requests] == [other.cursor]
    assert other.cursor != first.cursor
