"""The pipelines of a project as assets."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Any

import dagster as dg

from .checks import Check
from .manifest import Manifest, ManifestLike, Output, Pipeline, load_manifest
from .partitions import mapping_for, of_partition, refuse_params, refuse_shards
from .selection import Words, in_order, select_pipelines, upstream_of
from .translator import OUTPUT, PIPELINE, Dep, OxiFlowTranslator, free_word, word_of

#: Of the function that was decorated: what a run of it needs to know.
_PLAN = "__oxiflow_plan__"


@dataclass(frozen=True)
class Target:
    """An asset that is asked for."""

    key: dg.AssetKey
    output: Output
    checks: Mapping[str, Check]


@dataclass(frozen=True)
class AssetPlan:
    """What stands behind one definition of assets."""

    #: In the order in which they run.
    pipelines: tuple[Pipeline, ...]
    translator: OxiFlowTranslator
    #: Parameter to what it is given of a partition, where that is asked for.
    partition_params: Mapping[str, str] | None
    shards: bool
    #: Where the pipelines are, if that was said.
    project: str | None

    def targets(self, context: dg.AssetExecutionContext, pipeline: Pipeline) -> list[Target]:
        """The assets of the pipeline that are asked for, whatever keys they were given since."""
        outputs = {output.step: output for output in pipeline.outputs}
        found = []
        for key, metadata in context.assets_def.metadata_by_key.items():
            if key in context.selected_asset_keys and _text(metadata.get(PIPELINE)) == pipeline.name:
                output = outputs[_text(metadata[OUTPUT])]
                checks = {check.name: check for check in self.translator.get_checks(pipeline, output)}
                found.append(Target(key, output, checks))
        return found


def plan_of(context: dg.AssetExecutionContext) -> AssetPlan | None:
    """None where the assets are somebody else's."""
    if not context.has_assets_def:
        return None
    compute = getattr(context.assets_def.op, "compute_fn", None)
    plan = getattr(getattr(compute, "decorated_fn", None), _PLAN, None)
    return plan if isinstance(plan, AssetPlan) else None


def oxiflow_assets(
    *,
    project: str | os.PathLike[str] | None = None,
    manifest: ManifestLike | None = None,
    select: Words = None,
    exclude: Words = None,
    name: str | None = None,
    translator: OxiFlowTranslator | None = None,
    partitions_def: dg.PartitionsDefinition[Any] | None = None,
    partition_params: Mapping[str, str] | None = None,
    partition_shards: bool = False,
    backfill_policy: dg.BackfillPolicy | None = None,
    retry_policy: dg.RetryPolicy | None = None,
    op_tags: Mapping[str, Any] | None = None,
    pool: str | None = None,
    required_resource_keys: set[str] | None = None,
) -> Callable[[Callable[..., Any]], dg.AssetsDefinition]:
    """
    Makes assets of the outputs of the pipelines, in one step that runs those that are asked for, one behind the other:

        @oxiflow_assets(project="shop")
        def shop(context: dg.AssetExecutionContext, oxiflow: OxiFlowResource):
            yield from oxiflow.run(context=context).stream()

    The manifest is a file that `oxiflow pipeline manifest` wrote, by default oxiflow-manifest.json in the folder of the project.
    `partition_params`: parameter of the pipelines to `key`, `first`, `last`, `start`, `end` or the name of a dimension.
    `partition_shards`: a partition is part I of N of one run instead. Throws DagsterInvalidDefinitionError.
    """
    document = load_manifest(manifest, project)
    tell_mistakes(document)
    translator = translator or OxiFlowTranslator()
    selected = select_pipelines(document, select, exclude)
    pipelines, deps = _sorted(document, selected, translator, partitions_def, partition_params)
    refuse_params(pipelines, partition_params)
    return _decorator(
        document,
        deps,
        pipelines,
        translator,
        partitions_def,
        partition_params,
        partition_shards,
        project,
        name=name,
        backfill_policy=backfill_policy,
        retry_policy=retry_policy,
        op_tags=op_tags,
        pool=pool,
        required_resource_keys=required_resource_keys,
    )


def build_oxiflow_assets(
    body: Callable[..., Any],
    *,
    project: str | os.PathLike[str] | None = None,
    manifest: ManifestLike | None = None,
    select: Words = None,
    exclude: Words = None,
    name: str | None = None,
    translator: OxiFlowTranslator | None = None,
    partitions_def: dg.PartitionsDefinition[Any] | None = None,
    partition_params: Mapping[str, str] | None = None,
    partition_shards: bool = False,
    **options: Any,
) -> Sequence[dg.AssetsDefinition]:
    """
    As `oxiflow_assets`, but each pipeline is a step of its own: they run side by side and are retried one by one. `name`
    stands in front of the names of the steps; `body` is what they do, as the function under `oxiflow_assets`.
    """
    document = load_manifest(manifest, project)
    tell_mistakes(document)
    translator = translator or OxiFlowTranslator()
    selected = select_pipelines(document, select, exclude)
    _, deps = _sorted(document, selected, translator, partitions_def, partition_params)
    refuse_params(selected, partition_params)
    made: dict[str, dg.AssetsDefinition] = {}
    for pipeline in selected:
        # A function of its own for each step: it carries what the step needs to know.
        @wraps(body)
        def run(*arguments: Any, **named: Any) -> Any:
            yield from body(*arguments, **named)

        step = free_word(word_of(pipeline.name if name is None else f"{name}__{pipeline.name}"))
        if step in made:
            raise dg.DagsterInvalidDefinitionError(
                f'two steps would be "{step}": rename the pipeline "{pipeline.name}"'
            )
        decorate = _decorator(
            document,
            deps,
            [pipeline],
            translator,
            partitions_def,
            partition_params,
            partition_shards,
            project,
            name=step,
            **options,
        )
        made[step] = decorate(run)
    return list(made.values())


def tell_mistakes(manifest: Manifest) -> None:
    """A pipeline that can't be loaded is no asset; whoever looks for it finds out why."""
    log = logging.getLogger(__name__)
    for one in manifest.errors:
        log.warning("%s is left out, it has mistakes: %s", one.file, "; ".join(one.messages))


def _decorator(
    manifest: Manifest,
    deps: Mapping[str, Sequence[Dep]],
    pipelines: Sequence[Pipeline],
    translator: OxiFlowTranslator,
    partitions_def: dg.PartitionsDefinition[Any] | None,
    partition_params: Mapping[str, str] | None,
    shards: bool,
    project: str | os.PathLike[str] | None,
    **options: Any,
) -> Callable[[Callable[..., Any]], dg.AssetsDefinition]:
    if not pipelines:
        raise dg.DagsterInvalidDefinitionError("no pipeline is selected")
    specs: list[dg.AssetSpec] = []
    checks = []
    names: dict[str, Pipeline] = {}

    def claim(name: str, pipeline: Pipeline) -> None:
        """Dagster gives outputs of assets and of checks names of one kind."""
        if name in names:
            raise dg.DagsterInvalidDefinitionError(
                f'Dagster can\'t tell an output or check of "{pipeline.name}" from one of "{names[name].name}": {name}; '
                "rename one, or give it another key in a translator"
            )
        names[name] = pipeline

    for pipeline in pipelines:
        if not pipeline.outputs:
            raise dg.DagsterInvalidDefinitionError(f'pipeline "{pipeline.name}" has no output that could be an asset')
        for output in pipeline.outputs:
            spec = translator.get_asset_spec(manifest, pipeline, output, deps[pipeline.name])
            specs.append(spec)
            claim(spec.key.to_python_identifier(), pipeline)
            for check in translator.get_checks(pipeline, output):
                made = dg.AssetCheckSpec(check.name, asset=spec.key, description=check.description)
                claim(made.get_python_identifier(), pipeline)
                checks.append(made)
        # A translator may say it too.
        partitions = partitions_def or specs[-1].partitions_def
        if partitions is not None and not shards:
            mapping_for(pipeline, partitions, partition_params)
        if shards and (partitions is None or options.get("backfill_policy") is not None):
            raise dg.DagsterInvalidDefinitionError(
                "partition_shards: needs partitions_def, and a run for each partition"
            )
        if shards and partitions is not None:
            refuse_shards(partitions)
    where = None if project is None else os.path.realpath(project)
    plan = AssetPlan(tuple(pipelines), translator, partition_params, shards, where)

    def decorate(body: Callable[..., Any]) -> dg.AssetsDefinition:
        if hasattr(body, _PLAN):
            raise dg.DagsterInvalidDefinitionError(f"{body.__name__} is decorated already")
        setattr(body, _PLAN, plan)
        given = {key: value for key, value in options.items() if value is not None}
        return dg.multi_asset(specs=specs, check_specs=checks, partitions_def=partitions_def, can_subset=True, **given)(
            body
        )

    return decorate


def _sorted(
    manifest: Manifest,
    pipelines: Sequence[Pipeline],
    translator: OxiFlowTranslator,
    partitions_def: dg.PartitionsDefinition[Any] | None,
    partition_params: Mapping[str, str] | None,
) -> tuple[list[Pipeline], dict[str, Sequence[Dep]]]:
    """Each behind those whose assets it needs, as the translator says, and what it needs by its name."""
    if partitions_def is None and pipelines and pipelines[0].outputs:
        # A translator may say it too.
        spec = translator.get_asset_spec(manifest, pipelines[0], pipelines[0].outputs[0], ())
        partitions_def = spec.partitions_def
    upstream = upstream_of(manifest, of_partition(partitions_def, partition_params))
    deps = {pipeline.name: translator.get_deps(pipeline, upstream[pipeline.name]) for pipeline in pipelines}
    made = {
        translator.get_asset_key(pipeline, output): pipeline.name
        for pipeline in pipelines
        for output in pipeline.outputs
    }
    needs = {
        name: {made[key] for dep in some if (key := dep if isinstance(dep, dg.AssetKey) else dep.asset_key) in made}
        for name, some in deps.items()
    }
    return in_order(pipelines, needs), deps


def _text(value: Any) -> str:
    return str(getattr(value, "value", value))
