"""Secrets in what a run says, wherever it says them."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from dataclasses import asdict, replace
from typing import Any
from uuid import UUID

import pytest
from oxiflow.events import Alert, Backend, Failure, Log, Output, RecordDeadLettered, RunFinished, RunStarted
from oxiflow.process import LAST_WORDS
from prefect.client.schemas.actions import ArtifactCreate, ArtifactUpdate
from prefect.types import SecretDict
from prefect_oxiflow import OxiFlowProject, OxiFlowStateBackend, surface, work
from prefect_oxiflow.identity import Place
from prefect_oxiflow.secrets import SHORTEST, Secrets
from prefect_oxiflow.work import Work
from pydantic import SecretStr

from oxiflow import Line, Result, RunFailed

from .recorded import events, first, result_of
from .test_surface import Client

ODD = 'Sailor\'s "7 knots"/ä'
OTHERS = ["hunter2-of-the-block", "p@ss/word", "quay\nsecond line of it"]
URL = "redis://:p%40ss%2Fword@cache:6379/0"
ALL = [ODD, *OTHERS]
PLACE = Place(UUID(int=1), None, "brave-otter", 1, UUID(int=2), "run_pipeline", 1)


class FakeRun:
    """A run that says what it is told to say."""

    def __init__(self, items: list[Any], result: Result) -> None:
        self.items = items
        self.outcome = result

    def follow(self, _: float) -> Iterator[Any]:
        yield from self.items

    def result(self) -> Result:
        return self.outcome

    def stop(self, _: float) -> Result:
        return self.outcome

    def terminate(self) -> None: ...

    def close(self) -> None: ...


def indiscreet(succeeds: bool) -> FakeRun:
    """All of the secrets, in every text that a run has."""
    said = " and ".join([*ALL, URL, json.dumps(ALL), "second line of it"])
    told = events("resumed")
    started, finished, letter = told[0], told[-1], first(events("interrupted"), RecordDeadLettered)
    assert isinstance(started, RunStarted)
    assert isinstance(finished, RunFinished)
    assert isinstance(letter, RecordDeadLettered)
    envelope = {
        name: getattr(started, name) for name in ("v", "ts", "run_key", "run_id", "attempt", "worker_id", "pipeline")
    }
    output = Output(step="write_file", rows=1, bytes=1, path=f"/srv/{said}.ndjson")
    finished = replace(finished, outputs=(output,))
    if not succeeds:
        error = Failure(code="BAD", message=said)
        finished = replace(finished, status="failed", exit_code=1, error=error)
    spoken: list[Any] = [
        replace(started, backend=Backend("redis", said), notices=(said,)),
        Log(**envelope, seq=2, level="warn", message=said),
        Alert(**envelope, seq=3, name="cpu", severity="critical", message=f"alert of {said}"),
        replace(letter, split=said, reason=said),
        Line("stdout", said),
        Line("stderr", said),
        *told[1:-1],
        finished,
    ]
    return FakeRun(spoken, replace(result_of([spoken[0], finished]), last_words=said))


class Seen:
    """All that anybody is told."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
        self.told: list[Any] = []
        self.caplog = caplog
        client = Client()
        make, update = client.create_artifact, client.update_artifact

        def create_artifact(artifact: ArtifactCreate) -> Any:
            self.told.append(artifact.model_dump())
            return make(artifact)

        def update_artifact(id: UUID, artifact: ArtifactUpdate) -> None:
            self.told.append(artifact.model_dump())
            update(id, artifact)

        monkeypatch.setattr(client, "create_artifact", create_artifact)
        monkeypatch.setattr(client, "update_artifact", update_artifact)
        monkeypatch.setattr(surface, "get_client", lambda **_: client)
        monkeypatch.setattr(surface, "emit_event", lambda **event: self.told.append(event))
        monkeypatch.setattr("prefect_oxiflow.assets.AssetContext.get", lambda: None)
        monkeypatch.setattr(work, "here", lambda: PLACE)
        monkeypatch.setattr(work, "get_run_logger", lambda: logging.getLogger("harbour"))
        caplog.set_level(logging.DEBUG)

    def everything(self) -> str:
        lines = [record.getMessage() for record in self.caplog.records]
        return json.dumps([self.told, lines], default=str, ensure_ascii=False)


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Seen:
    return Seen(monkeypatch, caplog)


def work_with(run: FakeRun, monkeypatch: pytest.MonkeyPatch) -> Work:
    monkeypatch.setattr(work, "start", lambda *_, **__: run)
    project = OxiFlowProject(
        env=SecretDict({"API": OTHERS[0], "KEY": OTHERS[2]}),
        state_backend=OxiFlowStateBackend(url=SecretStr(URL)),
    )
    nothing: dict[str, Any] = dict.fromkeys(("run_key", "worker_id", "state_backend", "params", "shard"))
    return Work("rides", project, **nothing, env={"TOKEN": SecretStr(ODD), "DAY": "monday"})


def holds_a_secret(text: str) -> list[str]:
    """Without what escapes mean, to find them behind these as well."""
    bare = text.replace("\\", "")
    wanted = [*(one for secret in ALL for one in secret.splitlines()), "p%40ss"]
    return [one for one in wanted if len(one) >= SHORTEST and one.replace("\\", "") in bare]


def test_a_success_tells_no_secret_in_logs_events_artifacts_or_summary(
    seen: Seen, monkeypatch: pytest.MonkeyPatch
) -> None:
    summary = work_with(indiscreet(succeeds=True), monkeypatch).execute()
    told = seen.everything()
    for word in ("oxiflow-rides-summary", "oxiflow.run.finished", "oxiflow.dead_letter", "oxiflow.alert", "***"):
        assert word in told
    assert holds_a_secret(told) == []
    assert holds_a_secret(json.dumps(summary, ensure_ascii=False)) == []
    assert "/srv/***" in json.dumps(summary)


def test_a_failure_tells_no_secret_either(seen: Seen, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RunFailed) as failed:
        work_with(indiscreet(succeeds=False), monkeypatch).execute()
    assert "***" in str(failed.value)
    for text in (seen.everything(), str(failed.value), json.dumps(asdict(failed.value.result), ensure_ascii=False)):
        assert holds_a_secret(text) == []


def test_a_run_that_was_interrupted_tells_no_secret_either(seen: Seen, monkeypatch: pytest.MonkeyPatch) -> None:
    run = indiscreet(succeeds=False)

    def follow(_: float) -> Iterator[Any]:
        yield from run.items
        raise KeyboardInterrupt

    monkeypatch.setattr(run, "follow", follow)
    with pytest.raises(KeyboardInterrupt):
        work_with(run, monkeypatch).execute()
    assert "oxiflow-rides-summary" in seen.everything()
    assert holds_a_secret(seen.everything()) == []


def test_of_two_secrets_that_begin_alike_the_longer_one_goes_whole() -> None:
    assert Secrets(["harbour", "harbour-master"]).out_of("the harbour-master of the harbour") == "the *** of the ***"


def test_short_secrets_and_names_are_left_as_they_are() -> None:
    event = replace(first(events("resumed"), RunStarted), run_key="rides-of-monday")
    secrets = Secrets(["1234", "rides-of-monday"])
    assert secrets.out_of(event) is event
    assert secrets.out_of("1234 rides-of-monday") == "1234 ***"
    assert Secrets([]).out_of(event) is event


def test_last_words_that_begin_within_a_secret_lose_the_rest_of_it() -> None:
    hidden = "hunter-of-the-sea"
    words = ("x" * LAST_WORDS + hidden + "." * (LAST_WORDS - 5))[-LAST_WORDS:]
    assert words.startswith("e-sea")
    cleaned = Secrets([hidden]).out_of_result(Result(exit_code=1, last_words=words)).last_words
    assert set(cleaned) == {"."}
