"""
The detached run of a task, written down in its task state store before it is started and after: so the next try finds it,
whatever has become of this one. Airflow's users may write there, too. What is found is taken for a run only if that run's own
folder says that it is this task's.
"""

from __future__ import annotations

from typing import Any

from oxiflow.reconnect import Handle, new_handle

#: The key.
LAUNCH = "oxiflow_launch"


class Launch:
    def __init__(self, store: Any, owner: str, invocation: str) -> None:
        self._store = store
        self._owner = owner
        self._invocation = invocation

    def begin(self) -> Handle:
        """For a run that is about to be started: this process may be killed at any moment."""
        handle = new_handle(self._owner, self._invocation)
        try:
            self.keep(handle)
        except BaseException:
            handle.clear()
            raise
        return handle

    def keep(self, handle: Handle) -> None:
        self._store.set(LAUNCH, {"handle": handle.document()})

    def find(self) -> Handle | None:
        """The run that an earlier try has started here, or was about to."""
        launch = self._store.get(LAUNCH)
        return Handle.found(launch.get("handle"), self._owner) if isinstance(launch, dict) else None

    def is_asked_again(self, handle: Handle) -> bool:
        """It was started for this very request: the task was not cleared since then."""
        return handle.invocation == self._invocation

    def forget(self, handle: Handle | None = None) -> None:
        """With what it has left here; nobody will ask for it again."""
        if handle is not None:
            handle.clear()
        self._store.delete(LAUNCH)
