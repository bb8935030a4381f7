"""Assets of the pipelines, made in the process of the tests, with the real runner."""

# Dagster reads the annotations of assets while it runs.
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
from dagster_oxiflow import OxiFlowResource, oxiflow_assets


def assets_of(bikes: Path, **options: Any) -> dg.AssetsDefinition:
    @oxiflow_assets(project=bikes, **options)
    def some(context: dg.AssetExecutionContext, oxiflow: OxiFlowResource) -> Iterator[Any]:
        yield from oxiflow.run(context=context).stream()

    return some


def materialize(
    bikes: Path, assets: Any, instance: dg.DagsterInstance | None = None, **options: Any
) -> dg.ExecuteInProcessResult:
    ours = {name: options.pop(name) for name in ("observe_seconds", "same_host", "runner") if name in options}
    resource = OxiFlowResource(project=str(bikes), **ours)
    return dg.materialize(
        assets if isinstance(assets, list) else [assets],
        resources={"oxiflow": resource},
        raise_on_error=False,
        instance=instance,
        **options,
    )


def failure_of(result: dg.ExecuteInProcessResult) -> Any:
    (failed,) = [one for one in result.all_events if one.event_type_value == "STEP_FAILURE"]
    return failed.step_failure_data.user_failure_data


def values(metadata: Any) -> dict[str, Any]:
    return {key: getattr(value, "value", None) for key, value in metadata.items()}


def records_of(event: Any, name: str) -> Any:
    return event.materialization.metadata[name].records


def observations(result: dg.ExecuteInProcessResult) -> list[Any]:
    return [one for one in result.all_events if one.event_type_value == "ASSET_OBSERVATION"]


def kill_runner(bikes: Path) -> None:
    """All of the group, and nobody has time to save anything."""
    os.killpg(processes_of_runner(bikes)[0], signal.SIGKILL)


def processes_of_runner(bikes: Path) -> list[int]:
    found = subprocess.run(["pgrep", "-f", f"oxiflow.mjs run .*{bikes}"], capture_output=True, text=True, check=False)
    return [int(pid) for pid in found.stdout.split()]


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
