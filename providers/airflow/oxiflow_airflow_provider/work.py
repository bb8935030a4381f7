"""
A task at work: what is asked of the runner, and the one way in which a run is followed, whether this process holds it
(attached), finds it again after a death (durable) or collects it when it has ended (deferrable).
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from oxiflow.errors import RunFailed, RunnerMissing
from oxiflow.events import RunStarted
from oxiflow.live import Live
from oxiflow.process import Run
from oxiflow.reconnect import Handle
from oxiflow.request import drain_seconds

from oxiflow import Result, RunRequest, start

from .assets import tell_assets
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
from .launch import Launch
from .logs import TaskLog
from .parameters import duration_text, said, shard_of
from .surface import Surface, put_of

if TYPE_CHECKING:
    from .operators import OxiFlowOperator

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
ANEW = "that run has ended without success; this try goes on from its checkpoint"
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
        handle, launch = Handle(**document), self._launch()
        status, message = event.get("status"), str(event.get("message"))
        if handle.here:
            if status == "timeout" and handle.alive():
                # The trigger was elsewhere, and could only ask.
                handle.run().stop(self._grace)
            # To its end, also where the trigger could not follow it. A trigger on this machine has written the log.
            result = self._follow(handle.run(), quiet=bool(event.get("told")))
            launch.forget(handle)
            if status == "timeout" and not result.succeeded:
                self._end(result, message)
                raise AirflowException(message)
            return self._conclude(result)
        if status in ("finished", "failed"):
            launch.forget()
        if status != "finished":
            raise (AirflowException if event.get("retry", True) else AirflowFailException)(message)
        # It ended on another machine: the same invocation tells the summary that is stored, and does nothing twice.
        self._live.went_on_from(resumed_from)
        return {**self._conclude(self._follow(self._start(again=True))), "resumed_from": resumed_from}

    def _durable(self) -> dict[str, Any]:
        launch = self._launch()
        handle = self._launched(launch)
        result: Result | None = None
        try:
            if handle is not None:
                result = self._follow(handle.run())
                if not result.succeeded and not self._terminated:
                    self._log.info(ANEW)
                    handle.clear()
                    result = None
            if result is None:
                handle, run = self._start_detached(launch)
                result = self._follow(run)
        finally:
            # Not of a run that goes on: the next try has to find it.
            if handle is not None and not handle.alive():
                launch.forget(handle)
        return self._conclude(result)

    def _launch(self) -> Launch:
        return Launch(state_store(self._context), self._identity.owner, self._identity.invocation)

    def _launched(self, launch: Launch) -> Handle | None:
        """The run that an earlier try has started here: one that lives, or one of this invocation that has ended."""
        handle = launch.find()
        if handle is None:
            return None
        if not launch.is_asked_again(handle) and not self._outlives(handle):
            # What a deferred one leaves is its trigger's, which may not be done with it.
            if not self._task.deferrable:
                handle.clear()
            return None
        try:
            handle.run().close()
        except FileNotFoundError:
            handle.clear()
            return None
        self._log.info("going on with the run that an earlier try has started, process %s", handle.pid)
        return handle

    def _outlives(self, handle: Handle) -> bool:
        """The task was cleared, and its run goes on; not where it has to start over, and not where its trigger ends it."""
        if not handle.alive():
            return False
        fresh = self._task.fresh and self._identity.first_try
        if not fresh and not self._task.deferrable:
            return True
        self._log.info(
            "%s the run that an earlier try has left behind, process %s",
            "fresh: stopping" if fresh else "waiting for the end of",
            handle.pid,
        )
        with contextlib.suppress(FileNotFoundError), contextlib.closing(handle.run()) as run:
            if self._task.deferrable:
                self._wait_for_end(handle)
            if handle.alive():
                run.stop(self._grace)
        return False

    def _wait_for_end(self, handle: Handle) -> None:
        """The trigger of a deferred task was told to end its run; it may be lost, and a second signal ends a run at once."""
        deadline = time.monotonic() + self._grace
        while handle.alive() and not self._terminated and time.monotonic() < deadline:
            time.sleep(INTERVAL)

    def _start_detached(self, launch: Launch) -> tuple[Handle, Run]:
        handle = launch.begin()
        try:
            run = self._start(handle)
        except Exception:
            launch.forget(handle)
            raise
        try:
            handle = handle.of(run.pid)
            launch.keep(handle)
        except BaseException:
            run.stop(self._grace)
            handle.clear()
            raise
        return handle, run

    def _deferrable(self) -> dict[str, Any]:
        launch = self._launch()
        handle = self._launched(launch)
        if handle is not None:
            if handle.alive():
                return self._hand_over(launch, handle, handle.run())
            result = self._follow(handle.run())
            launch.forget(handle)
            if result.succeeded or self._terminated:
                return self._conclude(result)
            self._log.info(ANEW)
        return self._hand_over(launch, *self._start_detached(launch))

    def _hand_over(self, launch: Launch, handle: Handle, run: Run) -> dict[str, Any]:
        backend = self._until_started(run)
        if backend is None:
            # It has ended already.
            result = run.result()
            launch.forget(handle)
            return self._conclude(result)
        others = sorted({*executors()} - LOCAL)
        if backend in ON_ONE_MACHINE and others:
            run.stop(self._grace)
            launch.forget(handle)
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
        if self._terminated:
            raise AirflowException("the task was ended before its run began")
        request = RunRequest(
            task.pipeline_name,
            project=self._project,
            run_key=self._identity.run_key,
            invocation=self._identity.invocation,
            worker_id=self._identity.worker_id,
            params=said("params", task.pipeline_params),
            set=said("set", task.set),
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
        tell_assets(self._context, self._task.outlets or (), summary["outputs"], shown)
        return shown

    def _end(self, result: Result, error: str | None) -> None:
        self._live.ended(result, error, now())
        self._surface.write(self._live)

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


def now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
