"""Partitions: what a run of the pipeline is told of them, and that each has a checkpoint of its own."""

# Dagster reads the annotations of assets while it runs.
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster_oxiflow import OxiFlowPipesClient, OxiFlowResource, OxiFlowTranslator, load_manifest, oxiflow_assets
from dagster_oxiflow.partitions import mapping_for, parts_of

from oxiflow import RunRequest

from .bikes import CONTRACT, MONTHS, PACED_BY_MONTH, STEADY, WHOLE, add_pipelines, far_rides, rides
from .inprocess import (
    assets_of,
    failure_of,
    kill_runner,
    manifest_of,
    materialize,
    observations,
    records_of,
    values,
)

RANGE = ("dagster/asset_partition_range_start", "dagster/asset_partition_range_end")


def test_time_windows_become_parameters_and_a_range_is_one_run() -> None:
    day = {"type": "date", "required": True}
    document = manifest_of(
        {"name": "one", "parameters": [{"name": "from_day", **day}, {"name": "till", **day, "type": "timestamp"}]}
    )
    (pipeline,) = load_manifest(document).pipelines
    days = dg.DailyPartitionsDefinition("2026-01-01", end_date="2026-02-01")
    mapping = mapping_for(pipeline, days, {"from_day": "start", "till": "end"})
    (part,) = parts_of(pipeline, days, ["2026-01-01", "2026-01-02", "2026-01-03"], mapping)
    assert part.params == {"from_day": "2026-01-01", "till": "2026-01-04T00:00:00Z"}
    assert part.name == "2026-01-01...2026-01-03"


def test_dimensions_of_a_partition_are_parameters_of_the_same_name() -> None:
    text = {"type": "string", "required": True}
    document = manifest_of({"name": "one", "parameters": [{"name": "city", **text}, {"name": "day", **text}]})
    (pipeline,) = load_manifest(document).pipelines
    both = dg.MultiPartitionsDefinition(
        {"city": dg.StaticPartitionsDefinition(["Ulm", "Bonn"]), "day": dg.StaticPartitionsDefinition(MONTHS)}
    )
    mapping = mapping_for(pipeline, both, None)
    key = dg.MultiPartitionKey({"city": "Ulm", "day": MONTHS[1]})
    (part,) = parts_of(pipeline, both, [key], mapping)
    assert part.params == {"city": "Ulm", "day": MONTHS[1]}


@pytest.mark.parametrize(
    ("path", "key", "is_refused"),
    [
        ("out/${partition}.json", "../../elsewhere", True),
        ("out/${partition}.json", "eu/../../x", True),
        ("out/${partition}/a.json", "..", True),
        ("${partition}.json", "../x", True),
        ("${partition}.json", "/etc/x", True),
        ("${OUT}/a/${partition}.json", "../x", True),
        ("/data/${partition}.json", "../x", True),
        ("out/${partition}.json", "/etc/x", False),
        ("out/${partition}.json", "eu/west", False),
        ("out/${partition}.json", "eu/../us", False),
        ("out/${partition}.json", "..", False),
        ("out/${partition}.json", 'it\'s "Ulm",\n100 % 🚲', False),
        ("/data/${partition}.json", "x", False),
        ("out/${other}.json", "../x", False),
        # The key is the path.
        ("${partition}", "../x", False),
    ],
)
def test_a_key_leads_no_path_out_of_its_folder(path: str, key: str, is_refused: bool) -> None:
    parameter = {"name": "partition", "type": "string", "required": True}
    keys = dg.DynamicPartitionsDefinition(name="places")
    for about in ({"writes": path}, {"reads": [path]}):
        (pipeline,) = load_manifest(manifest_of({"name": "one", "parameters": [parameter], **about})).pipelines
        if is_refused:
            with pytest.raises(dg.DagsterInvalidDefinitionError, match="out of its folder"):
                parts_of(pipeline, keys, [key], {"partition": "key"})
        else:
            (part,) = parts_of(pipeline, keys, [key], {"partition": "key"})
            assert part.params == {"partition": key}


@pytest.mark.parametrize("key", ['it\'s "Ulm"', "Zürich 🚲", "a,b:c%2Fd", "${params.x} $HOME", "eu/west", " ", "-x"])
def test_any_key_is_a_partition_with_a_file_and_a_run_of_its_own(bikes: Path, key: str) -> None:
    add_pipelines(
        bikes,
        daily=(bikes / "pipelines/daily.yaml")
        .read_text()
        .replace("in/daily/${partition}", "in/contract")
        .replace("type: date", "type: string"),
    )
    some = assets_of(bikes, select="daily", partitions_def=dg.DynamicPartitionsDefinition(name="places"))
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions("places", [key, "../../elsewhere"])
        result = materialize(bikes, some, instance, partition_key=key)
        assert result.success
        (event,) = result.get_asset_materialization_events()
        assert event.materialization.partition == key
        assert (bikes / f"out/daily/{key}.ndjson").read_text() == rides(3)
        elsewhere = materialize(bikes, some, instance, partition_key="../../elsewhere")
        assert "out of its folder" in failure_of(elsewhere).description
        assert not (bikes / "elsewhere.ndjson").exists()


def test_a_partition_is_a_parameter_and_a_run_of_its_own(bikes: Path) -> None:
    months = dg.StaticPartitionsDefinition(MONTHS)
    daily = assets_of(bikes, select="daily", partitions_def=months)
    with dg.DagsterInstance.ephemeral() as instance:
        result = materialize(bikes, daily, instance, partition_key=MONTHS[2])
    (event,) = result.get_asset_materialization_events()
    shown = values(event.materialization.metadata)
    assert event.materialization.partition == MONTHS[2]
    assert shown["dagster/row_count"] == shown["dagster/partition_row_count"] == 3
    assert shown["oxiflow/run_key"] == f"dagster/{result.run_id}/daily:{MONTHS[2]}"
    assert (bikes / f"out/daily/{MONTHS[2]}.ndjson").read_text() == rides(3)


def test_a_range_of_partitions_in_one_run_of_dagster_is_a_run_for_each(bikes: Path) -> None:
    months = dg.StaticPartitionsDefinition(MONTHS)
    daily = assets_of(bikes, select="daily", partitions_def=months, backfill_policy=dg.BackfillPolicy.single_run())
    tags = {"dagster/asset_partition_range_start": MONTHS[0], "dagster/asset_partition_range_end": MONTHS[3]}
    result = materialize(bikes, daily, tags=tags)
    assert result.success
    for i, month in enumerate(MONTHS[:4], 1):
        assert (bikes / f"out/daily/{month}.ndjson").read_text() == rides(i)
    events = result.get_asset_materialization_events()
    assert sorted(str(event.materialization.partition) for event in events) == MONTHS[:4]
    rows = [row.data for row in records_of(events[0], "oxiflow/runs")]
    assert [(row["partition"], row["rows"]) for row in rows] == [(month, i) for i, month in enumerate(MONTHS[:4], 1)]
    assert len({row["run_key"] for row in rows}) == 4
    # And each of them has its own figures, and its own file.
    shown = {event.materialization.partition: values(event.materialization.metadata) for event in events}
    assert [shown[month]["dagster/partition_row_count"] for month in MONTHS[:4]] == [1, 2, 3, 4]
    assert [shown[month]["dagster/row_count"] for month in MONTHS[:4]] == [1, 2, 3, 4]
    assert [Path(shown[month]["oxiflow/output"]).stem for month in MONTHS[:4]] == MONTHS[:4]


def test_of_a_range_that_fails_the_partitions_that_were_done_are_there(bikes: Path) -> None:
    months = dg.StaticPartitionsDefinition(MONTHS)
    daily = assets_of(bikes, select="daily", partitions_def=months, backfill_policy=dg.BackfillPolicy.single_run())
    (bikes / f"in/daily/{MONTHS[2]}.ndjson").write_text("{")
    result = materialize(bikes, daily, tags={RANGE[0]: MONTHS[0], RANGE[1]: MONTHS[3]})
    assert not result.success
    shown = {one.materialization.partition: one.materialization for one in result.get_asset_materialization_events()}
    assert sorted(map(str, shown)) == MONTHS[:2]
    assert [values(shown[month].metadata)["dagster/partition_row_count"] for month in MONTHS[:2]] == [1, 2]


def test_the_chunks_of_a_backfill_of_an_asset_of_ones_own_are_runs_of_their_own(bikes: Path) -> None:
    keys: list[str] = []

    @dg.asset(
        partitions_def=dg.StaticPartitionsDefinition(MONTHS), backfill_policy=dg.BackfillPolicy.multi_run(2), key="one"
    )
    def one(context: dg.AssetExecutionContext, oxiflow: OxiFlowResource) -> Iterator[Any]:
        yield from oxiflow.run(context=context, pipeline="steady").stream()

    instance = dg.DagsterInstance.ephemeral()
    for first, last in ((0, 1), (2, 3)):
        tags = {RANGE[0]: MONTHS[first], RANGE[1]: MONTHS[last], "dagster/backfill": "all"}
        result = materialize(bikes, [one], instance=instance, tags=tags)
        assert result.success
        keys.append(values(result.get_asset_materialization_events()[0].materialization.metadata)["oxiflow/run_key"])
    assert keys == [f"dagster/all/one:{MONTHS[a]}...{MONTHS[a + 1]}" for a in (0, 2)]


def test_the_pipes_client_is_for_the_whole_range(bikes: Path) -> None:
    @dg.asset(
        partitions_def=dg.StaticPartitionsDefinition(MONTHS), backfill_policy=dg.BackfillPolicy.single_run(), key="one"
    )
    def one(context: dg.AssetExecutionContext, pipes: OxiFlowPipesClient) -> Iterator[Any]:
        yield from pipes.stream(context=context, request=RunRequest("contract", project=str(bikes)))

    keys = []
    for first, last in ((0, 1), (2, 3)):
        tags = {RANGE[0]: MONTHS[first], RANGE[1]: MONTHS[last], "dagster/backfill": "all"}
        result = dg.materialize([one], resources={"pipes": OxiFlowPipesClient(observe_seconds=0)}, tags=tags)
        keys.append(values(result.get_asset_materialization_events()[0].materialization.metadata)["oxiflow/run_key"])
    assert keys == [f"dagster/all/one:{MONTHS[a]}...{MONTHS[a + 1]}" for a in (0, 2)]


def test_keys_that_are_written_alike_are_runs_of_their_own(bikes: Path) -> None:
    def run_key(path: list[str], *partitions: str) -> str:
        static = dg.StaticPartitionsDefinition(list(partitions)) if partitions else None

        @dg.asset(key=path, partitions_def=static, backfill_policy=dg.BackfillPolicy.single_run())
        def one(context: dg.AssetExecutionContext, oxiflow: OxiFlowResource) -> Iterator[Any]:
            yield from oxiflow.run(context=context, pipeline="contract").stream()

        tags = {"dagster/backfill": "all"}
        if partitions:
            tags |= {RANGE[0]: partitions[0], RANGE[1]: partitions[-1]}
        result = materialize(bikes, [one], tags=tags)
        assert result.success
        return str(values(result.get_asset_materialization_events()[0].materialization.metadata)["oxiflow/run_key"])

    assert run_key(["one"]) == "dagster/all/one"
    assert run_key(["one", "two"]) == "dagster/all/one/two"
    parts = {
        ("two",): "one:two",
        ("two/three",): "one:two%2Fthree",
        ("two:three",): "one:two%3Athree",
        ("a", "b"): "one:a...b",
    }
    assert {some: run_key(["one"], *some) for some in parts} == {
        some: f"dagster/all/{key}" for some, key in parts.items()
    }
    assert run_key(["one", "two"], "three") == "dagster/all/one/two:three"


def test_the_limit_of_dead_letters_is_that_of_each_partition(bikes: Path) -> None:
    contract = (
        """
parameters:
  partition: { type: date, default: "2026-01-01" }
"""
        + CONTRACT
    )
    add_pipelines(bikes, contract=contract.replace("in/contract.ndjson", '"in/daily/${partition}.ndjson"'))

    class Lenient(OxiFlowTranslator):
        def get_dead_letter_threshold(self, *about: Any) -> int:
            return 5

    some = assets_of(
        bikes,
        select="contract",
        translator=Lenient(),
        partitions_def=dg.StaticPartitionsDefinition(MONTHS),
        backfill_policy=dg.BackfillPolicy.single_run(),
    )
    result = materialize(bikes, some, tags=dict(zip(RANGE, MONTHS[:2], strict=True)))
    assert result.success
    checks = {one.check_name: values(one.metadata) for one in result.get_asset_check_evaluations()}
    assert checks["dead_letters"] == {"oxiflow/dead_lettered": 0, "oxiflow/limit": 5}
    assert checks["validate"]["oxiflow/checked"] == 3


def test_a_range_whose_ends_are_parameters_is_one_run_of_the_pipeline(bikes: Path) -> None:
    between = """
parameters:
  first: { type: date, default: "2026-01-01" }
  till: { type: date, default: "2026-01-02" }
pipeline:
  - name: read_file
    config: { path: "in/daily/*.ndjson" }
  - name: parse_json
  - name: write_file
    config: { path: "out/${first}-${till}.ndjson" }
"""
    add_pipelines(bikes, between=between)
    some = assets_of(
        bikes,
        select="between",
        partitions_def=dg.DailyPartitionsDefinition("2026-01-01", end_date="2026-02-01"),
        partition_params={"first": "start", "till": "end"},
        backfill_policy=dg.BackfillPolicy.single_run(),
    )
    result = materialize(bikes, some, tags=dict(zip(RANGE, ("2026-01-03", "2026-01-09"), strict=True)))
    assert result.success
    assert (bikes / "out/2026-01-03-2026-01-10.ndjson").exists()
    events = result.get_asset_materialization_events()
    assert [event.materialization.partition for event in events] == [f"2026-01-{day:02}" for day in range(3, 10)]
    shown = values(events[0].materialization.metadata)
    assert shown["oxiflow/run_key"] == f"dagster/{result.run_id}/between:2026-01-03...2026-01-09"
    # Of all of them together: nobody counts those of a day.
    assert shown["dagster/row_count"] == sum(range(1, 13))
    assert all("dagster/partition_row_count" not in event.materialization.metadata for event in events)


def test_a_partition_goes_on_from_its_own_checkpoint_and_the_ones_before_it_are_not_repeated(bikes: Path) -> None:
    add_pipelines(bikes, paced=PACED_BY_MONTH.format(rest="0.02"))
    killed: list[int] = []

    @oxiflow_assets(
        project=bikes,
        select="paced",
        partitions_def=dg.StaticPartitionsDefinition(MONTHS),
        backfill_policy=dg.BackfillPolicy.single_run(),
        retry_policy=dg.RetryPolicy(max_retries=1),
    )
    def paced(context: dg.AssetExecutionContext, oxiflow: OxiFlowResource) -> Iterator[Any]:
        for told in oxiflow.run(context=context).stream():
            if isinstance(told, dg.AssetObservation) and told.partition == MONTHS[1] and not killed:
                killed.append(values(told.metadata)["oxiflow/records"])
                kill_runner(bikes)
            yield told

    result = materialize(bikes, paced, observe_seconds=0, tags=dict(zip(RANGE, MONTHS[:2], strict=True)))
    assert result.success
    seen: dict[tuple[str, int], list[int]] = {}
    for one in observations(result):
        observation = one.asset_observation_data.asset_observation
        shown = values(observation.metadata)
        seen.setdefault((observation.partition, shown["oxiflow/attempt"]), []).append(shown["oxiflow/records"])
    # The first partition has run once, to its end; the second from its beginning, and then from where it was killed.
    assert set(seen) == {(MONTHS[0], 1), (MONTHS[1], 1), (MONTHS[1], 2)}
    assert seen[MONTHS[0], 1][-1] == STEADY
    assert seen[MONTHS[1], 1][0] < STEADY
    assert seen[MONTHS[1], 2][0] >= killed[0] > 0
    for month in MONTHS[:2]:
        assert (bikes / f"out/paced/{month}.ndjson").read_text() == far_rides(STEADY)


def test_two_runs_of_the_same_partition_at_once_leave_one_whole_output(bikes: Path) -> None:
    add_pipelines(bikes, paced=PACED_BY_MONTH.format(rest="0.01"))
    paced = assets_of(bikes, select="paced", partitions_def=dg.StaticPartitionsDefinition(MONTHS))
    done: list[dg.ExecuteInProcessResult] = []
    both = [
        threading.Thread(target=lambda: done.append(materialize(bikes, paced, partition_key=MONTHS[0])))
        for _ in range(2)
    ]
    for one in both:
        one.start()
    for one in both:
        one.join()
    assert [one.success for one in done] == [True, True]
    assert (bikes / f"out/paced/{MONTHS[0]}.ndjson").read_text() == far_rides(STEADY)
    assert [file.name for file in (bikes / "out/paced").iterdir()] == [f"{MONTHS[0]}.ndjson"]


@pytest.fixture
def sharded(bikes: Path) -> dg.AssetsDefinition:
    add_pipelines(bikes, whole=WHOLE, parts=WHOLE.replace(", merge: true", "").replace("whole", "parts"))
    three = dg.StaticPartitionsDefinition(["a", "b", "c"])
    return assets_of(bikes, select="whole parts", partitions_def=three, partition_shards=True)


def test_partitions_as_shards_are_one_run_that_the_last_one_ends(
    bikes: Path, sharded: dg.AssetsDefinition, capfd: pytest.CaptureFixture[str]
) -> None:
    everything = "".join(rides(i) for i in range(1, 13))
    shown: dict[str, list[dict[str, Any]]] = {"whole": [], "parts": []}
    for key in ("b", "a", "c"):
        assert not (bikes / "out/whole.ndjson").exists()
        capfd.readouterr()
        result = materialize(bikes, sharded, same_host=True, partition_key=key, tags={"dagster/backfill": "spring"})
        assert result.success
        is_told = '"whole": 1 of 3 shards done here; its output is there when all are' in capfd.readouterr().err
        assert is_told == (key != "c")
        for event in result.get_asset_materialization_events():
            assert event.materialization.partition == key
            shown[str(event.asset_key and event.asset_key.to_user_string())].append(
                values(event.materialization.metadata)
            )
    assert (bikes / "out/whole.ndjson").read_text() == everything
    for name, told in shown.items():
        assert {one["oxiflow/run_key"] for one in told} == {f"dagster/spring/{name}"}
        assert len({one["oxiflow/run_id"] for one in told}) == 1
    # Each tells of its part; what is merged is told by the one that ends last.
    rows = [one["dagster/partition_row_count"] for one in shown["parts"]]
    assert sum(rows) == everything.count("\n")
    assert min(rows) > 0
    assert [one.get("dagster/row_count") for one in shown["whole"]] == [None, None, sum(rows)]


def test_shards_of_a_state_that_is_this_hosts_alone_are_refused_where_nobody_says_that_they_are_all_here(
    bikes: Path, sharded: dg.AssetsDefinition
) -> None:
    result = materialize(bikes, sharded, partition_key="a")
    assert not result.success
    assert "add --same-host" in failure_of(result).description


def test_what_repeats_a_backfill_goes_on_with_its_runs(bikes: Path) -> None:
    daily = assets_of(bikes, select="daily", partitions_def=dg.StaticPartitionsDefinition(MONTHS))

    def key_of(**tags: str) -> str:
        named = {f"dagster/{name}": value for name, value in tags.items()}
        result = materialize(bikes, daily, partition_key=MONTHS[0], tags=named)
        (event,) = result.get_asset_materialization_events()
        return str(values(event.materialization.metadata)["oxiflow/run_key"])

    first = key_of(backfill="spring")
    assert first == f"dagster/spring/daily:{MONTHS[0]}"
    assert key_of(backfill="again", root_backfill_id="spring", parent_backfill_id="spring") == first


def test_partitions_that_a_translator_gives_are_parameters_too(bikes: Path) -> None:
    class Monthly(OxiFlowTranslator):
        def get_asset_spec(self, *about: Any) -> dg.AssetSpec:
            spec = super().get_asset_spec(*about)
            return spec.replace_attributes(partitions_def=dg.StaticPartitionsDefinition(MONTHS))

    daily = assets_of(bikes, select="daily", translator=Monthly())
    result = materialize(bikes, daily, partition_key=MONTHS[4])
    assert result.success
    assert (bikes / f"out/daily/{MONTHS[4]}.ndjson").read_text() == rides(5)
    with pytest.raises(dg.DagsterInvalidDefinitionError, match="the same for every partition"):
        assets_of(bikes, select="contract", translator=Monthly())
