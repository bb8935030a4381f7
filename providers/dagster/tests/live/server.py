"""
A real Dagster, in a folder of its own and on a free port, ended with all that came of it. Webserver, daemon and the servers of
the definitions are started one by one: `dagster dev` puts more processes around them, takes longer, and misses signals.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import dagster as dg
import httpx
from livetests.waiting import end_all, free_port, processes_of, until

from .api import Api

#: Ten seconds on an idle machine.
BOOT = 480.0
#: Runs that go on are ended in order first; what is left then is killed.
GRACE = 30.0
SETTINGS = """
telemetry: { enabled: false }
nux: { enabled: false }
run_retries: { enabled: true }
run_coordinator:
  module: dagster.core.run_coordinator
  class: QueuedRunCoordinator
  config: { max_concurrent_runs: 3, dequeue_interval_seconds: 1 }
"""


class Dagster:
    def __init__(self, home: Path, definitions: dict[str, Path], env: dict[str, str]):
        """`definitions`: files, each a code location by its name."""
        self.home = home
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = home / "dagster.log"
        self.api = Api(self.url)
        self._definitions = definitions
        #: Whatever comes of it has this in its environment.
        self.mark = f"DAGSTER_HOME={home}"
        self.env = {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(home),
            "LANG": "C.UTF-8",
            "PYTHONPYCACHEPREFIX": os.environ["PYTHONPYCACHEPREFIX"],
            "DAGSTER_HOME": str(home),
            # A busy machine is slow, not wrong.
            "DAGSTER_GRPC_TIMEOUT_SECONDS": "300",
            **env,
        }
        self._processes: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        (self.home / "dagster.yaml").write_text(SETTINGS)
        # Makes its databases: two that do it at once are in each other's way.
        with dg.DagsterInstance.from_config(str(self.home)):
            pass
        sockets = {name: self.home / f"{name}.sock" for name in self._definitions}
        for name, file in self._definitions.items():
            self._start("dagster", "api", "grpc", "-f", str(file), "-s", str(sockets[name]), "--location-name", name)
        until("the servers of the definitions", lambda: self._lives() and all(map(Path.exists, sockets.values())), BOOT)
        workspace = self.home / "workspace.yaml"
        servers = [
            {"grpc_server": {"socket": str(socket), "location_name": name, "host": "localhost"}}
            for name, socket in sockets.items()
        ]
        workspace.write_text(json.dumps({"load_from": servers}))
        self._start("dagster_webserver", "-w", str(workspace), "-h", "127.0.0.1", "-p", str(self.port))
        self._start("dagster._daemon", "run", "-w", str(workspace))
        until("Dagster", self._ready, within=BOOT)

    def _start(self, module: str, *words: str) -> None:
        with self.log.open("ab") as log:
            self._processes.append(
                subprocess.Popen(
                    [sys.executable, "-m", module, *words],
                    env=self.env,
                    cwd=self.home,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
            )

    def _lives(self) -> bool:
        assert all(one.poll() is None for one in self._processes), self.last_words()
        return True

    def _ready(self) -> bool:
        try:
            return self._lives() and self.api.locations().keys() == self._definitions.keys()
        except (httpx.HTTPError, ValueError):
            return False

    def runners(self) -> dict[int, str]:
        """The runner's processes."""
        return {pid: command for pid, command in processes_of(self.mark).items() if "oxiflow.mjs run" in command}

    def runner_of(self, pipeline: str) -> int:
        """The one that works on it."""
        (runner,) = [pid for pid, command in self.runners().items() if command.endswith(f"-- {pipeline}")]
        return runner

    def last_words(self, lines: int = 60) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def close(self) -> None:
        """Ends it with all that came of it; throws where what is not Dagster's own did not end with it."""
        for one in self._processes:
            one.terminate()
        late = end_all(self.mark, GRACE)
        for one in self._processes:
            one.wait()
        self._processes = []
        strange = [command for command in late if not command.startswith(sys.executable)]
        assert not strange, f"Dagster was ended, and these did not end with it: {strange}"
