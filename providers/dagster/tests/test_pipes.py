"""
The runner as the external process of Dagster Pipes, by Dagster's own client: the cases of its public conformance suite
(dagster-pipes-tests, in dagster-io/community-integrations, on no registry). The suite drives a program that a library's author
writes around the library; the runner is no library, so its tests are told here of what the runner itself reports. Each test
is named after the case of the suite that it answers to:

| case of the suite | here |
|---|---|
| test_components: context by variable and by file, messages by file | both, and a context that is long |
| test_extras | any extras; those that are the runner's and those that are nobody's |
| test_error_reporting | a run that bad data stops, one that never begins |
| test_message_log: every level | INFO and WARNING of a run; each but CRITICAL in test/observe/pipes.test.ts |
| test_message_report_custom_message: any payload | events as payloads, unchanged |
| test_message_report_asset_materialization: key, data version, metadata | one part and several, run id, all of its types |
| test_message_report_asset_check: passed, severity, key, metadata | as `extras.oxiflow_checks` asks: passed, WARN, ERROR |
| log_external_stream (off in the suite) | standard output reaches the log of the step by Dagster's client |

Left out: S3 and Databricks, which the runner does not speak, and values of types that it never reports (url, md, json, notebook,
asset, dagster_run, null).
"""

# Dagster reads the annotations of assets while it runs.
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster_oxiflow import OxiFlowPipesClient
from oxiflow.runner import runner_command

from oxiflow import RunRequest

from .bikes import rides

INJECTORS = [dg.PipesEnvContextInjector, dg.PipesTempFileContextInjector]
#: As a launcher may send any.
EXTRAS: list[Any] = [
    {},
    {"day": "2026-03-01", "count": 3, "share": 0.5, "none": None, "well": True},
    {"nested": {"list": [1, "two", {"three": [None]}]}, "Straße": "Hügel 🚲"},
    {"oxiflow_assets": "no map"},
    {"oxiflow_assets": {"write_file": 7}},
    {"long": "x" * 300_000},
]


class Kept(dg.PipesMessageReader):
    """Dagster's reader of a file, which it removes; the lines stay here."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._reader = dg.PipesFileMessageReader(str(path))
        self.messages: list[dict[str, Any]] = []

    def read_messages(self, handler: Any) -> Any:
        hand_on = handler.handle_message

        def handle(message: Any) -> None:
            self.messages.append(message)
            hand_on(message)

        handler.handle_message = handle
        return self._reader.read_messages(handler)

    def no_messages_debug_text(self) -> str:
        return self._reader.no_messages_debug_text()


def run(
    bikes: Path,
    client: dg.PipesSubprocessClient,
    pipeline: str = "contract",
    extras: Any = None,
    more: tuple[str, ...] = ("-q",),
    key: Any = "my_asset",
    checks: tuple[str, ...] = (),
    instance: dg.DagsterInstance | None = None,
) -> tuple[dg.ExecuteInProcessResult, list[Any]]:
    heard: list[Any] = []
    command = [*runner_command(), "run", f"--project={bikes}", *more, pipeline]

    @dg.asset(key=key, check_specs=[dg.AssetCheckSpec(check, asset=key) for check in checks])
    def my_asset(context: dg.AssetExecutionContext, pipes: dg.PipesSubprocessClient) -> Iterator[Any]:
        invocation = pipes.run(context=context, command=command, extras=extras)
        heard.extend(invocation.get_custom_messages())
        yield from invocation.get_results(implicit_materializations=False)

    result = dg.materialize([my_asset], resources={"pipes": client}, raise_on_error=False, instance=instance)
    return result, heard


def complaints(capfd: pytest.CaptureFixture[str]) -> list[str]:
    said = capfd.readouterr().err.splitlines()
    return [line for line in said if "[pipes] did not receive" in line or "unexpected message" in line]


@pytest.mark.parametrize("injector", INJECTORS)
@pytest.mark.parametrize("reader", ["temporary", "file"])
def test_components(bikes: Path, tmp_path: Path, injector: Any, reader: str, capfd: pytest.CaptureFixture[str]) -> None:
    temporary = reader == "temporary"
    spoken = dg.PipesTempFileMessageReader() if temporary else dg.PipesFileMessageReader(str(tmp_path / "messages"))
    client = dg.PipesSubprocessClient(context_injector=injector(), message_reader=spoken)
    result, heard = run(bikes, client)
    assert result.success
    assert {message["type"] for message in heard} >= {"run.started", "step.finished", "checkpoint", "run.finished"}
    assert complaints(capfd) == []


@pytest.mark.parametrize("extras", EXTRAS)
def test_extras(bikes: Path, extras: Any, capfd: pytest.CaptureFixture[str]) -> None:
    # Those that are long do not fit into a variable of the environment.
    result, _ = run(bikes, dg.PipesSubprocessClient(), extras=extras)
    assert result.success
    assert complaints(capfd) == []


def test_error_reporting(bikes: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (bikes / "in/contract.ndjson").write_text('{"ride":1,"km":2,"to":7}\n')
    reader = Kept(tmp_path / "messages")
    result, _ = run(bikes, dg.PipesSubprocessClient(message_reader=reader))
    assert not result.success
    last = reader.messages[-1]
    assert last["method"] == "closed"
    assert last["params"]["exception"]["name"] == "RECORD_INVALID"
    assert 'step "strict": "to" must be a text' in last["params"]["exception"]["message"]
    assert last["params"]["exception"]["stack"] == []
    assert complaints(capfd) == []


def test_a_run_that_never_begins_is_closed_with_its_reason_too(bikes: Path, tmp_path: Path) -> None:
    (bikes / "in/contract.ndjson").unlink()
    reader = Kept(tmp_path / "messages")
    result, _ = run(bikes, dg.PipesSubprocessClient(message_reader=reader))
    assert not result.success
    assert reader.messages[0]["method"] == "opened"
    assert "in/contract.ndjson" in reader.messages[-1]["params"]["exception"]["message"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("pipeline: [", "pipelines/contract.yaml:1"),
        ("pipeline: [{ name: reed_file }]", 'unknown oxi "reed_file"'),
        ("parameters: { day: { type: date } }\npipeline: [{ name: read_stdin }]", 'parameter "day"'),
    ],
)
def test_a_pipeline_that_can_not_be_loaded_says_why(
    bikes: Path, text: str, words: str, capfd: pytest.CaptureFixture[str]
) -> None:
    (bikes / "pipelines/contract.yaml").write_text(text)
    instance = dg.DagsterInstance.ephemeral()
    # Not what the runner says on standard error, which Dagster's client hands on.
    result, _ = run(bikes, dg.PipesSubprocessClient(forward_stdio=False), instance=instance)
    assert not result.success
    events = [one.dagster_event for one in instance.all_logs(result.run_id) if one.dagster_event is not None]
    (closed,) = [one for one in events if "closed with exception" in (one.message or "")]
    assert words in closed.engine_event_data.error.message  # type: ignore[union-attr]
    said = capfd.readouterr().err.splitlines()
    assert any("ERROR" in line and words in line for line in said)
    assert not [line for line in said if "[pipes] did not receive" in line]


def test_message_log(bikes: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (bikes / "in/contract.ndjson").write_text('{"ride":1,"km":"far"}\n{"ride":1,"km":2}\n')
    result, _ = run(bikes, dg.PipesSubprocessClient())
    assert result.success
    said = capfd.readouterr().err.splitlines()
    assert any("WARNING" in line and '"km" must be a number' in line for line in said)
    assert any("INFO" in line and "1 dead letter" in line for line in said)


def test_log_external_stream(bikes: Path, capfd: pytest.CaptureFixture[str]) -> None:
    contract = (bikes / "pipelines/contract.yaml").read_text()
    words = contract.partition("  - name: write_file")[0] + "  - name: write_stdout\n"
    (bikes / "pipelines/contract.yaml").write_text(words)
    result, _ = run(bikes, dg.PipesSubprocessClient())
    assert result.success
    assert rides(3) in capfd.readouterr().out


def test_message_report_custom_message(bikes: Path) -> None:
    result, heard = run(bikes, dg.PipesSubprocessClient())
    assert result.success
    assert heard[-1]["type"] == "run.finished"
    assert heard[-1]["counters"]["total"]["out"] == 3
    assert json.loads(json.dumps(heard)) == heard


@pytest.mark.parametrize("key", ["my_asset", ["depot", "my_asset"]])
def test_message_report_asset_materialization(bikes: Path, key: Any, capfd: pytest.CaptureFixture[str]) -> None:
    result, heard = run(bikes, dg.PipesSubprocessClient(), key=key)
    assert result.success
    (event,) = result.get_asset_materialization_events()
    assert event.asset_key == dg.AssetKey(key)
    metadata = event.materialization.metadata
    total = heard[-1]["counters"]["total"]
    assert metadata["dagster/row_count"] == dg.MetadataValue.int(3)
    assert metadata["oxiflow/bytes"] == dg.MetadataValue.int(len(rides(3).encode()))
    assert metadata["oxiflow/records"] == dg.MetadataValue.int(total["added"])
    assert metadata["oxiflow/errors"] == metadata["oxiflow/dead_lettered"] == dg.MetadataValue.int(0)
    assert metadata["oxiflow/checkpoints"] == dg.MetadataValue.int(heard[-1]["checkpoint"])
    assert metadata["oxiflow/rate_records_per_s"] == dg.MetadataValue.float(
        total["added"] / (heard[-1]["durations"]["total_ms"] / 1000)
    )
    table: Any = metadata["oxiflow/oxis"]
    assert [(record.data["step"], record.data["out"]) for record in table.records] == [
        (step["step"], step["counters"]["out"]) for step in heard[-1]["counters"]["steps"]
    ]
    assert metadata["oxiflow/duration_seconds"] == dg.MetadataValue.float(heard[-1]["durations"]["total_ms"] / 1000)
    assert metadata["oxiflow/run_key"] == dg.MetadataValue.text("contract")
    assert metadata["oxiflow/output"] == dg.MetadataValue.path(heard[-1]["outputs"][0]["path"])
    assert event.materialization.tags is not None
    assert event.materialization.tags["dagster/data_version"] == heard[-1]["run_id"]
    assert complaints(capfd) == []


CHECKS = {"valid": "validate", "strict": "strict", "no_dead": "dead_letters"}


@pytest.mark.parametrize("key", ["my_asset", ["depot", "my_asset"]])
@pytest.mark.parametrize("far", [False, True])
def test_message_report_asset_check(bikes: Path, key: Any, far: bool, capfd: pytest.CaptureFixture[str]) -> None:
    if far:
        (bikes / "in/contract.ndjson").write_text('{"ride":1,"km":"far"}\n' + rides(2))
    extras = {"oxiflow_checks": {key if isinstance(key, str) else "/".join(key): CHECKS}}
    result, _ = run(bikes, dg.PipesSubprocessClient(), extras=extras, key=key, checks=tuple(CHECKS))
    assert result.success
    told = {one.check_name: one for one in result.get_asset_check_evaluations()}
    assert {one.asset_key for one in told.values()} == {dg.AssetKey(key)}
    assert {name: one.passed for name, one in told.items()} == {"valid": not far, "strict": True, "no_dead": not far}
    assert told["valid"].severity == dg.AssetCheckSeverity.WARN
    assert told["valid"].metadata["oxiflow/refused"] == dg.MetadataValue.int(int(far))
    assert told["valid"].metadata["oxiflow/checked"] == dg.MetadataValue.int(3)
    assert complaints(capfd) == []


def test_message_report_asset_check_of_a_run_that_it_stopped(bikes: Path) -> None:
    """By our client: Dagster's own tells nothing of a process that failed."""
    (bikes / "in/contract.ndjson").write_text('{"ride":1,"km":2,"to":7}\n')

    @dg.asset(check_specs=[dg.AssetCheckSpec("strict", asset="my_asset")])
    def my_asset(context: dg.AssetExecutionContext, pipes: OxiFlowPipesClient) -> Iterator[Any]:
        extras = {"oxiflow_checks": {"my_asset": {"strict": "strict"}}}
        yield from pipes.stream(context=context, request=RunRequest("contract", project=str(bikes)), extras=extras)

    result = dg.materialize([my_asset], resources={"pipes": OxiFlowPipesClient()}, raise_on_error=False)
    assert not result.success
    (told,) = result.get_asset_check_evaluations()
    assert (told.passed, told.severity) == (False, dg.AssetCheckSeverity.ERROR)
    assert 'step "strict": "to" must be a text' in str(told.metadata["oxiflow/reason"].value)


def test_outputs_are_assets_of_their_own(bikes: Path) -> None:
    """`extras.oxiflow_assets` says which is which."""
    (bikes / "out").mkdir(exist_ok=True)
    (bikes / "out/steady.ndjson").write_text('{"ride":1,"km":7.5}\n{"ride":2,"km":1.5}\n')
    command = [*runner_command(), "run", "-q", f"--project={bikes}", "report"]

    @dg.multi_asset(specs=[dg.AssetSpec("all_rides"), dg.AssetSpec("far_rides")])
    def both(context: dg.AssetExecutionContext, pipes: dg.PipesSubprocessClient):  # type: ignore[no-untyped-def]
        extras = {"oxiflow_assets": {"all": "all_rides", "far": "far_rides"}}
        return pipes.run(context=context, command=command, extras=extras).get_results()

    result = dg.materialize([both], resources={"pipes": dg.PipesSubprocessClient()})
    shown = {event.asset_key: event.materialization.metadata for event in result.get_asset_materialization_events()}
    schema: Any = shown[dg.AssetKey("far_rides")]["dagster/column_schema"].value
    assert [column.name for column in schema.columns] == ["ride", "km"]
    rows = {key: metadata["dagster/row_count"].value for key, metadata in shown.items()}
    assert rows == {dg.AssetKey("all_rides"): 2, dg.AssetKey("far_rides"): 1}
