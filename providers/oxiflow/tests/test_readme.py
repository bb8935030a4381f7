"""The commands and programs of the documentation do what it says."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from oxiflow.errors import BY_EXIT_CODE

from .conftest import PACKAGE, ROOT

README = (ROOT / "README.md").read_text()
OWN = (PACKAGE / "README.md").read_text()


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    ignore = shutil.ignore_patterns("output", ".oxiflow")
    shutil.copytree(ROOT / "examples/earthquakes", tmp_path / "examples/earthquakes", ignore=ignore)
    (tmp_path / "node_modules").symlink_to(ROOT / "node_modules")
    return tmp_path


def test_the_commands_of_the_page(checkout: Path, installed: Path) -> None:
    (block,) = blocks(README, "bash")
    install, *rest = block.splitlines()
    # What the fixture has done; once more would take long.
    assert install == "pip install ./providers/oxiflow"
    assert blocks(OWN, "bash") == [f"{install}\n"]
    env = {**os.environ, "PATH": f"{installed}:/usr/bin:/bin"}
    del env["OXIFLOW_RUNNER"]
    done = subprocess.run(
        ["bash", "-euc", "\n".join(rest)], cwd=checkout, env=env, capture_output=True, text=True, check=True
    )
    assert "1,707 read" in done.stderr


def test_the_program_of_the_page(checkout: Path, installed: Path) -> None:
    (program,) = blocks(README, "python")
    done = subprocess.run(
        [installed / "python", "-c", program], cwd=checkout, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1].startswith("85 rows in ")
    shutil.rmtree(checkout / "examples/earthquakes/pipelines")
    done = subprocess.run(
        [installed / "python", "-c", program], cwd=checkout, capture_output=True, text=True, check=True
    )
    assert done.stdout.endswith("(exit code 125) - mend it first\n")


def test_the_program_of_the_package(tmp_path: Path, installed: Path) -> None:
    (program,) = blocks(OWN, "python")
    (tmp_path / "shop/pipelines").mkdir(parents=True)
    (tmp_path / "shop/orders.ndjson").write_text('{"order":1}\n')
    (tmp_path / "shop/pipelines/orders.yaml").write_text(
        "pipeline:\n  - name: read_file\n    config: { path: orders.ndjson }\n  - name: parse_json\n"
        "  - name: write_stdout\nparameters: { day: { type: date } }\n"
    )
    done = subprocess.run(
        [installed / "python", "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert 'stdout {"order":1}\n' in done.stdout
    assert "safe up to 1\n" in done.stdout
    assert done.stdout.splitlines()[-1] == "succeeded"


def test_the_table_of_exceptions_has_all_of_them() -> None:
    _, table = OWN.split("| exit code | exception |")
    rows = re.findall(r"^\| ([\d, a-z]*) \| (.*?) \| (yes|no)", table, re.MULTILINE)
    named = {name: retry == "yes" for _, text, retry in rows for name in re.findall(r"`([A-Z]\w+)`", text)}
    for code, kind in BY_EXIT_CODE.items():
        assert named[kind.__name__] == kind.retry
        assert any(str(code) in re.findall(r"\d+", codes) and kind.__name__ in text for codes, text, _ in rows), code
