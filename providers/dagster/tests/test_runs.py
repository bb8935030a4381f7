"""Runs in this process, with the real runner: metadata, checks, retries, partitions, and both Pipes clients."""

# Dagster reads the annotations of assets while it runs.
import json
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster_oxiflow import OxiFlowPipesClient, OxiFlowResource, build_oxiflow_assets, oxiflow_assets
from dagster_oxiflow.figures import materialized
from dagster_oxiflow.partitions import Part
from oxiflow.runner import runner_command

from oxiflow import OxiFlowError, Run, RunRequest, start

from .bikes import STEADY, far_rides, rides
from .inprocess import (
    assets_of,
    failure_of,
    kill_runner,
    materialize,
    observations,
    processes_of_runner,
    records_of,
    values,
)


def summary_of(bikes: Path, pipeline: str, run_key: str, invocation: str, *more: str) -> dict[str, Any]:
    """What the runner itself says of a run that has finished: the same request again repeats nothing."""
    words = ["run", "--json", "-q", f"--project={bikes}", f"--run-key={run_key}", f"--invocation={invocation}"]
    done = subprocess.run([*runner_command(), *words, *more, pipeline], capture_output=True, text=True, check=True)
    summary: dict[str, Any] = json.loads(done.stdout)
    return summary


def test_what_dagster_shows_is_what_the_runner_says(bikes: Path) -> None:
    result = materialize(bikes, assets_of(bikes, select="steady"), observe_seconds=0)
    assert result.success
    (event,) = result.get_asset_materialization_events()
    shown = values(event.materialization.metadata)
    summary = summary_of(bikes, "steady", shown["oxiflow/run_key"], result.run_id)
    total = summary["counters"]["total"]
    (output,) = summary["outputs"]
    assert shown["oxiflow/run_key"] == f"dagster/{result.run_id}/steady"
    assert shown["oxiflow/run_id"] == summary["run_id"]
    assert shown["dagster/row_count"] == output["rows"] == total["out"] == far_rides(STEADY).count("\n")
    assert shown["oxiflow/bytes"] == output["bytes"] == len(far_rides(STEADY).encode())
    assert shown["oxiflow/records"] == total["added"] == STEADY
    assert shown["oxiflow/filtered"] == total["filtered"]
    assert shown["oxiflow/duration_seconds"] == summary["durations"]["total_ms"] / 1000
    assert shown["oxiflow/checkpoints"] == summary["checkpoint"]
    assert shown["oxiflow/output"] == output["path"]
    oxis = {row.data["step"]: row.data for row in records_of(event, "oxiflow/oxis")}
    assert {step["step"]: step["counters"]["out"] for step in summary["counters"]["steps"]} == {
        step: row["out"] for step, row in oxis.items()
    }
    assert event.materialization.tags is not None
    assert event.materialization.tags["dagster/data_version"] == summary["run_id"]
    observed = [values(one.asset_observation_data.asset_observation.metadata) for one in observations(result)]
    assert [one["oxiflow/checkpoint"] for one in observed] == sorted(one["oxiflow/checkpoint"] for one in observed)
    assert observed[-1]["oxiflow/records"] == STEADY
    assert 0 < observed[0]["oxiflow/records"] < STEADY


def test_only_what_is_asked_for_runs_and_what_it_needs_comes_first(bikes: Path) -> None:
    both = assets_of(bikes, select="steady report")
    result = materialize(bikes, both, selection=dg.AssetSelection.assets("steady"))
    assert result.success
    assert not (bikes / "out/report.ndjson").exists()
    result = materialize(bikes, both)
    assert [
        str(event.asset_key and event.asset_key.to_user_string()) for event in result.get_asset_materialization_events()
    ] == [
        "steady",
        "report/far",
        "report/all",
    ]
    far = result.asset_materializations_for_node("some")[1]
    schema: Any = far.metadata["dagster/column_schema"].value
    assert [column.name for column in schema.columns] == ["ride", "km"]
    assert far.metadata["dagster/row_count"].value == sum(ride % 7 == 6 or ride % 7 == 5 for ride in range(STEADY))


def test_checks_say_whether_the_data_keeps_the_contract(bikes: Path) -> None:
    contract = assets_of(bikes, select="contract")

    def checked() -> dict[str, tuple[bool, str]]:
        result = materialize(bikes, contract)
        return {
            one.check_name: (one.passed, one.severity.value if not one.passed else "")
            for one in result.get_asset_check_evaluations()
        }

    assert checked() == {
        "validate": (True, ""),
        "strict": (True, ""),
        "dead_letters": (True, ""),
        "max_errors": (True, ""),
    }
    (bikes / "in/contract.ndjson").write_text('{"ride":1,"km":2}\n{"ride":1,"km":"far"}\n')
    assert checked() == {
        "validate": (False, "WARN"),
        "strict": (True, ""),
        "dead_letters": (False, "WARN"),
        "max_errors": (True, ""),
    }
    (bikes / "in/contract.ndjson").write_text('{"ride":1,"km":2,"to":7}\n')
    assert checked() == {"strict": (False, "ERROR")}
    (bikes / "in/contract.ndjson").write_text('{"ride":1,"km":"far"}\n' * 11)
    assert checked() == {
        "validate": (False, "WARN"),
        "dead_letters": (False, "WARN"),
        "max_errors": (False, "ERROR"),
    }


def test_bad_data_is_not_tried_again_and_says_why(bikes: Path) -> None:
    (bikes / "in/contract.ndjson").write_text('{"ride":1,"km":2,"to":7}\n')
    contract = assets_of(bikes, select="contract", retry_policy=dg.RetryPolicy(max_retries=3))
    result = materialize(bikes, contract)
    assert not result.success
    assert [one for one in result.all_events if one.event_type_value == "STEP_UP_FOR_RETRY"] == []
    data = failure_of(result)
    assert 'step "strict"' in data.description
    assert values(data.metadata)["oxiflow/exit_code"] == 3
    assert values(data.metadata)["oxiflow/code"] == "RECORD_INVALID"


@pytest.mark.parametrize("fresh", [False, True])
def test_a_run_that_is_killed_is_resumed_by_the_retry_also_where_it_was_to_start_over(bikes: Path, fresh: bool) -> None:
    killed: list[int] = []

    @oxiflow_assets(project=bikes, select="steady", retry_policy=dg.RetryPolicy(max_retries=1))
    def steady(context: dg.AssetExecutionContext, oxiflow: OxiFlowResource) -> Iterator[Any]:
        for told in oxiflow.run(context=context, fresh=fresh).stream():
            if isinstance(told, dg.AssetObservation) and not killed:
                killed.append(values(told.metadata)["oxiflow/records"])
                kill_runner(bikes)
            yield told

    result = materialize(bikes, steady, observe_seconds=0)
    assert result.success
    assert len(killed) == 1
    (event,) = result.get_asset_materialization_events()
    shown = values(event.materialization.metadata)
    assert shown["oxiflow/attempt"] == 2
    assert shown["oxiflow/records"] == STEADY
    assert (bikes / "out/steady.ndjson").read_text() == far_rides(STEADY)
    observed = [values(one.asset_observation_data.asset_observation.metadata) for one in observations(result)]
    again = [one["oxiflow/records"] for one in observed if one["oxiflow/attempt"] == 2]
    assert again[0] >= killed[0]


def test_a_retry_repeats_no_pipeline_that_was_done(bikes: Path) -> None:
    (bikes / "in/daily/2026-01-01.ndjson").unlink()

    @oxiflow_assets(project=bikes, select="contract daily", retry_policy=dg.RetryPolicy(max_retries=1))
    def two(context: dg.AssetExecutionContext, oxiflow: OxiFlowResource) -> Iterator[Any]:
        if context.retry_number == 1:
            (bikes / "in/daily/2026-01-01.ndjson").write_text(rides(1))
            (bikes / "in/contract.ndjson").write_text(rides(9))
        try:
            yield from oxiflow.run(context=context).stream()
        except dg.Failure as failure:
            raise dg.Failure(failure.description, allow_retries=True) from failure

    result = materialize(bikes, two)
    assert result.success
    assert (bikes / "out/contract.ndjson").read_text() == rides(3)


def test_what_is_asked_of_a_run_is_asked_of_the_runner(bikes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[RunRequest, dict[str, Any]]] = []

    def refuse(request: RunRequest, **more: Any) -> Run:
        asked.append((request, more))
        raise OxiFlowError("no more than asked")

    monkeypatch.setattr("dagster_oxiflow.resource.start", refuse)
    about: dict[str, Any] = {"env_file": "night.env", "state_backend": "file", "threads": 2, "workers": 3}
    about |= {"drain_timeout": "20s", "lease_wait": "5s"}
    resource = OxiFlowResource(project=str(bikes), runner="/opt/oxiflow", env={"CITY": "Ulm"}, **about)

    @oxiflow_assets(project=bikes, select="daily")
    def daily(context: dg.AssetExecutionContext, oxiflow: OxiFlowResource) -> Iterator[Any]:
        wishes: dict[str, Any] = {"params": {"partition": "2026-02-01"}, "set": {"write_file.append": True}}
        yield from oxiflow.run(context=context, fresh=True, accept_changes=True, **wishes).stream()

    result = dg.materialize([daily], resources={"oxiflow": resource}, raise_on_error=False)
    ((request, more),) = asked
    assert more == {"env": {"CITY": "Ulm"}, "runner": "/opt/oxiflow"}
    assert request == RunRequest(
        "daily",
        project=str(bikes),
        params={"partition": "2026-02-01"},
        set={"write_file.append": True},
        fresh=True,
        accept_changes=True,
        run_key=f"dagster/{result.run_id}/daily",
        invocation=result.run_id,
        worker_id=f"dagster-{result.run_id}",
        **about,
    )


def test_the_runners_log_is_that_of_the_step_with_its_levels(bikes: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (bikes / "in/contract.ndjson").write_text('{"ride":1,"km":"far"}\n{"ride":1,"km":2}\n')
    assert materialize(bikes, assets_of(bikes, select="contract")).success
    said = capfd.readouterr().err.splitlines()
    assert any("WARNING" in line and '"km" must be a number' in line for line in said)
    assert any("INFO" in line and "1 dead letter" in line for line in said)


def test_an_output_that_is_a_table_is_named(bikes: Path) -> None:
    with start(RunRequest("contract", project=str(bikes))) as run:
        for _ in run.follow():
            pass
        finished = run.result().finished
    assert finished is not None
    table = replace(finished.outputs[0], path=None, table="hire.rides")
    shown = materialized([replace(finished, outputs=(table,))], "write_file", None, [Part()])
    assert shown["oxiflow/output"] == "hire.rides"
    assert shown["dagster/row_count"] == 3


def test_a_pipes_client_in_an_op_has_no_asset(bikes: Path) -> None:
    @dg.op
    def nightly(context: dg.OpExecutionContext, pipes: OxiFlowPipesClient) -> None:
        pipes.run(context=context, request=RunRequest("contract", project=str(bikes)))

    @dg.job(resource_defs={"pipes": dg.ResourceDefinition.hardcoded_resource(OxiFlowPipesClient())})
    def once() -> None:
        nightly()

    assert once.execute_in_process().success
    assert (bikes / "out/contract.ndjson").read_text() == rides(3)


PLAIN: Callable[..., list[str]] = lambda bikes, *more: [  # noqa: E731
    *runner_command(),
    "run",
    "-q",
    f"--project={bikes}",
    *more,
]


def test_the_plain_client_of_dagster_is_enough(bikes: Path) -> None:
    @dg.asset
    def contract(context: dg.AssetExecutionContext, pipes: dg.PipesSubprocessClient) -> dg.MaterializeResult[Any]:
        return pipes.run(context=context, command=PLAIN(bikes, "contract")).get_materialize_result()

    result = dg.materialize([contract], resources={"pipes": dg.PipesSubprocessClient()})
    (event,) = result.get_asset_materialization_events()
    shown = values(event.materialization.metadata)
    assert shown["dagster/row_count"] == 3
    assert shown["oxiflow/records"] == 3
    assert shown["oxiflow/output"].endswith("out/contract.ndjson")
    assert event.materialization.tags is not None
    assert event.materialization.tags["dagster/data_version_is_user_provided"] == "true"


def test_the_pipes_client_stops_what_it_started_and_the_retry_goes_on_from_there(bikes: Path) -> None:
    stopped: list[int] = []

    class Impatient(OxiFlowPipesClient):
        """Somebody ends the first attempt as Dagster does: by an interrupt in the middle of the loop."""

        def stream(self, *, context: Any, **about: Any) -> Any:
            log_event = context.log_event

            def heard(event: Any) -> None:
                log_event(event)
                if not stopped:
                    stopped.append(values(event.metadata)["oxiflow/records"])
                    raise dg.RetryRequested(max_retries=1)

            context.log_event = heard
            return (yield from super().stream(context=context, **about))

    @dg.asset
    def steady(context: dg.AssetExecutionContext, pipes: OxiFlowPipesClient) -> Iterator[Any]:
        if context.retry_number == 1:
            assert processes_of_runner(bikes) == []
        yield from pipes.stream(context=context, request=RunRequest("steady", project=str(bikes)))

    result = dg.materialize([steady], resources={"pipes": Impatient(observe_seconds=0)})
    (event,) = result.get_asset_materialization_events()
    shown = values(event.materialization.metadata)
    assert shown["dagster/row_count"] == far_rides(STEADY).count("\n")
    assert shown["oxiflow/run_key"] == f"dagster/{result.run_id}/steady"
    assert shown["oxiflow/attempt"] == 2
    assert (bikes / "out/steady.ndjson").read_text() == far_rides(STEADY)
    observed = [values(one.asset_observation_data.asset_observation.metadata) for one in observations(result)]
    again = [one["oxiflow/records"] for one in observed if one["oxiflow/attempt"] == 2]
    assert 0 < stopped[0] <= again[0]


class Deaf(dg.PipesMessageReader):
    """A reader that hears nothing."""

    def read_messages(self, handler: Any) -> Any:
        from contextlib import contextmanager

        @contextmanager
        def nothing() -> Iterator[Any]:
            yield {"path": "/dev/null"}

        return nothing()

    def no_messages_debug_text(self) -> str:
        return "It hears nothing."


def test_a_report_that_did_not_arrive_is_a_failure(bikes: Path) -> None:
    @dg.asset
    def contract(context: dg.AssetExecutionContext, pipes: OxiFlowPipesClient) -> dg.MaterializeResult[Any]:
        run = pipes.run(context=context, request=RunRequest("contract", project=str(bikes)))
        return run.get_materialize_result()

    client = OxiFlowPipesClient(message_reader=Deaf())
    result = dg.materialize([contract], resources={"pipes": client}, raise_on_error=False)
    assert not result.success
    assert "did not all reach Dagster" in failure_of(result).description


def test_each_pipeline_can_be_a_step_of_its_own(bikes: Path) -> None:
    resource = OxiFlowResource(project=str(bikes))

    def body(context: dg.AssetExecutionContext) -> Iterator[Any]:
        yield from resource.run(context=context).stream()

    made = build_oxiflow_assets(body, project=bikes, select="steady report", name="bikes")
    assert [one.op.name for one in made] == ["bikes__report", "bikes__steady"]
    result = dg.materialize(made)
    assert [event.step_key for event in result.get_asset_materialization_events()] == [
        "bikes__steady",
        "bikes__report",
        "bikes__report",
    ]


def test_an_asset_of_ones_own_runs_the_pipeline_that_is_named(bikes: Path) -> None:
    @dg.asset
    def mine(context: dg.AssetExecutionContext, oxiflow: OxiFlowResource) -> Iterator[Any]:
        yield from oxiflow.run(context=context, pipeline="contract").stream()

    result = materialize(bikes, [mine])
    (event,) = result.get_asset_materialization_events()
    assert event.materialization.metadata["dagster/row_count"].value == 3
