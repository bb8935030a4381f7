"""
Secrets that a run was given, kept out of all that is told of it. Whatever comes of the runner passes here first, whole, before
anything of it is cut, escaped or put together: log lines, events, artifacts, the summary and the text of a failure are made of
what is left.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar
from urllib.parse import quote, unquote, urlsplit

from oxiflow.process import LAST_WORDS

from oxiflow import Line, Result

T = TypeVar("T")
HIDDEN = "***"
#: Shorter ones would be struck out of words and figures that have nothing to do with them, in characters. Airflow has the same.
SHORTEST = 5
#: Whose texts name things of the pipeline's and of Prefect's, or are words of a few: a password that is one of them by chance is
#: told by none of them, and automations need them as they are.
NAMES = frozenset(
    (
        *("type", "ts", "run_key", "run_id", "worker_id", "pipeline", "step", "oxi", "kind", "tier"),
        *("status", "grade", "severity", "level", "code", "memory_of"),
    )
)


class Secrets:
    def __init__(self, values: Iterable[str]) -> None:
        found = {form for value in values for form in forms_of(value) if len(form) >= SHORTEST}
        # Of two that begin alike, the whole one.
        longest_first = sorted(found, key=lambda form: (-len(form), form))
        self._longest = len(longest_first[0]) if longest_first else 0
        self._pattern = re.compile("|".join(map(re.escape, longest_first))) if longest_first else None

    def out_of(self, told: T) -> T:
        """The same, an event or a line for instance, with what is secret in its texts replaced."""
        return told if self._pattern is None else self._clean(told)

    def out_of_result(self, result: Result) -> Result:
        words = result.last_words
        if len(words) >= LAST_WORDS:
            # They are the end of more, and may begin within a secret.
            words = words[max(0, self._longest - 1) :]
        return self.out_of(replace(result, last_words=words))

    def _clean(self, told: Any) -> Any:
        if isinstance(told, str):
            return told if self._pattern is None else self._pattern.sub(HIDDEN, told)
        if is_dataclass(told) and not isinstance(told, type):
            cleaned = {one.name: self._clean(getattr(told, one.name)) for one in fields(told) if one.name not in NAMES}
            changed = {name: value for name, value in cleaned.items() if value is not getattr(told, name)}
            return replace(told, **changed) if changed else told
        if isinstance(told, Line):
            return told._replace(text=self._clean(told.text))
        if isinstance(told, tuple):
            items = tuple(self._clean(one) for one in told)
            return told if all(new is old for new, old in zip(items, told)) else items
        return told


def forms_of(value: str) -> Iterator[str]:
    """As it may stand in a text: as it is, in JSON, in an address, its lines, and the password of an address."""
    for text in (value, *value.splitlines(), *passwords_of(value)):
        yield from (text, text.strip(), json.dumps(text)[1:-1], quote(text, safe=""), quote(text))


def passwords_of(value: str) -> list[str]:
    try:
        found = urlsplit(value.strip()).password
    except ValueError:
        return []
    return [found, unquote(found)] if found else []
