"""The run in the task's log, as Airflow's page folds it."""

from __future__ import annotations

import logging

from oxiflow.narration import Narrator


class TaskLog(Narrator):
    def fold(self, title: str, lines: list[str]) -> None:
        self.say(logging.INFO, f"::group::{title}")
        for line in lines:
            self.say(logging.INFO, line)
        self.say(logging.INFO, "::endgroup::")
