"""Dagster's GraphQL API, as its own pages use it, as far as the tests need it."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import httpx
from livetests.waiting import LONGEST, until

ENDED = ("SUCCESS", "FAILURE", "CANCELED")
METADATA = """metadataEntries { __typename label
  ... on IntMetadataEntry { intRepr } ... on FloatMetadataEntry { floatValue } ... on TextMetadataEntry { text }
  ... on PathMetadataEntry { path } ... on BoolMetadataEntry { boolValue }
  ... on TableMetadataEntry { table { records } }
  ... on TableSchemaMetadataEntry { schema { columns { name type } } } }"""


class Api:
    def __init__(self, url: str):
        # A connection for each question: the server closes idle ones, also in the moment of the next.
        self._client = httpx.Client(base_url=url, timeout=60, limits=httpx.Limits(max_keepalive_connections=0))

    def ask(self, query: str, **variables: Any) -> Any:
        answer = self._client.post("/graphql", json={"query": query, "variables": variables}).json()
        assert "errors" not in answer, answer["errors"]
        return answer["data"]

    def locations(self) -> dict[str, str]:
        """Name of each code location whose definitions are loaded, and of its repository."""
        found = self.ask(
            "{ workspaceOrError { __typename ... on PythonError { message } ... on Workspace { locationEntries { name"
            " locationOrLoadError { __typename ... on PythonError { message }"
            " ... on RepositoryLocation { repositories { name } } } } } } }"
        )["workspaceOrError"]
        assert found["__typename"] == "Workspace", found
        loaded = {}
        for entry in found["locationEntries"]:
            location = entry["locationOrLoadError"] or {"__typename": None}
            assert location["__typename"] != "PythonError", location["message"]
            if location["__typename"] == "RepositoryLocation":
                loaded[entry["name"]] = location["repositories"][0]["name"]
        return loaded

    def launch(self, *keys: str, job: str = "__ASSET_JOB", location: str = "bikes", **tags: str) -> str:
        """Materializes assets, as the button does; gives the run's id. A tag's name is written with __ for /."""
        # Somebody waits for it; the backfills take what is left.
        tags = {"dagster__priority": "1", **tags}
        named = [{"key": key.replace("__", "/"), "value": value} for key, value in tags.items()]
        return self._launch(location, job, keys, named)

    def _launch(self, location: str, job: str, keys: Sequence[str] | None, tags: Sequence[Mapping[str, str]]) -> str:
        assets = {} if keys is None else {"assetSelection": [{"path": key.split("/")} for key in keys]}
        params = {
            "selector": {
                "repositoryName": self.locations()[location],
                "repositoryLocationName": location,
                "pipelineName": job,
                **assets,
            },
            "runConfigData": {},
            "mode": "default",
            "executionMetadata": {"tags": [{"key": tag["key"], "value": tag["value"]} for tag in tags]},
        }
        done = self.ask(
            "mutation($p: ExecutionParams!) { launchRun(executionParams: $p) { __typename"
            " ... on LaunchRunSuccess { run { runId } } ... on PythonError { message }"
            " ... on RunConfigValidationInvalid { errors { message } } } }",
            p=params,
        )["launchRun"]
        assert done["__typename"] == "LaunchRunSuccess", done
        return str(done["run"]["runId"])

    def reexecute(self, run: str, strategy: str = "FROM_FAILURE") -> str:
        done = self.ask(
            "mutation($p: ReexecutionParams!) { launchRunReexecution(reexecutionParams: $p) { __typename"
            " ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }",
            p={"parentRunId": run, "strategy": strategy},
        )["launchRunReexecution"]
        assert done["__typename"] == "LaunchRunSuccess", done
        return str(done["run"]["runId"])

    def runs_of(self, tag: str, value: str) -> list[str]:
        """Those with a tag, the newest first."""
        found = self.ask(
            "query($f: RunsFilter!) { runsOrError(filter: $f, limit: 20) { __typename ... on Runs { results { runId } } } }",
            f={"tags": [{"key": tag, "value": value}]},
        )["runsOrError"]
        return [str(run["runId"]) for run in found["results"]]

    def _automation(self, location: str, kind: str, name: str) -> dict[str, str]:
        return {
            "repositoryName": self.locations()[location],
            "repositoryLocationName": location,
            f"{kind}Name": name,
        }

    def start_sensor(self, location: str, name: str) -> None:
        done = self.ask(
            "mutation($s: SensorSelector!) { startSensor(sensorSelector: $s) { __typename"
            " ... on PythonError { message } } }",
            s=self._automation(location, "sensor", name),
        )["startSensor"]
        assert done["__typename"] == "Sensor", done

    def stop_sensor(self, location: str, name: str) -> None:
        found = self.ask(
            "query($s: SensorSelector!) { sensorOrError(sensorSelector: $s) { ... on Sensor { sensorState { id } } } }",
            s=self._automation(location, "sensor", name),
        )["sensorOrError"]
        done = self.ask(
            "mutation($i: String!) { stopSensor(id: $i) { __typename ... on PythonError { message } } }",
            i=found["sensorState"]["id"],
        )["stopSensor"]
        assert done["__typename"] == "StopSensorMutationResult", done

    def ticks(self, location: str, name: str) -> list[dict[str, Any]]:
        """Of a sensor, the newest first: `status`, `runIds`, `skipReason`."""
        found = self.ask(
            "query($s: SensorSelector!) { sensorOrError(sensorSelector: $s) { ... on Sensor { sensorState {"
            " ticks(limit: 20) { status runIds skipReason error { message } } } } } }",
            s=self._automation(location, "sensor", name),
        )["sensorOrError"]
        ticks: list[dict[str, Any]] = found["sensorState"]["ticks"]
        return ticks

    def test_schedule(self, location: str, name: str, at: float) -> list[str]:
        """The page's own test of a schedule: evaluates it as of then, and launches what it asks for; gives the runs."""
        done = self.ask(
            "mutation($s: ScheduleSelector!, $t: Float) { scheduleDryRun(selectorData: $s, timestamp: $t) { __typename"
            " ... on PythonError { message } ... on DryRunInstigationTick { evaluationResult { skipReason"
            " error { message } runRequests { runConfigYaml jobName tags { key value } } } } } }",
            s=self._automation(location, "schedule", name),
            t=at,
        )["scheduleDryRun"]
        assert done["__typename"] == "DryRunInstigationTick", done
        result = done["evaluationResult"]
        assert result["error"] is None, result["error"]
        job = self.ask(
            "query($s: ScheduleSelector!) { scheduleOrError(scheduleSelector: $s) { ... on Schedule { pipelineName } } }",
            s=self._automation(location, "schedule", name),
        )["scheduleOrError"]["pipelineName"]
        return [
            self._launch(location, request["jobName"] or job, None, request["tags"])
            for request in result["runRequests"]
        ]

    def terminate(self, run: str) -> None:
        """Asked again where Dagster does not take it yet: a run that is starting has no process that it knows of."""
        until("a run that can be terminated", lambda: self._terminated(run))

    def _terminated(self, run: str) -> bool:
        done = self.ask(
            "mutation($r: String!) { terminateRun(runId: $r) { __typename ... on TerminateRunFailure { message } } }",
            r=run,
        )["terminateRun"]
        is_early = done["__typename"] == "TerminateRunFailure" and done["message"].endswith("having status STARTING.")
        assert is_early or done["__typename"] == "TerminateRunSuccess", done
        return not is_early

    def status(self, run: str) -> str:
        found = self.ask("query($r: ID!) { runOrError(runId: $r) { ... on Run { status } } }", r=run)
        return str(found["runOrError"]["status"])

    def wait(self, run: str, states: Collection[str] = ENDED, within: float = LONGEST) -> str:
        def there() -> str | None:
            status = self.status(run)
            return status if status in states else None

        return str(until(f"the run {run} to be {' or '.join(states)}", there, within))

    def log(self, run: str) -> list[dict[str, Any]]:
        """All events of a run, messages and levels among them."""
        found = self.ask(
            "query($r: ID!) { logsForRun(runId: $r) { __typename ... on EventConnection { events {"
            " __typename ... on MessageEvent { message level } } } } }",
            r=run,
        )["logsForRun"]
        events: list[dict[str, Any]] = found["events"]
        return events

    def materializations(self, key: str, limit: int = 100) -> list[dict[str, Any]]:
        """The newest first: `runId`, `partition`, `metadata`."""
        return self._asset(key, "assetMaterializations", limit)

    def observations(self, key: str, limit: int = 500) -> list[dict[str, Any]]:
        return self._asset(key, "assetObservations", limit)

    def _asset(self, key: str, what: str, limit: int) -> list[dict[str, Any]]:
        found = self.ask(
            f"query($k: AssetKeyInput!, $n: Int) {{ assetOrError(assetKey: $k) {{ __typename ... on Asset {{"
            f" {what}(limit: $n) {{ runId partition timestamp {METADATA} }} }} }} }}",
            k={"path": key.split("/")},
            n=limit,
        )["assetOrError"]
        return [{**one, "metadata": values(one["metadataEntries"])} for one in found.get(what, [])]

    def checks(self, key: str, name: str) -> list[dict[str, Any]]:
        """The newest first: `runId`, `status`, `severity`."""
        found: list[dict[str, Any]] = self.ask(
            "query($k: AssetKeyInput!, $n: String!) { assetCheckExecutions(assetKey: $k, checkName: $n, limit: 10) {"
            " runId status evaluation { severity success } } }",
            k={"path": key.split("/")},
            n=name,
        )["assetCheckExecutions"]
        return found

    def backfill(self, key: str, partitions: Sequence[str]) -> str:
        done = self.ask(
            "mutation($p: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $p) { __typename"
            " ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message } } }",
            p={"assetSelection": [{"path": key.split("/")}], "partitionNames": list(partitions), "tags": []},
        )["launchPartitionBackfill"]
        assert done["__typename"] == "LaunchBackfillSuccess", done
        return str(done["backfillId"])

    def backfill_status(self, backfill: str) -> str:
        found = self.ask(
            "query($b: String!) { partitionBackfillOrError(backfillId: $b) { ... on PartitionBackfill { status } } }",
            b=backfill,
        )
        return str(found["partitionBackfillOrError"]["status"])

    def close(self) -> None:
        self._client.close()


def values(entries: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Metadata by its names, in Python's types."""
    found: dict[str, Any] = {}
    for entry in entries:
        kind = entry["__typename"]
        if kind == "IntMetadataEntry":
            found[entry["label"]] = int(entry["intRepr"])
        elif kind == "FloatMetadataEntry":
            found[entry["label"]] = entry["floatValue"]
        elif kind == "TableMetadataEntry":
            found[entry["label"]] = [json.loads(record) for record in entry["table"]["records"]]
        elif kind == "TableSchemaMetadataEntry":
            found[entry["label"]] = [(column["name"], column["type"]) for column in entry["schema"]["columns"]]
        else:
            found[entry["label"]] = entry.get("text", entry.get("path", entry.get("boolValue")))
    return found
