"""Blocks: what a project and its state backend are, kept on Prefect's server, secrets encrypted."""

# Prefect reads the annotations of this file while it runs.
from typing import Literal, Optional

from prefect.blocks.core import Block
from prefect.types import SecretDict
from pydantic import Field, SecretStr


class OxiFlowStateBackend(Block):
    """Where runs keep their progress. Workers on several machines need one that all of them reach."""

    _block_type_name = "Oxide Flow State Backend"
    _block_type_slug = "oxiflow-state-backend"

    backend: Literal["auto", "sqlite", "file", "nfs", "redis"] = Field(
        default="redis", description="Kind of the state backend."
    )
    url: Optional[SecretStr] = Field(
        default=None,
        title="URL",
        description="Its address, as redis://:password@host:6379/0; none: what the project says.",
    )

    def variables(self) -> dict[str, str]:
        """For the environment of the runner."""
        return {} if self.url is None else {"OXIFLOW_STATE_URL": self.url.get_secret_value()}


class OxiFlowProject(Block):
    """A project of Oxide Flow, and how its pipelines are run."""

    _block_type_name = "Oxide Flow Project"
    _block_type_slug = "oxiflow-project"

    project_dir: str = Field(
        default=".", title="Folder", description="Folder of the project, from the working directory of the flow run."
    )
    runner: Optional[str] = Field(
        default=None, description="The runner; otherwise the one in OXIFLOW_RUNNER, or the one that pip installed."
    )
    # Of another type than one of Prefect's, it would be shown by its API.
    env: Optional[SecretDict] = Field(
        default=None, title="Environment", description="Variables for the pipelines, passwords among them."
    )
    state_backend: Optional[OxiFlowStateBackend] = Field(
        default=None, description="Where runs keep their progress; none: what the project says."
    )
    drain_timeout: Optional[str] = Field(
        default=None, description='How long a stop may take until the checkpoint is saved, as "10s".'
    )

    def variables(self) -> dict[str, str]:
        """For the environment of the runner."""
        return {
            **({} if self.state_backend is None else self.state_backend.variables()),
            **{name: str(value) for name, value in (self.env.get_secret_value() if self.env else {}).items()},
        }
