"""Flows from pipelines, and the blocks."""

from __future__ import annotations

import datetime
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest
from oxiflow.errors import NoManifest
from prefect.blocks.core import Block
from prefect.exceptions import ParameterTypeError
from prefect.types import SecretDict
from prefect_oxiflow import OxiFlowProject, OxiFlowStateBackend, oxiflow_flow
from pydantic import SecretStr


def manifest_of(*parameters: dict[str, Any], **more: Any) -> dict[str, Any]:
    entry = {
        "name": "one",
        "file": "pipelines/one.yaml",
        **dict.fromkeys(("description", "author", "version", "category", "dead_letters", "max_errors")),
        "tags": [],
        "inputs": [],
        "outputs": [],
        "parameters": [{"required": False, "secret": False, **one} for one in parameters],
        "resumable": True,
        "plan_hash": "0",
        **more,
    }
    project = dict.fromkeys(("name", "version", "description"))
    return {"manifest_version": 1, "project": project, "pipelines": [entry], "errors": []}


def test_the_parameters_of_the_flow_are_those_of_the_pipeline(harbour: Path) -> None:
    flow = oxiflow_flow("crossings", harbour)
    assert (flow.name, flow.description) == ("crossings", "Crossings of the ferry with cars aboard")
    shown = flow.parameters.model_dump()["properties"]
    assert {name: (about["type"], about["default"]) for name, about in shown.items()} == {
        "to": ("string", "crossings"),
        "rest": ("number", 0.05),
        "from_day": ("string", "2026-03-01"),
    }
    assert shown["rest"]["description"] == "Seconds between hundred crossings"
    assert shown["from_day"]["format"] == "date"


def test_names_and_defaults_that_the_runner_takes_make_a_flow() -> None:
    document = manifest_of(
        {"name": "from", "type": "string", "default": "harbour"},
        {"name": "_quay", "type": "int", "default": 3},
        {"name": "day", "type": "date", "default": "2026-03-01", "choices": ["2026-03-01", "2026-03-02"]},
        {"name": "rest", "type": "float", "default": 1.0, "choices": [1, 2.5]},
    )
    flow = oxiflow_flow("one", manifest=document)
    names = ["from_", "quay", "day", "rest"]
    assert list(flow.parameters.model_dump()["properties"]) == names
    given = {name: about["default"] for name, about in flow.parameters.model_dump()["properties"].items()}
    assert list(flow.validate_parameters(given)) == names


def test_values_are_checked_before_anything_runs() -> None:
    document = manifest_of(
        {"name": "day", "type": "date", "required": True},
        {"name": "part-of-day", "type": "string", "default": "night", "choices": ["night", "morning"]},
        {"name": "most", "type": "int", "default": 7},
    )
    flow = oxiflow_flow("one", manifest=document)
    cast = flow.validate_parameters({"day": "2026-03-02", "part_of_day": "morning", "most": "3"})
    assert cast == {"day": datetime.date(2026, 3, 2), "part_of_day": "morning", "most": 3}
    for wrong in ({"day": "soon"}, {"day": "2026-03-02", "part_of_day": "noon"}, {"day": "2026-03-02", "most": "many"}):
        with pytest.raises(ParameterTypeError):
            flow.validate_parameters({"part_of_day": "night", "most": 7, **wrong})


def test_a_secret_is_no_parameter_of_the_flow() -> None:
    secret = {"name": "api_token", "type": "string", "secret": True, "default": None}
    assert oxiflow_flow("one", manifest=manifest_of(secret)).parameters.properties == {}
    with pytest.raises(ValueError, match=r'"api_token" is a secret.*env'):
        oxiflow_flow("one", manifest=manifest_of({**secret, "required": True}))


def test_what_is_not_there_is_told_with_what_is(harbour: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match='no pipeline "two" in the manifest; it has one'):
        oxiflow_flow("two", manifest=manifest_of())
    with pytest.raises(NoManifest, match="oxiflow pipeline manifest --project"):
        oxiflow_flow("one", tmp_path)


def test_prefect_finds_the_flow_where_it_was_made() -> None:
    flow = oxiflow_flow("one", manifest=manifest_of(), retries=2, task_options={"retries": 1})
    assert (flow.fn.__module__, flow.fn.__qualname__, flow.retries) == (__name__, "one", 2)


def test_blocks_hide_what_is_secret() -> None:
    state = OxiFlowStateBackend(backend="redis", url=SecretStr("redis://:hunter2@cache/0"))
    project = OxiFlowProject(env=SecretDict({"TOKEN": "hunter3"}), state_backend=state)
    assert project.variables() == {"OXIFLOW_STATE_URL": "redis://:hunter2@cache/0", "TOKEN": "hunter3"}
    for text in (repr(project), project.model_dump_json()):
        assert "hunter" not in text
    fields = OxiFlowProject.model_json_schema()["secret_fields"]
    assert set(fields) == {"state_backend.url", "env.*"}


def test_prefect_finds_the_blocks_by_themselves() -> None:
    (collection,) = [one for one in entry_points(group="prefect.collections") if one.name == "prefect_oxiflow"]
    collection.load()
    for block in (OxiFlowProject, OxiFlowStateBackend):
        assert Block.get_block_class_from_key(block.get_block_type_slug()) is block
        assert block.get_description()


def test_importing_it_starts_no_process_and_reads_no_file(tmp_path: Path) -> None:
    program = (
        "import prefect, pydantic, anyio\nimport prefect.client.orchestration, prefect.assets, prefect.events\n"
        "import builtins, subprocess\n"
        "def no(*args, **more): raise AssertionError(args)\n"
        "builtins.open = subprocess.Popen = no\n"
        "import prefect_oxiflow\nprint(*prefect_oxiflow.__all__)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "run_pipeline" in done.stdout
