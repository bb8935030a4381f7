"""What is shown while a run goes on, to a server that does not take all of it."""

from __future__ import annotations

import logging
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from livetests.waiting import until
from oxiflow.live import Live
from prefect.client.schemas.actions import ArtifactCreate, ArtifactUpdate
from prefect.states import Running
from prefect_oxiflow import surface
from prefect_oxiflow.identity import Place
from prefect_oxiflow.news import News
from prefect_oxiflow.surface import Surface

from .recorded import NOW, events, result_of

PLACE = Place(UUID(int=1), None, "brave-otter", 1, UUID(int=2), "run_pipeline", 1)


class Client:
    """A server with artifacts; it refuses those of one key."""

    def __init__(self, refused: str = "") -> None:
        self.refused = refused
        self.made: list[str] = []
        self.keys: dict[UUID, str] = {}
        #: What is told of artifacts of the flow run, whatever is asked.
        self.known: list[dict[str, Any]] = []
        #: Keys of those that were brought up to date, without and with an event.
        self.quietly: list[str] = []
        self.loudly: list[str] = []

    def create_artifact(self, artifact: ArtifactCreate) -> Any:
        assert artifact.key is not None
        if artifact.key == self.refused:
            raise RuntimeError("not this one")
        id = uuid4()
        self.keys[id] = artifact.key
        # The last one: the test waits for it.
        self.made.append(artifact.key)
        return type("Made", (), {"id": id})

    def update_artifact(self, id: UUID, _: ArtifactUpdate) -> None:
        self.loudly.append(self._key(id))

    def request(self, method: str, path: str, path_params: Any = None, json: Any = None) -> Any:
        if method == "PATCH":
            self.quietly.append(self._key(path_params["id"]))
        if method == "POST":
            return httpx.Response(200, json=self.known)
        return httpx.Response(200, json={"state": Running().model_dump(mode="json")})

    def _key(self, id: UUID) -> str:
        if id not in self.keys:
            request = httpx.Request("PATCH", f"http://127.0.0.1/artifacts/{id}")
            raise httpx.HTTPStatusError("gone", request=request, response=httpx.Response(404, request=request))
        return self.keys[id]


def shown_to(client: Client, monkeypatch: pytest.MonkeyPatch, part: tuple[int, int] | None = None) -> Surface:
    monkeypatch.setattr(surface, "get_client", lambda **_: client)
    monkeypatch.setattr(surface, "emit_event", lambda **_: None)
    monkeypatch.setattr(surface, "PROGRESS", 0.0)
    monkeypatch.setattr(surface, "TICK", 0.01)
    live = Live("rides", "rides", "monday", "depot", NOW)
    return Surface(live, News("rides", "rides"), PLACE, logging.getLogger("rides"), pipeline="rides", part=part)


def test_an_artifact_that_somebody_has_deleted_is_made_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    client = Client()
    one = shown_to(client, monkeypatch)
    one.start(lambda: None)
    until("the first progress", lambda: client.made, within=60)
    client.keys.clear()
    told = events("resumed")
    for event in told:
        one.observe(event)
    one.end(result_of(told), None, NOW)
    assert client.made.count("oxiflow-rides-progress") == 2
    assert "oxiflow-rides-summary" in client.made


def test_where_one_is_not_taken_the_others_are(monkeypatch: pytest.MonkeyPatch) -> None:
    client = Client(refused="oxiflow-rides-progress")
    one = shown_to(client, monkeypatch)
    one.start(lambda: None)
    told = events("resumed")
    for event in told:
        one.observe(event)
    one.end(result_of(told), None, NOW)
    assert {"oxiflow-rides-oxis", "oxiflow-rides-checkpoints", "oxiflow-rides-summary"} <= {*client.made}


def test_updates_make_no_events_while_the_run_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    client = Client()
    one = shown_to(client, monkeypatch)
    one.start(lambda: None)
    until("the first progress", lambda: client.made, within=60)
    told = events("resumed")
    for event in told[:-1]:
        one.observe(event)
    until("an update", lambda: client.quietly, within=60)
    assert client.loudly == []
    one.observe(told[-1])
    one.end(result_of(told), None, NOW)
    assert "oxiflow-rides-progress" in client.loudly


@pytest.mark.parametrize(
    ("told", "known", "warned"),
    [
        ("repeated", {"task_run_id": UUID(int=3)}, True),
        # The same task run, tried again.
        ("repeated", {"task_run_id": PLACE.task_run_id}, False),
        # The flow run, tried again; and another run.
        ("repeated", {"task_run_id": UUID(int=3), "invocation": "sunday"}, False),
        ("repeated", {"task_run_id": UUID(int=3), "run_key": "walks"}, False),
        # Not a report of earlier.
        ("resumed", {"task_run_id": UUID(int=3)}, False),
        # A part that came late.
        ("repeated", None, False),
    ],
)
def test_a_second_call_that_finds_the_run_of_the_first_one_finished_is_warned(
    told: str, known: Any, warned: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    client = Client()
    if known is not None:
        request = {
            "oxiflow.run-key": known.get("run_key", "rides"),
            "oxiflow.invocation": known.get("invocation", "monday"),
        }
        client.known = [{"task_run_id": str(known["task_run_id"]), "metadata_": request}]
    one = shown_to(client, monkeypatch, (2, 8))
    one.start(lambda: None)
    one.end(result_of(events(told)), None, NOW)
    assert ["nothing was done" in text for text in caplog.messages] == [True] * warned
