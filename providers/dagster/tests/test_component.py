"""A project of `dg`: a folder with a defs.yaml, and no line of Python."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster_oxiflow import OxiFlowProjectComponent, OxiFlowResource
from livetests.waiting import until
from oxiflow.process import group_lives

from .bikes import MONTHS, rides

#: Hears no signal that a program can be deaf to.
DEAF = """#!/bin/sh
trap '' TERM INT HUP
echo $$ > {here}/deaf
while :; do sleep 0.1; done
"""


def test_the_component_is_clean_for_dg(bikes: Path) -> None:
    (bikes / "src/hire/defs/bikes").mkdir(parents=True)
    (bikes / "src/hire/__init__.py").write_text("")
    (bikes / "src/hire/definitions.py").write_text(
        "from pathlib import Path\nfrom dagster import definitions, load_from_defs_folder\n\n\n"
        "@definitions\ndef defs():\n    return load_from_defs_folder(path_within_project=Path(__file__).parent)\n"
    )
    (bikes / "src/hire/defs/__init__.py").write_text("")
    (bikes / "src/hire/defs/bikes/defs.yaml").write_text(
        """
type: dagster_oxiflow.OxiFlowProjectComponent

attributes:
  project: ../../../..
  exclude: daily
  max_retries: 2
  translation:
    key_prefix: hire
    group_name: "{{ pipeline.name }}"
    automation_condition: "{{ automation_condition.eager() }}"
"""
    )
    (bikes / "pyproject.toml").write_text(
        '[project]\nname = "hire"\nversion = "1"\nrequires-python = ">=3.10"\n\n'
        '[tool.dg]\ndirectory_type = "project"\n\n[tool.dg.project]\nroot_module = "hire"\n'
        'python_environment = "active"\n'
    )
    (bikes / "src/hire/defs/months").mkdir()
    (bikes / "src/hire/defs/months/defs.yaml").write_text(
        """
type: dagster_oxiflow.OxiFlowProjectComponent

attributes:
  project: ../../../..
  select: daily
  translation:
    partitions_def:
      type: static
      partition_keys: ["2026-01-01", "2026-02-01"]
  op:
    backfill_policy: { type: single_run }
"""
    )
    # Most of the time of each is its own start.
    commands = [start_dg(bikes, *words.split()) for words in ("check yaml", "check defs", "list defs --json")]
    for one in commands:
        out, err = one.communicate()
        assert one.returncode == 0, out + err
    assets = {one["asset_key"]: one for one in json.loads(out)["assets"]}
    assert set(assets) == {"hire/steady", "hire/long", "hire/report/far", "hire/report/all", "hire/contract", "daily"}
    assert assets["hire/report/far"]["dependency_keys"] == ["hire/steady"]
    assert assets["hire/steady"]["group_name"] == "steady"


def test_a_range_of_partitions_of_the_component_is_one_run(bikes: Path) -> None:
    component = OxiFlowProjectComponent.resolve_from_yaml(
        f"""
project: {bikes}
select: daily
translation:
  partitions_def:
    type: static
    partition_keys: ["2026-01-01", "2026-02-01"]
op:
  name: months
  tags: {{ kind: bikes }}
  backfill_policy: {{ type: single_run }}
"""
    )
    assets: Any = component.build_defs(dg.ComponentTree.for_test().load_context).assets
    assert [one.op.name for one in assets] == ["months__daily"]
    tags = {"dagster/asset_partition_range_start": MONTHS[0], "dagster/asset_partition_range_end": MONTHS[1]}
    result = dg.materialize(assets, tags=tags)
    # In whatever order Dagster has them.
    done = [str(one.materialization.partition) for one in result.get_asset_materialization_events()]
    assert sorted(done) == MONTHS[:2]
    for i, month in enumerate(MONTHS[:2], 1):
        assert (bikes / f"out/daily/{month}.ndjson").read_text() == rides(i)


def test_every_option_of_the_resource_is_one_of_the_component(bikes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options: dict[str, Any] = {
        "runner": "/opt/oxiflow",
        "env": {"CITY": "Ulm"},
        "env_file": "night.env",
        "state_backend": "file",
        "threads": 2,
        "workers": 3,
        "same_host": True,
        "drain_timeout": "20s",
        "lease_wait": "5s",
        "grace_seconds": 7.5,
        "observe_seconds": 2.5,
    }
    made: list[OxiFlowResource] = []

    def make(**given: Any) -> OxiFlowResource:
        made.append(OxiFlowResource(**given))
        return made[0]

    monkeypatch.setattr("dagster_oxiflow.component.OxiFlowResource", make)
    OxiFlowProjectComponent(project=str(bikes), **options).build_defs(dg.ComponentTree.for_test().load_context)
    assert made == [OxiFlowResource(project=str(bikes), **options)]
    assert {"project", *options} == set(OxiFlowResource.model_fields)


def test_the_launchpad_gives_parameters_and_says_whether_to_start_over(bikes: Path) -> None:
    component = OxiFlowProjectComponent(project=str(bikes), select="daily contract")
    assets: Any = component.build_defs(dg.ComponentTree.for_test().load_context).assets
    config = {"params": {"partition": MONTHS[3]}, "fresh": True, "accept_changes": True}
    result = dg.materialize(assets, selection=["daily"], run_config={"ops": {"daily": {"config": config}}})
    assert result.success
    assert (bikes / f"out/daily/{MONTHS[3]}.ndjson").read_text() == rides(4)
    wrong = {"ops": {"contract": {"config": {"params": {"partition": MONTHS[3]}}}}}
    with pytest.raises(dg.Failure, match='no parameter partition in "contract"'):
        dg.materialize(assets, selection=["contract"], run_config=wrong)


def test_what_hears_no_stop_is_killed_after_the_grace_of_the_component(
    bikes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner = bikes / "runner"
    runner.write_text(DEAF.format(here=bikes))
    runner.chmod(0o755)
    stopped: list[float] = []

    def followed(*_: Any) -> Iterator[Any]:
        until("the runner", lambda: (bikes / "deaf").exists() and (bikes / "deaf").read_text())
        stopped.append(time.monotonic())
        # As Dagster's own server does it.
        os.kill(os.getpid(), signal.SIGINT)
        yield {}

    monkeypatch.setattr("dagster_oxiflow.resource.follow", followed)
    component = OxiFlowProjectComponent(project=str(bikes), select="contract", runner=str(runner), grace_seconds=1.5)
    assets: Any = component.build_defs(dg.ComponentTree.for_test().load_context).assets
    with pytest.raises(dg.DagsterExecutionInterruptedError):
        dg.materialize(assets)
    # Not before, and not after the fifteen seconds that it is by default.
    assert 1.5 <= time.monotonic() - stopped[0] < 12
    assert not group_lives(int((bikes / "deaf").read_text()))


def start_dg(project: Path, *words: str) -> "subprocess.Popen[str]":
    program = Path(sys.executable).with_name("dg")
    env = {**os.environ, "PYTHONPATH": str(project / "src"), "HOME": str(project)}
    env["PATH"] = f"{program.parent}{os.pathsep}{env['PATH']}"
    pipe = subprocess.PIPE
    return subprocess.Popen([str(program), *words], cwd=project, env=env, stdout=pipe, stderr=pipe, text=True)
