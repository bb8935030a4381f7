"""Prefect's REST API, as its own pages use it, as far as the tests need it."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any

import httpx
from livetests.waiting import LONGEST, until

ENDED = ("COMPLETED", "FAILED", "CANCELLED", "CRASHED")


class Api:
    def __init__(self, url: str):
        self._client = httpx.Client(base_url=f"{url}/api", timeout=60)

    def get(self, path: str) -> Any:
        return self._ask("GET", path)

    def post(self, path: str, body: Any = None) -> Any:
        return self._ask("POST", path, json={} if body is None else body)

    def _ask(self, method: str, path: str, **more: Any) -> Any:
        """Prefect's own clients ask again, too, when the server's database is busy."""

        def answer() -> httpx.Response | None:
            response = self._client.request(method, path, **more)
            return None if response.status_code == httpx.codes.SERVICE_UNAVAILABLE else response

        response = until(f"an answer to {path}", answer)
        assert response is not None
        assert response.is_success, f"{path}: {response.status_code} {response.text}"
        return response.json() if response.content else None

    def healthy(self) -> bool:
        try:
            return self._client.get("/health").is_success
        except httpx.HTTPError:
            return False

    def deployments(self) -> dict[str, str]:
        """Ids by name."""
        return {one["name"]: one["id"] for one in self.post("/deployments/filter")}

    def start(self, deployment: str, **parameters: Any) -> str:
        """As the button does; gives the id of the flow run."""
        id = self.deployments()[deployment]
        return str(self.post(f"/deployments/{id}/create_flow_run", {"parameters": parameters})["id"])

    def run(self, flow_run: str) -> dict[str, Any]:
        found: dict[str, Any] = self.get(f"/flow_runs/{flow_run}")
        return found

    def state(self, flow_run: str) -> str:
        return str(self.run(flow_run)["state_type"])

    def set_state(self, flow_run: str, kind: str, name: str) -> None:
        answer = self.post(
            f"/flow_runs/{flow_run}/set_state", {"state": {"type": kind, "name": name}, "force": kind == "SCHEDULED"}
        )
        assert answer["status"] == "ACCEPT", answer

    def cancel(self, flow_run: str) -> None:
        self.set_state(flow_run, "CANCELLING", "Cancelling")

    def retry(self, flow_run: str) -> None:
        self.set_state(flow_run, "SCHEDULED", "AwaitingRetry")

    def wait(self, flow_run: str, states: Collection[str] = ENDED, within: float = LONGEST) -> str:
        def there() -> str | None:
            state = self.state(flow_run)
            return state if state in states else None

        return until(f"the flow run {flow_run} to be {' or '.join(states)}", there, within) or ""

    def tasks(self, flow_run: str) -> list[dict[str, Any]]:
        """The task runs, in the order of their start."""
        body = {"flow_runs": {"id": {"any_": [flow_run]}}, "sort": "EXPECTED_START_TIME_ASC"}
        found: list[dict[str, Any]] = self.post("/task_runs/filter", body)
        return found

    def artifacts(self, flow_run: str) -> dict[str, Any]:
        """By key, the newest of each: `data`, `description`, `type`. Tables are lists."""
        body = {"artifacts": {"flow_run_id": {"any_": [flow_run]}}, "sort": "CREATED_DESC", "limit": 200}
        found: dict[str, Any] = {}
        for one in reversed(self.post("/artifacts/filter", body)):
            data = json.loads(one["data"]) if one["type"] == "table" and isinstance(one["data"], str) else one["data"]
            found[one["key"]] = {**one, "data": data}
        return found

    def events(self, flow_run: str, prefix: str = "oxiflow.") -> list[dict[str, Any]]:
        """Those of a flow run as the event feed finds them, the oldest first."""
        body = {
            "filter": {
                "event": {"prefix": [prefix]},
                "related": {"id": [f"prefect.flow-run.{flow_run}"]},
                "order": "ASC",
            },
            "limit": 50,
        }
        page = self.post("/events/filter", body)
        found: list[dict[str, Any]] = list(page["events"])
        while page["next_page"]:
            page = self.get(page["next_page"])
            found += page["events"]
        return found

    def logs(self, flow_run: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        while True:
            body = {
                "logs": {"flow_run_id": {"any_": [flow_run]}},
                "sort": "TIMESTAMP_ASC",
                "limit": 200,
                "offset": len(found),
            }
            page = self.post("/logs/filter", body)
            found += page
            if len(page) < 200:
                return found

    def close(self) -> None:
        self._client.close()
