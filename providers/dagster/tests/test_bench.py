"""What loading costs is measured by a program of its own; that it still measures is tested, in small."""

import re
import subprocess
import sys
from pathlib import Path

BENCH = Path(__file__).resolve().parents[1] / "bench_import.py"


def test_the_measurement_of_loading_goes_to_its_end() -> None:
    words = [sys.executable, str(BENCH), "--count=12", "--times=1"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    shown = [re.fullmatch(r"(\w+) +(\d+\.\d\d) s +(\d+\.\d\d)", line) for line in done.stdout.splitlines()]
    assert [one and one[1] for one in shown] == ["plain", "one_step", "steps"]
    assert shown[0] is not None
    assert shown[0][3] == "1.00"
