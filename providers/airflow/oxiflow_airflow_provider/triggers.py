"""
Waits for the run of a deferred task, in Airflow's triggerer. On the run's own machine it reads the events; elsewhere it asks the
state backend. To end the run it asks through the state backend, and signals only processes of its own machine.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from datetime import datetime, timezone
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent
from oxiflow.process import Run
from oxiflow.reconnect import Handle

from oxiflow import OxiFlowError

from .compat import set_xcom
from .environment import connection_variables
from .hooks import OxiFlowHook, Settings, call
from .live import Live
from .logs import TaskLog
from .surface import Surface
from .work import ON_ONE_MACHINE, now

#: Between two looks at the events, and between two questions to the state backend, in seconds.
LOOK = 0.5
ASK = 10.0
#: A state backend that does not answer is asked again this often before the task is told.
PATIENCE = 6
#: Held here, or they would be forgotten in the middle.
ENDING: set[asyncio.Task[None]] = set()
OVER = ("finished", "failed", "interrupted")


class OxiFlowTrigger(BaseTrigger):
    """`env` and the ids in `conn_env` are kept by Airflow; what connections hold is asked for here, and never kept."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._kwargs = kwargs
        self._handle = Handle(**kwargs["handle"])
        self._run_key: str = kwargs["run_key"]

    def serialize(self) -> tuple[str, dict[str, Any]]:
        return f"{__name__}.{type(self).__name__}", self._kwargs

    async def run(self) -> AsyncIterator[TriggerEvent]:
        try:
            if self._handle.here:
                event = await self._follow(self._handle.run())
            else:
                event = await self._ask()
        except TimeoutError as error:
            await self._cancel()
            event = {"status": "timeout", "message": str(error)}
        yield TriggerEvent(event)

    async def on_kill(self) -> None:
        """Somebody has ended or cleared the task."""
        # The triggerer cancels again each second, and only waits for what it has called.
        ending = asyncio.create_task(self._end())
        ENDING.add(ending)
        ending.add_done_callback(ENDING.discard)
        await asyncio.shield(ending)

    async def _end(self) -> None:
        await self._cancel()
        if self._handle.here:
            # Nobody collects it.
            await self._follow(self._handle.run())
            self._handle.clear()

    async def _follow(self, run: Run) -> dict[str, Any]:
        log = TaskLog(self.log)
        keep = self._kwargs
        live = Live(keep["pipeline"], self._run_key, keep["invocation"], keep["worker_id"], now())
        surface = Surface(lambda key, value: set_xcom(self.task_instance, key, value), self.log)
        try:
            while True:
                items = await asyncio.to_thread(run.poll)
                for item in items:
                    log.tell(item)
                    if not isinstance(item, tuple):
                        live.observe(item)
                if not run.running:
                    break
                if surface.due():
                    live.deferred(now())
                    await asyncio.to_thread(surface.write, live)
                self._check_deadline()
                if not items:
                    await asyncio.sleep(LOOK)
            result = run.result()
            live.ended(result, None if result.succeeded else "the run was ended", now())
            await asyncio.to_thread(surface.write, live)
        finally:
            run.close()
        return {"status": "ended"}

    async def _ask(self) -> dict[str, Any]:
        """The run is on another machine."""
        if self._kwargs["state_backend"] in ON_ONE_MACHINE:
            return unreachable(self._handle, f"the state in {self._kwargs['state_backend']} is that machine's alone")
        unanswered = 0
        told = None
        while True:
            self._check_deadline()
            try:
                status = await asyncio.to_thread(self._call, "status")
            except (OxiFlowError, OSError) as error:
                unanswered += 1
                if unanswered >= PATIENCE:
                    return unreachable(self._handle, f"the state backend does not tell how it stands: {error}")
            else:
                unanswered = 0
                if status.get("records") != told:
                    told = status.get("records")
                    self.log.info("%s records, checkpoint %s", told, status.get("checkpoint"))
                if status.get("status") in OVER:
                    return ended(status)
            await asyncio.sleep(ASK)

    def _check_deadline(self) -> None:
        deadline = self._kwargs.get("deadline")
        if deadline is not None and datetime.now(timezone.utc) > datetime.fromisoformat(deadline):
            raise TimeoutError("the task has taken longer than its execution_timeout; its run was asked to end")

    async def _cancel(self) -> None:
        """Asks the run to save a checkpoint and end, and on its own machine sees to it that it does."""
        asked = False
        try:
            asked = (await asyncio.to_thread(self._call, "cancel")).get("requested") is True
        except (OxiFlowError, OSError) as error:
            self.log.warning("the run could not be cancelled through the state backend: %s", error)
        if not self._handle.here:
            return
        run = self._handle.run()
        if not asked and self._handle.alive():
            run.terminate()
        deadline = time.monotonic() + self._kwargs["grace"]
        while self._handle.alive() and time.monotonic() < deadline:
            await asyncio.sleep(0.1)
        if self._handle.alive():
            self.log.warning(
                "the run did not end in time, and is killed; the next one goes on from its last checkpoint"
            )
            run.kill()
        run.close()

    def _call(self, verb: str) -> Mapping[str, Any]:
        keep = self._kwargs
        settings = OxiFlowHook(keep["oxiflow_conn_id"]).settings()
        answer = call(
            Settings(
                runner_path=keep["runner_path"] or settings.runner_path,
                project_dir=keep["project_dir"],
                state_backend=keep["state_backend"] or settings.state_backend,
                env={**settings.env, **keep["env"], **connection_variables(keep["conn_env"])},
            ),
            [verb, f"--run-key={self._run_key}"],
        )
        return answer if isinstance(answer, dict) else {}


def ended(status: Mapping[str, Any]) -> dict[str, Any]:
    if status["status"] == "finished":
        return {"status": "finished"}
    error = status.get("error") or {}
    return {"status": "failed", "message": error.get("message") or f"the run is {status['status']}"}


def unreachable(handle: Handle, why: str) -> dict[str, Any]:
    return {
        "status": "unreachable",
        "message": f"the run is process {handle.pid} on {handle.host}, which the triggerer can't follow: {why}. "
        "Keep the state in Redis, or leave deferrable out",
    }
