"""The words of the command line are those that the runner knows."""

from __future__ import annotations

import datetime
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from oxiflow.request import drain_seconds, part_of_how_many, plain_values
from oxiflow.runner import runner_command

from oxiflow import RunRequest, WrongRequest

EVERYTHING = RunRequest(
    "-odd name",
    project="-shop",
    run_key="k",
    invocation="i",
    worker_id="w",
    params={"day": "2026-03-01", "limit": 7, "deep": {"a": [1, None]}, "on": True},
    set={"filter.where": "km > 3"},
    env_file=".env",
    fresh=True,
    accept_changes=True,
    limit=10,
    threads=2,
    workers=3,
    join=True,
    splits=4,
    shard=(0, 2),
    same_host=True,
    drain_timeout="5s",
    lease_wait="1m",
    state_backend="redis",
    verbose=True,
)


def test_every_option_is_one_of_the_runner() -> None:
    told = subprocess.run(
        [*runner_command(), "run", "--help", "--all"], capture_output=True, text=True, check=True
    ).stdout
    told += subprocess.run([*runner_command(), "run", "--help"], capture_output=True, text=True, check=True).stdout
    known = set(re.findall(r"--[a-z-]+", told))
    quiet = RunRequest("rides", quiet=True).arguments()
    used = {
        word.partition("=")[0] for word in [*EVERYTHING.arguments(), *quiet] if word.startswith("--") and word != "--"
    }
    assert used <= known
    assert len(used) == 21


def test_values_are_part_of_their_option_and_the_pipeline_comes_last() -> None:
    words = EVERYTHING.arguments()
    assert words[0] == "run"
    assert words[-2:] == ["--", "-odd name"]
    assert all(word.startswith("--") for word in words[1:-2])
    assert "--project=-shop" in words
    assert "--param=day=2026-03-01" in words
    assert "--param=limit=7" in words
    assert "--param=on=true" in words
    assert '--param=deep={"a": [1, null]}' in words
    assert "--set=filter.where=km > 3" in words
    assert "--shard=0/2" in words


def test_what_is_left_out_is_left_to_the_runner() -> None:
    assert RunRequest("rides").arguments() == ["run", "--quiet", "--", "rides"]


def test_the_runner_takes_them(tmp_path: Path) -> None:
    (tmp_path / "rides.yaml").write_text(
        "pipeline:\n"
        "  - name: read_file\n    config: { path: rides.ndjson }\n"
        "  - name: parse_json\n"
        "  - name: filter\n    config: { where: km > params.least }\n"
        "  - name: write_file\n    config: { path: far.ndjson }\n"
        "parameters: { least: { type: float } }\n"
    )
    (tmp_path / "rides.ndjson").write_text('{"km":1}\n{"km":9}\n')
    request = RunRequest(
        "rides.yaml", project=str(tmp_path), params={"least": 2.5}, set={"write_file.path": "-far.ndjson"}, threads=1
    )
    subprocess.run([*runner_command(), *request.arguments()], check=True)
    assert (tmp_path / "-far.ndjson").read_text() == '{"km":9}\n'


def test_a_shard_is_read_from_text_or_two_numbers() -> None:
    assert (part_of_how_many("2/8"), part_of_how_many((2, 8)), part_of_how_many([0, 1])) == ((2, 8), (2, 8), (0, 1))
    for wrong in ("2", "2/8/1", "a/b", 3, None):
        with pytest.raises(WrongRequest, match="is not I/N"):
            part_of_how_many(wrong)


def test_whoever_waits_for_a_stop_knows_how_long() -> None:
    assert [drain_seconds(text) for text in ("2m", "500ms", "1.5s", None, "soon")] == [120, 0.5, 1.5, 10, 10]


class Lazily(Sequence[int]):
    """As orchestrators hand on what many tasks have returned."""

    def __getitem__(self, index: Any) -> Any:
        return [1, 2][index]

    def __len__(self) -> int:
        return 2


def test_dates_paths_and_sequences_are_values_of_json() -> None:
    noon = datetime.datetime(2026, 3, 2, 12)
    east = noon.replace(tzinfo=datetime.timezone(datetime.timedelta(hours=1)))
    values = {
        "day": noon.date(),
        "at": noon,
        "there": east,
        "to": Path("/srv"),
        "rows": Lazily(),
        "most": 3,
        "none": None,
    }
    plain = {
        "day": "2026-03-02",
        "at": "2026-03-02T12:00:00+00:00",
        "there": "2026-03-02T12:00:00+01:00",
        "to": "/srv",
        "rows": [1, 2],
        "most": 3,
        "none": None,
    }
    assert plain_values("params", values) == plain
    deep = {"all": MappingProxyType({"days": (noon.date(), [Path("a")])})}
    assert plain_values("set", deep) == {"all": {"days": ["2026-03-02", ["a"]]}}
    words = RunRequest("rides", params={"rows": Lazily()}, set={"filter.after": noon.date()}).arguments()
    assert {"--param=rows=[1, 2]", "--set=filter.after=2026-03-02"} <= {*words}


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (object(), "of type object"),
        ({"a": {1}}, "of type dict"),
        (b"x", "of type bytes"),
        (float("nan"), "no finite number"),
    ],
)
def test_a_value_that_json_has_no_word_for_is_refused_by_its_name(value: Any, kind: str) -> None:
    with pytest.raises(WrongRequest, match=f"params: 'least' is {kind}: give text, a number, a date, or what JSON has"):
        RunRequest("rides", params={"least": value}).arguments()
