"""The manifest of a project, as `oxiflow pipeline manifest` writes it: read when the definitions are loaded."""

from __future__ import annotations

import os

import dagster as dg
from oxiflow.errors import NoManifest
from oxiflow.manifest import Column as Column
from oxiflow.manifest import Input as Input
from oxiflow.manifest import Manifest as Manifest
from oxiflow.manifest import ManifestLike as ManifestLike
from oxiflow.manifest import Output as Output
from oxiflow.manifest import Parameter as Parameter
from oxiflow.manifest import Pipeline as Pipeline
from oxiflow.manifest import load_manifest as load_any_manifest


def load_manifest(manifest: ManifestLike | None, project: str | os.PathLike[str] | None = None) -> Manifest:
    """The manifest, its document, its file, or the one in the folder of `project`. Throws DagsterInvalidDefinitionError."""
    try:
        return load_any_manifest(manifest, project)
    except NoManifest as error:
        raise dg.DagsterInvalidDefinitionError(str(error)) from error
