"""
Reads the runner's event file while it is written: never blocks, holds one line at most, and goes on behind lines that are none.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import NoReturn

from .events import EVENTS, Event, RunStarted
from .fields import Misfit, read

#: A line beyond this is passed over, in bytes; the longest that the runner writes is a plan of many steps.
MAX_LINE = 4 * 1024 * 1024
#: What is read at once.
CHUNK = 256 * 1024
#: Digits of a number; longer ones are none that the protocol knows, and slow to parse.
MAX_DIGITS = 30


class BadLine(ValueError):
    """A line that is not of the protocol; the message says why."""


def decode(line: bytes | str, strict: bool = False) -> Event | None:
    """
    The event of a line, or None for a type that this version does not know. `strict` takes nothing but what the schemas do.
    Throws BadLine.
    """
    try:
        text = line.decode() if isinstance(line, bytes) else line
        value = json.loads(text, parse_constant=_refuse, parse_int=_whole)
    except (ValueError, RecursionError) as error:
        raise BadLine(f"not JSON: {error}") from None
    if not isinstance(value, dict):
        raise BadLine("not an object")
    if value.get("v") != 1 or isinstance(value["v"], bool):
        raise BadLine(f"version {value.get('v')!r} of the protocol is not known here, only 1")
    kind = EVENTS.get(value["type"]) if isinstance(value.get("type"), str) else None
    if kind is None:
        if strict or not isinstance(value.get("type"), str):
            raise BadLine("no type that is known")
        return None
    try:
        return read(kind, value, strict)
    except Misfit as error:
        raise BadLine(f"{kind.type}: {error}") from None


def _refuse(word: str) -> NoReturn:
    raise ValueError(f"{word} is no number of JSON")


def _whole(digits: str) -> int | float:
    return int(digits) if len(digits) <= MAX_DIGITS else float("inf")


class EventFile:
    """One start of the runner, from what is in `path` now or from `offset`; the file may not be there yet."""

    def __init__(self, path: str | os.PathLike[str], offset: int = 0) -> None:
        self.path = os.fspath(path)
        #: Where the next read begins, in bytes.
        self.offset = offset
        #: Lines that were not of the protocol, and why the last of them was not.
        self.malformed = 0
        self.problem: str | None = None
        #: Events that the runner counted and that are not here.
        self.lost = 0
        self._begin = offset
        self._rest = b""
        self._skipping = False
        #: The file began anew, and its first events may be known.
        self._again = False
        self._seen: dict[tuple[str, int], int] = {}

    def poll(self) -> Iterator[Event]:
        """The events that are there and were not told yet, some at a time; nothing where there are none."""
        chunk = self._read()
        lines = (self._rest + chunk).split(b"\n") if chunk else [self._rest]
        self._rest = lines.pop()
        for line in lines:
            if self._skipping:
                self._skipping = False
                continue
            yield from self._take(line)
        if len(self._rest) > MAX_LINE:
            if not self._skipping:
                self._bad(f"longer than {MAX_LINE} bytes")
            self._rest, self._skipping = b"", True

    def finish(self) -> Iterator[Event]:
        """The writer is gone and `poll` has read all: a last line without its end."""
        rest, self._rest = self._rest, b""
        if not self._skipping:
            yield from self._take(rest)

    def _read(self) -> bytes:
        try:
            with open(self.path, "rb") as file:
                size = os.fstat(file.fileno()).st_size
                if size < self.offset:
                    # It had grown to its limit, or somebody cut it: what is written from now on begins there.
                    self.offset = self._begin if self._begin <= size else 0
                    self._rest, self._skipping, self._again = b"", False, True
                file.seek(self.offset)
                chunk = file.read(CHUNK)
        except FileNotFoundError:
            return b""
        self.offset += len(chunk)
        return chunk

    def _take(self, line: bytes) -> Iterator[Event]:
        if line.strip() == b"":
            return
        try:
            event = decode(line)
        except BadLine as error:
            self._bad(str(error))
            return
        if event is not None and self._count(event):
            yield event

    def _bad(self, problem: str) -> None:
        self.malformed += 1
        self.problem = problem

    def _count(self, event: Event) -> bool:
        """Whether it is one that was not told yet."""
        key = (event.run_id, event.attempt)
        last = self._seen.get(key, 0)
        if event.seq <= last and self._again:
            return False
        self._again = False
        self.lost += max(0, event.seq - last - 1)
        left_out = event.left_out or 0 if isinstance(event, RunStarted) else 0
        # One start has one run; a file that holds many is not a reason to remember them all.
        self._seen = {key: max(last, event.seq + left_out)}
        return True
