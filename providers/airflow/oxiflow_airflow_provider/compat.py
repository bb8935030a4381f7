"""
What differs between the versions of Airflow, 2.10 to 3.3, and nowhere else. Importing it asks for the version and loads the
base classes, which whoever parses a DAG has loaded already.
"""

from __future__ import annotations

import functools
import importlib
import os
from datetime import timezone
from typing import TYPE_CHECKING, Any

from airflow import __version__ as _version

if TYPE_CHECKING:
    from airflow.sdk import BaseHook, BaseOperator
    from airflow.sdk.exceptions import (
        AirflowDagCycleException,
        AirflowException,
        AirflowFailException,
        AirflowTaskTimeout,
    )
else:
    try:
        from airflow.sdk import BaseHook, BaseOperator
    except ImportError:
        from airflow.hooks.base import BaseHook
        from airflow.models.baseoperator import BaseOperator
    try:
        from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowTaskTimeout
    except ImportError:
        from airflow.exceptions import AirflowException, AirflowFailException, AirflowTaskTimeout
    try:
        from airflow.sdk.exceptions import AirflowDagCycleException
    except ImportError:
        from airflow.exceptions import AirflowDagCycleException

__all__ = [
    "AirflowDagCycleException",
    "AirflowException",
    "AirflowFailException",
    "AirflowTaskTimeout",
    "BaseHook",
    "BaseOperator",
]

VERSION = tuple(int(part) for part in _version.split(".")[:2])
#: The tab on a task instance is there, and reads while the task runs.
HAS_TAB = VERSION >= (3, 1)
#: Tasks have a state store, and triggers are told when somebody ends their task.
HAS_STATE_STORE = VERSION >= (3, 3)
TRIGGERS_ARE_TOLD = VERSION >= (3, 3)


def state_store(context: Any) -> Any:
    """The Task State Store of a running task, or None where Airflow has none."""
    return context.get("task_state_store") if HAS_STATE_STORE else None


def mask_secret(text: str) -> None:
    """Keeps it out of the task's log."""
    if VERSION >= (3, 0):
        from airflow.sdk.log import mask_secret as mask
    else:
        mask = importlib.import_module("airflow.utils.log.secrets_masker").mask_secret
    mask(text)


def sensitive_names() -> list[str]:
    """Parts of names of fields that whoever runs this Airflow wants to be hidden, beside those that are always."""
    from airflow.configuration import conf

    named = conf.get("core", "sensitive_var_conn_names", fallback="") or ""
    return [one.strip().lower() for one in named.split(",") if one.strip()]


#: Whose texts name things of the pipeline's and of Airflow's, or are words of a few: a password that is one of them by chance is
#: told by none of them, and whoever reads the documents needs them as they are.
NAMES = frozenset(
    (
        "run_key",
        "run_id",
        "invocation",
        "worker_id",
        "pipeline",
        "step",
        "oxi",
        "kind",
        "state",
        "status",
        "grade",
        "ts",
    )
)


def without_secrets(value: Any) -> Any:
    """The same JSON, with what this process was told to keep out of the log replaced in all of its texts but NAMES."""
    redact = _redact()

    def clean(one: Any) -> Any:
        if isinstance(one, str):
            return redact(one)
        if isinstance(one, dict):
            return {key: item if key in NAMES and isinstance(item, str) else clean(item) for key, item in one.items()}
        return [clean(item) for item in one] if isinstance(one, (list, tuple)) else one

    return clean(value)


@functools.cache
def _redact() -> Any:
    if VERSION < (3, 0):
        return importlib.import_module("airflow.utils.log.secrets_masker").redact
    place = "airflow.sdk.log" if VERSION >= (3, 1) else "airflow.sdk.execution_time.secrets_masker"
    return importlib.import_module(place).redact


def check_cycle(dag: Any) -> None:
    """Throws AirflowDagCycleException."""
    if hasattr(dag, "check_cycle"):
        dag.check_cycle()
        return
    importlib.import_module("airflow.utils.dag_cycle_tester").check_cycle(dag)


def set_xcom(ti: Any, key: str, value: Any) -> None:
    """From a trigger, which has a task instance without methods; not from its event loop."""
    from airflow.sdk.execution_time.xcom import XCom

    XCom.set(key, value, dag_id=ti.dag_id, task_id=ti.task_id, run_id=ti.run_id, map_index=ti.map_index)


def executors() -> list[str]:
    """The names of the executors that this installation runs tasks with."""
    from airflow.configuration import conf

    named = conf.get("core", "executor", fallback="LocalExecutor") or "LocalExecutor"
    return [one.strip().rpartition(".")[2].rpartition(":")[2] for one in named.split(",")]


def clear_number(context: Any) -> int:
    """How often tasks of this DAG run were cleared."""
    return int(getattr(context.get("dag_run"), "clear_number", None) or 0)


def made(context: Any) -> str:
    """
    When this very DAG run was made and began: the same in all of its tries, and another for one that has its id later. A DAG
    run that is started once more because it is cleared begins anew, and `dag.test` says that it began at its logical date.
    """
    dag_run = context.get("dag_run")
    start, after = (getattr(dag_run, name, None) for name in ("start_date", "run_after"))
    told = [one.astimezone(timezone.utc).isoformat() for one in (start, after) if one is not None]
    # All tasks of dag.test are in one process; from Airflow 3 on, run_after tells its runs apart.
    if after is None and start in (None, getattr(dag_run, "logical_date", None)):
        from oxiflow.system import began

        told.append(f"{os.getpid()}@{began(os.getpid())}")
    return ",".join(told)


def on_2_form(fields: dict[str, tuple[str, Any]]) -> dict[str, Any]:
    """Fields of a connection form of Airflow 2; 3 reads them from the provider's metadata."""
    widgets = importlib.import_module("flask_appbuilder.fieldwidgets")
    forms = importlib.import_module("wtforms")
    return {
        name: forms.BooleanField(label)
        if "boolean" in kind
        else forms.StringField(label, widget=widgets.BS3TextFieldWidget())
        for name, (label, kind) in fields.items()
    }
