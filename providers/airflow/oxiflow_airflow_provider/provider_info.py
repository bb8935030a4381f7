"""What Airflow asks of a provider: its parts by module, the connection type with its form."""

from __future__ import annotations

from typing import Any

from . import __version__

NAME = "Oxide Flow"
MODULE = "oxiflow_airflow_provider"
CONNECTION_TYPE = "oxiflow"

TEXT: dict[str, Any] = {"type": ["string", "null"]}
#: Of the connection form, beside Airflow's own; kept in the connection's extra.
FIELDS: dict[str, Any] = {
    "project_dir": {"label": "Project folder", "schema": TEXT},
    "runner_path": {"label": "Runner, in place of the package's own", "schema": TEXT},
    "state_backend": {
        "label": "State backend",
        "description": "auto, sqlite, file, nfs or redis",
        "schema": TEXT,
    },
    "tls": {"label": "Redis over TLS", "schema": {"type": ["boolean", "null"]}},
}
FORM: dict[str, Any] = {
    "hidden-fields": ["extra"],
    "relabeling": {
        "host": "Redis host",
        "port": "Redis port",
        "login": "Redis user",
        "password": "Redis password",
        "schema": "Redis database",
    },
    "placeholders": {"host": "empty: what the project says", "port": "6379", "schema": "0"},
}


def get_provider_info() -> dict[str, Any]:
    return {
        "package-name": "oxiflow-airflow-provider",
        "name": NAME,
        "description": "Runs Oxide Flow's data pipelines: a retry is a resume, and the task's page shows the run live.",
        "versions": [__version__],
        "operators": [{"integration-name": NAME, "python-modules": [f"{MODULE}.operators"]}],
        "hooks": [{"integration-name": NAME, "python-modules": [f"{MODULE}.hooks"]}],
        "triggers": [{"integration-name": NAME, "python-modules": [f"{MODULE}.triggers"]}],
        "connection-types": [
            {
                "connection-type": CONNECTION_TYPE,
                "hook-class-name": f"{MODULE}.hooks.OxiFlowHook",
                "hook-name": NAME,
                "conn-fields": FIELDS,
                "ui-field-behaviour": FORM,
            }
        ],
        "plugins": [{"name": "oxiflow", "plugin-class": f"{MODULE}.plugin.OxiFlowPlugin"}],
    }
