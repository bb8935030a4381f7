"""A task at work: the one way in which a run is started, followed and ended, in a thread of its own or beside others."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from functools import partial
from typing import Any, Union

import anyio
from oxiflow.live import Live
from oxiflow.narration import Narrator
from oxiflow.process import Item, Run
from oxiflow.request import drain_seconds, part_of_how_many
from prefect.client.schemas.objects import State
from prefect.logging import get_run_logger
from prefect.states import Cancelled
from pydantic import SecretStr

from oxiflow import Line, Result, RunFailed, RunRequest, start

from .assets import tell_assets
from .blocks import OxiFlowProject, OxiFlowStateBackend
from .identity import here, identity_of
from .news import News
from .pace import Pace
from .parameters import env_of, params_of
from .secrets import Secrets
from .surface import Surface

#: Between two looks at the events, in seconds; the end of the run is seen at once.
INTERVAL = 2.0
#: In a loop of others, where it is not: at first and at last.
SOON, LATER = 0.1, 1.0
#: Added to the time that a stop may take until what is left is killed, in seconds. Prefect kills a flow run after thirty.
MARGIN = 5.0
#: For what the runner has left behind, when it has had its time.
AFTERWARDS = 1.0

Value = Union[str, SecretStr]
Project = Union[str, "os.PathLike[str]", OxiFlowProject]
Backend = Union[str, OxiFlowStateBackend, None]
#: What a task returns: the summary, or the state that it ends in.
Outcome = Union[dict[str, Any], State[Any]]


class Work:
    """Of one try. Made in the task, which it looks for."""

    def __init__(
        self,
        pipeline: str,
        project: Project,
        *,
        run_key: str | None,
        worker_id: str | None,
        state_backend: Backend,
        params: Mapping[str, Any] | None,
        shard: Any,
        env: Mapping[str, Value] | None,
    ) -> None:
        place = here()
        self._log = get_run_logger()
        self._narrator = Narrator(self._log)
        self._project = project if isinstance(project, OxiFlowProject) else OxiFlowProject(project_dir=str(project))
        part = None if shard is None else part_of_how_many(shard)
        params, env = params_of(params), env_of(env)
        identity = identity_of(
            place,
            pipeline=pipeline,
            run_key=run_key,
            worker_id=worker_id,
            given={
                "params": params,
                "env": {name: "" if isinstance(value, SecretStr) else value for name, value in env.items()},
            },
            shared=part is not None,
        )
        backend = self._project.state_backend if state_backend is None else state_backend
        of_blocks = {
            **self._project.variables(),
            **(backend.variables() if isinstance(backend, OxiFlowStateBackend) else {}),
        }
        secret = {name: value.get_secret_value() for name, value in env.items() if isinstance(value, SecretStr)}
        plain = {name: str(value) for name, value in env.items() if name not in secret}
        self._secrets = Secrets([*of_blocks.values(), *secret.values()])
        self._env = {**of_blocks, **plain, **secret}
        self._request = RunRequest(
            pipeline,
            project=self._project.project_dir,
            run_key=identity.run_key,
            invocation=identity.invocation,
            worker_id=identity.worker_id,
            params=params,
            shard=part,
            drain_timeout=self._project.drain_timeout,
            state_backend=backend.backend if isinstance(backend, OxiFlowStateBackend) else backend,
        )
        live = Live(pipeline, identity.run_key, identity.invocation, identity.worker_id, now())
        self._surface = Surface(live, News(pipeline, identity.run_key), place, self._log, pipeline=pipeline, part=part)

    def execute(self) -> Outcome:
        run = self._start()
        try:
            for item in run.follow(INTERVAL):
                self._tell(item)
        except BaseException:
            self._stop(run, self._grace)
            raise
        finally:
            run.close()
        return self._conclude(self._secrets.out_of_result(run.result()))

    async def aexecute(self) -> Outcome:
        run = self._start()
        try:
            await self._follow(run)
        except BaseException:
            # Others in this loop drain meanwhile, too.
            run.terminate()
            try:
                with anyio.CancelScope(shield=True):
                    await self._follow(run, self._grace)
            finally:
                await to_the_end(partial(self._stop, run, AFTERWARDS))
            raise
        finally:
            run.close()
        return await asyncio.to_thread(self._conclude, self._secrets.out_of_result(run.result()))

    def _start(self) -> Run:
        run = start(self._request, env=self._env, runner=self._project.runner)
        try:
            self._surface.start(run.terminate)
        except BaseException:
            run.stop(self._grace)
            raise
        return run

    async def _follow(self, run: Run, within: float = float("inf")) -> None:
        deadline, pace = time.monotonic() + within, Pace(SOON, LATER)
        while run.running and time.monotonic() < deadline:
            items = run.poll()
            for item in items:
                self._tell(item)
            if not items:
                await asyncio.sleep(pace.pause)

    def _tell(self, item: Item) -> None:
        item = self._secrets.out_of(item)
        self._narrator.tell(item)
        if not isinstance(item, Line):
            self._surface.observe(item)

    def _stop(self, run: Run, grace: float) -> None:
        """This task was interrupted: the run saves a checkpoint and ends."""
        result = self._secrets.out_of_result(run.stop(grace))
        saved = 0 if result.finished is None else result.finished.checkpoint
        self._log.warning("Oxide Flow has stopped%s", f"; checkpoint {saved} is saved" if saved else "")
        self._surface.end(result, "the task was ended", now())

    def _conclude(self, result: Result) -> Outcome:
        try:
            result.check()
        except RunFailed as failure:
            self._surface.end(result, str(failure), now())
            why = self._surface.stopped_by
            if why is None:
                raise
            return Cancelled(message=f"the flow run is {why}: the pipeline has stopped and goes on from its checkpoint")
        summary = result.summary()
        if result.lost or result.malformed:
            self._log.warning("of the run's events, %s got lost and %s can't be read", result.lost, result.malformed)
        try:
            tell_assets(summary)
        except Exception as error:
            # Whatever Prefect's side throws: the pipeline has succeeded.
            self._log.warning("Prefect does not take the outputs of the run as assets: %s", error)
        self._surface.end(result, None, now())
        return summary

    @property
    def _grace(self) -> float:
        return drain_seconds(self._project.drain_timeout) + MARGIN


async def to_the_end(what: Callable[[], None]) -> None:
    """In a thread, while others in this loop go on; whoever cancels this a second time waits, too."""
    with anyio.CancelScope(shield=True):
        done = asyncio.ensure_future(asyncio.to_thread(what))
        while not done.done():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait([done])
        done.result()


def now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
