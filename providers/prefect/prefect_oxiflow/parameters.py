"""Parameters of a pipeline, as the command line of the runner takes them, and its variables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from oxiflow.errors import WrongRequest
from oxiflow.request import plain_values
from prefect.types import SecretDict
from pydantic import SecretBytes, SecretStr

T = TypeVar("T")


def params_of(given: Mapping[str, Any] | None) -> dict[str, Any]:
    """Throws WrongRequest for what is not to be said there, or can't."""
    params = mapping("params", given, '{"day": "2026-03-02"}')
    for name, value in params.items():
        if isinstance(value, (SecretStr, SecretBytes, SecretDict)):
            raise WrongRequest(
                f"params: {name!r} is a secret, and everybody on this machine sees the runner's command line: hand it on in env"
            )
    return plain_values("params", params)


def env_of(given: Mapping[str, str | SecretStr] | None) -> Mapping[str, str | SecretStr]:
    """Throws WrongRequest."""
    return mapping("env", given, '{"DAY": "monday"}')


def mapping(what: str, given: Mapping[str, T] | None, example: str) -> Mapping[str, T]:
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise WrongRequest(
            f"{what}: names with values are wanted, as {example}, and not of type {type(given).__name__}"
        )
    return given
