"""The connection type `oxiflow`: which runner, which project, and where state is kept."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from .compat import BaseHook, mask_secret, on_2_form
from .provider_info import CONNECTION_TYPE, FIELDS, FORM, NAME

#: The variable in which the runner is told where the state is.
STATE_URL = "OXIFLOW_STATE_URL"
#: Of a call that only asks, in seconds.
PATIENCE = 60


@dataclass(frozen=True)
class Settings:
    runner_path: str | None = None
    project_dir: str | None = None
    state_backend: str | None = None
    #: For the runner's environment; secrets are in it, and nowhere else.
    env: Mapping[str, str] = field(default_factory=dict, repr=False)


class OxiFlowHook(BaseHook):
    """What a connection of type `oxiflow` says, and questions to the runner that it names."""

    conn_name_attr = "oxiflow_conn_id"
    default_conn_name = "oxiflow_default"
    conn_type = CONNECTION_TYPE
    hook_name = NAME

    def __init__(self, oxiflow_conn_id: str | None = default_conn_name, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.oxiflow_conn_id = oxiflow_conn_id

    @classmethod
    def get_connection_form_widgets(cls) -> dict[str, Any]:
        return on_2_form({name: (field["label"], field["schema"]["type"]) for name, field in FIELDS.items()})

    @classmethod
    def get_ui_field_behaviour(cls) -> dict[str, Any]:
        return {name.replace("-", "_"): value for name, value in FORM.items()}

    def settings(self) -> Settings:
        if self.oxiflow_conn_id is None:
            return Settings()
        connection = self.get_connection(self.oxiflow_conn_id)
        extra = connection.extra_dejson
        env = {}
        if connection.host:
            url = state_url(connection, bool(extra.get("tls")))
            if connection.password:
                mask_secret(url)
                mask_secret(quote(connection.password, safe=""))
            env[STATE_URL] = url
        return Settings(
            runner_path=extra.get("runner_path") or None,
            project_dir=extra.get("project_dir") or None,
            state_backend=extra.get("state_backend") or ("redis" if connection.host else None),
            env=env,
        )

    def status(self, run_key: str, **options: Any) -> dict[str, Any]:
        """How a run stands, as `oxiflow status --json` says it. Throws OxiFlowError."""
        return ask(self.settings(), "status", run_key, **options)

    def cancel(self, run_key: str, **options: Any) -> dict[str, Any]:
        """Asks a run to save a checkpoint and end. Throws OxiFlowError."""
        return ask(self.settings(), "cancel", run_key, **options)

    def test_connection(self) -> tuple[bool, str]:
        """Whether there is a runner, and whether it reaches the state."""
        from oxiflow import OxiFlowError

        try:
            settings = self.settings()
            runs = call(settings, ["state", "list"])
        except (OxiFlowError, OSError) as error:
            return False, str(error)
        return True, f"the runner answers, and reaches the state: {len(runs['runs'])} run(s)"


def state_url(connection: Any, tls: bool) -> str:
    login, password = quote(connection.login or "", safe=""), quote(connection.password or "", safe="")
    who = f"{login}:{password}@" if login or password else ""
    database = f"/{quote(str(connection.schema), safe='')}" if connection.schema else ""
    # The numbers of IPv6, whose colons begin no port.
    host = connection.host if connection.host.count(":") < 2 or "[" in connection.host else f"[{connection.host}]"
    return f"redis{'s' if tls else ''}://{who}{host}:{connection.port or 6379}{database}"


def ask(settings: Settings, verb: str, run_key: str, env: Mapping[str, str] | None = None) -> dict[str, Any]:
    answer = call(settings, [verb, f"--run-key={run_key}"], env)
    return answer if isinstance(answer, dict) else {}


def call(settings: Settings, words: list[str], env: Mapping[str, str] | None = None) -> Any:
    """What the runner says with --json. Throws OxiFlowError with its own sentence."""
    from oxiflow.runner import runner_command

    from oxiflow import OxiFlowError

    options = ["--json"]
    if settings.project_dir:
        if not os.path.isdir(settings.project_dir):
            raise OxiFlowError(f"there is no folder {settings.project_dir} here, and the project is looked for there")
        options.append(f"--project={settings.project_dir}")
    if settings.state_backend:
        options.append(f"--state-backend={settings.state_backend}")
    try:
        done = subprocess.run(
            [*runner_command(settings.runner_path), *words, *options],
            env={**os.environ, **settings.env, **(env or {})},
            cwd=settings.project_dir,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=PATIENCE,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise OxiFlowError(f"oxiflow {words[0]} did not answer within {PATIENCE} s") from None
    if done.returncode != 0:
        raise OxiFlowError(done.stderr.strip() or f"oxiflow {words[0]} ended with exit code {done.returncode}")
    return json.loads(done.stdout)
