"""What a partition becomes for the runner: parameters, or a shard. Each of its runs has a checkpoint of its own."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

import dagster as dg

from .manifest import Parameter, Pipeline

#: What a parameter can be given: the key of the partition; the first and the last key of a range; the beginning and the end
#: (exclusive) of the time that it covers. All but `key` let a backfill in one run be one run of the pipeline.
WORDS = ("key", "first", "last", "start", "end")
#: Parameters of these names are given it without being asked.
KNOWN = {
    "partition": "key",
    "partition_key": "key",
    "partition_first": "first",
    "partition_last": "last",
    "partition_start": "start",
    "partition_end": "end",
}
#: In a path that is only known when the pipeline runs.
REFERENCE = re.compile(r"\$\{(\w+)\}")


@dataclass(frozen=True)
class Part:
    """One run of a pipeline for partitions of an asset; without partitions there is one with no keys."""

    keys: tuple[str, ...] = ()
    params: Mapping[str, Any] = field(default_factory=dict)
    shard: tuple[int, int] | None = None

    @property
    def name(self) -> str | None:
        if not self.keys:
            return None
        return self.keys[0] if len(self.keys) == 1 else f"{self.keys[0]}...{self.keys[-1]}"


def mapping_for(
    pipeline: Pipeline, partitions_def: dg.PartitionsDefinition[Any], asked: Mapping[str, str] | None
) -> Mapping[str, str]:
    """Parameter to word, for one pipeline. Throws DagsterInvalidDefinitionError where it does not fit."""
    dimensions = dimensions_of(partitions_def)
    words = {**KNOWN, **{name: name for name in dimensions}} if asked is None else asked
    declared = {parameter.name for parameter in pipeline.parameters}
    if asked is not None:
        for parameter, word in asked.items():
            if word not in (*WORDS, *dimensions):
                choices = ", ".join((*WORDS, *dimensions))
                raise dg.DagsterInvalidDefinitionError(f'partition_params: {parameter}: "{word}" is none of {choices}')
    found = {parameter: word for parameter, word in words.items() if parameter in declared}
    for parameter, word in found.items():
        _refuse_word(parameter, word, partitions_def, dimensions)
    if not found:
        raise dg.DagsterInvalidDefinitionError(
            f'pipeline "{pipeline.name}" would do the same for every partition: it has none of the parameters '
            f"{', '.join(words)}; declare one, or map one of its own in partition_params"
        )
    return found


def of_partition(
    partitions_def: dg.PartitionsDefinition[Any] | None, asked: Mapping[str, str] | None
) -> Mapping[str, str]:
    """Parameter to what it is of a partition, for pipelines of which it is not known yet which partitions they have."""
    dimensions = [] if partitions_def is None else dimensions_of(partitions_def)
    words = {**KNOWN, **{name: name for name in dimensions}, **(asked or {})}
    # Of one partition, its key is the first and the last one.
    return {name: "key" if word in ("first", "last", "start") else word for name, word in words.items()}


def refuse_params(pipelines: Sequence[Pipeline], asked: Mapping[str, str] | None) -> None:
    """Throws DagsterInvalidDefinitionError for a parameter that none of them has."""
    declared = {parameter.name for pipeline in pipelines for parameter in pipeline.parameters}
    unknown = sorted(set(asked or ()) - declared)
    if pipelines and unknown:
        raise dg.DagsterInvalidDefinitionError(f"partition_params: no pipeline has a parameter {', '.join(unknown)}")


def _refuse_word(
    parameter: str, word: str, partitions_def: dg.PartitionsDefinition[Any], dimensions: Sequence[str]
) -> None:
    if word in dimensions or word not in ("start", "end"):
        return
    if not isinstance(partitions_def, dg.TimeWindowPartitionsDefinition):
        raise dg.DagsterInvalidDefinitionError(
            f'partition_params: {parameter}: partitions that are no windows of time have no "{word}"'
        )


def parts_of(
    pipeline: Pipeline,
    partitions_def: dg.PartitionsDefinition[Any],
    keys: Sequence[str],
    mapping: Mapping[str, str],
) -> list[Part]:
    """The runs of the pipeline for these partitions, in their order."""
    types = {parameter.name: parameter for parameter in pipeline.parameters}
    at_once = len(keys) > 1 and all(word in ("first", "last", "start", "end") for word in mapping.values())
    groups = [tuple(keys)] if at_once else [(key,) for key in keys]
    parts = [
        Part(
            group,
            {name: _value(word, group, partitions_def, types[name]) for name, word in mapping.items()},
        )
        for group in groups
    ]
    for part in parts:
        _refuse_elsewhere(pipeline, part.params)
    return parts


def _refuse_elsewhere(pipeline: Pipeline, params: Mapping[str, Any]) -> None:
    """
    Throws DagsterInvalidDefinitionError. A key is anybody's text, and `../` in it would be a path out of the folder that the
    pipeline names. One that is all of a path is meant to be one.
    """
    written = [path for source in pipeline.inputs for path in source.templates or source.paths]
    written += [path for output in pipeline.outputs if (path := output.template or output.path) is not None]
    for template in written:
        given = next((one for one in REFERENCE.finditer(template) if one[1] in params), None)
        if given is None or given[0] == template:
            continue
        folder = posixpath.normpath(template[: given.start()].rpartition("/")[0])
        path = posixpath.normpath(REFERENCE.sub(lambda one: str(params.get(one[1], one[0])), template))
        is_out = path == ".." or path.startswith(("../", "/")) if folder == "." else not path.startswith(f"{folder}/")
        if is_out:
            raise dg.DagsterInvalidDefinitionError(
                f'the partition would make "{path}" of the path "{template}" of the pipeline "{pipeline.name}", which is out of '
                f"its folder: a key that is part of a path can have no .. in it"
            )


def refuse_shards(partitions_def: dg.PartitionsDefinition[Any]) -> None:
    """Throws DagsterInvalidDefinitionError where there may be more partitions tomorrow: how many, is part of each shard."""
    dimensions = (
        [dimension.partitions_def for dimension in partitions_def.partitions_defs]
        if isinstance(partitions_def, dg.MultiPartitionsDefinition)
        else [partitions_def]
    )
    if not all(isinstance(one, dg.StaticPartitionsDefinition) for one in dimensions):
        raise dg.DagsterInvalidDefinitionError(
            "partition_shards: shards of one run are counted before it begins: give them a StaticPartitionsDefinition"
        )


def shards_of(partitions_def: dg.PartitionsDefinition[Any], keys: Sequence[str]) -> list[Part]:
    """A partition is a shard: number I of N, in the order of the partitions."""
    everything = list(partitions_def.get_partition_keys())
    return [Part((key,), shard=(everything.index(key), len(everything))) for key in keys]


def dimensions_of(partitions_def: dg.PartitionsDefinition[Any]) -> list[str]:
    if not isinstance(partitions_def, dg.MultiPartitionsDefinition):
        return []
    return [dimension.name for dimension in partitions_def.partitions_defs]


def _value(word: str, keys: Sequence[str], partitions_def: dg.PartitionsDefinition[Any], parameter: Parameter) -> str:
    if word in ("key", "first"):
        return str(keys[0])
    if word == "last":
        return str(keys[-1])
    if word in ("start", "end") and isinstance(partitions_def, dg.TimeWindowPartitionsDefinition):
        window = partitions_def.time_window_for_partition_key(keys[0] if word == "start" else keys[-1])
        return _time(window.start if word == "start" else window.end, parameter)
    if isinstance(partitions_def, dg.MultiPartitionsDefinition):
        key = partitions_def.get_partition_key_from_str(keys[0])
        return str(key.keys_by_dimension[word])
    raise dg.DagsterInvalidDefinitionError(f'parameter {parameter.name}: the partition "{keys[0]}" has no "{word}"')


def _time(time: datetime, parameter: Parameter) -> str:
    """A date where the parameter is one, else RFC 3339 in UTC."""
    if parameter.type == "date":
        return time.strftime("%Y-%m-%d")
    return time.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
