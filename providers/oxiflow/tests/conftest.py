"""What the tests share: the runner of this checkout, projects to run, and programs that stand in for a runner."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
EVENTS = ROOT / "test/contract/events"
DIST = ROOT / "dist"
PACKAGE = ROOT / "providers/oxiflow"
MB = 1024 * 1024
#: The most memory that this process ever had, in bytes. (On Linux, `ru_maxrss` begins with that of who started it.)
PEAK = """
def peak():
    import re, resource, sys
    if sys.platform != 'linux':
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1]) * 1024
"""
#: More than any wait here needs; a busy machine makes a run slow, not wrong.
LONGEST = 60.0


@pytest.fixture(autouse=True, scope="session")
def _environment() -> Iterator[None]:
    """No setting of whoever runs the tests reaches a run; the runner is that of the checkout."""
    kept = dict(os.environ)
    for name in kept:
        if name.startswith(("OXIFLOW_", "DAGSTER_")) and name not in ("OXIFLOW_TESTS", "OXIFLOW_UV"):
            del os.environ[name]
    os.environ["OXIFLOW_RUNNER"] = str(DIST / "oxiflow.mjs")
    yield
    os.environ.clear()
    os.environ.update(kept)


RIDES = """
pipeline:
  - name: read_file
    config: { path: rides.ndjson }
  - name: parse_json
  - name: filter
    config: { where: km > 3 }
  - name: write_file
    config: { path: long.ndjson }
"""
#: The same, held in the middle while its door is shut: however fast a machine is, the run is still going.
HELD = RIDES.replace(
    "  - name: filter\n",
    "  - name: exec\n    config: { command: [python3, held.py] }\n  - name: filter\n",
)
#: Hands its input on, the second half of it only when the file `shut` is gone.
HOLDER = """
import os, shutil, sys, time
left = os.path.getsize("rides.ndjson") // 2
while block := sys.stdin.buffer.read1(1 << 20):
    while left < 0 and os.path.exists("shut"):
        time.sleep(0.02)
    left -= len(block)
    sys.stdout.buffer.write(block)
    sys.stdout.buffer.flush()
"""
BLOCK = "".join(f'{{"ride":{ride},"to":"Hügel","km":{ride % 7}.5}}\n' for ride in range(10_000))


@pytest.fixture
def rides(tmp_path: Path) -> Callable[[int], Path]:
    """A project with that many times 10,000 rides."""

    def make(blocks: int = 1) -> Path:
        (tmp_path / "pipelines").mkdir()
        (tmp_path / "pipelines/rides.yaml").write_text(RIDES)
        with (tmp_path / "rides.ndjson").open("w") as file:
            for _ in range(blocks):
                file.write(BLOCK)
        return tmp_path

    return make


@pytest.fixture
def held_rides(rides: Callable[[int], Path]) -> Callable[[int], Path]:
    """The same, and its run stays in the middle until the file `shut` is removed from the project."""

    def make(blocks: int) -> Path:
        root = rides(blocks)
        (root / "pipelines/rides.yaml").write_text(HELD)
        (root / "held.py").write_text(HOLDER)
        (root / "shut").touch()
        return root

    return make


@pytest.fixture
def stand_in(tmp_path: Path) -> Callable[[str], Path]:
    """A program in a runner's place: Python, with `events` (the event file, open), `os`, `sys`, `signal` and `time`."""

    def make(body: str) -> Path:
        path = tmp_path / f"runner-{len(list(tmp_path.iterdir()))}"
        head = (
            f"#!{sys.executable}\nimport os, signal, sys, time\n"
            "path = next(a[9:] for a in sys.argv if a.startswith('--events='))\n"
            "events = open(path, 'ab', buffering=0)\n"
        )
        path.write_text(head + body)
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        return path

    return make


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an empty environment into which the package was installed; uv does what pip does, and quicker."""
    folder = tmp_path_factory.mktemp("installed")
    python = folder / "venv/bin/python"
    assert run(uv(), "venv", "--quiet", "--python", sys.executable, folder / "venv").returncode == 0
    done = run(uv(), "pip", "install", "--quiet", "--no-config", "--python", python, PACKAGE)
    assert done.returncode == 0, done.stdout + done.stderr
    return python.parent


def until(what: str, ready: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LONGEST
    while not ready():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.01)


def is_gone(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0]
    except FileNotFoundError:
        return True
    return state == b"Z"


def uv() -> str:
    found = os.environ.get("OXIFLOW_UV") or shutil.which("uv")
    assert found is not None, "uv is missing: npm run python brings it"
    return found


def run(
    *command: str | Path, env: dict[str, str] | None = None, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(word) for word in command], env=env, cwd=cwd, capture_output=True, text=True, check=False
    )
