"""What Dagster is told when the definitions are loaded, and that nothing is started for it."""

# Dagster reads the annotations of assets while it runs.
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster_oxiflow import OxiFlowResource, OxiFlowTranslator, Pipeline, load_manifest, oxiflow_assets
from dagster_oxiflow.manifest import Output

from .bikes import MONTHS, write_manifest


def assets_of(project: Path, **options: Any) -> dg.AssetsDefinition:
    @oxiflow_assets(project=project, **options)
    def some(context: dg.AssetExecutionContext, oxiflow: OxiFlowResource) -> Iterator[Any]:
        yield from oxiflow.run(context=context).stream()

    return some


def manifest_of(*pipelines: dict[str, Any]) -> dict[str, Any]:
    """A manifest of pipelines of which only this is said."""
    whole: dict[str, Any] = {
        "description": None,
        "author": None,
        "version": None,
        "category": None,
        "tags": [],
        "inputs": [],
        "dead_letters": None,
        "max_errors": None,
        "parameters": [],
        "resumable": True,
        "plan_hash": "0",
    }
    project = {"name": "bikes", "version": None, "description": None}
    entries = [
        {
            **whole,
            "file": f"pipelines/{one['name']}.yaml",
            **one,
            "outputs": [output(one.get("writes", f"out/{one['name']}"))],
            "inputs": [
                {"step": "read", "oxi": "read_file", "paths": list(one.get("reads", [])), "format": "json"},
            ],
        }
        for one in pipelines
    ]
    return {"manifest_version": 1, "project": project, "pipelines": entries, "errors": []}


def output(path: str) -> dict[str, Any]:
    return {"step": "write", "oxi": "write_file", "path": path, "format": "json", "columns": None, "validations": []}


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
    ],
)
def test_what_a_pipeline_writes_and_another_reads_makes_it_depend(glob: str, path: str, reads: bool) -> None:
    some = of_manifest(manifest_of({"name": "one", "writes": path}, {"name": "two", "reads": [glob]}))
    (two,) = [spec for spec in some.specs if spec.key.path == ["two"]]
    assert [dep.asset_key.path for dep in two.deps] == ([["one"]] if reads else [])


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
            manifest_of({"name": "one", "parameters": [{"name": "day", "type": "date", "required": True}]}),
            {"partitions_def": dg.StaticPartitionsDefinition(MONTHS), "partition_params": {"day": "year"}},
            '"year" is none of key, first',
        ),
        (manifest_of({"name": "one"}), {"partition_shards": True}, "needs partitions_def"),
    ],
)
def test_what_is_wrong_is_told_when_the_definitions_are_loaded(document: Any, options: Any, words: str) -> None:
    with pytest.raises(dg.DagsterInvalidDefinitionError, match=words):
        of_manifest(document, **options)


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


def test_time_windows_become_parameters_and_a_range_is_one_run() -> None:
    from dagster_oxiflow.partitions import mapping_for, parts_of

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
    from dagster_oxiflow.partitions import mapping_for, parts_of

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
    for command in ("check yaml", "check defs"):
        done = dg_of(bikes, *command.split())
        assert done.returncode == 0, done.stdout + done.stderr
    listed = dg_of(bikes, "list", "defs", "--json")
    assert listed.returncode == 0, listed.stdout + listed.stderr
    assets = {one["asset_key"]: one for one in json.loads(listed.stdout)["assets"]}
    assert set(assets) == {"hire/steady", "hire/long", "hire/report/far", "hire/report/all", "hire/contract"}
    assert assets["hire/report/far"]["dependency_keys"] == ["hire/steady"]
    assert assets["hire/steady"]["group_name"] == "steady"


def dg_of(project: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    import os

    program = Path(sys.executable).with_name("dg")
    env = {**os.environ, "PYTHONPATH": str(project / "src"), "HOME": str(project)}
    env["PATH"] = f"{program.parent}{os.pathsep}{env['PATH']}"
    return subprocess.run([str(program), *words], cwd=project, env=env, capture_output=True, text=True, check=False)
