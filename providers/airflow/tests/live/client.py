"""Airflow's REST API, as far as the tests need it, in the name of one user."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import httpx
from livetests.waiting import LONGEST, until

ENDED = ("success", "failed", "upstream_failed", "skipped", "removed")


class ApiError(Exception):
    def __init__(self, answer: httpx.Response):
        super().__init__(f"{answer.request.method} {answer.request.url}: {answer.status_code} {answer.text[:600]}")
        self.status = answer.status_code


@dataclass(frozen=True)
class Task:
    """A task instance."""

    dag_id: str
    run_id: str
    task_id: str
    map_index: int = -1

    @property
    def path(self) -> str:
        return f"/dags/{self.dag_id}/dagRuns/{quote(self.run_id, safe='')}/taskInstances/{self.task_id}"

    @property
    def page(self) -> str:
        """Its page in Airflow's UI."""
        mapped = f"/mapped/{self.map_index}" if self.map_index >= 0 else ""
        return f"/dags/{self.dag_id}/runs/{quote(self.run_id, safe='')}/tasks/{self.task_id}{mapped}"


class Api:
    def __init__(self, url: str, user: str, password: str):
        answer = httpx.post(f"{url}/auth/token", json={"username": user, "password": password}, timeout=120)
        if answer.is_error:
            raise ApiError(answer)
        self.token: str = answer.json()["access_token"]
        self._client = httpx.Client(
            base_url=f"{url}/api/v2", headers={"Authorization": f"Bearer {self.token}"}, timeout=120
        )

    def __enter__(self) -> Api:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._client.close()

    def ask(self, method: str, path: str, body: Any = None, **params: Any) -> Any:
        """The answer's JSON; throws ApiError."""
        asked = {k: v for k, v in params.items() if v is not None}

        def answered() -> httpx.Response | None:
            answer = self._client.request(method, path, json=body, params=asked)
            # SQLite has one writer: who waits too long for the others is told so, and nothing was done.
            return None if answer.status_code == 500 and "Database error" in answer.text else answer

        answer = until(f"an answer to {method} {path}", answered)
        assert answer is not None
        if answer.is_error:
            raise ApiError(answer)
        return answer.json() if answer.content else None

    def get(self, path: str, **params: Any) -> Any:
        return self.ask("GET", path, **params)

    def find(self, path: str, **params: Any) -> Any:
        """None where there is nothing at the path."""
        try:
            return self.get(path, **params)
        except ApiError as error:
            if error.status != 404:
                raise
            return None

    def wait_for_dag(self, dag_id: str) -> None:
        """Until Airflow has read the DAG's file; throws its import errors."""

        def known() -> bool:
            found = self.find(f"/dags/{dag_id}")
            if found is None:
                errors = self.get("/importErrors")["import_errors"]
                assert not errors, "\n".join(f"{one['filename']}: {one['stack_trace']}" for one in errors)
            return found is not None

        until(f"the DAG {dag_id}", known, every=0.5)

    def trigger(self, dag_id: str, run_id: str | None = None, conf: dict[str, Any] | None = None) -> str:
        """Starts a run of a DAG, as soon as Airflow knows it; gives the run's id."""
        self.wait_for_dag(dag_id)
        body = {"logical_date": None, "conf": conf or {}, **({"dag_run_id": run_id} if run_id else {})}
        started: str = self.ask("POST", f"/dags/{dag_id}/dagRuns", body)["dag_run_id"]
        return started

    def wait_for_run(self, dag_id: str, run_id: str, within: float = LONGEST) -> str:
        """Until the DAG run has ended; gives its state."""

        def ended() -> str | None:
            state: str = self.get(f"/dags/{dag_id}/dagRuns/{quote(run_id, safe='')}")["state"]
            return state if state in ENDED else None

        return str(until(f"the end of {dag_id} {run_id}", ended, within, 0.3))

    def run(self, dag_id: str, conf: dict[str, Any] | None = None, within: float = LONGEST) -> tuple[str, str]:
        """Starts a run and waits for its end; gives the run's id and state."""
        run_id = self.trigger(dag_id, conf=conf)
        return run_id, self.wait_for_run(dag_id, run_id, within)

    def task(self, task: Task) -> dict[str, Any]:
        """`state`, `try_number`, `max_tries`, `pid` and others."""
        mapped = f"/{task.map_index}" if task.map_index >= 0 else ""
        found: dict[str, Any] = self.get(task.path + mapped)
        return found

    def wait_for_task(
        self, task: Task, states: Collection[str] = ENDED, within: float = LONGEST, try_number: int | None = None
    ) -> dict[str, Any]:
        """Until the task instance is in one of the states (and in that try); gives the task instance."""

        def there() -> dict[str, Any] | None:
            seen = self.task(task)
            right_try = try_number is None or seen["try_number"] == try_number
            return seen if right_try and seen["state"] in states else None

        wanted = f"{task.task_id} to be {' or '.join(states)}"
        seen = until(wanted, there, within, 0.3)
        assert seen is not None
        return seen

    def mapped(self, dag_id: str, run_id: str, task_id: str) -> list[dict[str, Any]]:
        """The instances of a mapped task."""
        path = Task(dag_id, run_id, task_id).path
        found: list[dict[str, Any]] = self.get(f"{path}/listMapped")["task_instances"]
        return found

    def state_store(self, task: Task) -> dict[str, Any]:
        """All entries of the task's state store."""
        found = self.get(f"{task.path}/state-store", map_index=task.map_index)
        return {entry["key"]: entry["value"] for entry in found["task_state_store"]}

    def stored(self, task: Task, key: str) -> Any:
        """One entry of the task's state store; None where there is none."""
        found = self.find(f"{task.path}/state-store/{key}", map_index=task.map_index)
        return None if found is None else found["value"]

    def store(self, task: Task, key: str, value: Any) -> None:
        self.ask("PUT", f"{task.path}/state-store/{key}", {"value": value}, map_index=task.map_index)

    def wait_for_stored(self, task: Task, key: str, within: float = LONGEST) -> Any:
        return until(f"{key} of {task.task_id}", lambda: self.stored(task, key), within, 0.3)

    def xcom(self, task: Task, key: str = "return_value") -> Any:
        """The value, as it was returned; None where there is none."""
        found = self.find(f"{task.path}/xcomEntries/{key}", map_index=task.map_index, deserialize=True)
        return None if found is None else found["value"]

    def log(self, task: Task, try_number: int = 1) -> list[dict[str, Any]]:
        """The lines of a try's log: `event`, `level` and others."""
        found = self.get(f"{task.path}/logs/{try_number}", map_index=task.map_index, full_content=True)
        return [line if isinstance(line, dict) else {"event": line} for line in found["content"]]

    def asset_events(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        """Those of a run, with their `extra`."""
        found: list[dict[str, Any]] = self.get("/assets/events", source_dag_id=dag_id, source_run_id=run_id)[
            "asset_events"
        ]
        return found

    def clear(self, dag_id: str, run_id: str, task_ids: Sequence[str]) -> None:
        """The tasks run again, in the same DAG run."""
        body = {
            "dry_run": False,
            "dag_run_id": run_id,
            "task_ids": list(task_ids),
            "only_failed": False,
            "reset_dag_runs": True,
        }
        self.ask("POST", f"/dags/{dag_id}/clearTaskInstances", body)

    def set_state(self, task: Task, state: str) -> None:
        """What "mark as" does in the UI."""
        mapped = f"/{task.map_index}" if task.map_index >= 0 else ""
        self.ask("PATCH", task.path + mapped, {"new_state": state})

    def add_connection(self, connection_id: str, conn_type: str, **fields: Any) -> None:
        self.ask("POST", "/connections", {"connection_id": connection_id, "conn_type": conn_type, **fields})
