"""A real `airflow standalone` in a folder of its own, on free ports of the loopback, ended with all that came of it."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import httpx
from livetests.waiting import LONGEST, end_all, free_port, until

from .client import Api

#: Users and their roles. Nobody has none, and the guest may look at everything but the DAG "hello".
USERS = {"admin": "admin", "viewer": "viewer", "guest": "viewer", "nobody": ""}
#: Airflow's simple auth manager has no rights for single DAGs, and standalone takes no other manager: a plugin tells it of one.
RIGHTS = """
from airflow.api_fastapi.auth.managers.simple.simple_auth_manager import SimpleAuthManager

anybody = SimpleAuthManager.is_authorized_dag


def is_authorized_dag(self, *, method, user, access_entity=None, details=None):
    if user.username == "guest" and (details is None or details.id == "hello"):
        return False
    return anybody(self, method=method, user=user, access_entity=access_entity, details=details)


SimpleAuthManager.is_authorized_dag = is_authorized_dag
"""
#: Half a minute on an idle machine.
BOOT = 600.0
#: Task processes, the triggerer and others save what they do at SIGTERM; then it is over.
GRACE = 60.0


class Airflow:
    """`dags` are folders, each a bundle by its name."""

    def __init__(
        self,
        home: Path,
        dags: Mapping[str, Path],
        env: Mapping[str, str],
        pythonpath: Sequence[Path] = (),
        programs: Path = Path(sys.executable).parent,
    ):
        self.home = home
        self.programs = programs
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = home / "standalone.log"
        self.dags = dict(dags)
        self._passwords = home / "passwords.json"
        self.env = {
            # Its own programs first: standalone starts `airflow` by that name.
            "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(home),
            "LANG": "C.UTF-8",
            "PYTHONUNBUFFERED": "1",
            "PYTHONPATH": os.pathsep.join(map(str, pythonpath)),
            # The DAGs are read where they lie, and leave nothing there.
            "PYTHONDONTWRITEBYTECODE": "1",
            "AIRFLOW_HOME": str(home),
            **{f"AIRFLOW__{name}": value for name, value in self._settings().items()},
            **env,
        }
        self._process: subprocess.Popen[bytes] | None = None

    def _settings(self) -> dict[str, str]:
        bundles = [
            {
                "name": name,
                "classpath": "airflow.dag_processing.bundles.local.LocalDagBundle",
                "kwargs": {"path": str(path), "refresh_interval": 60},
            }
            for name, path in self.dags.items()
        ]
        return {
            "CORE__LOAD_EXAMPLES": "False",
            "CORE__DAGS_FOLDER": str(next(iter(self.dags.values()))),
            "CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
            # All that the tests let wait at the same time.
            "CORE__PARALLELISM": "8",
            # SQLite has one writer, for whom the others wait; by default not for long.
            "DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{self.home}/airflow.db?timeout=20",
            "CORE__SIMPLE_AUTH_MANAGER_USERS": ",".join(f"{name}:{role}" for name, role in USERS.items()),
            "CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(self._passwords),
            # It must follow the port, or no task reaches its supervisor.
            "CORE__EXECUTION_API_SERVER_URL": f"{self.url}/execution/",
            "API__HOST": "127.0.0.1",
            "API__PORT": str(self.port),
            "API__BASE_URL": self.url,
            "LOGGING__WORKER_LOG_SERVER_PORT": str(free_port()),
            "LOGGING__TRIGGER_LOG_SERVER_PORT": str(free_port()),
            "DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": json.dumps(bundles),
            # The files are there at the start, and stay as they are.
            "DAG_PROCESSOR__REFRESH_INTERVAL": "60",
            "DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "300",
            "DAG_PROCESSOR__PARSING_PROCESSES": "1",
            # On a busy machine an answer takes its time, and a task is not to fail for that.
            "WORKERS__EXECUTION_API_TIMEOUT": "60",
            # A worker that died is noticed soon.
            "SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "60",
            "SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "2",
            "USAGE_DATA_COLLECTION__ENABLED": "False",
        }

    def launch(self) -> None:
        """Starts it, and does not wait for it."""
        passwords = {name: f"{name}-of-the-tests" for name in USERS}
        self._passwords.write_text(json.dumps(passwords))
        (self.home / "plugins").mkdir()
        (self.home / "plugins/rights.py").write_text(RIGHTS)
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [self.programs / "airflow", "standalone"],
                env=self.env,
                cwd=self.home,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def wait(self) -> None:
        until("a healthy Airflow", self._healthy, within=BOOT, every=0.5)

    def _healthy(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, f"Airflow ended at its start:\n{self.last_words()}"
        return is_healthy(self.url)

    def api(self, user: str = "admin") -> Api:
        return Api(self.url, user, f"{user}-of-the-tests")

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Airflow's command line, on this Airflow."""
        program = str(self.programs / "airflow")
        return subprocess.run(
            [program, *words], env=self.env, cwd=self.home, capture_output=True, text=True, check=False, timeout=LONGEST
        )

    def last_words(self, lines: int = 60) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def end(self) -> None:
        """Tells it to end, as a group, and does not wait for it."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGTERM)

    def close(self) -> None:
        """Ends it, waits for all that came of it, and throws when something would not end."""
        if self._process is None:
            return
        self.end()
        # By their environment: task processes and runners have sessions of their own.
        late = late_of_ours(self.home)
        self._process.wait()
        self._process = None
        assert not late, f"Airflow was ended, and these did not end with it: {late}"


#: Airflow's own servers. Its scheduler does not always end when it is told to; what we promise is that nothing of ours is left.
SERVERS = re.compile(r"\bairflow (scheduler|triggerer|dag-processor|api[-_]server|standalone|serve-logs)\b")


def late_of_ours(home: Path) -> list[str]:
    """Waits for the end of all that came of an Airflow, and kills the rest; the commands of those that are no server of it."""
    return [command for command in end_all(f"AIRFLOW_HOME={home}", GRACE) if SERVERS.search(command) is None]


def is_healthy(url: str) -> bool:
    try:
        health = httpx.get(f"{url}/api/v2/monitor/health", timeout=10).json()
    except (httpx.HTTPError, ValueError):
        return False
    parts = ("metadatabase", "scheduler", "dag_processor", "triggerer")
    return all((health.get(part) or {}).get("status") == "healthy" for part in parts)
