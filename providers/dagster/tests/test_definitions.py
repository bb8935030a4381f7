"""What Dagster is told when the definitions are loaded, and that nothing is started for it."""

# Dagster reads the annotations of assets while it runs.
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster_oxiflow import (
    OxiFlowResource,
    OxiFlowTranslator,
    Pipeline,
    build_oxiflow_assets,
    load_manifest,
    oxiflow_assets,
)
from dagster_oxiflow.manifest import Output
from dagster_oxiflow.translator import Dep

from .bikes import MONTHS, add_pipelines, write_manifest
from .inprocess import assets_of, manifest_of, materialize, output


def of_manifest(document: dict[str, Any], **options: Any) -> dg.AssetsDefinition:
    @oxiflow_assets(manifest=document, **options)
    def some(context: dg.AssetExecutionContext) -> Iterator[Any]:
        yield from ()

    return some


def test_an_output_is_an_asset_with_all_that_the_pipeline_says(bikes: Path) -> None:
    some = assets_of(bikes)
    specs = {spec.key.to_user_string(): spec for spec in some.specs}
    assert set(specs) == {"steady", "long", "report/far", "report/all", "contract", "daily"}
    steady = specs["steady"]
    assert steady.description == "Rides beyond three kilometres"
    assert steady.group_name == "rides"
    assert list(steady.owners) == ["rides@example.com"]
    assert steady.kinds == {"oxiflow", "json"}
    assert steady.tags["nightly"] == ""
    assert steady.tags["by_pace"] == ""
    assert steady.code_version
    assert steady.metadata["oxiflow/file"].value == "pipelines/steady.yaml"
    assert specs["contract"].group_name == "bikes"
    for name in ("report/far", "report/all"):
        assert [dep.asset_key.to_user_string() for dep in specs[name].deps] == ["steady"]
    far = specs["report/far"].metadata["dagster/column_schema"]
    assert [column.name for column in far.columns] == ["ride", "km"]
    assert {(spec.asset_key.to_user_string(), spec.name) for spec in some.check_specs} == {
        ("contract", "validate"),
        ("contract", "strict"),
        ("contract", "dead_letters"),
        ("contract", "max_errors"),
    }


def test_a_translator_says_it_otherwise(bikes: Path) -> None:
    class Mine(OxiFlowTranslator):
        def get_asset_key(self, pipeline: Pipeline, output: Output) -> dg.AssetKey:
            return super().get_asset_key(pipeline, output).with_prefix("bikes")

        def get_dead_letter_threshold(self, pipeline: Pipeline, output: Output) -> int:
            return 5

    some = assets_of(bikes, select="steady report", translator=Mine())
    specs = {spec.key.to_user_string(): spec for spec in some.specs}
    assert set(specs) == {"bikes/steady", "bikes/report/far", "bikes/report/all"}
    assert [dep.asset_key.to_user_string() for dep in specs["bikes/report/all"].deps] == ["bikes/steady"]


@pytest.mark.parametrize(
    ("select", "exclude", "names"),
    [
        (None, "daily contract", {"steady", "long", "report"}),
        ("tag:nightly", None, {"steady", "long", "report"}),
        (["tag:nightly"], ["category:reports"], {"steady", "long"}),
        ("file:pipelines/*o*.yaml", None, {"long", "report", "contract"}),
        ("s* l?ng", None, {"steady", "long"}),
    ],
)
def test_pipelines_are_selected_by_name_tag_category_and_file(
    bikes: Path, select: Any, exclude: Any, names: Any
) -> None:
    some = assets_of(bikes, select=select, exclude=exclude)
    assert {key.path[0] for key in some.keys} == names


@pytest.mark.parametrize(
    ("glob", "path", "reads"),
    [
        ("out/*.json", "out/rides.json", True),
        ("out/*.json", "out/bikes/rides.json", False),
        ("out/**/*.json", "out/bikes/rides.json", True),
        ("out/**/*.json", "out/rides.json", True),
        ("out/rides-?.json", "out/rides-1.json", True),
        ("out/{rides,trips}.json", "out/trips.json", True),
        ("out/{rides,trips}.json", "out/tours.json", False),
        ("out/[ab].json", "out/a.json", True),
        ("out/a+b.json", "out/aab.json", False),
        ("out/*-${day}.json", "out/rides-${day}.json", True),
        ("out/rides-*.json", "out/rides-${day}.json", True),
        ("out/[.json", "out/[.json", True),
        ("out/a,b-*.json", "out/a,b-c.json", True),
        # Parts of an output, where several workers make it.
        ("out/rides-*-of-*.json", "out/rides.json", True),
        ("out/rides-*-of-*.json.gz", "out/rides.json.gz", True),
        ("out/rides-00002-of-00008.json", "out/rides.json", True),
        ("out/trips-*-of-*.json", "out/rides.json", False),
        ("out/trips-00002-of-00008.json", "out/rides.json", False),
    ],
)
def test_what_a_pipeline_writes_and_another_reads_makes_it_depend(glob: str, path: str, reads: bool) -> None:
    some = of_manifest(manifest_of({"name": "one", "writes": path}, {"name": "two", "reads": [glob]}))
    (two,) = [spec for spec in some.specs if spec.key.path == ["two"]]
    assert [dep.asset_key.path for dep in two.deps] == ([["one"]] if reads else [])


def open_pipeline(name: str, reads: str, writes: str, **parameters: str) -> dict[str, Any]:
    """As the manifest has one of these paths: those parameters that have a default stand for it."""

    def run(path: str) -> str:
        for parameter, default in parameters.items():
            path = path.replace(f"${{{parameter}}}", default) if default else path
        return path

    declared = [
        {"name": parameter, "type": "string", "required": not default, "default": default or None}
        for parameter, default in parameters.items()
    ]
    document: dict[str, Any]
    (document,) = manifest_of({"name": name, "parameters": declared})["pipelines"]
    document["inputs"][0] |= {"paths": ["in/all", run(reads)], "templates": ["in/all", reads]}
    document["outputs"][0] |= {"path": run(writes), "template": writes}
    return document


DAYS = dg.DailyPartitionsDefinition("2026-01-01")
BY_REGION = dg.MultiPartitionsDefinition({"day": DAYS, "region": dg.StaticPartitionsDefinition(["north", "south"])})


@pytest.mark.parametrize(
    ("writes", "made", "reads", "read", "options", "depends"),
    [
        # The same place of the partition, whatever the defaults are, and whether there are any.
        ("${partition}", {"partition": ""}, "${partition}", {"partition": "today"}, {}, True),
        ("${partition}", {"partition": "today"}, "${partition}", {"partition": "tomorrow"}, {}, True),
        ("${partition}", {"partition": ""}, "${partition_start}", {"partition_start": "today"}, {}, True),
        ("${partition}", {"partition": ""}, "${partition_end}", {"partition_end": "today"}, {}, False),
        ("${partition}", {"partition": "today"}, "*", {}, {}, True),
        ("${day}", {"day": "today"}, "${partition}", {"partition": ""}, {"partition_params": {"day": "key"}}, True),
        ("${day}", {"day": "today"}, "${partition}", {"partition": ""}, {}, False),
        (
            "${region}/${day}",
            {"region": "west", "day": "today"},
            "${region}/${day}",
            {"region": "east", "day": "tomorrow"},
            {"partitions_def": BY_REGION},
            True,
        ),
        # By the defaults, where a parameter is nothing of a partition.
        ("${to}", {"to": "today"}, "${of}", {"of": "today"}, {}, True),
        (
            "${to}/${partition}",
            {"to": "a", "partition": ""},
            "${of}/${partition}",
            {"of": "a", "partition": "x"},
            {},
            True,
        ),
        (
            "${to}/${partition}",
            {"to": "a", "partition": ""},
            "${of}/${partition}",
            {"of": "b", "partition": "x"},
            {},
            False,
        ),
        ("${folder}", {"folder": "a"}, "${folder}", {"folder": "b"}, {}, False),
        # What has to be given is the same by its name.
        ("${day}", {"day": ""}, "${day}", {"day": ""}, {}, True),
        ("${day}", {"day": ""}, "${file}", {"file": ""}, {}, False),
    ],
)
def test_paths_with_parameters_are_compared_as_they_are_for_one_partition(
    writes: str, made: Any, reads: str, read: Any, options: Any, depends: bool
) -> None:
    document = manifest_of()
    document["pipelines"] = [
        open_pipeline("atlas", f"place/{reads}/trips.ndjson", "place/atlas.ndjson", **read),
        open_pipeline("trips", "in/trips.ndjson", f"place/{writes}/trips.ndjson", **made),
    ]
    specs = {spec.key.path[0]: spec for spec in of_manifest(document, **options).specs}
    assert [dep.asset_key.path for dep in specs["atlas"].deps] == ([["trips"]] if depends else [])


def test_dimensions_that_a_translator_says_are_of_the_partition_too() -> None:
    class Mine(OxiFlowTranslator):
        def get_asset_spec(self, *arguments: Any) -> dg.AssetSpec:
            return super().get_asset_spec(*arguments).replace_attributes(partitions_def=BY_REGION)

    document = manifest_of()
    document["pipelines"] = [
        open_pipeline("atlas", "place/${region}", "place/atlas", region="east"),
        open_pipeline("trips", "in/trips", "place/${region}", region="west"),
    ]
    specs = {spec.key.path[0]: spec for spec in of_manifest(document, translator=Mine()).specs}
    assert [dep.asset_key.path for dep in specs["atlas"].deps] == [["trips"]]


def test_what_depends_on_a_partition_comes_behind_it_in_the_same_step(bikes: Path) -> None:
    daily = (bikes / "pipelines/daily.yaml").read_text()
    behind = daily.replace("in/daily/", "out/daily/").replace(
        'write_file\n    config: { path: "out/daily/', 'write_file\n    config: { path: "out/monthly/'
    )
    add_pipelines(
        bikes,
        behind=behind.replace(', default: "2026-01-01"', ""),
        after=behind.replace("2026-01", "2020-01").replace("monthly", "other"),
    )
    some = assets_of(bikes, select="daily behind after", partitions_def=dg.StaticPartitionsDefinition(MONTHS))
    deps = {spec.key.path[0]: [dep.asset_key.path[0] for dep in spec.deps] for spec in some.specs}
    assert deps == {"daily": [], "behind": ["daily"], "after": ["daily"]}
    result = materialize(bikes, some, partition_key=MONTHS[4])
    assert result.success
    rows = [
        one.materialization.metadata["dagster/row_count"].value for one in result.get_asset_materialization_events()
    ]
    assert rows == [5, 5, 5]


@pytest.mark.parametrize(
    ("document", "options", "words"),
    [
        (manifest_of({"name": "one"}), {"select": "two"}, 'no pipeline answers to "two"'),
        (manifest_of({"name": "one"}), {"exclude": "one"}, "no pipeline is selected"),
        (
            manifest_of({"name": "one", "reads": ["out/two"]}, {"name": "two", "reads": ["out/one"]}),
            {},
            "read one another's output",
        ),
        ({"manifest_version": 2}, {}, "manifest_version is not 1"),
        ({"pipelines": []}, {}, "manifest_version is missing"),
        (
            manifest_of({"name": "one"}),
            {"partitions_def": dg.StaticPartitionsDefinition(MONTHS)},
            "the same for every partition",
        ),
        (
            manifest_of({"name": "one", "parameters": [{"name": "day", "type": "date", "required": True}]}),
            {"partitions_def": dg.StaticPartitionsDefinition(MONTHS), "partition_params": {"day": "start"}},
            "no windows of time",
        ),
        (
            manifest_of({"name": "one", "parameters": [{"name": "partition_end", "type": "date", "required": True}]}),
            {"partitions_def": dg.StaticPartitionsDefinition(MONTHS)},
            "no windows of time",
        ),
        (
            manifest_of({"name": "one", "parameters": [{"name": "day", "type": "date", "required": True}]}),
            {"partitions_def": dg.StaticPartitionsDefinition(MONTHS), "partition_params": {"day": "year"}},
            '"year" is none of key, first',
        ),
        (manifest_of({"name": "one"}), {"partition_shards": True}, "needs partitions_def"),
        (
            manifest_of({"name": "one"}),
            {"partition_shards": True, "partitions_def": dg.DailyPartitionsDefinition("2026-01-01")},
            "counted before it begins",
        ),
        (
            manifest_of({"name": "one"}),
            {"partition_shards": True, "partitions_def": dg.DynamicPartitionsDefinition(name="days")},
            "counted before it begins",
        ),
        (
            manifest_of({"name": "one", "parameters": [{"name": "day", "type": "date", "required": True}]}),
            {
                "partitions_def": dg.StaticPartitionsDefinition(MONTHS),
                "partition_params": {"day": "key", "dya": "key"},
            },
            "no pipeline has a parameter dya",
        ),
    ],
)
def test_what_is_wrong_is_told_when_the_definitions_are_loaded(document: Any, options: Any, words: str) -> None:
    with pytest.raises(dg.DagsterInvalidDefinitionError, match=words):
        of_manifest(document, **options)


CIRCLE = manifest_of(
    {"name": "one", "reads": ["out/two"]},
    {"name": "two", "reads": ["out/one"]},
    {"name": "three", "reads": ["out/one"]},
)


def test_a_circle_among_pipelines_that_nobody_has_selected_is_none() -> None:
    one = {spec.key.path[0]: spec for spec in of_manifest(CIRCLE, select="one three").specs}
    assert [dep.asset_key.path for dep in one["one"].deps] == [["two"]]
    with pytest.raises(dg.DagsterInvalidDefinitionError, match="read one another's output: "):
        build_oxiflow_assets(body, manifest=CIRCLE)


def test_a_translator_says_what_an_asset_depends_on_and_that_is_the_order() -> None:
    class Mine(OxiFlowTranslator):
        def get_deps(self, pipeline: Pipeline, upstream: Sequence[tuple[Pipeline, Output]]) -> Sequence[Dep]:
            if pipeline.name == "two":
                return []
            weekly = dg.AssetDep("trips", partition_mapping=dg.LastPartitionMapping())
            return [weekly, *super().get_deps(pipeline, upstream)]

    some = of_manifest(CIRCLE, translator=Mine())
    deps = {spec.key.path[0]: [dep.asset_key.path[0] for dep in spec.deps] for spec in some.specs}
    assert deps == {"two": [], "one": ["trips", "two"], "three": ["trips", "one"]}
    assert [spec.key.path[0] for spec in some.specs] == ["two", "one", "three"]


def test_a_manifest_that_is_missing_or_broken_is_told_with_the_command_that_writes_it(bikes: Path) -> None:
    file = bikes / "oxiflow-manifest.json"
    command = f"oxiflow pipeline manifest --project {bikes} -o {file}"
    file.write_text("{")
    with pytest.raises(dg.DagsterInvalidDefinitionError, match=r"is no JSON.*oxiflow pipeline manifest"):
        load_manifest(None, bikes)
    file.unlink()
    with pytest.raises(dg.DagsterInvalidDefinitionError) as caught:
        load_manifest(None, bikes)
    assert command in str(caught.value)
    write_manifest(bikes)
    assert load_manifest(None, bikes).project.name == "bikes"


def test_loading_definitions_starts_no_process(bikes: Path) -> None:
    program = f"""
import sys
import dagster as dg
started = []
def heard(event, arguments):
    if event in ("subprocess.Popen", "os.posix_spawn", "os.fork", "os.exec", "os.system", "os.forkpty", "os.spawn"):
        started.append((event, arguments))
sys.addaudithook(heard)
from dagster_oxiflow import OxiFlowResource, oxiflow_assets
@oxiflow_assets(project={str(bikes)!r})
def some(context: dg.AssetExecutionContext, oxiflow: OxiFlowResource):
    yield from oxiflow.run(context=context).stream()
dg.Definitions(assets=[some], resources={{"oxiflow": OxiFlowResource(project={str(bikes)!r})}}).get_repository_def()
print(started)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_a_function_is_decorated_once(bikes: Path) -> None:
    def body(context: dg.AssetExecutionContext) -> Iterator[Any]:
        yield from ()

    oxiflow_assets(project=bikes, select="steady")(body)
    with pytest.raises(dg.DagsterInvalidDefinitionError, match="decorated already"):
        oxiflow_assets(project=bikes, select="daily")(body)


def test_the_checks_of_assets_that_nobody_makes_are_refused(bikes: Path) -> None:
    some = assets_of(bikes, select="contract")
    result = dg.materialize(
        [some],
        resources={"oxiflow": OxiFlowResource(project=str(bikes))},
        selection=dg.AssetSelection.checks(dg.AssetCheckKey(dg.AssetKey("contract"), "validate")),
        raise_on_error=False,
    )
    assert not result.success
    failed = next(one for one in result.all_events if one.event_type_value == "STEP_FAILURE")
    assert "materialize the asset" in str(failed.step_failure_data.user_failure_data)


def test_folders_of_a_pipeline_are_folders_of_its_key_and_any_name_of_a_file_will_do(bikes: Path) -> None:
    names = ["bikes/daily rides", "über weg", "import", "a.b-c", "5"]
    outputs = {"1", "type", "a b"}
    document = manifest_of(*({"name": name} for name in names), {"name": "two"})
    document["pipelines"][-1]["outputs"] = [{**output(f"out/{step}"), "step": step} for step in sorted(outputs)]
    some = of_manifest(document)
    assert {tuple(key.path) for key in some.keys} == {
        ("bikes", "daily_rides"),
        ("_ber_weg",),
        ("import_",),
        ("a.b-c",),
        ("5",),
        ("two", "1"),
        ("two", "type"),
        ("two", "a_b"),
    }
    steps = build_oxiflow_assets(body, manifest=document)
    assert [one.op.name for one in steps] == ["bikes_daily_rides", "_ber_weg", "import_", "a_b_c", "5", "two"]
    dg.Definitions(assets=steps).get_repository_def()
    dg.Definitions(assets=[some]).get_repository_def()


def body(context: dg.AssetExecutionContext) -> Iterator[Any]:
    yield from ()


@pytest.mark.parametrize("names", [("a b", "a_b"), ("a-b", "a_b"), ("a/b", "a__b")])
def test_names_that_dagster_can_not_tell_apart_are_refused(names: tuple[str, str]) -> None:
    with pytest.raises(
        dg.DagsterInvalidDefinitionError, match=f'can\'t tell an output or check of "{names[1]}" from .*"{names[0]}"'
    ):
        of_manifest(manifest_of(*({"name": name} for name in names)))


def test_a_check_that_is_called_like_the_asset_of_another_pipeline_is_refused() -> None:
    document = manifest_of({"name": "contract"}, {"name": "contract_strict"})
    document["pipelines"][0]["outputs"][0]["validations"] = [{"step": "strict", "on_error": "stop"}]
    with pytest.raises(
        dg.DagsterInvalidDefinitionError,
        match=r'an output or check of "contract_strict" from .*"contract": contract_strict',
    ):
        of_manifest(document)


def test_a_pipeline_with_mistakes_is_left_out_and_said_to_be(caplog: pytest.LogCaptureFixture) -> None:
    document = manifest_of({"name": "one"})
    document["errors"] = [{"pipeline": "two", "file": "pipelines/two.yaml", "messages": ["no steps"]}]
    assert len(list(of_manifest(document).specs)) == 1
    assert "pipelines/two.yaml is left out, it has mistakes: no steps" in caplog.text


def test_steps_of_the_same_name_are_refused() -> None:
    with pytest.raises(dg.DagsterInvalidDefinitionError, match='two steps would be "a_b": rename the pipeline "a_b"'):
        build_oxiflow_assets(body, manifest=manifest_of({"name": "a-b"}, {"name": "a_b"}))


def test_checks_of_steps_that_are_named_alike_are_told_apart() -> None:
    document = manifest_of({"name": "one", "dead_letters": {"path": "out/dead", "max_records": 5}})
    validations = [{"step": step, "on_error": "stop"} for step in ("dead_letters", "a-b", "a_b")]
    document["pipelines"][0]["outputs"][0]["validations"] = validations
    names = [check.name for check in of_manifest(document).check_specs]
    assert sorted(names) == ["a_b", "a_b_", "dead_letters", "dead_letters_"]


def test_another_plan_is_another_code_version(bikes: Path) -> None:
    def version() -> str | None:
        return next(iter(assets_of(bikes, select="contract").specs)).code_version

    before = version()
    contract = bikes / "pipelines/contract.yaml"
    contract.write_text(contract.read_text() + "metadata: { description: Rides }\n")
    write_manifest(bikes)
    assert version() == before
    contract.write_text(contract.read_text().replace("km: number", "km: int"))
    write_manifest(bikes)
    assert version() != before
