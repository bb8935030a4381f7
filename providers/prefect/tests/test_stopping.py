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
from prefect_oxiflow.stopping import PATIENCE, Stopping

PLACE = Place(UUID(int=1), "brave-otter", 1, UUID(int=2), "run_pipeline", 1)


class Client:
    """A server that says this of the flow run."""

    def __init__(self, state: State[Any]) -> None:
        self.state = state

    def read_flow_run(self, _: UUID) -> Client:
        return self


class At:
    now = 0.0

    def __call__(self) -> float:
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
    one = in_a_thread(lambda: Stopping(PLACE))
    assert looked(one, Running()) == 0
    assert looked(one, state) == 1
    assert one.stopped_by == state.name
    assert looked(one, state) == 0


@pytest.mark.parametrize("state", [Running(), Completed(), Failed()])
def test_a_flow_that_waits_for_its_tasks_is_left_alone(state: State[Any]) -> None:
    assert looked(in_a_thread(lambda: Stopping(PLACE)), state) == 0


def test_in_the_main_thread_the_signal_comes_first() -> None:
    at = At()
    one = Stopping(PLACE, at)
    assert looked(one, Cancelling()) == 0
    at.now = PATIENCE / 2
    assert looked(one, Running()) == 0
    assert looked(one, Cancelling()) == 0
    at.now = PATIENCE
    assert looked(one, Cancelling()) == 0
    at.now = 2 * PATIENCE
    assert looked(one, Cancelling()) == 1


def test_a_flow_on_its_way_out_has_told_its_task_runner(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stopping, "given_up", lambda _: True)
    assert looked(in_a_thread(lambda: Stopping(PLACE)), Running()) == 1
    assert looked(in_a_thread(lambda: Stopping(PLACE)), Completed()) == 0
