"""A Redis server of a test's own."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .programs import need
from .waiting import free_port, until


@contextmanager
def redis_server(folder: Path) -> Iterator[int]:
    """Gives its port; it keeps nothing when it ends."""
    port = free_port()
    words = [need("redis-server"), "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
    with subprocess.Popen(words, stdout=subprocess.DEVNULL) as server:
        try:
            until("Redis", lambda: answers(port))
            yield port
        finally:
            server.terminate()


def answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as one:
            one.sendall(b"PING\r\n")
            return one.recv(7).startswith(b"+PONG")
    except OSError:
        return False
