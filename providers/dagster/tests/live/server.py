"""A real Dagster, webserver and daemon, in a folder of its own and on a free port; ended with all that came of it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
from livetests.waiting import end_all, free_port, processes_of, until

from .api import Api

#: Ten seconds on an idle machine.
BOOT = 480.0
#: Runs that go on are ended in order first; of Dagster itself, some servers hear no signal, and are killed then.
GRACE = 30.0
#: Until a signal that was not heeded is repeated.
AGAIN = 5.0
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
            "PYTHONDONTWRITEBYTECODE": "1",
            "DAGSTER_HOME": str(home),
            # A busy machine is slow, not wrong.
            "DAGSTER_GRPC_TIMEOUT_SECONDS": "300",
            **env,
        }
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        (self.home / "dagster.yaml").write_text(SETTINGS)
        workspace = self.home / "workspace.yaml"
        files = [
            {"python_file": {"relative_path": str(path), "location_name": name}}
            for name, path in self._definitions.items()
        ]
        workspace.write_text(json.dumps({"load_from": files}))
        program = str(Path(sys.executable).with_name("dagster"))
        command = [program, "dev", "-w", str(workspace), "-h", "127.0.0.1", "-p", str(self.port)]
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                command, env=self.env, cwd=self.home, stdout=log, stderr=log, start_new_session=True
            )
        until("Dagster", self._ready, within=BOOT)

    def _ready(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self.last_words()
        try:
            return self.api.locations().keys() == self._definitions.keys()
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
        if self._process is None:
            return
        deadline = time.monotonic() + GRACE
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGTERM)
        # `dagster dev` misses a signal that comes between two looks at its children.
        while self._process.poll() is None and time.monotonic() < deadline:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(AGAIN)
            self._process.terminate()
        late = end_all(self.mark, max(0.0, deadline - time.monotonic()))
        self._process.wait()
        self._process = None
        strange = [command for command in late if not command.startswith(sys.executable)]
        assert not strange, f"Dagster was ended, and these did not end with it: {strange}"
