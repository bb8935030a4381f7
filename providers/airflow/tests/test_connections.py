"""Connections: the type `oxiflow`, and those that a run is handed."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path

import jsonschema
import pytest
from airflow.sdk.exceptions import AirflowFailException
from oxiflow_airflow_provider.environment import connection_variables
from oxiflow_airflow_provider.hooks import OxiFlowHook
from oxiflow_airflow_provider.provider_info import get_provider_info

ROOT = Path(__file__).resolve().parents[3]


def connect(monkeypatch: pytest.MonkeyPatch, name: str, **fields: object) -> None:
    monkeypatch.setenv(f"AIRFLOW_CONN_{name.upper()}", json.dumps(fields))


def test_the_metadata_is_what_airflow_asks_of_a_provider() -> None:
    schema = json.loads(resources.files("airflow").joinpath("provider_info.schema.json").read_text())
    jsonschema.validate(get_provider_info(), schema)


def test_a_connection_names_the_redis_of_the_state(monkeypatch: pytest.MonkeyPatch) -> None:
    connect(
        monkeypatch,
        "depot",
        conn_type="oxiflow",
        host="redis.internal",
        login="oxi",
        password="a/b@c",  # noqa: S106
        schema="2",
        extra={"tls": True, "project_dir": "/srv/shop"},
    )
    settings = OxiFlowHook("depot").settings()
    assert settings.env == {"OXIFLOW_STATE_URL": "rediss://oxi:a%2Fb%40c@redis.internal:6379/2"}
    assert (settings.state_backend, settings.project_dir, settings.runner_path) == ("redis", "/srv/shop", None)
    assert "a%2Fb" not in repr(settings)


def test_a_connection_without_a_host_leaves_the_state_to_the_project(monkeypatch: pytest.MonkeyPatch) -> None:
    connect(monkeypatch, "depot", conn_type="oxiflow", extra={"runner_path": "/opt/oxiflow"})
    settings = OxiFlowHook("depot").settings()
    assert (settings.env, settings.state_backend, settings.runner_path) == ({}, None, "/opt/oxiflow")


def test_the_connection_is_tried_with_the_runner(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    runner = str(ROOT / "dist/oxiflow.mjs")
    connect(monkeypatch, "depot", conn_type="oxiflow", extra={"runner_path": runner, "project_dir": str(tmp_path)})
    (tmp_path / "pipelines").mkdir()
    assert OxiFlowHook("depot").test_connection() == (True, "the runner answers, and reaches the state: 0 run(s)")
    connect(monkeypatch, "depot", conn_type="oxiflow", extra={"runner_path": "/nowhere/oxiflow"})
    works, why = OxiFlowHook("depot").test_connection()
    assert not works
    assert "/nowhere/oxiflow" in why


def test_a_run_is_handed_addresses_and_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    connect(
        monkeypatch,
        "shop_db",
        conn_type="mongo",
        host="db",
        port=27017,
        login="shop",
        password="p/w",  # noqa: S106
        schema="orders",
        extra={"token": "t0ken"},
    )
    names = {"URL": "shop_db", "USER": "shop_db#login", "PORT": "shop_db#port", "TOKEN": "shop_db#token"}
    values = connection_variables(names)
    assert values["URL"].startswith("mongodb://shop:p%2Fw@db:27017/orders")
    assert (values["USER"], values["PORT"], values["TOKEN"]) == ("shop", "27017", "t0ken")


def test_a_part_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    connect(monkeypatch, "shop_db", conn_type="postgres", host="db")
    with pytest.raises(AirflowFailException, match="TOKEN asks for 'token' of connection 'shop_db', which has none"):
        connection_variables({"TOKEN": "shop_db#token"})
