"""
Folders of runs in the system's temporary folder. What names one may have been written by anybody, and others may leave there
what they like: a folder is ours only if it lies there directly, is called like ours, is this user's alone, and holds the mark
that was left in it when it was made.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import stat
import tempfile
import time
from dataclasses import asdict, dataclass

from .system import began

#: Of a run that may be found again, and of one that its launcher follows.
RUN = "oxiflow-run-"
EVENTS = "oxiflow-events-"
MARK = "mark.json"
#: Nobody has written there for so long, and its process is gone: it was left behind. In seconds.
LEFT_BEHIND = 24 * 3600.0
#: Between two looks for those, in seconds.
LOOK = 3600.0

_looked: float | None = None


@dataclass(frozen=True)
class Mark:
    #: In words of whoever had it made: for whom, and for which of their requests.
    owner: str = ""
    invocation: str = ""
    #: The process that it is kept for, and when that began; None until there is one.
    pid: int | None = None
    began: str | None = None


def make(prefix: str, mark: Mark) -> str:
    """A new one."""
    look_after()
    folder = tempfile.mkdtemp(prefix=prefix)
    try:
        write_mark(folder, mark)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return folder


def write_mark(folder: str, mark: Mark) -> None:
    path = os.path.join(folder, MARK)
    with open(f"{path}.new", "w") as file:
        json.dump(asdict(mark), file)
    # Whoever reads it at any moment finds the whole of one.
    os.replace(f"{path}.new", path)


def read_mark(folder: str) -> Mark | None:
    """None where it is no folder of ours."""
    if not _is_safe(folder):
        return None
    try:
        with open(os.path.join(folder, MARK)) as file:
            return Mark(**json.load(file))
    except (OSError, ValueError, TypeError):
        return None


def remove(folder: str) -> None:
    """Nothing happens where it is none of ours, or is gone."""
    if read_mark(folder) is not None:
        shutil.rmtree(folder, ignore_errors=True)


def _is_safe(folder: str) -> bool:
    parent, name = os.path.split(folder)
    if parent != os.path.abspath(tempfile.gettempdir()) or not name.startswith((RUN, EVENTS)):
        return False
    try:
        found = os.lstat(folder)
    except (OSError, ValueError):
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and stat.S_IMODE(found.st_mode) & 0o077 == 0


def look_after() -> None:
    """Now and then, removes what is left of those whose end nobody has seen."""
    global _looked
    now = time.monotonic()
    if _looked is None or now - _looked >= LOOK:
        _looked = now
        sweep()


def sweep() -> None:
    parent = os.path.abspath(tempfile.gettempdir())
    with contextlib.suppress(OSError):
        for name in os.listdir(parent):
            if name.startswith((RUN, EVENTS)) and _is_left(os.path.join(parent, name)):
                shutil.rmtree(os.path.join(parent, name), ignore_errors=True)


def _is_left(folder: str) -> bool:
    mark = read_mark(folder)
    if mark is None:
        return False
    try:
        paths = [folder, *(os.path.join(folder, name) for name in os.listdir(folder))]
        written = max(os.lstat(path).st_mtime for path in paths)
    except OSError:
        return False
    if time.time() - written <= LEFT_BEHIND:
        return False
    # A run that lives tells its progress all the time, also one whose process nobody could write down.
    return mark.pid is None or mark.began is None or began(mark.pid) != mark.began
