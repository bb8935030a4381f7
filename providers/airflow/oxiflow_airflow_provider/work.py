"""
A task at work: what is asked of the runner, and the one way in which a run is followed, whether this process holds it
(attached), finds it again after a death (durable) or collects it when it has ended (deferrable).
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlparse

from oxiflow.errors import RunFailed, RunnerMissing
from oxiflow.events import RunStarted
from oxiflow.live import Live
from oxiflow.process import Run
from oxiflow.reconnect import Handle, new_handle
from oxiflow.request import drain_seconds, part_of_how_many

from oxiflow import Result, RunRequest, start

from .compat import (
    AirflowException,
    AirflowFailException,
    AirflowTaskTimeout,
    executors,
    state_store,
    without_secrets,
)
from .environment import connection_variables
from .hooks import OxiFlowHook
from .identity import clearing_notice, identify, part_of
from .logs import TaskLog
from .surface import Surface, put_of

if TYPE_CHECKING:
    from .operators import OxiFlowOperator

#: The detached run of a durable task, in its state store.
LAUNCH = "oxiflow_launch"
#: Between two looks at the events, in seconds.
INTERVAL = 0.2
#: Added to the time that a stop may take, until the run is killed.
MARGIN = 10.0
#: Airflow throws when the task's time is over, in whatever runs then, which may not let it through: after so many seconds it is
#: said again here.
LATE = 2.0
#: What of the runner's advice is called otherwise here.
ADVICE = {
    "--fresh starts over": "the task starts over when it has fresh=True and is cleared",
    "add --same-host": "that is same_host=True, and a connection of type oxiflow that has a host keeps the state in Redis",
}
#: State that only one machine reaches, and executors whose tasks are all on one machine.
ON_ONE_MACHINE = ("sqlite", "file")
LOCAL = {"LocalExecutor", "SequentialExecutor"}


class Work:
    def __init__(self, task: OxiFlowOperator, context: Any) -> None:
        self._task = task
        self._context = context
        self._log = task.log
        self._run: Run | None = None
        self._terminated = False
        limit = task.execution_timeout
        self._deadline = None if limit is None else time.monotonic() + limit.total_seconds() + LATE
        self._settings = OxiFlowHook(task.oxiflow_conn_id).settings()
        self._project = self._folder()
        self._shard = shard_of(task.shard)
        self._identity = identify(
            context,
            pipeline=task.pipeline_name,
            run_key=task.run_key,
            worker_id=task.worker_id,
            part=part_of(task),
            retries=int(task.retries or 0),
        )
        self._live = Live(
            task.pipeline_name,
            self._identity.run_key,
            self._identity.invocation,
            self._identity.worker_id,
            now(),
        )
        put, looked_at = put_of(context)
        self._surface = Surface(put, self._log, looked_at)

    def execute(self) -> dict[str, Any]:
        try:
            if self._task.deferrable:
                return self._deferrable()
            if self._task.durable:
                return self._durable()
            return self._conclude(self._follow(self._start()))
        except RunnerMissing as error:
            raise AirflowFailException(str(error)) from error

    def terminate(self) -> None:
        """Safe in a signal handler."""
        self._terminated = True
        if self._run is not None:
            self._run.terminate()

    def resume(self, event: Mapping[str, Any], document: Mapping[str, Any], resumed_from: int | None) -> dict[str, Any]:
        handle = Handle(**document)
        status, message = event.get("status"), str(event.get("message"))
        if handle.here:
            if status == "timeout" and handle.alive():
                # The trigger was elsewhere, and could only ask.
                handle.run().stop(self._grace)
            # To its end, also where the trigger could not follow it. A trigger on this machine has written the log.
            result = self._follow(handle.run(), quiet=bool(event.get("told")))
            handle.clear()
            if status == "timeout" and not result.succeeded:
                self._end(result, message)
                raise AirflowException(message)
            return self._conclude(result)
        if status != "finished":
            raise (AirflowException if event.get("retry", True) else AirflowFailException)(message)
        # It ended on another machine: the same invocation tells the summary that is stored, and does nothing twice.
        self._live.went_on_from(resumed_from)
        return {**self._conclude(self._follow(self._start(again=True))), "resumed_from": resumed_from}

    def _durable(self) -> dict[str, Any]:
        store = state_store(self._context)
        handle = self._launched(store)
        result: Result | None = None
        try:
            if handle is not None:
                self._log.info("going on with the run that an earlier try has started, process %s", handle.pid)
                result = self._follow(handle.run())
                if not result.succeeded and not self._terminated:
                    self._log.info("that run has ended without success; this try goes on from its checkpoint")
                    handle.clear()
                    result = None
            if result is None:
                handle = new_handle()
                # Before it is started, too: this process may be killed at any moment.
                store.set(LAUNCH, self._launch(handle))
                run = self._start(handle)
                handle = handle.of(run.pid)
                store.set(LAUNCH, self._launch(handle))
                result = self._follow(run)
        finally:
            # Not of a run that goes on: the next try has to find it.
            if handle is not None and not handle.alive():
                handle.clear()
                store.delete(LAUNCH)
        return self._conclude(result)

    def _launch(self, handle: Handle) -> dict[str, Any]:
        return {"invocation": self._identity.invocation, "handle": handle.document()}

    def _launched(self, store: Any) -> Handle | None:
        """The run that an earlier try has started here: one that lives, or one of this invocation that has ended."""
        launch = store.get(LAUNCH)
        if not isinstance(launch, dict):
            return None
        handle = Handle(**launch["handle"])
        if not handle.here:
            return None
        if launch.get("invocation") != self._identity.invocation and not self._outlives(handle):
            handle.clear()
            return None
        try:
            handle.run().close()
        except FileNotFoundError:
            handle.clear()
            return None
        return handle

    def _outlives(self, handle: Handle) -> bool:
        """The task was cleared, and its run goes on; not where it has to start over."""
        if not handle.alive():
            return False
        if not (self._task.fresh and self._identity.first_try):
            return True
        self._log.info("fresh: stopping the run that an earlier try has left behind, process %s", handle.pid)
        with contextlib.closing(handle.run()) as run:
            run.stop(self._grace)
        return False

    def _deferrable(self) -> dict[str, Any]:
        handle = new_handle()
        run = self._start(handle)
        handle = handle.of(run.pid)
        backend = self._until_started(run)
        if backend is None:
            # It has ended already.
            result = run.result()
            handle.clear()
            return self._conclude(result)
        others = sorted({*executors()} - LOCAL)
        if backend in ON_ONE_MACHINE and others:
            run.stop(self._grace)
            handle.clear()
            raise AirflowFailException(
                f"deferrable: the state in {backend} is this machine's alone, and with {', '.join(others)} the triggerer may be "
                "on another one: keep the state in Redis, or leave deferrable out"
            )
        run.close()
        return self._defer(handle, backend)

    def _until_started(self, run: Run) -> str | None:
        """The state backend that the run has found; None where it ended first."""
        try:
            self._holds(run)
            for item in run.follow(INTERVAL):
                if not isinstance(item, tuple):
                    self._live.observe(item)
                if isinstance(item, RunStarted):
                    return item.backend.name
            return None
        except BaseException:
            run.stop(self._grace)
            raise

    def _defer(self, handle: Handle, backend: str) -> dict[str, Any]:
        from .triggers import OxiFlowTrigger

        self._log.info("the run goes on as process %s; the task gives its place away until it has ended", handle.pid)
        self._live.deferred(now())
        self._surface.write(self._live)
        timeout = self._task.execution_timeout
        trigger = OxiFlowTrigger(
            handle=handle.document(),
            pipeline=self._task.pipeline_name,
            run_key=self._identity.run_key,
            invocation=self._identity.invocation,
            worker_id=self._identity.worker_id,
            project_dir=self._project,
            state_backend=self._task.state_backend,
            found_backend=backend,
            runner_path=self._task.runner_path,
            oxiflow_conn_id=self._task.oxiflow_conn_id,
            env=self._env,
            conn_env=self._task.conn_env,
            grace=self._grace,
            deadline=None if timeout is None else (datetime.now(timezone.utc) + timeout).isoformat(),
        )
        told = {"handle": handle.document(), "resumed_from": self._live.run()["resumed_from"]}
        self._task.defer(trigger=trigger, method_name="resume", kwargs=told)
        raise AssertionError("unreachable: defer throws")

    def _start(self, handle: Handle | None = None, again: bool = False) -> Run:
        task = self._task
        request = RunRequest(
            task.pipeline_name,
            project=self._project,
            run_key=self._identity.run_key,
            invocation=self._identity.invocation,
            worker_id=self._identity.worker_id,
            params=task.pipeline_params,
            set=task.set,
            # Later tries of the same invocation go on with what the first one began.
            fresh=task.fresh and self._identity.first_try and not again,
            shard=self._shard,
            same_host=task.same_host and self._shard is not None,
            drain_timeout=duration_text(task.drain_timeout),
            state_backend=task.state_backend or self._settings.state_backend,
        )
        return start(
            request,
            env={**self._settings.env, **self._env, **connection_variables(task.conn_env)},
            cwd=self._project,
            runner=task.runner_path or self._settings.runner_path,
            events=None if handle is None else handle.events,
            output=None if handle is None else handle.output,
            detached=handle is not None,
        )

    def _follow(self, run: Run, quiet: bool = False) -> Result:
        """To its end. Whatever ends this task first ends the run, with a checkpoint, but for a death that nobody notices."""
        log = None if quiet else TaskLog(self._log)
        try:
            self._holds(run)
            for item in run.follow(INTERVAL):
                if log is not None:
                    log.tell(item)
                if not isinstance(item, tuple):
                    self._live.observe(item)
                if self._surface.due():
                    self._surface.write(self._live)
                if self._deadline is not None and time.monotonic() > self._deadline and not self._terminated:
                    raise AirflowTaskTimeout(f"the task has taken longer than {self._task.execution_timeout}")
            return run.result()
        except BaseException:
            self._end(run.stop(self._grace), "the task was ended")
            raise
        finally:
            self._run = None
            run.close()

    def _holds(self, run: Run) -> None:
        self._run = run
        if self._terminated:
            # The signal came before there was a run.
            run.terminate()

    def _conclude(self, result: Result) -> dict[str, Any]:
        try:
            result.check()
        except RunFailed as failure:
            message = in_airflow(str(failure))
            self._end(result, message)
            raise (AirflowException if failure.retry else AirflowFailException)(message) from failure
        self._end(result, None)
        if result.lost or result.malformed:
            self._log.warning(
                "of the run's events, %s got lost and %s could not be read", result.lost, result.malformed
            )
        summary = result.summary()
        if self._shard is not None:
            notice = clearing_notice(self._context, int(self._task.retries or 0), summary["outputs"])
            if notice is not None:
                self._log.warning(notice)
        shown: dict[str, Any] = without_secrets(summary)
        self._tell_assets(summary["outputs"], shown)
        return shown

    def _end(self, result: Result, error: str | None) -> None:
        self._live.ended(result, error, now())
        self._surface.write(self._live)

    def _tell_assets(self, outputs: Sequence[Mapping[str, Any]], summary: Mapping[str, Any]) -> None:
        for outlet in self._task.outlets or ():
            uri = getattr(outlet, "uri", None)
            if uri is None:
                continue
            mine = [output for output in outputs if is_at(output["to"], uri)]
            self._context["outlet_events"][outlet].extra = {
                "rows": sum(output["rows"] for output in mine) if mine else summary["rows"],
                "bytes": sum(output["bytes"] for output in mine) if mine else summary["bytes"],
                **{
                    name: summary[name]
                    for name in ("records_read", "errors", "seconds", "checkpoint", "run_key", "run_id")
                },
            }

    @property
    def _env(self) -> dict[str, str]:
        return {name: str(value) for name, value in self._task.env.items()}

    @property
    def _grace(self) -> float:
        return drain_seconds(duration_text(self._task.drain_timeout)) + MARGIN

    def _folder(self) -> str:
        named = self._task.project_dir or self._settings.project_dir or ""
        folder = os.path.normpath(os.path.join(self._task.dag.folder, os.path.expanduser(named)))
        try:
            with os.scandir(folder):
                # Which is to be its working folder, too.
                os.stat(os.path.join(folder, os.curdir))
        except PermissionError:
            raise AirflowFailException(
                f"the user that tasks run as on this worker may not look into {folder}, where the project is looked for"
            ) from None
        except (FileNotFoundError, NotADirectoryError):
            raise AirflowFailException(
                f"there is no folder {folder} on this worker, and the project is looked for there"
            ) from None
        return folder


def in_airflow(message: str) -> str:
    """What the runner advises is said on its command line."""
    return "; in Airflow, ".join([message, *(meant for option, meant in ADVICE.items() if option in message)])


def is_at(to: str | None, uri: str) -> bool:
    """The output is what the asset means: the same path, or the table that its address ends with."""
    if to is None:
        return False
    path = unquote(urlparse(uri).path)
    return path == to or (os.sep not in to and path.rpartition("/")[2] == to)


def shard_of(shard: Any) -> tuple[int, int] | None:
    """Throws AirflowFailException for what is no part of how many."""
    try:
        return None if shard is None else part_of_how_many(shard)
    except ValueError as error:
        raise AirflowFailException(str(error)) from None


def duration_text(value: Any) -> str | None:
    """As the runner takes it."""
    if value is None or isinstance(value, str):
        return value
    seconds = value.total_seconds() if isinstance(value, timedelta) else float(value)
    return f"{round(seconds * 1000)}ms"


def now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
