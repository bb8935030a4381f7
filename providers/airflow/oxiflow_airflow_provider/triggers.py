"""
Waits for the run of a deferred task, in Airflow's triggerer. On the run's own machine it reads the events; elsewhere it asks the
state backend. To end the run it asks through the state backend, and signals only processes of its own machine.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Mapping
from datetime import datetime, timezone
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent
from oxiflow.errors import RunFailed
from oxiflow.live import Live
from oxiflow.process import Item, Run
from oxiflow.reconnect import Handle

from oxiflow import Result

from .compat import set_xcom, without_secrets
from .environment import connection_variables
from .hooks import STATE_URL, OxiFlowHook, Settings, call
from .logs import TaskLog
from .surface import SOONEST_OF_MANY, Surface
from .work import ON_ONE_MACHINE, now

#: Between two looks at the events, and between two questions to the state backend, in seconds.
LOOK = 0.5
ASK = 10.0
#: A state backend that does not answer is asked again this often before the task is told.
PATIENCE = 6
#: No worker holds a lease on the run any more: after so many seconds it is taken for dead. A worker that was only cut off from
#: the state renews its lease within that time.
NOBODY = 60.0
#: Held here, or they would be forgotten in the middle.
ENDING: set[asyncio.Task[None]] = set()
OVER = ("finished", "failed", "interrupted")


class Late(Exception):
    """The task's time is over."""


class NoProject(Exception):
    """The folder of the project is not on this machine, and nothing else says where the state is."""


class OxiFlowTrigger(BaseTrigger):
    """`env` and the ids in `conn_env` are kept by Airflow; what connections hold is asked for here, and never kept."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._kwargs = kwargs
        self._handle = Handle(**kwargs["handle"])
        self._run_key: str = kwargs["run_key"]
        self._asked_to_end = False

    def serialize(self) -> tuple[str, dict[str, Any]]:
        return f"{__name__}.{type(self).__name__}", self._kwargs

    async def run(self) -> AsyncIterator[TriggerEvent]:
        here = self._handle.here
        await self._know_secrets()
        try:
            event = await (self._follow(self._handle.run()) if here else self._ask())
        except Late as error:
            await self._cancel()
            event = {"status": "timeout", "message": str(error)}
        except OSError as error:
            # Of the run's files: a trigger that throws takes its task with it, and nobody would hold the run.
            here = False
            event = unfollowed(self._handle, error)
        # Airflow keeps it with the task.
        yield TriggerEvent(without_secrets({**event, "told": here}))

    async def _know_secrets(self) -> None:
        """What the run was given is to be told by nobody here, too; a connection that is gone by now is no reason to stop."""
        if self._kwargs["conn_env"]:
            with contextlib.suppress(Exception):
                await asyncio.to_thread(connection_variables, self._kwargs["conn_env"])

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
            try:
                await self._follow(self._handle.run())
            except OSError as error:
                self.log.warning("what the run said at its end can't be read: %s", error)
            self._handle.clear()

    async def _follow(self, run: Run) -> dict[str, Any]:
        log = TaskLog(self.log)
        told = Told(self._handle)
        keep = self._kwargs
        live = Live(keep["pipeline"], self._run_key, keep["invocation"], keep["worker_id"], now())
        surface = Surface(
            lambda key, value: set_xcom(self.task_instance, key, value), self.log, soonest=SOONEST_OF_MANY
        )
        try:
            while True:
                items = await asyncio.to_thread(run.poll)
                for item in told.new(items):
                    log.tell(item)
                for item in items:
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
        return outcome(result)

    async def _ask(self) -> dict[str, Any]:
        """The run is on another machine."""
        # As the run told it; tasks that were deferred by an older version of this have only what was asked for.
        backend = self._kwargs.get("found_backend") or self._kwargs["state_backend"]
        if backend in ON_ONE_MACHINE:
            return unreachable(self._handle, f"the state in {backend} is that machine's alone")
        unanswered = 0
        told = None
        alone_since: float | None = None
        while True:
            self._check_deadline()
            try:
                status = await asyncio.to_thread(self._call, "status")
            except NoProject as error:
                return projectless(self._handle, error)
            except Exception as error:
                # Of the runner, the network, or the connection, which somebody may take away at any time.
                unanswered += 1
                if unanswered >= PATIENCE:
                    return unanswering(self._handle, error)
            else:
                unanswered = 0
                if status.get("records") != told:
                    told = status.get("records")
                    self.log.info("%s records, checkpoint %s", told, status.get("checkpoint"))
                if status.get("status") in OVER:
                    return ended(status)
                if status.get("workers_alive") != 0:
                    alone_since = None
                elif alone_since is None:
                    alone_since = time.monotonic()
                elif time.monotonic() - alone_since >= NOBODY:
                    return abandoned(self._handle, status)
            await asyncio.sleep(ASK)

    def _check_deadline(self) -> None:
        deadline = self._kwargs.get("deadline")
        if self._asked_to_end or deadline is None:
            return
        if datetime.now(timezone.utc) > datetime.fromisoformat(deadline):
            raise Late("the task has taken longer than its execution_timeout; its run was asked to end")

    async def _cancel(self) -> None:
        """
        Has the run save a checkpoint and end. On its own machine this needs no state backend and no connection, and sees to it
        that the run does end.
        """
        first, self._asked_to_end = not self._asked_to_end, True
        if not self._handle.here:
            await self._request()
            return
        try:
            run = self._handle.run()
        except OSError as error:
            self.log.warning("the run can't be ended from here: %s", error)
            return
        # A second signal would make it stop at once.
        if first and self._handle.alive():
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

    async def _request(self) -> None:
        try:
            await asyncio.to_thread(self._call, "cancel")
        except Exception as error:
            # As in `_ask`; the task ends all the same, and says why its run may not.
            self.log.warning("the run could not be cancelled through the state backend: %s", error)

    def _call(self, verb: str) -> Mapping[str, Any]:
        keep = self._kwargs
        settings = OxiFlowHook(keep["oxiflow_conn_id"]).settings()
        env = {**settings.env, **keep["env"], **connection_variables(keep["conn_env"])}
        project, backend = keep["project_dir"], keep["state_backend"] or settings.state_backend
        if not os.path.isdir(project):
            if not (env.get(STATE_URL) or os.environ.get(STATE_URL)):
                raise NoProject(f"there is no folder {project} on the triggerer's machine")
            # It is asked without a project: in this folder nobody else can leave one.
            project, backend = os.sep, backend or keep.get("found_backend")
        answer = call(
            Settings(
                runner_path=keep["runner_path"] or settings.runner_path,
                project_dir=project,
                state_backend=backend,
                env=env,
            ),
            [verb, f"--run-key={self._run_key}"],
        )
        return answer if isinstance(answer, dict) else {}


class Told:
    """
    Up to which event the task's log has been told of the run, beside the run itself: a triggerer that is started again goes on
    from there. Events keep their numbers whenever they are read, and those of a detached run are all that is read of it.
    """

    def __init__(self, handle: Handle) -> None:
        self._path = os.path.join(handle.folder, "told")
        self._seq = 0
        with contextlib.suppress(OSError, ValueError), open(self._path) as file:
            self._seq = int(file.read())

    def new(self, items: list[Item]) -> list[Item]:
        """Those that nobody has told yet, which the caller does."""
        found = [item for item in items if isinstance(item, tuple) or item.seq > self._seq]
        last = max((item.seq for item in found if not isinstance(item, tuple)), default=self._seq)
        if last > self._seq:
            self._seq = last
            # Without it, a log has lines twice, and nothing worse.
            with contextlib.suppress(OSError), open(self._path, "w") as file:
                file.write(str(last))
        return found


def outcome(result: Result) -> dict[str, Any]:
    try:
        result.check()
    except RunFailed as failure:
        return {"status": "failed", "message": str(failure), "retry": failure.retry}
    return {"status": "finished"}


def ended(status: Mapping[str, Any]) -> dict[str, Any]:
    if status["status"] == "finished":
        return {"status": "finished"}
    error = status.get("error") or {}
    return {"status": "failed", "message": error.get("message") or f"the run is {status['status']}"}


def abandoned(handle: Handle, status: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "status": "failed",
        "message": f"the run is said to be {status.get('status')}, but no worker of it has been alive for {NOBODY:g} s: "
        f"process {handle.pid} on {handle.host} has died, or does not reach its state; "
        f"the next try goes on from checkpoint {status.get('checkpoint')}",
    }


def unanswering(handle: Handle, error: Exception) -> dict[str, Any]:
    return {
        "status": "unreachable",
        "message": f"the run is process {handle.pid} on {handle.host}, and how it stands can't be asked: {error}",
    }


def unfollowed(handle: Handle, error: Exception) -> dict[str, Any]:
    return {
        "status": "unreachable",
        "message": f"the run is process {handle.pid} on {handle.host}, and the triggerer there can't read what it says: {error}",
    }


def projectless(handle: Handle, error: Exception) -> dict[str, Any]:
    return {
        "status": "unreachable",
        "message": f"the run is process {handle.pid} on {handle.host}, and {error}, which says where its state is: name the "
        "state in a connection of type oxiflow (oxiflow_conn_id), or leave deferrable out",
        "retry": False,
    }


def unreachable(handle: Handle, why: str) -> dict[str, Any]:
    return {
        "status": "unreachable",
        "message": f"the run is process {handle.pid} on {handle.host}, which the triggerer can't follow: {why}. "
        "Keep the state in Redis, or leave deferrable out",
        "retry": False,
    }
