"""What can go wrong, by the exit codes of the runner. A launcher asks one thing of a failure: does another try help?"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from .result import Result


class OxiFlowError(Exception):
    """The base of all of them."""

    #: Whether the same command may succeed later; it goes on from the last checkpoint.
    retry: ClassVar[bool] = False


class RunnerMissing(OxiFlowError):
    """There is no runner to start, or none that can be started."""


class WrongRequest(OxiFlowError, ValueError):
    """What a run was asked for is not to be had: a value of a kind that it can't be given, a shard that is none."""


class NoManifest(OxiFlowError):
    """The manifest of a project is missing, or can't be read here."""


class RunFailed(OxiFlowError):
    """A run has ended, and not with success."""

    def __init__(self, message: str, result: Result) -> None:
        super().__init__(message)
        self.result = result

    def __reduce__(self) -> tuple[type[RunFailed], tuple[str, Result]]:
        # As orchestrators send it from one process to another.
        return (type(self), (str(self), self.result))


class Retryable(RunFailed):
    """Another try goes on from the last checkpoint."""

    retry = True


class NotRetryable(RunFailed):
    """Another try would end the same way: somebody has to change something first."""


class Failed(Retryable):
    """It failed while running, or ended in a way that no other class names."""


class Died(Retryable):
    """It was killed, or ended without a word on how the run went."""


class Unreachable(Retryable):
    """The state backend, or a service, can't be reached."""


class LeaseHeld(Retryable):
    """Another worker holds the run, or took it."""


class Stopped(Retryable):
    """It was interrupted, terminated or cancelled, and has saved a checkpoint."""


class Refused(NotRetryable):
    """The command line, the configuration or Node is wrong, or plan or input have changed: nothing was started."""


class BadData(NotRetryable):
    """The data stopped it: mend the data or the pipeline."""


class StateDamaged(NotRetryable):
    """The saved state is unreadable, corrupt or lost: `oxiflow state repair`, or start over."""


class NoPipeline(NotRetryable):
    """There is no such pipeline."""


class PermissionRefused(NotRetryable):
    """The system does not permit something."""


#: The exit codes of the runner. Any other one is Failed, and Died where there was no `run.finished`.
BY_EXIT_CODE: dict[int, type[RunFailed]] = {
    1: Failed,
    2: Refused,
    3: BadData,
    69: Unreachable,
    74: StateDamaged,
    75: LeaseHeld,
    125: NoPipeline,
    126: PermissionRefused,
    130: Stopped,
    143: Stopped,
}
