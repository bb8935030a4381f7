"""What the system tells of processes, on Linux and on macOS."""

from __future__ import annotations

import contextlib
import os
import subprocess


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


def has_word(pid: int, word: str) -> bool:
    """Whether the command line of a process has this word."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return os.fsencode(word) in file.read().split(b"\0")
    except OSError:
        return False if os.path.isdir("/proc/self") else word in _asked(pid, "command=").split()


def _began_elsewhere(pid: int) -> str | None:
    state, _, when = _asked(pid, "stat=,lstart=").partition(" ")
    return None if state == "" or state.startswith("Z") else when.strip()


def _asked(pid: int, what: str) -> str:
    words = ["/bin/ps", "-ww", "-o", what, "-p", str(pid)]
    return subprocess.run(words, capture_output=True, text=True, check=False).stdout.strip()
