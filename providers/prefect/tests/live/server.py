"""A real Prefect, a server and a runner of flows, in a folder of its own and on a free port; ended with all that came of it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from livetests.waiting import end_all, free_port, processes_of, until
from oxiflow.process import group_lives

from .api import Api

#: Ten seconds on an idle machine.
BOOT = 240.0
#: For a program of Prefect to end, and for runs that go on to end in order.
SOON = 15.0
GRACE = 60.0


class Prefect:
    def __init__(self, home: Path, env: Mapping[str, str]):
        self.home = home
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.api = Api(self.url)
        #: Whatever comes of it has this in its environment.
        self.mark = f"PREFECT_HOME={home}"
        self.env = {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(home),
            "LANG": "C.UTF-8",
            "PREFECT_HOME": str(home),
            "PREFECT_API_URL": f"{self.url}/api",
            "PREFECT_SERVER_UI_API_URL": f"{self.url}/api",
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "DO_NOT_TRACK": "1",
            "PREFECT_LOGGING_COLORS": "false",
            "PREFECT_RUNNER_POLL_FREQUENCY": "2",
            "PREFECT_WORKER_QUERY_SECONDS": "2",
            # A busy machine is slow, not wrong.
            "PREFECT_API_REQUEST_TIMEOUT": "240",
            **env,
        }
        self._processes: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        self.launch("server", ["prefect", "server", "start", "--host", "127.0.0.1", "--port", str(self.port)])
        until("Prefect's server", lambda: self._lives() and self.api.healthy(), within=BOOT)

    def launch(self, name: str, command: Sequence[str], cwd: Path | None = None, **env: str) -> None:
        """A program beside the server, to its end; its output is in a file of that name."""
        with (self.home / f"{name}.log").open("wb") as log:
            self._processes.append(
                subprocess.Popen(
                    command,
                    env={**self.env, **env},
                    cwd=cwd or self.home,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
            )

    def until_deployed(self, names: Collection[str]) -> None:
        until("the deployments", lambda: self._lives() and set(names) <= self.api.deployments().keys(), within=BOOT)

    def _lives(self) -> bool:
        assert all(one.poll() is None for one in self._processes), self.last_words()
        return True

    def processes(self, word: str) -> dict[int, str]:
        """Those of its processes with that in their command line."""
        return {pid: command for pid, command in processes_of(self.mark).items() if word in command}

    def last_words(self, lines: int = 60) -> str:
        logs = sorted(self.home.glob("*.log"))
        return "\n".join("\n".join(log.read_text(errors="replace").splitlines()[-lines:]) for log in logs)

    def close(self) -> None:
        """Ends all of it, the server last; throws when something of the runner would not end with it."""
        for one in reversed(self._processes):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(one.pid, signal.SIGTERM)
            deadline = time.monotonic() + SOON
            while group_lives(one.pid) and time.monotonic() < deadline:
                one.poll()
                time.sleep(0.1)
            # A worker that a script has put behind itself hears no SIGINT, which is how it tells itself to end.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(one.pid, signal.SIGKILL)
        late = end_all(self.mark, GRACE)
        for one in self._processes:
            one.wait()
        self._processes = []
        # A worker of Prefect that is asked to end may ask a server first, and again, and again.
        ours = [command for command in late if "oxiflow.mjs" in command]
        assert not ours, f"Prefect was ended, and these did not end with it: {ours}"
