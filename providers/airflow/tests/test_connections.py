"""Connections: the type `oxiflow`, and those that a run is handed."""

from __future__ import annotations

import json
import sys
from importlib import resources
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
from airflow.sdk._shared.secrets_masker import reset_secrets_masker
from airflow.sdk.exceptions import AirflowFailException
from livetests.waiting import until
from oxiflow_airflow_provider.compat import mask_secret, without_secrets
from oxiflow_airflow_provider.environment import connection_variables
from oxiflow_airflow_provider.hooks import OxiFlowHook
from oxiflow_airflow_provider.provider_info import FIELDS, get_provider_info

from oxiflow import OxiFlowError, RunRequest, start

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


@pytest.mark.parametrize(("host", "there"), [("::1", "[::1]"), ("[fd00::7]", "[fd00::7]"), ("10.0.0.7", "10.0.0.7")])
def test_the_redis_of_a_connection_may_have_numbers_for_a_name(
    monkeypatch: pytest.MonkeyPatch, host: str, there: str
) -> None:
    connect(monkeypatch, "depot", conn_type="oxiflow", host=host, port=6380)
    assert OxiFlowHook("depot").settings().env == {"OXIFLOW_STATE_URL": f"redis://{there}:6380"}


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


WAITING = """
pipeline:
  - { name: read_file, config: { path: orders.ndjson } }
  - { name: parse_json }
  - { name: exec, config: { command: [python3, patient.py] } }
  - { name: write_file, config: { path: out.ndjson } }
"""
#: Hands on what it gets, but not while the shop is shut.
PATIENT = """
import os, sys, time
while os.path.exists("shut"):
    time.sleep(0.02)
for line in sys.stdin:
    print(line, end="", flush=True)
"""


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Its state is where the project has it, and the connection names the project."""
    runner = str(ROOT / "dist/oxiflow.mjs")
    monkeypatch.setenv("OXIFLOW_RUNNER", runner)
    (tmp_path / "pipelines").mkdir()
    # So often it looks whether somebody has cancelled it.
    (tmp_path / "oxiflow.yaml").write_text("state_manager: { heartbeat_interval: 200ms }\n")
    (tmp_path / "pipelines/orders.yaml").write_text(WAITING)
    (tmp_path / "patient.py").write_text(PATIENT)
    (tmp_path / "orders.ndjson").write_text('{"order": 1}\n{"order": 2}\n')
    connect(monkeypatch, "depot", conn_type="oxiflow", extra={"project_dir": str(tmp_path), "runner_path": runner})
    return tmp_path


def test_the_hook_says_how_a_run_stands_and_has_nothing_to_cancel_when_it_is_done(shop: Path) -> None:
    with start(RunRequest("orders", project=str(shop), run_key="monday")) as run:
        finished = run.result().check()
    status = OxiFlowHook("depot").status("monday")
    assert (status["run_key"], status["run_id"], status["status"]) == ("monday", finished.run_id, "finished")
    assert (status["records"], status["checkpoint"]) == (2, finished.checkpoint)
    assert OxiFlowHook("depot").cancel("monday") == {"run_key": "monday", "status": "finished", "requested": False}
    with pytest.raises(OxiFlowError, match='no run "tuesday"'):
        OxiFlowHook("depot").status("tuesday")


def test_the_hook_cancels_a_run(shop: Path) -> None:
    (shop / "shut").touch()
    hook = OxiFlowHook("depot")
    request = RunRequest("orders", project=str(shop), run_key="monday", drain_timeout="1s")
    with start(request) as run:
        until("its first event", run.poll)
        assert hook.status("monday")["status"] == "running"
        assert hook.cancel("monday")["requested"] is True
        result = run.result()
    assert (result.finished and result.finished.status, result.exit_code) == ("cancelled", 143)
    assert hook.status("monday")["status"] in ("cancelled", "interrupted")


def test_a_project_that_is_not_here_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    runner = str(ROOT / "dist/oxiflow.mjs")
    connect(monkeypatch, "depot", conn_type="oxiflow", extra={"project_dir": "/nowhere/shop", "runner_path": runner})
    with pytest.raises(OxiFlowError, match="no folder /nowhere/shop here"):
        OxiFlowHook("depot").status("monday")


def test_the_form_says_what_the_fields_of_a_connection_are_for() -> None:
    behaviour = OxiFlowHook.get_ui_field_behaviour()
    assert behaviour["relabeling"]["host"] == "Redis host"
    assert behaviour["hidden_fields"] == ["extra"]
    assert set(behaviour) == {"hidden_fields", "relabeling", "placeholders"}


def test_the_form_of_airflow_2_has_the_same_fields(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the two packages that Airflow 3 has no more; the matrix makes it with them."""
    forms, widgets = ModuleType("wtforms"), ModuleType("flask_appbuilder.fieldwidgets")
    made: dict[str, Any] = {
        "BooleanField": lambda label: SimpleNamespace(label=label, kind="boolean"),
        "StringField": lambda label, widget: SimpleNamespace(label=label, kind=widget),
    }
    forms.__dict__.update(made)
    widgets.__dict__["BS3TextFieldWidget"] = lambda: "text"
    monkeypatch.setitem(sys.modules, "wtforms", forms)
    monkeypatch.setitem(sys.modules, "flask_appbuilder.fieldwidgets", widgets)
    form = OxiFlowHook.get_connection_form_widgets()
    assert {name: one.label for name, one in form.items()} == {name: one["label"] for name, one in FIELDS.items()}
    assert {name for name, one in form.items() if one.kind == "boolean"} == {"tls"}


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


def test_secrets_alone_are_kept_out_of_what_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    reset_secrets_masker()
    secrets = {"session_token": "t0ken-of-shop", "account_key": "k3y-of-shop", "place": "ftp://shop:p4ss-of-shop@depot"}
    connect(
        monkeypatch,
        "shop_db",
        conn_type="postgres",
        host="db.shop.internal",
        port=54321,
        login="shopkeeper",
        password="p/w-of-shop",  # noqa: S106
        schema="orders_of_shop",
        extra={**secrets, "region": "eu-central-1"},
    )
    parts = ("login", "host", "port", "schema", "region", "password", *secrets)
    values = connection_variables({"URL": "shop_db", **{name: f"shop_db#{name}" for name in parts}})
    told = {name: without_secrets(f"no way to {value}!") for name, value in values.items()}
    hidden = {name for name, text in told.items() if text == "no way to ***!"}
    assert hidden == {"URL", "password", *secrets}
    assert {name: told[name] for name in ("login", "host", "port", "schema", "region")} == {
        name: f"no way to {values[name]}!" for name in ("login", "host", "port", "schema", "region")
    }
    # Also as it stands in an address.
    assert without_secrets("no way to p%2Fw-of-shop!") == "no way to ***!"


def test_a_name_that_is_a_password_by_chance_stays_a_name() -> None:
    mask_secret("nightly")
    names = {"run_key": "airflow/nightly/load", "pipeline": "nightly", "oxis": [{"step": "nightly", "kind": "sink"}]}
    assert without_secrets({**names, "error": "no nightly"}) == {**names, "error": "no ***"}
    reset_secrets_masker()
