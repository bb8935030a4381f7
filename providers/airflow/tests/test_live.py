"""Documents and log lines, from recorded and made-up events."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from oxiflow.documents import CHECKPOINT, CHECKPOINTS, RUN
from oxiflow.events import (
    Checkpoint,
    Event,
    Metrics,
    OxiMetrics,
    Plan,
    PlannedStage,
    PlannedStep,
    Position,
    Progress,
    RecordDeadLettered,
    RunFinished,
    RunStarted,
)
from oxiflow.live import KEPT, POINTS, Live
from oxiflow.narration import MOST_LETTERS, MOST_LINES
from oxiflow.stream import decode
from oxiflow_airflow_provider.logs import TaskLog
from oxiflow_airflow_provider.surface import Surface

from oxiflow import Line, Result

RECORDED = Path(__file__).resolve().parents[3] / "test/contract/events/recorded"
GOOD = (RECORDED.parent / "good.ndjson").read_text().splitlines()
NOW = "2026-11-30T10:00:00.000Z"


def events(name: str) -> list[Event]:
    found = [decode(line) for line in (RECORDED / f"{name}.ndjson").read_bytes().splitlines()]
    return [event for event in found if event is not None]


def live(*told: Event) -> Live:
    one = Live("rides", "rides", "monday", "depot", NOW)
    for event in told:
        one.observe(event)
    return one


def test_the_documents_of_a_run_that_resumed() -> None:
    told = events("resumed")
    finished = told[-1]
    assert isinstance(finished, RunFinished)
    documents = live(*told).documents()
    run = documents[RUN]
    assert run["state"] == "succeeded"
    assert run["resumed_from"] == 2
    assert (run["rows_read"], run["rows_written"]) == (finished.counters.total.added, finished.counters.total.out)
    assert run["bytes_written"] == sum(output.bytes for output in finished.outputs)
    assert run["progress"] == 1
    assert [oxi["step"] for oxi in run["oxis"]] == ["read_file", "parse_json", "filter", "write_file"]
    assert [oxi["kind"] for oxi in run["oxis"]] == ["source", "parser", "step", "sink"]
    assert run["oxis"][-1]["records_out"] == finished.counters.total.out
    assert run["dead_letters"]["records"] == 1
    assert documents[CHECKPOINT]["n"] == documents[CHECKPOINTS][-1]["n"] == finished.checkpoint
    assert json.loads(json.dumps(documents)) == documents


@pytest.mark.parametrize(
    ("name", "state", "code"),
    [("interrupted", "stopped", 143), ("bad-data", "failed", 3), ("repeated", "succeeded", 0)],
)
def test_the_states_of_a_run(name: str, state: str, code: int) -> None:
    run = live(*events(name)).run()
    assert (run["state"], run["exit_code"]) == (state, code)


def test_a_run_that_ended_without_a_word_has_failed() -> None:
    one = live(*events("resumed")[:-1])
    one.ended(Result(exit_code=-9), "killed", NOW)
    assert (one.run()["state"], one.run()["error"], one.run()["finished_at"]) == ("failed", "killed", NOW)


def test_a_long_history_is_thinned_and_keeps_its_ends() -> None:
    started = events("resumed")[0]
    one = live(started)
    for second in range(5000):
        one.observe(progress(second))
    history = one.run()["history"]
    assert len(history) <= POINTS
    assert history[0][1] == 0
    assert history[-1][1] == 4999
    gaps = [after[0] - before[0] for before, after in zip(history, history[1:-1])]
    assert max(gaps) <= 3 * min(gaps)


#: Of four bytes in UTF-8, and twelve in JSON.
WIDE = "\N{GRINNING FACE}" * 500


def with_steps(count: int) -> RunStarted:
    started = events("resumed")[0]
    assert isinstance(started, RunStarted)
    steps = tuple(PlannedStep(step=f"step{i}" * 20, oxi="map" * 20, kind="step") for i in range(count))
    return RunStarted(**{**vars(started), "plan": Plan(stages=(PlannedStage(0, 1, "bytes", steps),))})


def test_a_huge_plan_fits_into_a_value_and_the_tab_says_what_is_left_out() -> None:
    run = live(with_steps(3000)).run()
    assert 30_000 < len(json.dumps(run)) < 64_000
    assert run["oxis"][0]["step"] == "step0" * 20
    assert run["oxis"][-1]["step"] == "step2999" * 20
    assert run["alerts"] == [f"only {len(run['oxis'])} of 3,000 steps are shown here"]
    assert live(with_steps(30)).run()["alerts"] == []


def test_whatever_a_run_says_its_documents_fit_into_values() -> None:
    told = events("resumed")
    alert = next(event for line in GOOD if (event := decode(line)) is not None and event.type == "alert")
    letter = next(
        event for line in GOOD if (event := decode(line)) is not None and event.type == "record.dead_lettered"
    )
    finished = told[-1]
    assert isinstance(finished, RunFinished)
    one = live(with_steps(300))
    for second in range(5000):
        one.observe(progress(second))
    for _ in range(20):
        one.observe(type(alert)(**{**vars(alert), "message": WIDE}))
        one.observe(type(letter)(**{**vars(letter), "reason": WIDE, "split": WIDE, "step": WIDE}))
    output = finished.outputs[0]
    outputs = tuple(type(output)(**{**vars(output), "path": f"{number}{WIDE}"}) for number in range(500))
    one.observe(RunFinished(**{**vars(finished), "outputs": outputs}))
    run = one.run()
    assert 20_000 < len(json.dumps(run)) < 64_000
    assert run["state"] == "succeeded"
    assert run["dead_letters"]["records"] == finished.counters.total.dead_lettered
    assert any(text.endswith("of 500 outputs are shown here") for text in run["alerts"])


def test_long_checkpoints_are_fewer_and_the_newest_says_where_to_go_on() -> None:
    checkpoint = next(event for event in events("resumed") if isinstance(event, Checkpoint))
    positions = tuple(Position(split=number, name=WIDE, offset=number, size=None) for number in range(10))
    one = live()
    for n in range(1, 30):
        one.observe(Checkpoint(**{**vars(checkpoint), "n": n, "positions": positions}))
    documents = one.documents()
    assert len(json.dumps(documents[CHECKPOINTS])) < 64_000
    assert [document["n"] for document in documents[CHECKPOINTS]] == [29]
    assert documents[CHECKPOINT] == documents[CHECKPOINTS][-1]
    assert [one["split"] for one in documents[CHECKPOINT]["positions"]] == [0, 1, 2, 3, 4]


def test_checkpoints_that_are_long_together_keep_their_figures() -> None:
    checkpoint = next(event for event in events("resumed") if isinstance(event, Checkpoint))
    positions = tuple(Position(split=number, name="o" * 480, offset=number, size=None) for number in range(8))
    one = live()
    for n in range(1, 30):
        one.observe(Checkpoint(**{**vars(checkpoint), "n": n, "positions": positions}))
    found = one.checkpoints()
    assert len(json.dumps(found)) < 64_000
    assert [document["n"] for document in found] == list(range(10, 30))
    assert [len(document["positions"]) for document in found] == [0] * (KEPT - 1) + [8]


def test_dead_letters_that_have_no_event_are_counted_while_it_runs() -> None:
    letter = next(event for line in GOOD if isinstance(event := decode(line), RecordDeadLettered))
    told: list[Event] = [letter, replace(progress(1), dead_lettered=70_000), letter, progress(2)]
    assert live(*told).run()["dead_letters"]["records"] == 70_000
    assert live(letter).run()["dead_letters"]["records"] == 1


def test_only_the_last_checkpoints_are_kept() -> None:
    checkpoint = next(event for event in events("resumed") if event.type == "checkpoint")
    one = live()
    for n in range(1, 100):
        one.observe(type(checkpoint)(**{**vars(checkpoint), "n": n}))
    assert [document["n"] for document in one.checkpoints()] == list(range(100 - KEPT, 100))


def progress(second: int) -> Progress:
    return Progress(
        v=1,
        ts=f"2026-11-30T{10 + second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}.500Z",
        seq=second + 1,
        run_key="rides",
        run_id="1",
        attempt=1,
        worker_id="depot",
        pipeline="rides",
        records=second,
        bytes=second * 10,
        errors=0,
        rate_records_per_s=1,
        rate_bytes_per_s=10,
        total_bytes=100_000,
    )


class Kept(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.lines: list[tuple[int, str]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append((record.levelno, record.getMessage()))


@pytest.fixture
def kept() -> Kept:
    return Kept()


@pytest.fixture
def log(kept: Kept) -> logging.Logger:
    one = logging.Logger("task")
    one.addHandler(kept)
    return one


def test_one_line_of_progress_an_interval(log: logging.Logger, kept: Kept) -> None:
    at = [0.0]
    task_log = TaskLog(log, interval=10, clock=lambda: at[0])
    for second in range(35):
        at[0] = second
        task_log.tell(progress(second))
    assert [text.split(";")[0] for _, text in kept.lines] == [
        "progress: 0 %",
        "progress: 0 %",
        "progress: 0 %",
    ]


def test_a_flood_of_output_and_dead_letters_is_cut(log: logging.Logger, kept: Kept) -> None:
    task_log = TaskLog(log)
    for _ in range(5000):
        task_log.tell(Line("stdout", "data"))
    assert len(kept.lines) == MOST_LINES + 1
    good = (RECORDED.parent / "good.ndjson").read_text().splitlines()
    letter = decode(next(line for line in good if '"record.dead_lettered"' in line))
    for _ in range(100):
        task_log.tell(letter)
    assert len(kept.lines) == MOST_LINES + 1 + MOST_LETTERS + 1


def test_levels_are_kept_and_steps_folded(log: logging.Logger, kept: Kept) -> None:
    task_log = TaskLog(log)
    for event in events("bad-data"):
        task_log.tell(event)
    texts = [text for _, text in kept.lines]
    assert texts.count("::endgroup::") == len([text for text in texts if text.startswith("::group::")]) == 2
    assert kept.lines[-1][0] == logging.ERROR
    assert texts[-1].startswith("failed: ")


def test_writes_are_few_and_only_of_what_has_changed(log: logging.Logger) -> None:
    at, wrote = [0.0], list[str]()
    surface = Surface(lambda key, _: wrote.append(key), log, clock=lambda: at[0])
    one = live(*events("resumed"))
    for tenth in range(100):
        at[0] = tenth / 10
        if surface.due():
            surface.write(one)
    assert sorted(wrote) == sorted([RUN, CHECKPOINT, CHECKPOINTS])
    for second in range(1000):
        at[0] = 10 + second
        one.observe(progress(second))
        if surface.due():
            surface.write(one)
    assert 60 < wrote.count(RUN) < 200


def test_what_airflow_does_not_take_never_harms_the_run(log: logging.Logger, kept: Kept) -> None:
    def refuse(key: str, value: Any) -> None:
        raise RuntimeError("the API server is away")

    surface = Surface(refuse, log)
    for _ in range(3):
        surface.write(live())
    assert [level for level, _ in kept.lines] == [logging.WARNING]


def test_a_sample_names_the_step_that_holds_the_run_back() -> None:
    told = events("resumed")
    metrics = next(event for event in told if isinstance(event, Metrics))
    assert isinstance(metrics.steps[0], OxiMetrics)
    run = live(told[0], metrics).run()
    assert [oxi["step"] for oxi in run["oxis"] if oxi["bottleneck"]] == ["parse_json"]
    assert run["rows_written"] == 228571
    assert [oxi["records_out"] for oxi in run["oxis"]] == [400001, 400000, 228571, 228571]


def test_what_the_run_says_twice_is_in_the_log_once(log: logging.Logger, kept: Kept) -> None:
    told = events("interrupted")
    letter = next(event for event in told if event.type == "record.dead_lettered")
    warning = next(event for event in told if event.type == "log")
    narrator = TaskLog(log)
    text = f"{vars(letter)['split']}: record at byte {vars(letter)['offset']}: no number"
    narrator.tell(type(warning)(**{**vars(warning), "level": "warn", "message": text}))
    narrator.tell(letter)
    assert kept.lines == [(logging.WARNING, text)]
