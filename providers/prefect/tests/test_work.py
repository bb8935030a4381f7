"""A task at work beside others in a loop."""

from __future__ import annotations

import asyncio
import logging
import threading
from typing import Any

import pytest
from prefect_oxiflow import work
from prefect_oxiflow.work import Work

from .recorded import events, result_of
from .test_surface import PLACE, Client, shown_to

#: More than anything here needs, in seconds.
LONG = 20


class EndlessRun:
    """It goes on until somebody asks it to end."""

    def __init__(self, polled: asyncio.Event) -> None:
        self.running = True
        self.polled = polled

    def poll(self) -> list[Any]:
        self.polled.set()
        return []

    def terminate(self) -> None:
        self.running = False

    def stop(self, _: float) -> Any:
        return result_of(events("interrupted"))

    def close(self) -> None: ...


def test_others_in_the_loop_go_on_while_prefect_is_told_of_a_stop_and_a_second_cancel_waits_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(work, "here", lambda: PLACE)
    monkeypatch.setattr(work, "get_run_logger", lambda: logging.getLogger("rides"))
    nothing: dict[str, Any] = dict.fromkeys(("run_key", "worker_id", "state_backend", "params", "shard", "env"))
    told: list[str] = []

    async def story() -> None:
        polled, ending, go_on = asyncio.Event(), asyncio.Event(), threading.Event()
        loop = asyncio.get_running_loop()
        one = Work("rides", ".", **nothing)
        shown = shown_to(Client(), monkeypatch)

        def end(_: Any, error: str | None, __: str) -> None:
            loop.call_soon_threadsafe(ending.set)
            assert go_on.wait(LONG), "the loop stands still"
            told.append(error or "")

        monkeypatch.setattr(shown, "end", end)
        monkeypatch.setattr(shown, "start", lambda _: None)
        monkeypatch.setattr(one, "_surface", shown)
        monkeypatch.setattr(work, "start", lambda *_, **__: EndlessRun(polled))
        task = asyncio.create_task(one.aexecute())
        await asyncio.wait_for(polled.wait(), LONG)
        task.cancel()
        await asyncio.wait_for(ending.wait(), LONG)
        task.cancel()
        assert await asyncio.wait([task], timeout=0) == (set(), {task})
        go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(task, LONG)
        assert told == ["the task was ended"]

    asyncio.run(story())
