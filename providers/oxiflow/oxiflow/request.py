"""What is asked of `oxiflow run`, and the words of its command line."""

from __future__ import annotations

import datetime
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .errors import WrongRequest

#: What a stop may take, in seconds, where --drain-timeout does not say it.
DRAIN = 10.0
UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


@dataclass(frozen=True)
class RunRequest:
    """Fields are the options of `oxiflow run` with the same names; what is None is left to the runner."""

    #: A name, or the path of a file.
    pipeline: str
    project: str | None = None
    #: What is resumed: a second start with the same key goes on where the first one stopped.
    run_key: str | None = None
    #: Names the request: one that has finished is not repeated. A launcher that retries should give it.
    invocation: str | None = None
    worker_id: str | None = None
    #: Parameters of the pipeline.
    params: Mapping[str, Any] = field(default_factory=dict)
    #: Fields of steps by `step.field`.
    set: Mapping[str, Any] = field(default_factory=dict)
    env_file: str | None = None
    fresh: bool = False
    accept_changes: bool = False
    limit: int | None = None
    threads: int | None = None
    workers: int | None = None
    join: bool = False
    splits: int | None = None
    #: Which part of how many, from 0.
    shard: tuple[int, int] | None = None
    #: All shards run on this host, and its own state will do.
    same_host: bool = False
    #: As the runner takes them: "10s", "2m".
    drain_timeout: str | None = None
    lease_wait: str | None = None
    state_backend: str | None = None
    #: Standard error says only what went wrong; the events say all.
    quiet: bool = True
    verbose: bool = False

    def arguments(self) -> list[str]:
        """
        Each option is one word with its value, so that no value is taken for an option. Throws WrongRequest for a value that
        is none of JSON, with its name.
        """
        values = {
            "--project": self.project,
            "--run-key": self.run_key,
            "--invocation": self.invocation,
            "--worker-id": self.worker_id,
            "--env-file": self.env_file,
            "--limit": self.limit,
            "--threads": self.threads,
            "--workers": self.workers,
            "--splits": self.splits,
            "--shard": None if self.shard is None else f"{self.shard[0]}/{self.shard[1]}",
            "--drain-timeout": self.drain_timeout,
            "--lease-wait": self.lease_wait,
            "--state-backend": self.state_backend,
        }
        flags = {
            "--fresh": self.fresh,
            "--accept-changes": self.accept_changes,
            "--join": self.join,
            "--same-host": self.same_host,
            "--quiet": self.quiet and not self.verbose,
            "--verbose": self.verbose,
        }
        return [
            "run",
            *(f"{option}={value}" for option, value in values.items() if value is not None),
            *(option for option, given in flags.items() if given),
            *(f"--param={name}={text_of(value)}" for name, value in plain_values("params", self.params).items()),
            *(f"--set={name}={text_of(value)}" for name, value in plain_values("set", self.set).items()),
            "--",
            self.pipeline,
        ]


def text_of(value: Any) -> str:
    """Text as it is, all else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, allow_nan=False)


def plain_values(field: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """
    Those of `params` or `set` as JSON has them: dates, times and paths are text, and sequences and mappings of whatever kind
    are lists and objects. Throws WrongRequest, with the name and not the value.
    """
    return {name: _plain_value(field, name, value) for name, value in given.items()}


def _plain_value(field: str, name: str, value: Any) -> Any:
    try:
        found = _plain(value)
        json.dumps(found, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        kind = "no finite number" if isinstance(value, float) else f"of type {type(value).__name__}"
        raise WrongRequest(f"{field}: {name!r} is {kind}: give text, a number, a date, or what JSON has") from None
    return found


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, (str, int, float)):
        return value
    if isinstance(value, datetime.datetime):
        # The runner wants to know of which place a time is.
        return (value if value.tzinfo else value.replace(tzinfo=datetime.timezone.utc)).isoformat()
    if isinstance(value, datetime.date):
        return value.isoformat()
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, Mapping):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, (bytes, bytearray)):
        return [_plain(one) for one in value]
    return value


def part_of_how_many(shard: Any) -> tuple[int, int]:
    """ "2/8", or the two numbers. Throws WrongRequest for what is no part of how many."""
    try:
        index, of = (int(part) for part in (shard.split("/") if isinstance(shard, str) else list(shard)))
    except (TypeError, ValueError):
        raise WrongRequest(f"shard {shard!r} is not I/N, such as '0/8' for the first of eight") from None
    return index, of


def drain_seconds(timeout: str | None) -> float:
    """Of a --drain-timeout, for whoever waits for a stop; what is no duration is for the runner to refuse."""
    if timeout is None:
        return DRAIN
    number = timeout.rstrip("mhs")
    try:
        return float(number) * UNITS[timeout[len(number) :]]
    except (KeyError, ValueError):
        return DRAIN
