"""What is wrong around a run: Dagster says what, and whether another try helps."""

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster_oxiflow import OxiFlowResource, oxiflow_assets
from dagster_oxiflow.following import follow, grace_of
from livetests.waiting import until

from oxiflow import Run

from .bikes import add_pipelines, rides
from .inprocess import assets_of, failure_of, manifest_of, materialize, processes_of_runner, values


def refusal(result: dg.ExecuteInProcessResult) -> tuple[str, bool]:
    """What is said of a run that failed, and whether Dagster may try again."""
    assert not result.success
    assert result.get_asset_materialization_events() == []
    data = failure_of(result)
    retried = any(one.event_type_value == "STEP_UP_FOR_RETRY" for one in result.all_events)
    return data.description, retried


RETRIED: dict[str, Any] = {"retry_policy": dg.RetryPolicy(max_retries=1)}


def test_a_project_that_is_not_there(bikes: Path) -> None:
    contract = assets_of(bikes, select="contract", **RETRIED)
    for name in ("oxiflow.yaml", "pipelines"):
        (bikes / name).rename(bikes / f"{name}-gone")
    said, retried = refusal(materialize(bikes, contract))
    assert f"{bikes}" in said
    assert not retried


def test_a_runner_that_is_not_there(bikes: Path) -> None:
    result = materialize(bikes, assets_of(bikes, select="contract", **RETRIED), runner="/no/such/oxiflow")
    assert refusal(result) == (
        "the runner that was named, /no/such/oxiflow, is not a file; PATH is not searched",
        False,
    )


def test_a_pipeline_that_is_no_more_since_the_manifest_was_written(bikes: Path) -> None:
    contract = assets_of(bikes, select="contract", **RETRIED)
    (bikes / "pipelines/contract.yaml").unlink()
    said, retried = refusal(materialize(bikes, contract))
    assert 'no pipeline "contract"' in said
    assert not retried


def test_an_output_that_is_no_more_since_the_manifest_was_written_is_not_said_to_be_made(bikes: Path) -> None:
    contract = assets_of(bikes, select="contract", **RETRIED)
    file = bikes / "pipelines/contract.yaml"
    file.write_text(file.read_text().replace("- name: write_file", "- name: write_file\n    id: elsewhere"))
    said, retried = refusal(materialize(bikes, contract))
    assert 'has not written "write_file": the manifest is older than the pipeline' in said
    assert f"oxiflow pipeline manifest --project {bikes}" in said
    assert not retried


def test_an_output_that_a_condition_leaves_out_is_not_said_to_be_made(
    bikes: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    optional = """
parameters: { twice: { type: bool, default: true } }
pipeline:
  - name: read_file
    config: { path: in/contract.ndjson }
  - name: parse_json
  - name: tee
    condition: params.twice
    config:
      steps:
        - name: write_file
          id: second
          config: { path: out/second.ndjson }
  - name: write_file
    id: first
    config: { path: out/first.ndjson }
"""
    add_pipelines(bikes, optional=optional)

    some = assets_of(bikes, select="optional")
    assert {key.to_user_string() for key in some.keys} == {"optional/first", "optional/second"}
    (bikes / "pipelines/optional.yaml").write_text(optional.replace("default: true", "default: false"))
    result = materialize(bikes, some)
    assert result.success
    (event,) = result.get_asset_materialization_events()
    assert event.asset_key == dg.AssetKey(["optional", "first"])
    assert 'has not written "second": a condition has left it out' in capfd.readouterr().err


#: Says things of its own, with bytes that are no text, where events and output go, and ends well.
RUBBISH = r"""#!/bin/sh
for word in "$@"; do
  case "$word" in --events=*) events="${word#--events=}" ;; esac
done
printf '\377\376 rubbish \0 \033[31m\n'
printf 'more of it \377, without an end' >&2
printf '\377\000{]\n{"v":1,"type":"checkpoint"}\n{"v":1,"type":"progress","records":1e999}\nnull\n[]\n' > "$events"
head -c 300000 /dev/zero | tr '\000' '{' >> "$events"
"""


def test_a_runner_that_speaks_rubbish_has_not_succeeded(bikes: Path) -> None:
    runner = bikes / "rubbish"
    runner.write_text(RUBBISH)
    runner.chmod(0o755)
    said, retried = refusal(materialize(bikes, assets_of(bikes, select="contract", **RETRIED), runner=str(runner)))
    assert "the runner ended without saying how the run went" in said
    # It may have been killed on the way.
    assert retried


def test_hostile_texts_of_a_pipeline_are_shown_as_they_are_and_do_nothing(bikes: Path) -> None:
    text = "<script>alert('{{ 7 * 7 }}')</script> $${params.x} $(touch owned) `touch owned` \u202e"
    hostile = json.dumps(
        {
            "metadata": {
                "description": text,
                "category": "../../etc",
                "tags": ["a/b", "dagster/priority", "", "x" * 99],
                "author": "team:",
            },
            "pipeline": [
                {"name": "read_file", "config": {"path": "in/contract.ndjson"}},
                {"name": "parse_json"},
                {"name": "write_file", "config": {"path": "out/$(touch owned); 'x' {{ 7 * 7 }}.ndjson"}},
            ],
        }
    )
    add_pipelines(bikes, **{"touch owned": hostile})
    some = assets_of(bikes, select="touch*")
    (spec,) = some.specs
    assert spec.key == dg.AssetKey("touch_owned")
    assert spec.description == text.replace("$$", "$")
    assert spec.group_name == "______etc"
    assert list(spec.owners) == []

    assert {"a_b", "dagster_priority", "x" * 63} <= spec.tags.keys()
    result = materialize(bikes, some)
    assert result.success
    (event,) = result.get_asset_materialization_events()
    output = values(event.materialization.metadata)["oxiflow/output"]
    assert Path(output).read_text() == rides(3)
    assert output.endswith("out/$(touch owned); 'x' {{ 7 * 7 }}.ndjson")
    assert list(bikes.rglob("owned")) == []


def test_a_variable_for_the_pipelines_can_be_one_of_dagsters_own_environment(
    bikes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BIKES_INBOX", "in")
    contract = (bikes / "pipelines/contract.yaml").read_text()
    add_pipelines(bikes, contract=contract.replace("path: in/contract.ndjson", 'path: "${INBOX}/contract.ndjson"'))
    resource = OxiFlowResource(project=str(bikes), env={"INBOX": dg.EnvVar("BIKES_INBOX")})
    assert dg.materialize([assets_of(bikes, select="contract")], resources={"oxiflow": resource}).success


@pytest.mark.parametrize("author", ["data@acme.technology", "müller@firma.de", "a b@example.com"])
def test_an_author_that_dagster_takes_for_no_owner_is_none(author: str) -> None:
    document = manifest_of({"name": "one", "author": author})

    @oxiflow_assets(manifest=document)
    def some(context: dg.AssetExecutionContext) -> None: ...

    assert [list(spec.owners) for spec in some.specs] == [[]]
    assert [spec.metadata["oxiflow/author"] for spec in some.specs] == [author]


@pytest.mark.parametrize("is_impatient", [False, True])
def test_what_somebody_has_terminated_is_not_tried_again(
    bikes: Path, monkeypatch: pytest.MonkeyPatch, is_impatient: bool
) -> None:
    """In one process with its steps: Dagster takes an interrupt for something that a retry policy is for."""
    tries: list[int] = []

    def followed(run: Run, *about: Any) -> Iterator[Any]:
        for metadata in follow(run, *about):
            if tries == [0]:
                (one,) = instance.get_runs()
                instance.report_run_canceling(one)
                if is_impatient:
                    # And once more, while it is stopped.
                    monkeypatch.setattr(run, "stop", lambda grace: interrupt())
                interrupt()
            yield metadata

    monkeypatch.setattr("dagster_oxiflow.resource.follow", followed)

    @oxiflow_assets(project=bikes, select="steady", retry_policy=dg.RetryPolicy(max_retries=2))
    def some(context: dg.AssetExecutionContext, oxiflow: OxiFlowResource) -> Iterator[Any]:
        tries.append(context.retry_number)
        yield from oxiflow.run(context=context).stream()

    instance = dg.DagsterInstance.ephemeral()
    materialize(bikes, some, instance=instance, observe_seconds=0)
    assert tries == [0]
    (run,) = instance.get_runs()
    assert run.status in (dg.DagsterRunStatus.CANCELED, dg.DagsterRunStatus.FAILURE)
    until("the runner to end", lambda: processes_of_runner(bikes) == [])


def interrupt() -> None:
    """As Dagster's own server does it."""
    os.kill(os.getpid(), signal.SIGINT)


def test_a_parameter_that_no_pipeline_has_is_refused_before_anything_runs(bikes: Path) -> None:
    @oxiflow_assets(project=bikes, select="contract", **RETRIED)
    def some(context: dg.AssetExecutionContext, oxiflow: OxiFlowResource) -> Iterator[Any]:
        yield from oxiflow.run(context=context, params={"dya": "monday"}).stream()

    said, retried = refusal(materialize(bikes, some))
    assert 'no parameter dya in "contract"' in said
    assert not retried


def test_assets_of_another_project_than_the_resource_runs_are_refused(bikes: Path) -> None:
    other = bikes / "other"
    (other / "pipelines").mkdir(parents=True)
    said, retried = refusal(materialize(other, assets_of(bikes, select="contract", **RETRIED)))
    assert f"the assets are of the project {bikes}, the resource runs those of {other}" in said
    assert not retried
    # By another way, it is the same.
    link = bikes.with_name(f"{bikes.name}-link")
    link.symlink_to(bikes)
    assert materialize(link, assets_of(bikes, select="contract")).success


def test_a_check_that_the_run_did_not_make_is_said_to_be_none(bikes: Path, capfd: pytest.CaptureFixture[str]) -> None:
    contract = assets_of(bikes, select="contract")
    file = bikes / "pipelines/contract.yaml"
    file.write_text(file.read_text().replace("id: strict", "id: renamed"))
    result = materialize(bikes, contract)
    assert result.success
    assert "strict" not in [one.check_name for one in result.get_asset_check_evaluations()]
    assert 'the check "strict" was not made' in capfd.readouterr().err


def test_a_stop_leaves_a_run_the_time_that_it_has_for_draining() -> None:
    assert grace_of(15, None) == 15
    assert grace_of(15, "1s") == 15
    assert grace_of(15, "2m") == 125
