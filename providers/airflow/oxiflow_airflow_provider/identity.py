"""
Who a run is, from what Airflow knows. The run key is the same in every try, so that a try resumes; the invocation changes
when somebody clears the task, so that a success that is cleared runs anew and one whose report got lost does not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .compat import clear_number


@dataclass(frozen=True)
class Identity:
    run_key: str
    invocation: str
    worker_id: str
    #: The first try since the task was created or cleared.
    first_try: bool


def identify(
    context: Any, *, pipeline: str, run_key: str | None, worker_id: str | None, sharded: bool, retries: int
) -> Identity:
    ti = context["ti"]
    mapped = f"[{ti.map_index}]" if ti.map_index >= 0 else ""
    # Shards are parts of one run; so are their requests, and tasks of one map may have different numbers of tries.
    own = "" if sharded else mapped
    cleared = clear_number(context) if sharded else clears(ti, retries)
    return Identity(
        run_key=run_key or f"airflow/{ti.dag_id}/{ti.run_id}/{ti.task_id}{own}/{pipeline}",
        invocation=f"airflow/{ti.dag_id}/{ti.run_id}/{cleared}",
        worker_id=f"{worker_id or ti.run_id}/{ti.task_id}{mapped}/{ti.try_number}",
        first_try=ti.try_number <= clears(ti, retries) + 1,
    )


def clears(ti: Any, retries: int) -> int:
    """
    The tries before the task was last cleared: clearing sets max_tries to the tries so far and the retries, and trying again
    leaves it.
    """
    return max(0, int(ti.max_tries or 0) - retries)
