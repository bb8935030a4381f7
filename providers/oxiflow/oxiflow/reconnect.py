"""
Finds a detached run again, from another process on the same machine: by a handle, which is plain JSON and names files and a
process. The exit code is that of `run.finished`, because the system tells it to nobody but the process that started the run.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
from dataclasses import asdict, dataclass, replace
from typing import Any

from .events import RunStarted
from .process import Run
from .stream import EventFile

EVENTS = "events.ndjson"
OUTPUT = "output.log"


@dataclass(frozen=True)
class Handle:
    #: The machine, and its boot: process ids mean nothing elsewhere.
    host: str
    boot: str
    #: A folder of this run's own, with its events and its output.
    folder: str
    pid: int | None = None
    #: When the process began, as the system tells it; ids are given out again.
    began: str | None = None

    @property
    def events(self) -> str:
        return os.path.join(self.folder, EVENTS)

    @property
    def output(self) -> str:
        return os.path.join(self.folder, OUTPUT)

    @property
    def here(self) -> bool:
        """It is of this machine and boot, and its folder is there."""
        return self.host == socket.gethostname() and self.boot == boot() and os.path.isdir(self.folder)

    def of(self, pid: int) -> Handle:
        return replace(self, pid=pid, began=began(pid))

    def alive(self) -> bool:
        pid = self.pid or self._told()
        return pid is not None and began(pid) is not None and self.began in (None, began(pid))

    def run(self) -> Run:
        """The run, told from its beginning. Throws FileNotFoundError where it was never started, or has been cleared away."""
        pid = self.pid or self._told()
        if pid is None or not self.here:
            raise FileNotFoundError(f"there is no run in {self.folder} on this machine")
        # Only `pid` and `poll` are asked of a process without pipes.
        process: Any = _Foreign(replace(self, pid=pid))
        return Run(process, EventFile(self.events), None, None, self.output if os.path.exists(self.output) else None)

    def clear(self) -> None:
        """Takes its folder away: nobody will ask for it again."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def document(self) -> dict[str, Any]:
        return asdict(self)

    def _told(self) -> int | None:
        """Whoever started it may have been killed before it could write down the process id."""
        for event in EventFile(self.events).poll():
            if isinstance(event, RunStarted):
                return event.process.pid
        return None


def new_handle() -> Handle:
    """For a run that is about to be started with `events=handle.events, output=handle.output, detached=True`."""
    return Handle(socket.gethostname(), boot(), tempfile.mkdtemp(prefix="oxiflow-run-"))


class _Foreign:
    """A process that somebody else started."""

    stdout = None
    stderr = None

    def __init__(self, handle: Handle) -> None:
        self._handle = handle
        self.pid = handle.pid

    def poll(self) -> int | None:
        return None if self._handle.alive() else 0


def boot() -> str:
    """Names the time since this machine was started; empty where the system does not tell."""
    with contextlib.suppress(OSError), open("/proc/sys/kernel/random/boot_id") as file:
        return file.read().strip()
    return ""


def began(pid: int) -> str | None:
    """When a process began, in words of the system's; None where there is none that lives."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None if os.path.isdir("/proc/self") else _began_elsewhere(pid)
    return None if fields[0] in (b"Z", b"X") else fields[19].decode()


def _began_elsewhere(pid: int) -> str | None:
    told = subprocess.run(
        ["/bin/ps", "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    state, _, when = told.stdout.strip().partition(" ")
    return None if state == "" or state.startswith("Z") else when.strip()
