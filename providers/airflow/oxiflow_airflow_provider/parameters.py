"""What a task is given, as the command line of the runner takes it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from oxiflow.request import part_of_how_many, plain_values

from .compat import AirflowFailException


def said(field: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """`given` of the task's field of that name. Throws AirflowFailException, with the name, for what can't be said there."""
    try:
        return plain_values(field, {name: value_of(value) for name, value in given.items()})
    except ValueError as error:
        raise AirflowFailException(str(error)) from None


def value_of(value: Any) -> Any:
    """That of one of Airflow's Params, which have a schema."""
    return value.resolve() if hasattr(value, "resolve") and hasattr(value, "schema") else value


def shard_of(shard: Any) -> tuple[int, int] | None:
    """Throws AirflowFailException for what is no part of how many."""
    try:
        return None if shard is None else part_of_how_many(shard)
    except ValueError as error:
        raise AirflowFailException(str(error)) from None


def duration_text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    seconds = value.total_seconds() if isinstance(value, timedelta) else float(value)
    return f"{round(seconds * 1000)}ms"
