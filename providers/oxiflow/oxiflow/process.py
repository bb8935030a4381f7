"""
Starts the runner in a session of its own, follows what it tells, and stops it with all that it started. Nothing here waits
without a limit, and nothing runs in a thread: the caller's loop is the only one.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import IO, Protocol, Union

from . import folders
from .errors import RunnerMissing, WrongRequest
from .events import Checkpoint, Event, RunFinished, RunStarted
from .folders import Mark
from .output import Line, Output
from .request import RunRequest
from .result import Result
from .runner import runner_command
from .stream import EventFile
from .system import began

Item = Union[Event, Line]
PathLike = Union[str, "os.PathLike[str]"]

#: Between two looks at the event file, in seconds.
INTERVAL = 0.05
#: What a stop may take before the group is killed, in seconds: the runner's own --drain-timeout, and a little.
GRACE = 15.0
#: After a kill, for the system to end the processes, in seconds.
KILLED = 10.0
#: What is kept of standard error, in characters.
LAST_WORDS = 4000
#: Of the event file, as the runner takes it: at a kilobyte a second, some nine hours. Then it begins anew, and readers go on.
EVENTS_LIMIT = "32MB"
#: Of what a run says into a file: nobody may be there to empty it, and only its last words are asked for.
OUTPUT_LIMIT = "8MB"
#: Why nothing is started, nor would be later: there is no such program, or its arguments are too long. Of other reasons, such as
#: no room for one more process, a retry may be free.
FOR_GOOD = (errno.ENOENT, errno.ENOTDIR, errno.EACCES, errno.ENOEXEC, errno.E2BIG)
#: When the runner is gone, others may hold its pipes and write on: how often they are still read. A pipe holds far less.
LATE_READS = 10_000


def start(
    request: RunRequest,
    *,
    env: Mapping[str, str] | None = None,
    cwd: PathLike | None = None,
    runner: PathLike | None = None,
    events: PathLike | None = None,
    detached: bool = False,
    output: PathLike | None = None,
) -> Run:
    """
    Starts a run. `env` is added to this process's environment. `events`: the event file, which has to be this run's alone; a
    temporary one by default. The run ends when this process does, unless it is `detached`. `output`: a file for what it says
    instead of pipes that are read here; a detached run needs one, or says it to nobody. It begins anew at OUTPUT_LIMIT. Throws
    RunnerMissing, WrongRequest, and OSError where the system can't start it now.
    """
    command = runner_command(runner)
    folder = None
    if events is None:
        # Whoever finds it when this process is gone knows by that that nobody reads it any more.
        folder = folders.make(folders.EVENTS, Mark(pid=os.getpid(), began=began(os.getpid())))
        events = os.path.join(folder, "events.ndjson")
    try:
        return _start(command, request, env, cwd, os.path.abspath(events), detached, output, folder)
    except BaseException:
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)
        raise


def _start(
    command: Sequence[str],
    request: RunRequest,
    env: Mapping[str, str] | None,
    cwd: PathLike | None,
    events: str,
    detached: bool,
    output: PathLike | None,
    folder: str | None,
) -> Run:
    file = EventFile(events, os.path.getsize(events) if os.path.exists(events) else 0)
    verb, *rest = request.arguments()
    options = [f"--events={events}", f"--events-limit={EVENTS_LIMIT}"]
    with contextlib.ExitStack() as theirs:
        sink: int | IO[bytes] = subprocess.DEVNULL if detached else subprocess.PIPE
        if output is not None:
            output = os.path.abspath(output)
            options.append(f"--output-limit={OUTPUT_LIMIT}")
            sink = theirs.enter_context(open(output, "ab"))
        inherited: tuple[int, ...] = ()
        ours = None
        if not detached:
            # Our end is open as long as this process lives; no other program that it starts inherits it.
            end, ours = os.pipe()
            theirs.callback(os.close, end)
            options.append(f"--parent-fd={end}")
            inherited = (end,)
        try:
            popen = subprocess.Popen(
                [*command, verb, *options, *rest],
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
                pass_fds=inherited,
                start_new_session=True,
                cwd=cwd,
                env={**os.environ, **(env or {})},
            )
        except BaseException as error:
            if ours is not None:
                os.close(ours)
            if isinstance(error, (TypeError, ValueError)):
                # Of a word or a variable; it does not say what is in it.
                raise WrongRequest(f"a run can't be started with what it was given: {error}") from None
            if isinstance(error, OSError) and error.errno in FOR_GOOD:
                raise RunnerMissing(f"{command[0]} could not be started: {error}") from error
            raise
    return Run(popen, file, ours, folder, None if output is None else os.fspath(output))


class Foreign(Protocol):
    """A process that somebody else has started: the system tells its exit code to nobody here."""

    pid: int
    stdout: None
    stderr: None

    def poll(self) -> int | None:
        """None while it lives."""

    def given_again(self) -> bool:
        """Its id is another process's by now."""


class Run:
    """A runner that was started here. As a context manager it leaves no process and no file behind."""

    def __init__(
        self,
        popen: subprocess.Popen[bytes] | Foreign,
        events: EventFile,
        parent: int | None,
        folder: str | None,
        output: str | None = None,
    ) -> None:
        #: Of the process, and of its group.
        self.pid = popen.pid
        self._popen = popen
        self._foreign = None if isinstance(popen, subprocess.Popen) else popen
        self._events = events
        self._parent = parent
        self._folder = folder
        self._output = output
        self._pipes: list[Output] = []
        if popen.stdout is not None and popen.stderr is not None:
            self._pipes = [Output(popen.stdout, "stdout"), Output(popen.stderr, "stderr")]
        self._started: RunStarted | None = None
        self._checkpoint: Checkpoint | None = None
        self._finished: RunFinished | None = None
        self._last_words = ""
        self._result: Result | None = None
        self._asked = False
        self._reading = False
        self._late_reads = 0

    def __enter__(self) -> Run:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            if self._result is None:
                self.stop()
        finally:
            self.close()

    @property
    def running(self) -> bool:
        """It has not ended, or what it said is not all read."""
        return self._result is None

    def follow(self, interval: float = INTERVAL) -> Iterator[Item]:
        """Events, and lines of its output, as they come, to the end of the run; see `result` then."""
        while self._result is None:
            items = self.poll()
            if not items and self._result is None:
                self._wait(interval)
            yield from items

    def poll(self) -> list[Item]:
        """What came since the last call, a piece at a time. Never waits; `running` is false when there will be no more."""
        if self._result is not None or self._reading:
            return []
        self._reading = True
        try:
            # In this order: what it wrote before it ended is there when its end is seen.
            exit_code = self._popen.poll()
            before = self._taken()
            items: list[Item] = list(self._events.poll())
            for pipe in self._pipes:
                items += pipe.poll()
            over = exit_code is not None and (self._taken() == before or self._late_reads > LATE_READS)
            if exit_code is not None:
                self._late_reads += 1
            if over:
                items += self._events.finish()
                for pipe in self._pipes:
                    items += pipe.finish()
            for item in items:
                self._note(item)
            if over and exit_code is not None:
                self._end(exit_code)
            return items
        finally:
            self._reading = False

    def _taken(self) -> tuple[int, ...]:
        return (self._events.offset, *(pipe.taken for pipe in self._pipes))

    def result(self) -> Result:
        """Waits for the end and says how it went."""
        while self._result is None:
            if not self.poll():
                self._wait(INTERVAL)
        return self._result

    def terminate(self) -> None:
        """
        Asks it to save a checkpoint and end, and returns at once; whoever follows sees it end. Safe in a signal handler. A
        second call makes it stop at once.
        """
        self._asked = True
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """Ends its whole group now; the next attempt goes on from the last checkpoint."""
        self._signal(signal.SIGKILL)

    def stop(self, grace: float = GRACE) -> Result:
        """
        Ends it: SIGTERM to its group, SIGKILL to those that are left after `grace` seconds. What it tells meanwhile is in the
        result only. Not for signal handlers, which `terminate` and let the loop that follows see the end.
        """
        if not self._asked:
            self.terminate()
        self._until_gone(grace)
        if self._alive():
            self.kill()
            self._until_gone(KILLED)
        while self._result is None and self._popen.poll() is not None:
            self.poll()
        # A process that not even SIGKILL ends waits for its disk or network.
        return self._result if self._result is not None else self._end(-signal.SIGKILL)

    def close(self) -> None:
        """Lets go of pipes and temporary files. A run that goes on learns that its launcher is gone."""
        for pipe in self._pipes:
            pipe.close()
        if self._parent is not None:
            os.close(self._parent)
            self._parent = None
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def _until_gone(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while self._alive() and time.monotonic() < deadline:
            # Its pipes are emptied, or it could not write its last words.
            if not self.poll():
                self._wait(INTERVAL)

    def _alive(self) -> bool:
        """The runner, or another one of its group."""
        return self._popen.poll() is None or (self._has_group() and group_lives(self.pid))

    def _signal(self, number: int) -> None:
        if self._has_group():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, number)

    def _has_group(self) -> bool:
        """The number of its group was not given out again."""
        return self._foreign is None or not self._foreign.given_again()

    def _wait(self, seconds: float) -> None:
        """For output, at most so long."""
        open_pipes = [pipe.fd for pipe in self._pipes if not pipe.ended]
        if not open_pipes or self._reading:
            time.sleep(seconds)
            return
        poll = select.poll()
        for fd in open_pipes:
            poll.register(fd, select.POLLIN)
        poll.poll(seconds * 1000)

    def _note(self, item: Item) -> None:
        if isinstance(item, Line):
            if item.stream == "stderr":
                self._last_words = f"{self._last_words}{item.text}\n"[-LAST_WORDS:]
        elif isinstance(item, RunStarted):
            self._started = item
        elif isinstance(item, Checkpoint):
            self._checkpoint = item
        elif isinstance(item, RunFinished):
            self._finished = item

    def _end(self, exit_code: int) -> Result:
        if self._output is not None:
            self._last_words = end_of(self._output)
        said = None if self._finished is None else self._finished.exit_code
        self._result = Result(
            exit_code=exit_code if self._foreign is None else said,
            started=self._started,
            checkpoint=self._checkpoint,
            finished=self._finished,
            last_words=self._last_words,
            malformed=self._events.malformed,
            problem=self._events.problem,
            lost=self._events.lost,
        )
        self.close()
        return self._result


def group_lives(group: int) -> bool:
    """Somebody of this process group does more than wait to be collected by a parent that never does."""
    try:
        os.killpg(group, 0)
    except (ProcessLookupError, PermissionError):
        return False
    try:
        names = [name for name in os.listdir("/proc") if name.isdigit()]
    except FileNotFoundError:
        return True
    return any(_member(name, group) for name in names)


def _member(pid: str, group: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            # The name before it may hold anything, brackets too.
            state, _, its_group, *_ = file.read().rpartition(b")")[2].split()
    except (OSError, ValueError):
        return False
    return int(its_group) == group and state not in (b"Z", b"X")


def end_of(path: str) -> str:
    with open(path, "rb") as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - LAST_WORDS))
        return file.read(LAST_WORDS).decode("utf-8", "replace")
