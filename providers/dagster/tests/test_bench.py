"""What loading costs is measured by a program of its own, and kept to its limit here."""

import re
import subprocess
import sys
from pathlib import Path

BENCH = Path(__file__).resolve().parents[1] / "bench_import.py"


def test_loading_500_pipelines_costs_at_most_half_as_much_again_as_a_file_of_500_assets() -> None:
    # In calls of functions: of times, a busy machine makes any.
    words = [sys.executable, str(BENCH), "--count=500", "--times=1", "--calls"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    shown = [re.fullmatch(r"(\w+) +(\d+\.\d\d) k +(\d+\.\d\d)", line) for line in done.stdout.splitlines()]
    times = {one[1]: float(one[3]) for one in shown if one is not None}
    assert times.keys() == {"plain", "one_step", "steps"}
    assert times["plain"] == 1.0
    assert max(times.values()) <= 1.5, done.stdout
