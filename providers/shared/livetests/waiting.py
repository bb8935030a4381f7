"""Waiting for a condition, and for the end of processes."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")
#: More than any wait here needs; a busy machine makes a run slow, not wrong.
LONGEST = 240.0


def until(what: str, look: Callable[[], T], within: float = LONGEST, every: float = 0.1) -> T:
    """Polls until `look` gives something true, and gives that."""
    deadline = time.monotonic() + within
    while True:
        seen = look()
        if seen:
            return seen
        assert time.monotonic() < deadline, f"waited {within:.0f} s in vain for {what}"
        time.sleep(every)


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


def processes_of(mark: str) -> dict[int, str]:
    """
    Those whose environment holds `mark`, whatever session or group they are in, with their command lines: what was started and
    all that this started.
    """
    found = {}
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit() or int(folder.name) == os.getpid():
            continue
        try:
            environment = (folder / "environ").read_bytes()
            state = (folder / "stat").read_bytes().rpartition(b")")[2].split()[0]
        except OSError:
            continue
        if state != b"Z" and mark.encode() in environment.split(b"\0"):
            found[int(folder.name)] = command_of(int(folder.name))
    return found


def command_of(pid: int) -> str:
    """Empty where there is no such process any more."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return ""


def end_all(mark: str, within: float) -> list[str]:
    """Waits for the end of all processes with `mark`; kills those that are late, and gives their commands."""
    deadline = time.monotonic() + within
    while processes_of(mark) and time.monotonic() < deadline:
        time.sleep(0.1)
    late = processes_of(mark)
    for pid in late:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return [command for command in late.values() if command]
