"""How Dagster sees a pipeline: one method for each thing that it shows. Override what shall be otherwise."""

from __future__ import annotations

import keyword
import re
from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg

from .checks import Check
from .manifest import Column, Input, Manifest, Output, Pipeline

#: What an asset is made of: with a partition mapping, or without.
Dep = dg.AssetKey | dg.AssetDep
#: Where a run finds which pipeline and which of its outputs an asset is, whatever key it was given.
PIPELINE = "oxiflow/pipeline"
OUTPUT = "oxiflow/step"
#: Dagster's, as names of steps and outputs.
KEPT = frozenset(
    {
        "context",
        "conf",
        "config",
        "meta",
        "arg_dict",
        "dict",
        "input_arg_dict",
        "output_arg_dict",
        "int",
        "str",
        "float",
    }
    | {"bool", "input", "output", "type"}
)


class OxiFlowTranslator:
    """An output of a pipeline is an asset."""

    def get_asset_key(self, pipeline: Pipeline, output: Output) -> dg.AssetKey:
        """The pipeline's name, its folders in front; with the id of the sink behind it where there are several."""
        parts = pipeline.name.split("/") + ([] if len(pipeline.outputs) == 1 else [output.step])
        parts = [re.sub(r"[^A-Za-z0-9_.-]", "_", part) for part in parts]
        return dg.AssetKey(parts if len(parts) > 1 else [free_word(parts[0])])

    def get_description(self, pipeline: Pipeline, output: Output) -> str | None:
        return pipeline.description

    def get_group_name(self, manifest: Manifest, pipeline: Pipeline, output: Output) -> str | None:
        """The category of the pipeline, or the project."""
        name = pipeline.category or manifest.project.name
        return None if not name else word_of(name)

    def get_owners(self, pipeline: Pipeline, output: Output) -> Sequence[str]:
        """The author, where that is an address of mail as Dagster knows them, or `team:NAME`: it refuses other owners."""
        author = pipeline.author or ""
        return [author] if re.fullmatch(r"[A-Za-z0-9._%+-]+@[A-Za-z0-9.-]+\.[A-Za-z]{2,7}|team:.+", author) else []

    def get_tags(self, pipeline: Pipeline, output: Output) -> Mapping[str, str]:
        return {re.sub(r"[^A-Za-z0-9_.-]", "_", tag)[:63]: "" for tag in pipeline.tags if tag}

    def get_kinds(self, pipeline: Pipeline, output: Output) -> set[str]:
        return {"oxiflow", *([output.format] if output.format else [])}

    def get_code_version(self, pipeline: Pipeline, output: Output) -> str | None:
        """Another plan is another version: Dagster then says that the asset is out of date."""
        return pipeline.plan_hash

    def get_column_schema(self, pipeline: Pipeline, output: Output) -> dg.TableSchema | None:
        """Where the pipeline knows all columns."""
        return None if output.columns is None else table_schema(output.columns)

    def get_metadata(self, pipeline: Pipeline, output: Output) -> Mapping[str, Any]:
        metadata: dict[str, Any] = {"oxiflow/file": dg.MetadataValue.path(pipeline.file)}
        if output.path is not None:
            metadata["oxiflow/output"] = dg.MetadataValue.path(output.path)
        if pipeline.author is not None:
            metadata["oxiflow/author"] = pipeline.author
        if pipeline.version is not None:
            metadata["oxiflow/version"] = pipeline.version
        return metadata

    def get_deps(self, pipeline: Pipeline, upstream: Sequence[tuple[Pipeline, Output]]) -> Sequence[Dep]:
        """What the pipeline reads: outputs of others, `upstream`, by the paths that are in the manifest, and other inputs."""
        keys = [self.get_asset_key(one, output) for one, output in upstream]
        inputs = [self.get_input_asset_key(pipeline, source) for source in pipeline.inputs]
        return list(dict.fromkeys([*keys, *(key for key in inputs if key is not None)]))

    def get_input_asset_key(self, pipeline: Pipeline, source: Input) -> dg.AssetKey | None:
        """The asset that is behind an input which no pipeline of the project writes."""
        return None

    def get_automation_condition(self, pipeline: Pipeline, output: Output) -> dg.AutomationCondition[Any] | None:
        return None

    def get_dead_letter_threshold(self, pipeline: Pipeline, output: Output) -> int:
        """So many dead letters of a run are still well."""
        return 0

    def get_check_severity(self, check: Check, stopped: bool) -> dg.AssetCheckSeverity:
        """`stopped`: the run failed of it. Otherwise it went on without the bad records."""
        return dg.AssetCheckSeverity.ERROR if stopped else dg.AssetCheckSeverity.WARN

    def get_checks(self, pipeline: Pipeline, output: Output) -> Sequence[Check]:
        """One for each `validate` step in front of the output, for dead letters and for the limit of errors."""
        checks = []
        taken = {"dead_letters", "max_errors"}
        for one in output.validations:
            name = word_of(one.step)
            while name in taken:
                name += "_"
            taken.add(name)
            checks.append(Check(name, "validation", f"All records pass the step {one.step}.", one.step))
        if pipeline.dead_letters is not None:
            most = self.get_dead_letter_threshold(pipeline, output)
            told = "No record is a dead letter." if most == 0 else f"No more than {most} records are dead letters."
            checks.append(Check("dead_letters", "dead_letters", told, limit=most))
        if pipeline.max_errors is not None:
            told = f"No more than {pipeline.max_errors} of the records are bad."
            checks.append(Check("max_errors", "max_errors", told))
        return checks

    def get_asset_spec(
        self, manifest: Manifest, pipeline: Pipeline, output: Output, deps: Sequence[Dep]
    ) -> dg.AssetSpec:
        schema = self.get_column_schema(pipeline, output)
        return dg.AssetSpec(
            key=self.get_asset_key(pipeline, output),
            deps=deps,
            description=self.get_description(pipeline, output),
            group_name=self.get_group_name(manifest, pipeline, output),
            owners=self.get_owners(pipeline, output),
            tags=self.get_tags(pipeline, output),
            kinds=self.get_kinds(pipeline, output),
            code_version=self.get_code_version(pipeline, output),
            automation_condition=self.get_automation_condition(pipeline, output),
            metadata={
                **self.get_metadata(pipeline, output),
                **({} if schema is None else {"dagster/column_schema": schema}),
                PIPELINE: pipeline.name,
                OUTPUT: output.step,
            },
        )


def table_schema(columns: Sequence[Column]) -> dg.TableSchema:
    return dg.TableSchema(columns=[table_column(column) for column in columns])


def table_column(column: Column) -> dg.TableColumn:
    # Whether it may be null is not known: an empty cell of any type is.
    return dg.TableColumn(column.name, (column.type or "any").rstrip("?"))


def word_of(text: str) -> str:
    """For names that Dagster takes only of letters, digits and _."""
    return re.sub(r"[^A-Za-z0-9_]", "_", text)


def free_word(text: str) -> str:
    """Not one that Dagster or Python keep for themselves."""
    return f"{text}_" if text in KEPT or keyword.iskeyword(text) else text
