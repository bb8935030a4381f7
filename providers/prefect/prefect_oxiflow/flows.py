"""A flow made from a pipeline: its parameters are the pipeline's, with their types, defaults and choices."""

from __future__ import annotations

import datetime
import inspect
import keyword
import os
import re
import sys
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from oxiflow.manifest import ManifestLike, Parameter, Pipeline, load_manifest
from prefect import Flow
from pydantic import Field

from .blocks import OxiFlowProject
from .tasks import run_pipeline
from .work import Backend, Project, Value

TYPES: dict[str, Any] = {
    "string": str,
    "int": int,
    "float": float,
    "bool": bool,
    "date": datetime.date,
    "timestamp": datetime.datetime,
}


def oxiflow_flow(
    pipeline: str,
    project_dir: Project = ".",
    *,
    manifest: ManifestLike | None = None,
    state_backend: Backend = None,
    env: Mapping[str, Value] | None = None,
    task_options: Mapping[str, Any] | None = None,
    **options: Any,
) -> Flow[..., Any]:
    """
    The flow of one pipeline; it returns the run's summary. Bind it to a variable of the pipeline's name, which is where Prefect
    looks for it: `orders = oxiflow_flow("orders", "shop")`.

    Args:
        pipeline: Its name in the manifest.
        project_dir: Folder of the project, from the working directory, or an `OxiFlowProject` block.
        manifest: What `oxiflow pipeline manifest` has written; by default oxiflow-manifest.json in the folder of the project.
        state_backend: As of `run_pipeline`.
        env: As of `run_pipeline`. A parameter that is a secret is none of the flow's: its default names a variable, given here.
        task_options: For `run_pipeline.with_options`, as `{"retries": 2}`.
        options: For `Flow`: name, description, retries, timeout_seconds and others.
    """
    folder = project_dir.project_dir if isinstance(project_dir, OxiFlowProject) else os.fspath(project_dir)
    entry = entry_of(pipeline, manifest, folder)
    given = [parameter for parameter in entry.parameters if shown(parameter)]
    task = run_pipeline.with_options(**task_options) if task_options else run_pipeline
    python_names = {python_name(parameter.name): parameter.name for parameter in given}

    def run(**values: Any) -> Any:
        params = {python_names[name]: value for name, value in values.items() if value is not None}
        return task(pipeline, project_dir=project_dir, state_backend=state_backend, params=params, env=env)

    arguments = [argument_of(one) for one in given]
    run.__signature__ = inspect.Signature(arguments)  # type: ignore[attr-defined]
    # Prefect before 3.5 looks at both.
    run.__annotations__ = {one.name: one.annotation for one in arguments}
    run.__name__ = run.__qualname__ = python_name(entry.name)
    # Where Prefect looks for the flow again, in another process.
    run.__module__ = sys._getframe(1).f_globals.get("__name__", __name__)
    run.__doc__ = documentation_of(entry)
    return Flow(run, **{"name": entry.name, "description": entry.description, **options})


def entry_of(pipeline: str, manifest: ManifestLike | None, folder: str) -> Pipeline:
    found = load_manifest(manifest, folder)
    for entry in found.pipelines:
        if entry.name == pipeline:
            return entry
    for mistakes in found.errors:
        if mistakes.pipeline == pipeline:
            raise ValueError(f'the pipeline "{pipeline}" has mistakes: {"; ".join(mistakes.messages)}')
    raise ValueError(
        f'there is no pipeline "{pipeline}" in the manifest; it has {", ".join(one.name for one in found.pipelines)}'
    )


def shown(parameter: Parameter) -> bool:
    """Throws ValueError for one that nobody could give."""
    if parameter.secret and parameter.required:
        raise ValueError(
            f'the parameter "{parameter.name}" is a secret, and Prefect shows the parameters of flows: give it a default in the '
            "pipeline that names a variable, and the variable in env"
        )
    return not parameter.secret


def argument_of(parameter: Parameter) -> inspect.Parameter:
    kind: Any = TYPES[parameter.type]
    if parameter.choices:
        kind = Literal[tuple(parameter.choices)]
    default = inspect.Parameter.empty if parameter.required else value_of(parameter)
    if parameter.choices and not parameter.required:
        # One of them, as it stands there: Prefect compares.
        default = next((one for one in parameter.choices if str(one) == str(parameter.default)), parameter.default)
    return inspect.Parameter(
        python_name(parameter.name),
        inspect.Parameter.KEYWORD_ONLY,
        default=default,
        annotation=Annotated[kind, Field(description=parameter.description)],
    )


def value_of(parameter: Parameter) -> Any:
    """The default, as the form of the flow shows it."""
    if parameter.type == "date":
        return datetime.date.fromisoformat(parameter.default)
    if parameter.type == "timestamp":
        return datetime.datetime.fromisoformat(parameter.default.replace("Z", "+00:00"))
    return TYPES[parameter.type](parameter.default)


def documentation_of(entry: Pipeline) -> str:
    said = [entry.description or f"The pipeline {entry.name}."]
    described = [one for one in entry.parameters if one.description and not one.secret]
    if described:
        said += ["", "Args:", *(f"    {python_name(one.name)}: {one.description}" for one in described)]
    return "\n".join(said)


def python_name(name: str) -> str:
    """Python and Prefect take no name that begins with `_`, and no word of the language."""
    word = re.sub(r"\W", "_", name, flags=re.ASCII).lstrip("_") or "value"
    return f"{word}_" if keyword.iskeyword(word) else word
