"""Parameters of a pipeline, as the command line of the runner takes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from oxiflow.request import plain_values
from prefect.types import SecretDict
from pydantic import SecretBytes, SecretStr


def params_of(given: Mapping[str, Any] | None) -> dict[str, Any]:
    """Throws ValueError for what is not to be said there, or can't."""
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise ValueError(
            f'params: names with values are wanted, as {{"day": "2026-03-02"}}, and not of type {type(given).__name__}'
        )
    for name, value in given.items():
        if isinstance(value, (SecretStr, SecretBytes, SecretDict)):
            raise ValueError(
                f"params: {name!r} is a secret, and everybody on this machine sees the runner's command line: hand it on in env"
            )
    return plain_values("params", given)
