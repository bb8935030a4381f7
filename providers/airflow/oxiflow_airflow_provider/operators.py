"""
The operator. While a DAG is parsed this is all that is loaded: no process is started, no file is read, no connection is asked
for. What a run needs is in `work`, loaded when the task runs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar, Union

from . import edges
from .compat import HAS_STATE_STORE, TRIGGERS_ARE_TOLD, AirflowFailException, BaseOperator

if TYPE_CHECKING:
    from .work import Work

Shard = Union[str, Sequence[int]]
Duration = Union[str, int, float, timedelta]


class OxiFlowOperator(BaseOperator):
    """
    Runs a pipeline of Oxide Flow. Trying again goes on from the last checkpoint; clearing a success runs anew.

    :param pipeline_name: Name of the pipeline in its project, or the path of a file.
    :param project_dir: Folder of the project, by default that of the DAG's file; a relative one begins there.
    :param state_backend: auto, sqlite, file, nfs or redis.
    :param worker_id: Says who works; made unique by task and try.
    :param depends_on: Ids of tasks that come before, in whatever order they are defined; those in the own task group first.
    :param params: Parameters of the pipeline. (The DAG's own params, among which Airflow counts those in
        its default_args, are not handed on, unless named here. Those in the default_args of a task group are.)
    :param set: Fields of steps by `step.field`.
    :param env: Environment of the runner, beside the task's own. Airflow shows it: secrets belong in conn_env.
    :param conn_env: Variables that hold Airflow connections: `{'PG_URL': 'my_postgres'}` is the address,
        `{'TOKEN': 'my_api#password'}` one part. They are read when the task runs, and shown nowhere.
    :param run_key: What a try resumes, where it is not this task of this DAG run.
    :param shard: Part of how many, `'0/4'`: the tasks of a map that have the same params, set and conn_env share one run,
        whose state they all have to reach.
    :param same_host: All tasks of the map run on this machine, and its own state will do.
    :param oxiflow_conn_id: A connection of type `oxiflow`: runner, project, state.
    :param runner_path: A runner in place of the one that the package `oxiflow` carries.
    :param deferrable: The run goes on beside Airflow, and the task gives its place away until it has ended. Airflow 3.3.
    :param durable: The run survives the task's process, and the next try goes on following it. Airflow 3.3.
    :param fresh: Clearing a failure starts over.
    :param drain_timeout: How long a stop may take until the checkpoint is saved: `'10s'`.
    """

    template_fields: Sequence[str] = (
        "pipeline_name",
        "project_dir",
        "state_backend",
        "worker_id",
        "pipeline_params",
        "set",
        "env",
        "conn_env",
        "run_key",
        "shard",
        "oxiflow_conn_id",
        "runner_path",
    )
    _given_params: dict[str, Any]
    #: Made of a mapped task to run: its edges are those of the map.
    _of_map: bool
    shard_is_said: bool
    _work: Work | None
    #: Airflow has ended the task before there was one.
    _ended: bool
    pipeline_name: str
    project_dir: str | None
    state_backend: str | None
    worker_id: str | None
    pipeline_params: dict[str, Any]
    set: dict[str, Any]
    env: dict[str, Any]
    conn_env: dict[str, str]
    run_key: str | None
    shard: Shard | None
    oxiflow_conn_id: str | None
    runner_path: str | None
    deferrable: bool
    durable: bool
    fresh: bool
    same_host: bool
    drain_timeout: Duration | None
    depends_on: list[str]
    template_fields_renderers: ClassVar[dict[str, str]] = {
        "pipeline_params": "json",
        "set": "json",
        "env": "json",
        "conn_env": "json",
    }
    ui_color = "#f4a261"
    ui_fgcolor = "#000"

    def __new__(cls, *args: Any, **kwargs: Any) -> OxiFlowOperator:
        # Airflow mixes the DAG's params in before __init__ sees them.
        self = super().__new__(cls)
        # Not by assignment, which Airflow watches.
        self.__dict__["_given_params"] = own_params(kwargs)
        self.__dict__["_of_map"] = bool(kwargs.get("_airflow_from_mapped"))
        return self

    def __init__(
        self,
        *,
        pipeline_name: str,
        project_dir: str | None = None,
        state_backend: str | None = None,
        worker_id: str | None = None,
        depends_on: str | Iterable[str] = (),
        set: Mapping[str, Any] | None = None,
        env: Mapping[str, str] | None = None,
        conn_env: Mapping[str, str] | None = None,
        run_key: str | None = None,
        shard: Shard | None = None,
        oxiflow_conn_id: str | None = None,
        runner_path: str | None = None,
        deferrable: bool = False,
        durable: bool = False,
        fresh: bool = False,
        same_host: bool = False,
        drain_timeout: Duration | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        # Before Airflow 3 a task of a map is in no group, and told of it.
        for name, value in group_params(self.task_group or kwargs.get("task_group")).items():
            self._given_params.setdefault(name, value)
        # At once: Airflow looks at each assignment, which is most of what parsing costs.
        self.__dict__.update(
            pipeline_name=pipeline_name,
            project_dir=project_dir,
            state_backend=state_backend,
            worker_id=worker_id,
            pipeline_params=self._given_params,
            set=dict(set or {}),
            env=dict(env or {}),
            conn_env=dict(conn_env or {}),
            run_key=run_key,
            shard=shard,
            oxiflow_conn_id=oxiflow_conn_id,
            runner_path=runner_path,
            deferrable=deferrable,
            durable=durable,
            fresh=fresh,
            same_host=same_host,
            drain_timeout=drain_timeout,
            # The same for all along a map; a template, or what the map gives, is not.
            shard_is_said=not hasattr(shard, "resolve") and "{" not in str(shard),
            depends_on=edges.listed(depends_on),
            _work=None,
            _ended=False,
        )
        refuse(self.task_id, deferrable=deferrable, durable=durable, fresh=fresh, sharded=shard is not None)
        if self.depends_on and not self._of_map:
            self.__dict__[edges.WAITING] = edges.begin(self, self.depends_on)

    @classmethod
    def partial(cls, **kwargs: Any) -> Any:
        return edges.partial(super().partial(**kwargs), kwargs.get("depends_on", ()), refuse_map)

    def resolve_template_files(self) -> None:
        # Airflow calls this for every task when all of its file is loaded, and before the DAG goes anywhere.
        if self.__dict__.get(edges.WAITING):
            edges.complete(self)
        super().resolve_template_files()

    def execute(self, context: Any) -> dict[str, Any]:
        self._must_wait_for_all()
        return self._working(context).execute()

    def resume(
        self, context: Any, event: Mapping[str, Any], handle: Mapping[str, Any], resumed_from: int | None = None
    ) -> dict[str, Any]:
        """The run of a deferred task has ended."""
        return self._working(context).resume(event, handle, resumed_from)

    def on_kill(self) -> None:
        """Airflow calls it in a signal handler: the run is asked to end, and whoever follows it sees it end."""
        if self._work is not None:
            self._work.terminate()
        else:
            self._ended = True

    def _working(self, context: Any) -> Work:
        from .work import Work

        # That of a try before, in the same process.
        self._work = None
        self._work = Work(self, context)
        if self._ended:
            self._ended = False
            self._work.terminate()
        return self._work

    def _must_wait_for_all(self) -> None:
        """A DAG that was not loaded from its file, as in `dag.test()`, has no edges to tasks that are defined later."""
        there = self.upstream_task_ids
        missing = [name for name in self.depends_on if not there.intersection(edges.spellings(self, name))]
        if missing:
            raise AirflowFailException(
                f"depends_on names {', '.join(map(repr, missing))}, for which this task did not wait: "
                "define it before this task and in its group, draw the edge with >>, or load the DAG from its file"
            )


def own_params(kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the task. For a task of a map Airflow has mixed the DAG's in: what is the same there is the DAG's."""
    given = {**((kwargs.get("default_args") or {}).get("params") or {}), **(kwargs.get("params") or {})}
    dag = kwargs.get("dag")
    if not kwargs.get("_airflow_from_mapped") or dag is None:
        return given
    of_dag = dict(dag.params or {})
    return {name: value for name, value in given.items() if name not in of_dag or of_dag[name] != value}


def group_params(group: Any) -> dict[str, Any]:
    """Those in the default_args of task groups, of which Airflow tells tasks nothing; the innermost has the last word."""
    found: dict[str, Any] = {}
    while group is not None:
        found = {**((group.default_args or {}).get("params") or {}), **found}
        group = group.parent_group
    return found


def refuse(task_id: str, *, deferrable: bool, durable: bool, fresh: bool, sharded: bool) -> None:
    """What can't work is told when the DAG is parsed. Throws ValueError."""
    what = f"task {task_id!r}: "
    if deferrable and durable:
        raise ValueError(what + "deferrable and durable exclude each other; the run of a deferrable task survives, too")
    if durable and not HAS_STATE_STORE:
        raise ValueError(what + "durable needs the task state store of Airflow 3.3, to find its run again")
    if deferrable and not TRIGGERS_ARE_TOLD:
        raise ValueError(
            what + "deferrable needs Airflow 3.3: before it, ending a deferred task leaves its run behind, unseen"
        )
    if deferrable and sharded:
        raise ValueError(
            what
            + "deferrable and shard exclude each other: the run is that of all shards, so one that has ended can't be told "
            "from the others, and to cancel one would cancel all; leave deferrable out"
        )
    if fresh and sharded:
        raise ValueError(what + "fresh and shard exclude each other: each part would start over what the others do")


def refuse_map(mapped: Any) -> None:
    """The same of a map, whose tasks are made when it runs, as far as its DAG tells what they are given. Throws ValueError."""
    given = dict(mapped.partial_kwargs)
    value = mapped.expand_input.value
    rows = [value] if isinstance(value, Mapping) else value if isinstance(value, (list, tuple)) else []
    for row in rows:
        if isinstance(row, Mapping):
            of_map = {name: isinstance(values, (list, tuple)) and any(values) for name, values in row.items()}
            both = {**given, **(of_map if row is value else row)}
            ways = {name: bool(both.get(name)) for name in ("deferrable", "durable", "fresh")}
            refuse(mapped.task_id, sharded=both.get("shard") is not None, **ways)
