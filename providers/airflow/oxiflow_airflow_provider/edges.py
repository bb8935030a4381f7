"""
`depends_on` as edges of the DAG. Upstream tasks may be defined later than those that name them: what can mean nothing else is
wired at once, the rest when the file is loaded. Ids are looked for in the own task group first, then in those around it, then
in the DAG.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from .compat import AirflowDagCycleException, check_cycle

#: Of a task, the ids in its depends_on that are decided when the file is loaded.
WAITING = "_waiting"


def listed(ids: str | Iterable[str]) -> list[str]:
    return [ids] if isinstance(ids, str) else list(ids)


def partial(made: Any, depends_on: str | Iterable[str], look: Callable[[Any], None]) -> Any:
    """
    What `.partial()` of an operator has made, so that the task that `.expand()` makes of it gets its edges. `look` is shown
    that task first, and throws where it can't work.
    """
    ids = listed(depends_on)

    class Wired(type(made)):  # type: ignore[misc]
        def _expand(self, *words: Any, **options: Any) -> Any:
            task = super()._expand(*words, **options)
            look(task)
            if not ids:
                return task
            load = task.resolve_template_files

            def loaded() -> None:
                complete(task)
                load()

            # A mapped task is Airflow's own class.
            task.__dict__.update({WAITING: begin(task, ids), "resolve_template_files": loaded})
            return task

    # Or it says that nobody has expanded it.
    made._expand_called = True
    return Wired(operator_class=made.operator_class, kwargs=made.kwargs, params=made.params)


def begin(task: Any, ids: list[str]) -> list[str]:
    """
    Wires what no task that is defined later can take the place of, and returns the other ids: a task that is further out is
    the wrong one if the own group still gets its own.
    """
    if not task.has_dag():
        return ids
    sure = []
    for name in ids:
        nearest, *others = spellings(task, name)
        if nearest in task.dag.task_dict and (nearest != task.task_id or not others):
            sure.append(name)
    wire(task, sure)
    return [name for name in ids if name not in sure]


def wire(task: Any, ids: list[str]) -> list[str]:
    """Makes tasks upstream of `task`, and returns the ids of those that are not there."""
    if not task.has_dag():
        return ids
    missing = []
    for name in ids:
        found = find(task, name)
        if found is None:
            missing.append(name)
        elif found not in task.upstream_task_ids:
            task.set_upstream(task.dag.get_task(found))
    return missing


def find(task: Any, name: str) -> str | None:
    """The whole id of the task that `name` means where `task` stands."""
    tasks = task.dag.task_dict
    # A name never means the task that says it, unless nothing else has it: then the cycle is told.
    candidates = [candidate for candidate in spellings(task, name) if candidate in tasks]
    return next((one for one in candidates if one != task.task_id), candidates[0] if candidates else None)


def spellings(task: Any, name: str) -> list[str]:
    group, found = task.task_group, []
    while group is not None and group.group_id is not None:
        if group.prefix_group_id:
            found.append(f"{group.group_id}.{name}")
        group = group.parent_group
    return [*found, name]


def complete(task: Any) -> None:
    """
    The file is loaded: wires what is left in the DAG of `task`, at once, because looking for cycles takes the whole DAG. Throws
    ValueError for an id that nobody has, and for a cycle.
    """
    if not task.__dict__.get(WAITING) or not task.has_dag():
        return
    wired = []
    for one in task.dag.tasks:
        ids = one.__dict__.get(WAITING)
        if not ids:
            continue
        before = len(one.upstream_task_ids)
        missing = wire(one, ids)
        if missing:
            raise ValueError(
                f"task {one.task_id!r} of DAG {one.dag.dag_id!r}: depends_on names "
                f"{', '.join(map(repr, missing))}, and there is no such task; there are {known(one)}"
            )
        ids.clear()
        if len(one.upstream_task_ids) > before:
            wired.append(one)
    # Airflow has looked for cycles before it came here.
    if wired:
        refuse_cycles(task.dag, wired)


def refuse_cycles(dag: Any, wired: list[Any]) -> None:
    try:
        check_cycle(dag)
    except AirflowDagCycleException as error:
        cycle = next((cycle for task in wired if (cycle := find_cycle(task))), None)
        if cycle is None:
            raise
        raise ValueError(
            f"DAG {dag.dag_id!r}: depends_on makes a cycle: {' -> '.join(cycle)}; each waits for the one before it"
        ) from error


def known(task: Any) -> str:
    names = sorted(set(task.dag.task_dict) - {task.task_id})
    more = f" and {len(names) - 10} more" if len(names) > 10 else ""
    return (", ".join(map(repr, names[:10])) + more) or "none beside it"


def find_cycle(task: Any) -> list[str]:
    """The ids along a way from `task` back to it."""
    tasks = task.dag.task_dict
    ways = [[task.task_id]]
    seen: set[str] = set()
    while ways:
        way = ways.pop()
        for after in sorted(tasks[way[-1]].downstream_task_ids):
            if after == task.task_id:
                return [*way, after]
            if after not in seen:
                seen.add(after)
                ways.append([*way, after])
    return []
