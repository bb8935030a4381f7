"""A Pipes client: the runner reports by Dagster's own protocol, and is stopped with all that it started."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import replace
from typing import Any

import dagster as dg
from dagster._core.definitions.resource_annotation import TreatAsResourceParam
from dagster._core.pipes.client import PipesClientCompletedInvocation

from oxiflow import OxiFlowError, RunRequest, start

from .following import failure_of, follow, grace_of, keys_of, stopping
from .identity import StepContext, identity_of
from .partitions import Part


class OxiFlowPipesClient(dg.PipesClient, TreatAsResourceParam):
    """
    Runs one pipeline in a Pipes session: `pipes.run(context=context, request=RunRequest("rides", project="bikes"))`. Beyond what
    PipesSubprocessClient does: checkpoints are observations while it runs, a stop drains and ends the whole process group, a
    retry resumes, and a report that Dagster could not read is a failure.
    """

    def __init__(
        self,
        *,
        runner: str | None = None,
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
        context_injector: dg.PipesContextInjector | None = None,
        message_reader: dg.PipesMessageReader | None = None,
        observe_seconds: float = 10.0,
        grace_seconds: float = 15.0,
    ) -> None:
        self.runner = runner
        self.env = dict(env or {})
        self.cwd = cwd
        self.context_injector = context_injector or dg.PipesTempFileContextInjector()
        self.message_reader = message_reader or dg.PipesTempFileMessageReader()
        self.observe_seconds = observe_seconds
        self.grace_seconds = grace_seconds

    def run(  # type: ignore[override]
        self,
        *,
        context: StepContext,
        request: RunRequest,
        extras: Mapping[str, Any] | None = None,
    ) -> PipesClientCompletedInvocation:
        """To the end of the run. Throws Failure."""
        sessions: list[Any] = []

        def whole() -> Generator[Any, None, None]:
            sessions.append((yield from self.stream(context=context, request=request, extras=extras)))

        for _ in whole():
            pass
        return PipesClientCompletedInvocation(sessions[0])

    def stream(
        self,
        *,
        context: StepContext,
        request: RunRequest,
        extras: Mapping[str, Any] | None = None,
    ) -> Generator[Any, None, Any]:
        """
        What the runner reports, as it comes. The request is given a run key and an invocation where it has none. `extras`:
        `{"oxiflow_assets": {step: asset key}}` says which output is which of several assets, `{"oxiflow_checks": {asset key:
        {check: step}}}` which checks the run answers. Throws Failure.
        """
        keys = sorted(context.selected_asset_keys)
        part = Part(keys_of(context))
        # An op has no asset.
        identity = identity_of(context, keys[0] if keys else dg.AssetKey(context.op_execution_context.op.name), part)
        request = replace(
            request,
            run_key=request.run_key or identity.run_key,
            invocation=request.invocation or identity.invocation,
            worker_id=request.worker_id or identity.worker_id,
        )
        failed: OxiFlowError | None = None
        with dg.open_pipes_session(
            context=context,
            context_injector=self.context_injector,
            message_reader=self.message_reader,
            extras=dict(extras or {}),
        ) as session:
            told = 0
            try:
                env = {**self.env, **session.get_bootstrap_env_vars()}
                run = start(request, env=env, cwd=self.cwd, runner=self.runner)
                # The runner logs by Pipes: not twice.
                with stopping(run, context, grace_of(self.grace_seconds, request.drain_timeout)):
                    for metadata in follow(run, None, self.observe_seconds):
                        for key in keys:
                            context.log_event(
                                dg.AssetObservation(
                                    asset_key=key,
                                    partition=part.keys[0] if len(part.keys) == 1 else None,
                                    metadata=metadata,
                                )
                            )
                        reported = session.get_reported_results()
                        yield from reported[told:]
                        told = len(reported)
                    run.result().check()
            except OxiFlowError as error:
                failed = error
        if failed is None and not session.message_handler.received_closed_message:
            raise dg.Failure(
                "the run has succeeded, but what it reported did not all reach Dagster; see the warnings above",
                allow_retries=True,
            )
        # Of a run that failed: the checks that say why.
        yield from session.get_reported_results()[told:]
        if failed is not None:
            raise failure_of(failed) from failed
        return session
