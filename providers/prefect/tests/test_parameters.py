"""Parameters on their way to the runner's command line."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import pytest
from oxiflow.errors import WrongRequest
from prefect.types import SecretDict
from prefect_oxiflow.parameters import env_of, params_of
from pydantic import SecretBytes, SecretStr


def test_dates_and_paths_are_texts_and_all_else_is_as_it_was() -> None:
    noon = datetime.datetime(2026, 3, 2, 12)
    given = {"day": noon.date(), "at": noon, "to": Path("/srv/out"), "most": 3, "names": ["a", None], "on": True}
    assert params_of(given) == {**given, "day": "2026-03-02", "at": "2026-03-02T12:00:00+00:00", "to": "/srv/out"}
    assert params_of(None) == {}


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (SecretStr("hunter2"), "'one' is a secret, and everybody .* hand it on in env"),
        (SecretBytes(b"hunter2"), "is a secret"),
        (SecretDict({"password": "hunter2"}), "is a secret"),
        ({"password": SecretStr("hunter2")}, "'one' is of type dict"),
        (float("nan"), "'one' is no finite number"),
        (object(), "'one' is of type object: give text, a number, a date, or what JSON has"),
    ],
)
def test_what_is_not_to_be_said_there_is_refused_by_its_name(value: Any, why: str) -> None:
    with pytest.raises(WrongRequest, match=why) as refused:
        params_of({"one": value})
    assert "hunter2" not in str(refused.value)


def test_params_are_names_with_values() -> None:
    given: Any = ["day"]
    with pytest.raises(WrongRequest, match="params: names with values are wanted"):
        params_of(given)


def test_variables_are_names_with_values_too() -> None:
    assert env_of(None) == {}
    given: Any = ["DAY=monday"]
    with pytest.raises(WrongRequest, match="env: names with values are wanted"):
        env_of(given)
