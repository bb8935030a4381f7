"""
Who a run is, from what Airflow knows. The run key is the same in every try, so that a try resumes; the invocation changes
when somebody clears the task, or makes the DAG run anew under the same id, so that a success runs anew then and one whose
report got lost does not.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .compat import AirflowFailException, clear_number, made
from .parameters import said


@dataclass(frozen=True)
class Identity:
    run_key: str
    invocation: str
    worker_id: str
    #: The task of this DAG run, whose runs nobody else may take.
    owner: str
    #: The first try since the task was created or cleared.
    first_try: bool


@dataclass(frozen=True)
class Part:
    """A task that works on a part of a run, and what makes that run another one than its neighbour's."""

    #: Parameters, fields and names of connections; never their values, nor the environment.
    given: Mapping[str, Any]
    #: In a mapped group whose tasks have the same part: each place in the group has a run.
    of_group: bool = False

    def tail(self) -> str:
        given = {name: value for name, value in self.given.items() if value}
        if not given:
            return ""
        text = json.dumps(given, sort_keys=True, default=str)
        return "/" + hashlib.sha256(text.encode()).hexdigest()[:12]


def identify(
    context: Any, *, pipeline: str, run_key: str | None, worker_id: str | None, part: Part | None, retries: int
) -> Identity:
    ti = context["ti"]
    mapped = f"[{ti.map_index}]" if ti.map_index >= 0 else ""
    # Parts of one run share it; so do their requests, and tasks of one map may have different numbers of tries.
    own = mapped if part is None or part.of_group else ""
    cleared = clears(ti, retries) if part is None else clear_number(context)
    tail = "" if part is None else part.tail()
    return Identity(
        run_key=run_key or f"airflow/{ti.dag_id}/{ti.run_id}/{ti.task_id}{own}/{pipeline}{tail}",
        invocation=f"airflow/{ti.dag_id}/{ti.run_id}/{ti.task_id}{own}/{made(context)}/{cleared}",
        worker_id=f"{worker_id or ti.run_id}/{ti.task_id}{mapped}/{ti.try_number}",
        owner=f"airflow/{ti.dag_id}/{ti.run_id}/{ti.task_id}{mapped}",
        first_try=ti.try_number <= clears(ti, retries) + 1,
    )


def clears(ti: Any, retries: int) -> int:
    """
    The tries before the task was last cleared: clearing sets max_tries to the tries so far and the retries, and trying again
    leaves it.
    """
    return max(0, int(ti.max_tries or 0) - retries)


def clearing_notice(context: Any, retries: int, outputs: list[Any]) -> str | None:
    """What whoever has cleared parts of a run has to know when one of them ends well."""
    if clear_number(context) > 0:
        if outputs:
            return None
        return (
            "this part is done, and nothing is published yet: what is cleared after a run has finished is a new run, which "
            "publishes when all of its parts are done. If only some tasks of the map were cleared, clear all of them"
        )
    if clears(context["ti"], retries) > 0:
        return (
            "this Airflow does not say of a DAG run that goes on that its tasks were cleared: if all parts were done before, "
            "nothing was done now. To run them anew, clear all tasks of the map when the DAG run has ended"
        )
    return None


def part_of(task: Any) -> Part | None:
    """Throws AirflowFailException where parts of several runs would work on one."""
    if task.shard is None:
        return None
    crossed = mapped_arguments(task)
    if task.run_key is None and "env" in crossed:
        raise AirflowFailException(
            "the parts of a run have the same env, and here it is mapped beside shard: map params, or give a run_key to each"
        )
    others = sorted(crossed & {"params", "set", "conn_env", "pipeline_name", "env"})
    if task.run_key is not None and others and "run_key" not in crossed and "{" not in said_key(task):
        raise AirflowFailException(
            f"run_key {task.run_key!r} is one run, and here {', '.join(others)} is mapped beside shard, which makes several: "
            "leave run_key out, or map it, too"
        )
    given = {
        "params": said("params", task.pipeline_params),
        "set": said("set", task.set),
        "conn_env": task.conn_env,
    }
    return Part(given, task.shard_is_said and task.get_closest_mapped_task_group() is not None)


def mapped_arguments(task: Any) -> set[str]:
    """The names that differ along the map that the task was made of, as far as its DAG tells them."""
    value = getattr(getattr(as_mapped(task), "expand_input", None), "value", None)
    if isinstance(value, Mapping):
        return set(value)
    if isinstance(value, (list, tuple)):
        rows = [row for row in value if isinstance(row, Mapping)]
        names = {name for row in rows for name in row}
        return {name for name in names if any(row.get(name) != rows[0].get(name) for row in rows)}
    return set()


def said_key(task: Any) -> str:
    """The run key before its template was filled in."""
    return str(getattr(as_mapped(task), "partial_kwargs", {}).get("run_key", ""))


def as_mapped(task: Any) -> Any:
    return task.dag.task_dict.get(task.task_id)
