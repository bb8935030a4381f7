"""The Python side of test/contract/events: the same files and verdicts as the runner's schemas."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from oxiflow.errors import BY_EXIT_CODE, NotRetryable, Retryable
from oxiflow.events import EVENTS, Event, Log, RunFinished
from oxiflow.result import Result
from oxiflow.stream import BadLine, EventFile, decode

from .conftest import EVENTS as FILES
from .conftest import ROOT

SCHEMA = jsonschema.Draft202012Validator(json.loads((ROOT / "runner/observe/schemas/event.json").read_text()))


def lines(name: str) -> list[str]:
    return (FILES / name).read_text().splitlines()


def objects(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (FILES / name).read_text().split("\n") if line]


def as_json(value: Any) -> Any:
    """What the runner would have written: fields that are absent are left out, and one that may be null is null."""
    if dataclasses.is_dataclass(value):
        fields = {
            field.name.rstrip("_"): as_json(getattr(value, field.name))
            for field in dataclasses.fields(value)
            if getattr(value, field.name) is not None or field.default is dataclasses.MISSING
        }
        kind = getattr(value, "type", None)
        return fields if kind is None else {**fields, "type": kind}
    return [as_json(one) for one in value] if isinstance(value, tuple) else value


def test_the_classes_are_those_of_the_schemas() -> None:
    path = ROOT / "providers/oxiflow/generate_events.py"
    spec = importlib.util.spec_from_file_location("generate_events", path)
    assert spec is not None
    assert spec.loader is not None
    generator = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generator)
    assert (path.parent / "oxiflow/events.py").read_text() == generator.source(), f"run: python {path}"


def test_every_type_has_a_class_and_a_good_line() -> None:
    assert {json.loads(line)["type"] for line in lines("good.ndjson")} == set(EVENTS)


@pytest.mark.parametrize("line", lines("good.ndjson"), ids=lambda line: json.loads(line)["type"])
def test_a_good_line_is_taken_whole(line: str) -> None:
    assert as_json(decode(line, strict=True)) == json.loads(line)


@pytest.mark.parametrize("bad", objects("bad.ndjson"), ids=lambda bad: bad["reason"])
def test_a_bad_line_is_refused_and_nothing_worse_happens(bad: dict[str, str]) -> None:
    with pytest.raises(BadLine):
        decode(bad["line"], strict=True)
    with suppress(BadLine):
        decode(bad["line"])


def test_generated_lines_are_judged_as_the_schemas_judge_them() -> None:
    for one in objects("generated.ndjson"):
        verdict, what, line = one["verdict"], one["what"], one["line"]
        assert SCHEMA.is_valid(json.loads(line)) == (verdict == "good"), what
        if verdict == "good":
            assert as_json(decode(line, strict=True)) == json.loads(line), what
            continue
        with pytest.raises(BadLine):
            decode(line, strict=True)
        if verdict == "bad":
            with pytest.raises(BadLine):
                decode(line)
        else:
            # What is not known is passed over, and nothing else is lost.
            event = decode(line)
            assert event is None or SCHEMA.is_valid(as_json(event)), what


def test_what_json_allows_and_the_protocol_does_not_is_refused() -> None:
    line = next(line for line in lines("good.ndjson") if '"progress"' in line)
    for wrong in ("NaN", "Infinity", "1e999", "9" * 5000, "true", "[[]]", '"7"'):
        with pytest.raises(BadLine):
            decode(line.replace(f'"records":{json.loads(line)["records"]}', f'"records":{wrong}'))


def test_half_a_pair_of_surrogates_becomes_text_that_can_be_written() -> None:
    line = next(line for line in lines("good.ndjson") if '"type":"log"' in line)
    event = decode(line.replace(json.loads(line)["message"], "half \\ud83d"))
    assert event is not None
    assert isinstance(event, Log)
    assert event.message == "half \ufffd"


STREAMS = json.loads((FILES / "streams/index.json").read_text())


@pytest.mark.parametrize("stream", STREAMS, ids=lambda stream: stream["name"])
def test_a_stream(stream: dict[str, Any]) -> None:
    file = EventFile(FILES / "streams" / f"{stream['name']}.ndjson")
    events = read_to_the_end(file)
    found = {"events": len(events), "malformed": file.malformed, "lost": file.lost}
    assert found == {name: stream[name] for name in found}
    finished = next((event for event in events if isinstance(event, RunFinished)), None)
    result = Result(exit_code=stream["exit_code"], finished=finished, malformed=file.malformed, problem=file.problem)
    assert outcome(result) == stream["outcome"]


def read_to_the_end(file: EventFile) -> list[Event]:
    events: list[Event] = []
    before = -1
    while file.offset != before:
        before = file.offset
        events += file.poll()
    return [*events, *file.finish()]


def outcome(result: Result) -> str:
    try:
        result.check()
    except Retryable:
        return "retry"
    except NotRetryable:
        return "no retry"
    return "succeeded"


def test_the_exit_codes_are_those_that_the_runner_has() -> None:
    codes = json.loads(Path(FILES / "exit-codes.json").read_text())
    assert {code for code, kind in BY_EXIT_CODE.items() if issubclass(kind, Retryable)} == set(codes["retry"])
    assert {code for code, kind in BY_EXIT_CODE.items() if issubclass(kind, NotRetryable)} == set(codes["no_retry"])
