"""Parameters of a pipeline, as the command line of the runner takes them."""

from __future__ import annotations

import datetime
import json
import os
from collections.abc import Mapping
from typing import Any

from prefect.types import SecretDict
from pydantic import SecretBytes, SecretStr


def params_of(given: Mapping[str, Any] | None) -> dict[str, Any]:
    """Throws ValueError for what is not to be said there, or can't."""
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise ValueError(f'params: names with values are wanted, as {{"day": "2026-03-02"}}, and not {named(given)}')
    return {name: value_of(name, value) for name, value in given.items()}


def value_of(name: str, value: Any) -> Any:
    if isinstance(value, (SecretStr, SecretBytes, SecretDict)):
        raise ValueError(
            f"params: {name!r} is a secret, and everybody on this machine sees the runner's command line: hand it on in env"
        )
    if isinstance(value, datetime.datetime):
        # The runner wants to know of which place a time is.
        return (value if value.tzinfo else value.replace(tzinfo=datetime.timezone.utc)).isoformat()
    if isinstance(value, datetime.date):
        return value.isoformat()
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        raise ValueError(f"params: {name!r} is {named(value)}: give text, a number, a date, or what JSON has") from None
    return value


def named(value: Any) -> str:
    """What it is, without what it says."""
    return f"of type {type(value).__name__}" if not isinstance(value, float) else "no finite number"
