"""When a run is stopped because Prefect wants its flow run to end, and when it is left alone."""

from __future__ import annotations

import threading
from typing import Any
from uuid import UUID

import pytest
from prefect.client.schemas.objects import State
from prefect.states import Cancelled, Cancelling, Completed, Crashed, Failed, Running
from prefect_oxiflow import stopping
from prefect_oxiflow.identity import Place
from prefect_oxiflow.stopping import OFTEN, PATIENCE, SELDOM, Stopping

PLACE = Place(UUID(int=1), None, "brave-otter", 1, UUID(int=2), "run_pipeline", 1)


class Client:
    """A server that says this of the flow run."""

    def __init__(self, state: State[Any]) -> None:
        self.state = state
        self.asked = 0

    def request(self, method: str, path: str, **_: Any) -> Client:
        assert (method, path) == ("GET", "/flow_runs/{id}")
        self.asked += 1
        return self

    def json(self) -> Any:
        return {"state": self.state.model_dump(mode="json")}


class At:
    """Always so much later that the server is asked again."""

    def __init__(self, step: float = SELDOM) -> None:
        self.now = 0.0
        self.step = step

    def __call__(self) -> float:
        self.now += self.step
        return self.now


def in_a_thread(make: Any) -> Any:
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(make()))
    thread.start()
    thread.join()
    return found[0]


def looked(one: Stopping, state: State[Any]) -> int:
    """How often it stops the run."""
    client: Any = Client(state)
    stops: list[int] = []
    one.look(client, lambda: stops.append(1))
    return len(stops)


@pytest.mark.parametrize("state", [Cancelling(), Cancelled(), Crashed(), Failed(name="TimedOut")])
def test_a_task_in_a_thread_is_stopped_once_and_at_once(state: State[Any]) -> None:
    one = in_a_thread(lambda: Stopping(PLACE, At()))
    assert looked(one, Running()) == 0
    assert looked(one, state) == 1
    assert one.stopped_by == state.name
    assert looked(one, state) == 0


@pytest.mark.parametrize("state", [Running(), Completed(), Failed()])
def test_a_flow_that_waits_for_its_tasks_is_left_alone(state: State[Any]) -> None:
    assert looked(in_a_thread(lambda: Stopping(PLACE)), state) == 0


def test_in_the_main_thread_the_signal_comes_first() -> None:
    at = At(0.0)
    one = Stopping(PLACE, at)
    looks = []
    states: dict[float, State[Any]] = {
        0: Cancelling(),
        10: Running(),
        30: Cancelling(),
        39: Cancelling(),
        40: Cancelling(),
    }
    for at.now, state in states.items():
        looks.append(looked(one, state))
    assert looks == [0, 0, 0, 0, 1]
    assert 39 - 30 < PATIENCE <= 40 - 30
    assert SELDOM <= 30 - 10


def test_the_server_is_not_asked_all_the_time() -> None:
    at = At(0.0)
    one = in_a_thread(lambda: Stopping(PLACE, at))
    client: Any = Client(Running())
    for _ in range(61):
        one.look(client, lambda: None)
        at.now += 1
    assert client.asked == 1 + 60 // OFTEN


def test_a_flow_on_its_way_out_has_told_its_task_runner(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stopping, "given_up", lambda _: True)
    assert looked(in_a_thread(lambda: Stopping(PLACE)), Running()) == 1
    assert looked(in_a_thread(lambda: Stopping(PLACE)), Completed()) == 0
