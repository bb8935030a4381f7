"""What the runner says on standard output and standard error, line by line, without waiting and in bounded memory."""

from __future__ import annotations

import codecs
import os
from collections.abc import Iterator
from typing import IO, Literal, NamedTuple

#: What is read at once, and the longest line; a longer one comes in pieces.
CHUNK = 64 * 1024


class Line(NamedTuple):
    """Bytes that are no UTF-8 are U+FFFD."""

    stream: Literal["stdout", "stderr"]
    text: str


class Output:
    """The reading end of a pipe."""

    def __init__(self, pipe: IO[bytes], stream: Literal["stdout", "stderr"]) -> None:
        self.fd = pipe.fileno()
        #: The writers are gone.
        self.ended = False
        #: Bytes so far.
        self.taken = 0
        self._pipe = pipe
        self._stream = stream
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._rest = ""
        os.set_blocking(self.fd, False)

    def poll(self) -> Iterator[Line]:
        """The lines of the next piece that is there; see `ended` for whether there will be more."""
        if self.ended:
            return
        try:
            chunk = os.read(self.fd, CHUNK)
        except BlockingIOError:
            return
        self.ended = chunk == b""
        self.taken += len(chunk)
        text = self._rest + self._decoder.decode(chunk, final=self.ended)
        *lines, rest = text.split("\n")
        if len(rest) > CHUNK or (self.ended and rest != ""):
            lines.append(rest)
            rest = ""
        self._rest = rest
        for line in lines:
            yield Line(self._stream, line.removesuffix("\r"))

    def finish(self) -> Iterator[Line]:
        """The runner is gone and `poll` has read all: a last line without its end."""
        if self._rest != "":
            yield Line(self._stream, self._rest)
            self._rest = ""

    def close(self) -> None:
        self.ended = True
        self._pipe.close()
