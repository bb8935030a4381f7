"""What a run says of the checks of an asset."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from oxiflow import Result

#: The runner's words for how a check stopped a run.
STOPPED_BY = {"dead_letters": "DEAD_LETTERS_FULL", "max_errors": "TOO_MANY_ERRORS"}

#: Of a verdict: what each of several runs may have, and not all of them together.
LIMIT = "oxiflow/limit"


@dataclass(frozen=True)
class Check:
    name: str
    kind: Literal["validation", "dead_letters", "max_errors"]
    description: str
    #: Of a validation.
    step: str | None = None
    #: Of dead letters: so many are well.
    limit: int = 0


@dataclass(frozen=True)
class Verdict:
    passed: bool
    #: The run failed of it.
    stopped: bool
    metadata: Mapping[str, Any]


def verdict_of(check: Check, result: Result) -> Verdict | None:
    """None where the run did not get so far as to know."""
    finished = result.finished
    if finished is None:
        return None
    code = None if finished.error is None else finished.error.code
    total = finished.counters.total
    if check.kind == "validation":
        steps = [one.counters for one in finished.counters.steps if one.step == check.step]
        if not steps:
            return None
        refused = sum(one.dropped + one.dead_lettered + one.failed + one.passed_on_error for one in steps)
        stopped = any(one.failed > 0 for one in steps)
        metadata = {"oxiflow/checked": sum(one.in_ for one in steps), "oxiflow/refused": refused}
        return _verdict(refused == 0, stopped, metadata, result)
    stopped = code == STOPPED_BY[check.kind]
    if check.kind == "dead_letters":
        metadata = {"oxiflow/dead_lettered": total.dead_lettered, LIMIT: check.limit}
        return _verdict(total.dead_lettered <= check.limit and not stopped, stopped, metadata, result)
    bad = total.dropped + total.dead_lettered + total.failed + total.passed_on_error
    return _verdict(not stopped, stopped, {"oxiflow/errors": bad, "oxiflow/records": total.added}, result)


def _verdict(passed: bool, stopped: bool, metadata: dict[str, Any], result: Result) -> Verdict | None:
    if passed and not result.succeeded:
        # The rest of the records might have been bad.
        return None
    if not passed and stopped and result.finished is not None and result.finished.error is not None:
        metadata["oxiflow/reason"] = result.finished.error.message
    return Verdict(passed, stopped, metadata)
