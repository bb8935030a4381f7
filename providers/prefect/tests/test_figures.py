"""Artifacts and events, from recorded and made-up runs."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

import pytest
from oxiflow.events import Alert, Bottleneck, Checkpoint, Output, RecordDeadLettered, RunFinished
from prefect_oxiflow.figures import checkpoint_rows, links, oxi_rows, percent, progress_text, summary_text
from prefect_oxiflow.news import ALERT, ALERTS, CHECKPOINT, DEAD_LETTER, FINISHED, INTERVAL, LONGEST, MOST_ALERTS, News
from prefect_oxiflow.texts import escaped

from .recorded import events, first, live, result_of
from .test_texts import HOSTILE


def test_the_progress_is_full_when_it_has_succeeded_and_never_before() -> None:
    told = events("resumed")
    assert percent(live(told).run(), []) == 100
    before = live(told[:-1])
    assert 0 < percent(before.run(), before.checkpoints()) <= 99
    assert percent(live(events("bad-data")).run(), []) <= 99


def test_without_the_size_of_the_input_the_progress_is_that_of_the_splits() -> None:
    checkpoint = first(events("resumed"), Checkpoint)
    assert isinstance(checkpoint, Checkpoint)
    one = live([replace(checkpoint, splits_done=3, splits_total=8)])
    assert percent(one.run(), one.checkpoints()) == 37.5


def test_the_tables_say_what_the_run_says() -> None:
    told = events("resumed")
    one, finished = live(told), told[-1]
    assert isinstance(finished, RunFinished)
    rows = oxi_rows(one.run())
    assert [(row["step"], row["records out"]) for row in rows] == [
        (step.step, step.counters.out) for step in finished.counters.steps
    ]
    assert checkpoint_rows(one.checkpoints())[0]["checkpoint"] == finished.checkpoint
    assert json.loads(json.dumps(rows)) == rows


def test_the_summary_has_figures_bottleneck_dead_letters_and_outputs() -> None:
    told = events("resumed")
    finished = told[-1]
    assert isinstance(finished, RunFinished)
    text = summary_text(live(told).run(), live(told).checkpoints())
    assert "## rides: succeeded" in text
    assert f"| records read | {finished.counters.total.added:,} |" in text
    assert f"| rows written | {finished.counters.total.out:,} |" in text
    assert "| went on from checkpoint | 2 |" in text
    assert "**Dead letters**: 1" in text
    slow = replace(finished, bottleneck=Bottleneck("parse_json", "it is busy 97 % of the time"))
    text = summary_text(live([*told[:-1], slow]).run(), [])
    assert r"**Bottleneck**: parse\_json, it is busy 97 \% of the time" in text


def test_texts_of_others_are_escaped_wherever_they_stand() -> None:
    told = events("resumed")
    finished, letter = told[-1], first(events("interrupted"), RecordDeadLettered)
    assert isinstance(finished, RunFinished)
    assert isinstance(letter, RecordDeadLettered)
    output = Output(step=HOSTILE, rows=1, bytes=1, path=f"/srv/{HOSTILE}")
    one = live(
        [
            *told[:-1],
            replace(letter, step=HOSTILE, reason=HOSTILE),
            replace(finished, outputs=(output,), pipeline=HOSTILE),
        ]
    )
    one.run()
    texts = [summary_text(one.run(), one.checkpoints()), *links(one.run())]
    texts.append(progress_text(one.run(), one.checkpoints(), HOSTILE))
    for text in texts:
        assert escaped(HOSTILE) in text or "%3Cimg" in text
        assert re.findall(r"(?<!\\)<img|(?<!\\)\[a|(?<!\\)\]\(j|(?<!\\)\*\*b", text) == []


class At:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def pieces(news: News) -> list[tuple[str, dict[str, Any]]]:
    return [(piece.name, piece.payload) for piece in news.take()]


def test_checkpoints_are_told_at_once_and_less_often_the_longer_it_goes_on() -> None:
    at = At()
    news = News("rides", "rides", at)
    checkpoint = first(events("resumed"), Checkpoint)
    assert isinstance(checkpoint, Checkpoint)
    told: list[float] = []
    for n in range(1, 3600):
        news.observe(replace(checkpoint, n=n))
        told += [at.now for name, _ in pieces(news) if name == CHECKPOINT]
        at.now += 1
    pauses = [later - earlier for earlier, later in zip(told, told[1:])]
    assert told[0] == 0
    assert pauses == sorted(pauses)
    assert (pauses[0], pauses[-1]) == (INTERVAL, LONGEST)
    assert sum(one < 60 for one in told) < 20


def test_the_numbers_of_the_dead_letter_events_are_those_of_the_attempt() -> None:
    at = At()
    news = News("rides", "rides", at)
    told = events("interrupted")
    letter, finished = first(told, RecordDeadLettered), told[-1]
    assert isinstance(letter, RecordDeadLettered)
    assert isinstance(finished, RunFinished)
    news.observe(told[0])
    found = []
    for number in range(1000):
        news.observe(replace(letter, step=f"step{number % 2}"))
        found += pieces(news)
        at.now += INTERVAL / 100
    attempt = replace(finished.counters.attempt, dead_lettered=1003)
    finished = replace(finished, counters=replace(finished.counters, attempt=attempt))
    last = news.last(replace(result_of(told), finished=finished), "stopped")
    letters = [payload for name, payload in found if name == DEAD_LETTER]
    letters += [piece.payload for piece in last if piece.name == DEAD_LETTER]
    assert len(letters) <= 12
    assert sum(payload["records"] for payload in letters) == letters[-1]["records_in_attempt"] == 1003
    assert all(len(payload["reasons"]) <= 5 for payload in letters)


@pytest.mark.parametrize("name", ["resumed", "interrupted", "bad-data", "repeated"])
def test_the_last_event_is_the_summary(name: str) -> None:
    told = events(name)
    news = News("rides", "rides")
    for event in told:
        news.observe(event)
    news.take()
    result = result_of(told)
    *others, last = news.last(result, "why")
    assert [piece.name for piece in others if piece.name == CHECKPOINT] == []
    summary = result.summary()
    assert last.name == FINISHED
    assert last.labels["oxiflow.status"] == summary["status"]
    assert {key: last.payload[key] for key in ("rows", "records_read", "checkpoint", "run_id")} == {
        key: summary[key] for key in ("rows", "records_read", "checkpoint", "run_id")
    }
    assert len(json.dumps(last.payload)) < 100_000


def test_a_report_that_is_repeated_tells_no_dead_letters_again() -> None:
    (finished,) = events("repeated")
    assert isinstance(finished, RunFinished)
    attempt = replace(finished.counters.attempt, dead_lettered=7)
    finished = replace(finished, counters=replace(finished.counters, attempt=attempt))
    told = News("rides", "rides").last(result_of([finished]), None)
    assert [piece.name for piece in told] == [FINISHED]


def alert(name: str, message: str = HOSTILE) -> Alert:
    about = vars(events("resumed")[0])
    envelope = {
        field: about[field] for field in ("v", "ts", "seq", "run_key", "run_id", "attempt", "worker_id", "pipeline")
    }
    return Alert(**envelope, name=name, severity="critical", message=message)


def test_an_alert_is_told_at_once_with_labels_and_not_again_and_again() -> None:
    at = At()
    news = News("rides", "rides", at)
    told = []
    for _ in range(int(2 * ALERTS)):
        news.observe(alert("cpu_threshold"))
        told += news.take()
        at.now += 1
    assert [(piece.name, piece.payload["times"]) for piece in told] == [(ALERT, 1), (ALERT, ALERTS)]
    assert told[0].labels["oxiflow.severity"] == "critical"
    assert told[0].labels["oxiflow.pipeline"] == "rides"
    (rest, _) = news.last(result_of(events("resumed")), None)[-2:]
    assert rest.payload["times"] == ALERTS - 1


def test_a_storm_of_alerts_hides_no_other_and_has_an_end() -> None:
    news = News("rides", "rides", At())
    for _ in range(1000):
        news.observe(alert("error_rate_threshold"))
    news.observe(alert("memory_threshold"))
    assert [piece.labels["oxiflow.alert"] for piece in news.take()] == ["error_rate_threshold", "memory_threshold"]
    for number in range(2 * MOST_ALERTS):
        news.observe(alert(f"threshold_{number}"))
    assert len(news.take()) == MOST_ALERTS - 2
