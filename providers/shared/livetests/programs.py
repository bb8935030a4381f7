"""Programs of the system that the tests drive. Where Debian's are missing and this is root, they are installed, once."""

from __future__ import annotations

import os
import shutil
import subprocess

#: The package of each program, with what it needs to be of use here.
PACKAGES = {
    # And a font: without one, a page has no text.
    "chromium": ("chromium", "fonts-dejavu-core"),
    "redis-server": ("redis-server",),
}


def need(program: str) -> str:
    """The path of a program."""
    found = shutil.which(program)
    if found is not None:
        return found
    packages = PACKAGES[program]
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise RuntimeError(f"the live tests need {program}: install {' and '.join(packages)}")
    # Nobody's daemon is started: each test starts its own.
    quiet = {**os.environ, "RUNLEVEL": "1", "DEBIAN_FRONTEND": "noninteractive"}
    apt = ["apt-get", "-qq", "--yes"]
    subprocess.run([*apt, "update"], env=quiet, check=True, stdout=subprocess.DEVNULL)
    subprocess.run(
        [*apt, "install", "--no-install-recommends", *packages], env=quiet, check=True, stdout=subprocess.DEVNULL
    )
    found = shutil.which(program)
    assert found is not None, f"{packages[0]} is installed and brought no {program}"
    return found
