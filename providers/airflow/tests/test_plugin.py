from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from oxiflow_airflow_provider.plugin import OxiFlowPlugin
from oxiflow_airflow_provider.tab import FILES, PAGE


def test_loading_the_plugin_loads_nothing_that_only_the_api_server_needs(tmp_path: Path) -> None:
    program = "import sys, oxiflow_airflow_provider.plugin as p; print(p.NAME, 'fastapi' in sys.modules)"
    env = {**os.environ, "AIRFLOW_HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True, check=True)
    assert done.stdout == "Oxide Flow False\n"


def test_the_tab_is_on_task_instances_and_below_whatever_path_airflow_is_served() -> None:
    [view] = OxiFlowPlugin.external_views
    assert view["destination"] == "task_instance"
    assert not view["href"].startswith("/")


def test_every_file_of_the_page_is_served_and_none_is_missing() -> None:
    assert {name for name, _ in FILES.values()} == {path.name for path in PAGE.iterdir()}
