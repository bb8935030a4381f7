"""What Airflow asks of a provider: its parts by module, the connection type with its form."""

from __future__ import annotations

from typing import Any

from . import __version__

NAME = "Oxide Flow"
MODULE = "oxiflow_airflow_provider"


def get_provider_info() -> dict[str, Any]:
    return {
        "package-name": "oxiflow-airflow-provider",
        "name": NAME,
        "description": "Runs Oxide Flow's data pipelines: a retry is a resume, and the task's page shows the run live.",
        "versions": [__version__],
        "integrations": [{"integration-name": NAME, "external-doc-url": "", "tags": ["software"]}],
        "operators": [{"integration-name": NAME, "python-modules": [f"{MODULE}.operators"]}],
        "hooks": [{"integration-name": NAME, "python-modules": [f"{MODULE}.hooks"]}],
        "triggers": [{"integration-name": NAME, "python-modules": [f"{MODULE}.triggers"]}],
        "connection-types": [],
        "plugins": [{"name": "oxiflow", "plugin-class": f"{MODULE}.plugin.OxiFlowPlugin"}],
    }
