"""A project for `dg`: a folder with a defs.yaml, and no line of Python."""

# Dagster reads the annotations of this file while it runs.
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Optional, Union

import dagster as dg
from dagster.components.resolved.core_models import OpSpec
from dagster.components.utils.translation import TranslationFn, TranslationFnResolver

from .assets import build_oxiflow_assets
from .manifest import Manifest, Output, Pipeline
from .resource import OxiFlowResource
from .translator import Dep, OxiFlowTranslator


class OxiFlowConfig(dg.Config):
    """What can be said of one run, in the launchpad or in the API."""

    #: Parameters of the pipelines.
    params: dict[str, Any] = {}  # noqa: RUF012
    #: Start over, whatever was saved.
    fresh: bool = False
    #: Go on although the pipeline was changed.
    accept_changes: bool = False


@dataclass
class OxiFlowProjectComponent(dg.Component, dg.Resolvable):
    """The pipelines of an Oxide Flow project as assets, each a step of its own."""

    #: Folder of the project, from the folder of this file or absolute.
    project: str
    #: File of the manifest; oxiflow-manifest.json in the folder of the project where none is given.
    manifest: Optional[str] = None
    #: Names of pipelines, with * and ?, or tag:NAME, category:NAME, file:PATH.
    select: Optional[Union[str, list[str]]] = None
    exclude: Optional[Union[str, list[str]]] = None
    #: Names of the steps begin with its name; tags, pool and backfill policy are theirs.
    op: Optional[OpSpec] = None
    #: Attributes of the assets: `pipeline`, `output` and `spec` can be used in them.
    translation: Optional[
        Annotated[
            TranslationFn[Any],
            TranslationFnResolver(lambda data: {"pipeline": data[0], "output": data[1]}),
        ]
    ] = None
    #: Parameter of the pipelines to key, first, last, start, end or the name of a dimension of the partition.
    partition_params: Optional[dict[str, str]] = None
    #: A partition is a shard of one run; which partitions there are, `partitions_def` in `translation` says.
    partition_shards: bool = False
    #: A failed step is tried so often again; it goes on from its checkpoint.
    max_retries: int = 0
    #: Seconds before that.
    retry_delay: float = 0
    runner: Optional[str] = None
    env: dict[str, str] = field(default_factory=dict)
    env_file: Optional[str] = None
    state_backend: Optional[str] = None
    threads: Optional[int] = None
    #: Share each run between so many processes.
    workers: Optional[int] = None
    same_host: bool = False
    drain_timeout: Optional[str] = None
    #: How long to wait for another worker of the same run.
    lease_wait: Optional[str] = None
    #: What is left so long after a stop is killed, or after drain_timeout.
    grace_seconds: float = 15.0
    observe_seconds: float = 10.0

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        project = os.path.normpath(os.path.join(context.path, self.project))
        resource = OxiFlowResource(
            project=project,
            runner=self.runner,
            env=self.env,
            env_file=self.env_file,
            state_backend=self.state_backend,
            threads=self.threads,
            workers=self.workers,
            same_host=self.same_host,
            drain_timeout=self.drain_timeout,
            lease_wait=self.lease_wait,
            grace_seconds=self.grace_seconds,
            observe_seconds=self.observe_seconds,
        )
        translator = _Translator(self.translation)
        policy = dg.RetryPolicy(max_retries=self.max_retries, delay=self.retry_delay) if self.max_retries > 0 else None

        def body(context: dg.AssetExecutionContext, config: OxiFlowConfig) -> Iterator[Any]:
            yield from self.execute(context, config, resource)

        op = self.op or OpSpec()
        assets = build_oxiflow_assets(
            body,
            project=project,
            manifest=None if self.manifest is None else os.path.normpath(os.path.join(context.path, self.manifest)),
            select=self.select,
            exclude=self.exclude,
            name=op.name,
            translator=translator,
            partition_params=self.partition_params,
            partition_shards=self.partition_shards,
            op_tags=op.tags,
            pool=op.pool,
            backfill_policy=op.backfill_policy,
            retry_policy=policy,
        )
        return dg.Definitions(assets=assets)

    def execute(
        self, context: dg.AssetExecutionContext, config: OxiFlowConfig, resource: OxiFlowResource
    ) -> Iterator[Any]:
        """What a step does; override it to do more."""
        invocation = resource.run(
            context=context, params=config.params, fresh=config.fresh, accept_changes=config.accept_changes
        )
        yield from invocation.stream()


class _Translator(OxiFlowTranslator):
    def __init__(self, translation: TranslationFn[Any] | None) -> None:
        self._translation = translation

    def get_asset_spec(
        self, manifest: Manifest, pipeline: Pipeline, output: Output, deps: Sequence[Dep]
    ) -> dg.AssetSpec:
        # Of one that knows no translation: it is made once.
        spec = OxiFlowTranslator().get_asset_spec(manifest, pipeline, output, deps)
        return spec if self._translation is None else self._translation(spec, (pipeline, output))

    def get_asset_key(self, pipeline: Pipeline, output: Output) -> dg.AssetKey:
        key = super().get_asset_key(pipeline, output)
        # The same attributes say the keys of what is upstream.
        return key if self._translation is None else self._translation(dg.AssetSpec(key), (pipeline, output)).key
