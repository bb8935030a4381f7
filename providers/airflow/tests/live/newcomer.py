"""What a newcomer has who did what examples/airflow/README.md says: by its own commands, in a clone and an environment apart."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from livetests.programs import need
from livetests.readme import blocks
from livetests.waiting import free_port, until

from .client import Api
from .standalone import is_healthy, late_of_ours

ROOT = Path(__file__).resolve().parents[4]
README = ROOT / "examples/airflow/README.md"
#: Installing brings Airflow, and starting it takes half a minute on an idle machine.
LONG = 600.0
#: Settings that would not be a newcomer's.
OURS = ("AIRFLOW_", "OXIFLOW_", "PYTHON", "PYTEST_", "VIRTUAL_ENV")
#: Not of a fresh clone, or not needed there.
LEFT_OUT = shutil.ignore_patterns(
    ".venv*", ".uv", "__pycache__", ".*_cache", "*.egg-info", "output", ".oxiflow", "airflow-*"
)


def commands(heading: str) -> str:
    """The commands below a heading of the README."""
    return "".join(blocks(README, heading))


class Newcomer:
    def __init__(self, folder: Path):
        self.clone = folder / "clone"
        self.home = self.clone / "airflow-home"
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._redis_port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        # No setting of whoever runs the tests, and ports that nobody else has.
        self._env = {
            **{name: value for name, value in os.environ.items() if not name.startswith(OURS)},
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "AIRFLOW__API__PORT": str(self.port),
            "AIRFLOW__API__HOST": "127.0.0.1",
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{self.url}/execution/",
            "AIRFLOW__CORE__PARALLELISM": "2",
            "AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT": "60",
            "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(free_port()),
            "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(free_port()),
        }

    def clone_it(self) -> None:
        """The files of a checkout in which the runner is built and npm's packages are there."""
        self.clone.mkdir()
        for name in ("providers", "examples", "runner", "dist"):
            shutil.copytree(ROOT / name, self.clone / name, ignore=LEFT_OUT)
        for name in ("package.json", "package-lock.json", "LICENSE", "README.md"):
            shutil.copy2(ROOT / name, self.clone / name)
        (self.clone / "node_modules").symlink_to((ROOT / "node_modules").resolve())

    def launch(self) -> None:
        """Does what the README says up to a running Airflow, and does not wait for it."""
        need("redis-server")
        self.clone_it()
        begin = "\n".join(
            (
                "set -e",
                # uv does what pip does, and quicker.
                'pip() { "$OXIFLOW_UV" pip "$@"; }',
                commands("Install"),
                commands("Start").replace("6379", str(self._redis_port)),
                "wait",
            )
        )
        with (self.clone / "start.log").open("wb") as log:
            self._process = subprocess.Popen(
                ["bash", "-c", begin],
                cwd=self.clone,
                env={**self._env, "OXIFLOW_UV": uv()},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def wait(self) -> None:
        until("the newcomer's Airflow", self._healthy, within=LONG, every=0.5)

    def second_shell(self, script: str) -> str:
        return self._do(f". airflow-venv/bin/activate\nexport AIRFLOW_HOME=$PWD/airflow-home\n{script}")

    def _do(self, script: str) -> str:
        env = {**self._env, "OXIFLOW_UV": uv()}
        done = subprocess.run(
            ["bash", "-euc", script], cwd=self.clone, env=env, capture_output=True, text=True, check=False, timeout=LONG
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def _healthy(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            logs = "\n".join(path.read_text(errors="replace")[-4000:] for path in self.clone.glob("*.log"))
            raise AssertionError(f"the README's commands ended:\n{logs}")
        return is_healthy(self.url)

    def api(self, user: str = "admin") -> Api:
        passwords = json.loads((self.home / "simple_auth_manager_passwords.json.generated").read_text())
        return Api(self.url, user, passwords[user])

    def end(self) -> None:
        """Tells it to end, and does not wait for it."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGTERM)

    def close(self) -> None:
        if self._process is None:
            return
        self.end()
        late = late_of_ours(self.home)
        self._process.wait()
        assert not late, f"the newcomer's Airflow was ended, and these did not end with it: {late}"


def uv() -> str:
    found = os.environ.get("OXIFLOW_UV") or shutil.which("uv")
    assert found is not None, "uv is missing: npm run python brings it"
    return found
