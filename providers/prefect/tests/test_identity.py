"""Who a run is: what a retry resumes, and what is a new run."""

from __future__ import annotations

import asyncio
import inspect
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from oxiflow.errors import BadData, Died, RunnerMissing, WrongRequest
from prefect import unmapped
from prefect.exceptions import MissingContextError
from prefect_oxiflow import OxiFlowProject, OxiFlowStateBackend, arun_pipeline, run_pipeline
from prefect_oxiflow.identity import Identity, Place, here, identity_of, tail_of
from prefect_oxiflow.tasks import PipelineTask, another_try_helps, in_async_code, name_of_run, whole
from pydantic import SecretStr

from oxiflow import Result

FLOW_RUN, TASK_RUN, OTHER = UUID(int=1), UUID(int=2), UUID(int=3)
PLACE = Place(FLOW_RUN, None, "brave-otter", 1, TASK_RUN, "run_pipeline", 1)


def identity(place: Place = PLACE, shared: bool = False, **given: Any) -> Identity:
    return identity_of(place, pipeline="orders", run_key=None, worker_id=None, given=given, shared=shared)


def test_a_try_of_the_task_is_the_same_run_and_request_by_another_worker() -> None:
    again = identity(replace(PLACE, tries=2))
    assert (again.run_key, again.invocation) == (identity().run_key, identity().invocation)
    assert again.worker_id != identity().worker_id


def test_a_retry_of_the_flow_run_is_the_same_run_and_another_request() -> None:
    again = identity(replace(PLACE, run_count=2, task_run_id=OTHER))
    assert again.run_key == identity().run_key
    assert again.invocation != identity().invocation


def test_a_flow_within_one_that_is_run_again_is_the_same_run_and_another_request() -> None:
    within = identity(replace(PLACE, called_as=UUID(int=4)))
    again = identity(replace(PLACE, called_as=UUID(int=4), flow_run_id=OTHER))
    assert again.run_key == within.run_key
    assert again.invocation != within.invocation


def test_another_flow_run_or_other_parameters_are_another_run() -> None:
    keys = {
        identity().run_key,
        identity(replace(PLACE, flow_run_id=OTHER)).run_key,
        identity(params={"day": "monday"}).run_key,
        identity(params={"day": "tuesday"}).run_key,
        identity(env={"DAY": "monday"}).run_key,
    }
    assert len(keys) == 5


def test_the_parts_of_a_run_share_it_and_its_request() -> None:
    parts = [identity(replace(PLACE, task_run_id=UUID(int=9 + part)), shared=True) for part in range(3)]
    assert len({(part.run_key, part.invocation) for part in parts}) == 1
    assert len({part.worker_id for part in parts}) == 3


def test_a_run_key_says_nothing_of_what_was_given() -> None:
    assert "hunter2" not in tail_of({"params": {"password": "hunter2"}})
    assert tail_of({"env": {"A": SecretStr("a")}}) == tail_of({"env": {"A": SecretStr("b")}})


def test_outside_of_prefect_it_says_what_to_do() -> None:
    with pytest.raises(MissingContextError, match="is a task"):
        here()
    with pytest.raises(MissingContextError, match="is a task"):
        run_pipeline.fn("orders")


class Failure:
    def __init__(self, data: Any) -> None:
        self.data = data


@pytest.mark.parametrize(
    ("error", "helps"),
    [
        (Died("killed", Result(exit_code=-9)), True),
        (BadData("bad", Result(exit_code=3)), False),
        (RunnerMissing("none"), False),
        (TimeoutError("late"), True),
        (WrongRequest("shard '8' is not I/N"), False),
        # Of somebody else.
        (ValueError("not now"), True),
        (TypeError("not now"), True),
    ],
)
def test_only_what_may_end_otherwise_is_tried_again(error: Exception, helps: bool) -> None:
    state: Any = Failure(error)
    assert another_try_helps(run_pipeline, None, state) is helps  # type: ignore[arg-type]


def test_a_task_run_is_called_like_its_pipeline() -> None:
    assert name_of_run({"pipeline_name": "orders", "shard": None}) == "orders"
    assert name_of_run({"pipeline_name": "orders", "shard": "2/8"}) == "orders 2/8"
    assert name_of_run({"pipeline_name": "orders", "shard": (2, 8)}) == "orders 2/8"


def test_the_twin_for_async_flows_takes_the_same() -> None:
    assert inspect.signature(arun_pipeline.fn).parameters == inspect.signature(run_pipeline.fn).parameters


def test_async_code_awaits_the_task_and_other_code_calls_it() -> None:
    async def looks() -> bool:
        return in_async_code()

    assert asyncio.run(looks())
    assert not in_async_code()
    assert isinstance(run_pipeline.with_options(retries=2), PipelineTask)
    assert (run_pipeline.retries, run_pipeline.with_options(retries=2).retries) == (0, 2)


def test_blocks_and_what_has_names_are_the_same_for_all_parts_of_a_map() -> None:
    for one in (OxiFlowProject(), OxiFlowStateBackend(), {"day": "monday"}):
        assert isinstance(whole(one), unmapped)
    for value in ("0/8", ["0/8"], [{"day": "monday"}], unmapped({"day": "monday"}), None):
        assert whole(value) is value
