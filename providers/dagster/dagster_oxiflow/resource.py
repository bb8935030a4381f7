"""Runs pipelines for Dagster, and tells it what happens while it happens."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator, Mapping
from dataclasses import replace
from typing import Any, Union

import dagster as dg
from oxiflow.events import RunFinished
from pydantic import Field

from oxiflow import OxiFlowError, Result, RunFailed, RunRequest, start

from .assets import AssetPlan, Target, plan_of
from .checks import LIMIT, verdict_of
from .figures import materialized
from .following import failure_of, follow, grace_of, keys_of, stopping
from .identity import identity_of
from .manifest import Pipeline
from .partitions import Part, mapping_for, parts_of, refuse_shards, shards_of

Told = Union[dg.MaterializeResult[Any], dg.AssetMaterialization, dg.AssetCheckResult, dg.AssetObservation]


class OxiFlowResource(dg.ConfigurableResource[Any]):
    """Starts the runner; its fields are options of `oxiflow run`, and what is left out is left to the runner."""

    project: str = Field(description="Folder of the project.")
    runner: str | None = Field(
        default=None, description="The runner; otherwise the one in OXIFLOW_RUNNER, or the one that pip installed."
    )
    env: dict[str, str] = Field(default_factory=dict, description="Variables for the pipelines.")
    env_file: str | None = Field(default=None, description="A file of variables, one NAME=value a line.")
    state_backend: str | None = Field(default=None, description="auto, sqlite, file, nfs or redis.")
    threads: int | None = Field(default=None, description="Threads of stages that name none.")
    workers: int | None = Field(default=None, description="Share each run between so many processes.")
    same_host: bool = Field(default=False, description="All shards of a run are worked on here; its own state will do.")
    drain_timeout: str | None = Field(default=None, description='How long a stop may take, as "10s".')
    lease_wait: str | None = Field(default=None, description="How long to wait for another worker of the same run.")
    grace_seconds: float = Field(
        default=15.0, description="What is left so long after a stop is killed, or after drain_timeout."
    )
    observe_seconds: float = Field(default=10.0, description="At most one observation in so many seconds.")

    def run(
        self,
        *,
        context: dg.AssetExecutionContext,
        pipeline: str | None = None,
        params: Mapping[str, Any] | None = None,
        set: Mapping[str, Any] | None = None,
        fresh: bool = False,
        accept_changes: bool = False,
    ) -> OxiFlowInvocation:
        """
        The pipelines of the assets that are asked for; nothing runs before `stream`. `pipeline`: the one to run where the asset
        was not made by `oxiflow_assets`. `params`, `set`: for each of them, the parameters that it has.
        """
        template = RunRequest(
            "",
            project=self.project,
            env_file=self.env_file,
            state_backend=self.state_backend,
            threads=self.threads,
            workers=self.workers,
            drain_timeout=self.drain_timeout,
            lease_wait=self.lease_wait,
            params=params or {},
            set=set or {},
            # A retry goes on: it is the same request.
            fresh=fresh and context.retry_number == 0 and context.run.parent_run_id is None,
            accept_changes=accept_changes,
        )
        return OxiFlowInvocation(self, context, template, pipeline)


class OxiFlowInvocation:
    """Runs of pipelines for one step of Dagster."""

    def __init__(
        self, resource: OxiFlowResource, context: dg.AssetExecutionContext, template: RunRequest, pipeline: str | None
    ) -> None:
        #: Of the runs that ended, in their order.
        self.results: list[Result] = []
        self._resource = resource
        self._context = context
        self._template = template
        self._pipeline = pipeline

    def stream(self) -> Iterator[Told]:
        """
        Runs them, one behind the other; observations while they run, then materializations and checks. Throws Failure, which
        says whether a retry helps. A retry of the step goes on where it stopped, and repeats no pipeline that was done.
        """
        plan = plan_of(self._context)
        if self._pipeline is not None:
            yield from self._single(self._pipeline)
            return
        if plan is None:
            raise dg.DagsterInvariantViolationError(
                "these assets are not made by oxiflow_assets: say which pipeline to run"
            )
        if not self._context.selected_asset_keys:
            raise dg.Failure(
                "the checks are made by the run of the pipeline: materialize the asset", allow_retries=False
            )
        targets = {pipeline.name: plan.targets(self._context, pipeline) for pipeline in plan.pipelines}
        asked = [pipeline for pipeline in plan.pipelines if targets[pipeline.name]]
        if not asked:
            raise dg.Failure(
                "none of these assets says any more which pipeline makes it: leave the metadata as they are, or add to them",
                allow_retries=False,
            )
        self._refuse_other_project(plan)
        self._refuse_unknown(asked)
        for pipeline in asked:
            yield from self._assets(plan, pipeline, targets[pipeline.name])

    def _refuse_other_project(self, plan: AssetPlan) -> None:
        """Pipelines of the same names would run, and be taken for these."""
        project = os.path.realpath(self._resource.project)
        if plan.project is not None and plan.project != project:
            raise dg.Failure(
                f"the assets are of the project {plan.project}, the resource runs those of {project}: name the same",
                allow_retries=False,
            )

    def _refuse_unknown(self, pipelines: list[Pipeline]) -> None:
        """A parameter that none of them has would be a run with other values than somebody asked for."""
        known = {parameter.name for pipeline in pipelines for parameter in pipeline.parameters}
        unknown = sorted(set(self._template.params) - known)
        if unknown:
            names = ", ".join(f'"{pipeline.name}"' for pipeline in pipelines)
            raise dg.Failure(
                f"no parameter {', '.join(unknown)} in {names}, as the manifest has them"
                + (f"; there are {', '.join(sorted(known))}" if known else ""),
                allow_retries=False,
            )

    def _single(self, name: str) -> Iterator[Told]:
        """A pipeline that is all of an asset that somebody else defined."""
        keys = list(self._context.selected_asset_keys)
        if len(keys) != 1:
            raise dg.DagsterInvariantViolationError(f"the pipeline {name} can't be {len(keys)} assets at once")
        part = Part(keys_of(self._context))
        finished = yield from self._run(replace(self._template, pipeline=name), part, keys[0], keys, [])
        yield dg.MaterializeResult(
            asset_key=keys[0],
            metadata=materialized([finished], None, None, [part]),
            data_version=dg.DataVersion(finished.run_id),
        )

    def _assets(self, plan: AssetPlan, pipeline: Pipeline, targets: list[Target]) -> Iterator[Told]:
        declared = {parameter.name for parameter in pipeline.parameters}
        known = {name: value for name, value in self._template.params.items() if name in declared}
        parts = self._parts(plan, pipeline)
        first = plan.translator.get_asset_key(pipeline, pipeline.outputs[0])
        done: list[RunFinished] = []
        for part in parts:
            request = replace(
                self._template,
                pipeline=pipeline.name,
                params={**known, **part.params},
                shard=part.shard,
                same_host=self._resource.same_host and part.shard is not None,
            )
            keys = [target.key for target in targets]
            try:
                done.append((yield from self._run(request, part, first, keys, targets)))
            except _Failed as failed:
                yield from self._done(targets, done, parts)
                yield from self._checks(plan, targets, [failed.result])
                raise failed.failure from failed.__cause__
        results = self.results[-len(parts) :]
        if parts[0].shard is not None and not any(one.outputs for one in done):
            self._context.log.info(
                f'"{pipeline.name}": {len(parts)} of {parts[0].shard[1]} shards done here; its output is there when all are'
            )
        for target in self._written(pipeline, targets, done, parts):
            if len(parts) > 1 and all(len(part.keys) == 1 for part in parts):
                # Each partition has its own run, with figures and a file of its own.
                for one, part in zip(done, parts, strict=True):
                    self._context.add_asset_metadata(
                        materialized([one], target.output.step, target.output, [part]),
                        asset_key=target.key,
                        partition_key=part.keys[0],
                    )
            yield dg.MaterializeResult(
                asset_key=target.key,
                metadata=materialized(done, target.output.step, target.output, parts),
                data_version=dg.DataVersion("+".join(one.run_id for one in done[:8])),
            )
        yield from self._checks(plan, targets, results)

    def _done(
        self, targets: list[Target], done: list[RunFinished], parts: list[Part]
    ) -> Iterator[dg.AssetMaterialization]:
        """Of a range that has failed: the partitions that are there all the same."""
        for one, part in zip(done, parts, strict=False):
            if len(part.keys) != 1 or part.shard is not None:
                continue
            for target in targets:
                if any(output.step == target.output.step for output in one.outputs):
                    yield dg.AssetMaterialization(
                        asset_key=target.key,
                        partition=part.keys[0],
                        metadata=materialized([one], target.output.step, target.output, [part]),
                    )

    def _parts(self, plan: AssetPlan, pipeline: Pipeline) -> list[Part]:
        # What the assets have now: they may have been given partitions since.
        partitions_def = self._context.assets_def.partitions_def
        if partitions_def is None:
            return [Part()]
        keys = self._context.partition_keys
        try:
            if plan.shards:
                refuse_shards(partitions_def)
                return shards_of(partitions_def, keys)
            mapping = mapping_for(pipeline, partitions_def, plan.partition_params)
            return parts_of(pipeline, partitions_def, keys, mapping)
        except dg.DagsterInvalidDefinitionError as error:
            raise dg.Failure(str(error), allow_retries=False) from error

    def _written(
        self, pipeline: Pipeline, targets: list[Target], done: list[RunFinished], parts: list[Part]
    ) -> list[Target]:
        """Those that the runs have written. Throws Failure where there is none: the manifest says what is no more."""
        # What shards make together is told by the one that ends last.
        if parts[0].shard is not None:
            return targets
        steps = {output.step for one in done for output in one.outputs}
        written = [target for target in targets if target.output.step in steps]
        missing = ", ".join(f'"{target.output.step}"' for target in targets if target not in written)
        why = f'the pipeline "{pipeline.name}" has run and has not written {missing}: '
        manifest = f"oxiflow pipeline manifest --project {self._resource.project}"
        if not written:
            raise dg.Failure(
                f"{why}the manifest is older than the pipeline; write it anew with {manifest}", allow_retries=False
            )
        if missing:
            self._context.log.warning(
                f"{why}a condition has left it out, or the manifest is older than the pipeline ({manifest})"
            )
        return written

    def _run(
        self, request: RunRequest, part: Part, named: dg.AssetKey, keys: list[dg.AssetKey], targets: list[Target]
    ) -> Generator[Told, None, RunFinished]:
        """One run to its end; returns its last event."""
        resource, context = self._resource, self._context
        identity = identity_of(context, named, part)
        request = replace(
            request, run_key=identity.run_key, invocation=identity.invocation, worker_id=identity.worker_id
        )
        context.log.info(f'Oxide Flow runs "{request.pipeline}", run key "{request.run_key}"')
        try:
            run = start(request, env=resource.env, runner=resource.runner)
            with stopping(run, context, grace_of(resource.grace_seconds, resource.drain_timeout)):
                for metadata in follow(run, context.log, resource.observe_seconds):
                    for key in keys:
                        partition = part.keys[0] if len(part.keys) == 1 else None
                        yield dg.AssetObservation(asset_key=key, partition=partition, metadata=metadata)
                result = run.result()
            self.results.append(result)
            return result.check()
        except OxiFlowError as error:
            failure = failure_of(error)
            if isinstance(error, RunFailed) and targets:
                raise _Failed(failure, error.result) from error
            raise failure from error

    def _checks(self, plan: AssetPlan, targets: list[Target], results: list[Result]) -> Iterator[dg.AssetCheckResult]:
        asked = self._context.selected_asset_check_keys
        for target in targets:
            for check in target.checks.values():
                if dg.AssetCheckKey(target.key, check.name) not in asked:
                    continue
                verdicts = [verdict for result in results if (verdict := verdict_of(check, result)) is not None]
                if not verdicts:
                    if all(result.succeeded for result in results):
                        # Dagster goes on to show how it was the last time.
                        self._context.log.warning(
                            f'the check "{check.name}" was not made: the pipeline has run without it, or the manifest is older'
                        )
                    continue
                numbers = [
                    name for name, value in verdicts[0].metadata.items() if isinstance(value, int) and name != LIMIT
                ]
                worst = next((verdict for verdict in verdicts if not verdict.passed), verdicts[0])
                metadata = {
                    **worst.metadata,
                    **{name: sum(verdict.metadata[name] for verdict in verdicts) for name in numbers},
                }
                stopped = any(verdict.stopped for verdict in verdicts)
                yield dg.AssetCheckResult(
                    asset_key=target.key,
                    check_name=check.name,
                    passed=worst.passed,
                    severity=plan.translator.get_check_severity(check, stopped),
                    metadata=metadata,
                )


class _Failed(Exception):
    def __init__(self, failure: dg.Failure, result: Result) -> None:
        super().__init__(str(failure))
        self.failure = failure
        self.result = result
