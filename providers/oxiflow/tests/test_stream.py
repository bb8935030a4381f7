"""The event file while it is written: nothing waits, nothing is read twice, and memory stays where it is."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from oxiflow.stream import EventFile

from oxiflow import stream

from .conftest import EVENTS, MB, PACKAGE, PEAK, run

LINES = (EVENTS / "recorded/resumed.ndjson").read_bytes().splitlines(keepends=True)


def test_a_file_that_is_not_there_yet_has_no_events(tmp_path: Path) -> None:
    file = EventFile(tmp_path / "events.ndjson")
    assert list(file.poll()) == []
    (tmp_path / "events.ndjson").write_bytes(LINES[0])
    assert [event.type for event in file.poll()] == ["run.started"]
    assert list(file.poll()) == []


@pytest.mark.parametrize("size", [1, 7, 100, 4096])
def test_pieces_of_any_size_give_each_event_once(tmp_path: Path, size: int) -> None:
    whole = b"".join(LINES[:4])
    path = tmp_path / "events.ndjson"
    file = EventFile(path)
    seen: list[int] = []
    for start in range(0, len(whole), size):
        with path.open("ab") as out:
            out.write(whole[start : start + size])
        seen += [event.seq for event in file.poll()]
    assert seen == [1, 2, 3, 4]
    assert (file.malformed, file.lost) == (0, 0)


def test_a_line_that_is_too_long_is_passed_over_and_the_next_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "MAX_LINE", 10_000)
    monkeypatch.setattr(stream, "CHUNK", 4096)
    path = tmp_path / "events.ndjson"
    path.write_bytes(LINES[0] + b'{"v":1,"message":"' + b"x" * 100_000 + b'"}\n' + LINES[1])
    file = EventFile(path)
    seen = []
    while file.offset < path.stat().st_size:
        seen += [event.seq for event in file.poll()]
    assert seen == [1, 2]
    assert file.malformed == 1
    assert file.problem == "longer than 10000 bytes"


def test_a_file_that_somebody_cut_is_read_from_its_new_beginning(tmp_path: Path) -> None:
    path = tmp_path / "events.ndjson"
    path.write_bytes(LINES[0] + LINES[1])
    file = EventFile(path)
    assert len(list(file.poll())) == 2
    path.write_bytes(LINES[2])
    assert [event.seq for event in file.poll()] == [3]


def began_anew(left_out: int, *lines: bytes) -> bytes:
    return LINES[0].rstrip()[:-1] + b',"left_out":%d}\n' % left_out + b"".join(lines)


def test_a_file_that_begins_anew_at_its_limit_is_told_on_without_a_loss(tmp_path: Path) -> None:
    path = tmp_path / "events.ndjson"
    before = b"of somebody else\n"
    path.write_bytes(before + b"".join(LINES[:6]))
    file = EventFile(path, len(before))
    assert [event.seq for event in file.poll()] == [1, 2, 3, 4, 5, 6]
    path.write_bytes(before + began_anew(5, *LINES[6:8]))
    assert [event.seq for event in file.poll()] == [7, 8]
    assert (file.lost, file.malformed) == (0, 0)
    # Whoever comes later has the beginning, and what there is.
    late = EventFile(path, len(before))
    assert [event.seq for event in late.poll()] == [1, 7, 8]
    assert late.lost == 0


def test_what_was_not_read_before_a_file_began_anew_is_lost(tmp_path: Path) -> None:
    path = tmp_path / "events.ndjson"
    path.write_bytes(b"".join(LINES[:5]))
    file = EventFile(path)
    assert [event.seq for event in file.poll()] == [1, 2, 3, 4, 5]
    path.write_bytes(began_anew(6, LINES[7]))
    assert [event.seq for event in file.poll()] == [8]
    assert file.lost == 2


def test_a_large_file_is_read_in_little_memory(tmp_path: Path) -> None:
    path = tmp_path / "events.ndjson"
    copies = 20_000
    with path.open("wb") as out:
        for _ in range(3):
            out.write(LINES[1] * copies)
        # A line without an end.
        out.write(b"x" * 100_000_000)
    program = (
        "import sys\nfrom oxiflow.stream import EventFile\n"
        "file = EventFile(sys.argv[1])\nevents = 0\nbefore = -1\n"
        "while before != file.offset:\n    before = file.offset\n    events += sum(1 for _ in file.poll())\n"
        "print(events, file.malformed, peak())\n"
    )
    done = run(sys.executable, "-c", PEAK + program, path, env={"PYTHONPATH": str(PACKAGE)})
    events, malformed, memory = map(int, done.stdout.split())
    assert (events, malformed) == (3 * copies, 1)
    assert memory < 60 * MB
