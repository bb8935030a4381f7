"""
Finds a detached run again, from another process on the same machine: by a handle, which is plain JSON and names files and a
process. The exit code is that of `run.finished`, because the system tells it to nobody but the process that started the run.
"""

from __future__ import annotations

import os
import socket
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from . import folders
from .events import RunStarted
from .folders import Mark
from .process import Run
from .stream import EventFile
from .system import began, boot, has_word

EVENTS = "events.ndjson"
OUTPUT = "output.log"


@dataclass(frozen=True)
class Handle:
    #: The machine, and its boot: process ids mean nothing elsewhere.
    host: str
    boot: str
    #: A folder of this run's own, with its events and its output, and a mark that says the same as this.
    folder: str
    pid: int | None = None
    #: When the process began, as the system tells it; ids are given out again.
    began: str | None = None

    @classmethod
    def found(cls, document: Any, owner: str = "") -> Handle | None:
        """
        Of a document that anybody may have written: None unless it names a run that was started here for this owner, and says
        of it what the run's own folder does.
        """
        try:
            handle = cls(**document)
        except TypeError:
            return None
        given = [getattr(handle, one.name) for one in fields(handle)]
        if not all(isinstance(one, str) for one in given[:3]) or type(handle.pid) not in (int, type(None)):
            return None
        mark = handle._mark()
        if not handle.here or mark is None or mark.owner != owner:
            return None
        known = handle._process()
        return handle if known is None else handle._noted(mark, *known)

    @property
    def events(self) -> str:
        return os.path.join(self.folder, EVENTS)

    @property
    def output(self) -> str:
        return os.path.join(self.folder, OUTPUT)

    @property
    def here(self) -> bool:
        """It is of this machine and boot, and its folder is there, is ours and says the same."""
        return self.host == socket.gethostname() and self.boot == boot() and self._mark() is not None

    @property
    def invocation(self) -> str | None:
        """The request that it was started for; None where it is not here."""
        mark = self._mark()
        return None if mark is None else mark.invocation

    def of(self, pid: int) -> Handle:
        """Names its process, in the folder too. Throws OSError where that can't be written."""
        mark = self._mark()
        if mark is None:
            raise FileNotFoundError(f"{self.folder} is no folder of a run")
        return self._noted(mark, pid, began(pid))

    def alive(self) -> bool:
        known = self._process()
        return known is not None and known[1] is not None and began(known[0]) == known[1]

    def run(self) -> Run:
        """The run, told from its beginning. Throws FileNotFoundError where it was never started, or has been cleared away."""
        known = self._process()
        if known is None or not self.here:
            raise FileNotFoundError(f"there is no run in {self.folder} on this machine")
        process = _Foreign(replace(self, pid=known[0], began=known[1]))
        return Run(process, EventFile(self.events), None, None, self.output if os.path.exists(self.output) else None)

    def clear(self) -> None:
        """Takes its folder away: nobody will ask for it again."""
        if self._mark() is not None:
            folders.remove(self.folder)

    def document(self) -> dict[str, Any]:
        return asdict(self)

    def _mark(self) -> Mark | None:
        """None where the folder is none of ours, or is another run's."""
        if not os.path.basename(self.folder).startswith(folders.RUN):
            return None
        mark = folders.read_mark(self.folder)
        if mark is None or (self.pid is not None and (mark.pid, mark.began) != (self.pid, self.began)):
            return None
        return mark

    def _noted(self, mark: Mark, pid: int, since: str | None) -> Handle:
        if (mark.pid, mark.began) != (pid, since):
            folders.write_mark(self.folder, replace(mark, pid=pid, began=since))
        return replace(self, pid=pid, began=since)

    def _process(self) -> tuple[int, str | None] | None:
        """Its id, and when it began; the latter is None where it is gone."""
        if self.pid is not None:
            return self.pid, self.began
        mark = self._mark()
        if mark is None:
            return None
        return self._told() if mark.pid is None else (mark.pid, mark.began)

    def _told(self) -> tuple[int, str | None] | None:
        """Whoever started it may have been killed before it could write down the process id."""
        for event in EventFile(self.events).poll():
            if isinstance(event, RunStarted):
                pid = event.process.pid
                # The id may have been given out again since then.
                return pid, began(pid) if has_word(pid, f"--events={self.events}") else None
        return None


def new_handle(owner: str = "", invocation: str = "") -> Handle:
    """
    For a run that is about to be started with `events=handle.events, output=handle.output, detached=True`; `of` comes behind
    that. `owner` is asked for by `Handle.found`.
    """
    return Handle(socket.gethostname(), boot(), folders.make(folders.RUN, Mark(owner, invocation)))


class _Foreign:
    """A process that somebody else started."""

    stdout = None
    stderr = None

    def __init__(self, handle: Handle) -> None:
        self._handle = handle
        self.pid = handle.pid or 0

    def poll(self) -> int | None:
        return None if self._handle.alive() else 0

    def given_again(self) -> bool:
        return began(self.pid) not in (None, self._handle.began)
