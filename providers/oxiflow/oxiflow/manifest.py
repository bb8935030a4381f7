"""The manifest of a project, as `oxiflow pipeline manifest` writes it: read when the definitions are loaded."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Optional, Union

from .errors import NoManifest
from .fields import Misfit, read

#: In the folder of the project, where no other place is named.
MANIFEST = "oxiflow-manifest.json"

ManifestLike = Union["Manifest", Mapping[str, Any], str, "os.PathLike[str]"]


@dataclass(frozen=True)
class Column:
    name: str
    type: Optional[str]


@dataclass(frozen=True)
class Parameter:
    name: str
    type: str
    required: bool
    #: Text or None.
    description: Any = None
    #: Text, a number or a flag; None where there is none, or it is a secret.
    default: Any = None
    #: A list of such, or None.
    choices: Any = None
    #: Its values are shown nowhere.
    secret: bool = False


@dataclass(frozen=True)
class Input:
    step: str
    oxi: str
    #: Files and patterns, from the folder of the project.
    paths: tuple[str, ...]
    format: Optional[str]
    #: The paths as they are written, with `${NAME}` for a parameter; None where they are the same.
    templates: Optional[tuple[str, ...]] = None


@dataclass(frozen=True)
class Validation:
    step: str
    on_error: Literal["stop", "drop", "dead_letter", "pass"]


@dataclass(frozen=True)
class Output:
    #: Id of the sink.
    step: str
    oxi: str
    path: Optional[str]
    format: Optional[str]
    #: Where the pipeline knows all of them.
    columns: Optional[tuple[Column, ...]]
    validations: tuple[Validation, ...]
    #: The path as it is written, with `${NAME}` for a parameter; None where it is the same.
    template: Optional[str] = None


@dataclass(frozen=True)
class DeadLetters:
    path: str
    max_records: int


@dataclass(frozen=True)
class Pipeline:
    name: str
    file: str
    description: Optional[str]
    author: Optional[str]
    version: Optional[str]
    category: Optional[str]
    tags: tuple[str, ...]
    inputs: tuple[Input, ...]
    outputs: tuple[Output, ...]
    dead_letters: Optional[DeadLetters]
    max_errors: Optional[str]
    parameters: tuple[Parameter, ...]
    resumable: bool
    plan_hash: str


@dataclass(frozen=True)
class Project:
    name: Optional[str]
    version: Optional[str]
    description: Optional[str]


@dataclass(frozen=True)
class Mistakes:
    pipeline: str
    file: str
    messages: tuple[str, ...]


@dataclass(frozen=True)
class Manifest:
    manifest_version: Literal[1]
    project: Project
    pipelines: tuple[Pipeline, ...]
    #: Pipelines that could not be described.
    errors: tuple[Mistakes, ...]


def load_manifest(manifest: ManifestLike | None, project: str | os.PathLike[str] | None = None) -> Manifest:
    """The manifest, its document, its file, or the one in the folder of `project`. Throws NoManifest."""
    if isinstance(manifest, Manifest):
        return manifest
    if isinstance(manifest, Mapping):
        return _read(manifest, "the manifest")
    if manifest is None:
        if project is None:
            raise NoManifest("name a project or a manifest")
        manifest = os.path.join(project, MANIFEST)
    path = os.fspath(manifest)
    where = os.fspath(project) if project is not None else os.path.dirname(path) or "."
    write = f"write it: oxiflow pipeline manifest --project {where} -o {path}"
    try:
        with open(path, encoding="utf-8") as file:
            document = json.load(file)
    except OSError as error:
        raise NoManifest(f"{path} can't be read ({error.strerror}); {write}") from error
    except ValueError as error:
        raise NoManifest(f"{path} is no JSON ({error}); {write}") from error
    return _read(document, path, write)


def _read(document: Any, what: str, write: str = "write it anew with oxiflow pipeline manifest") -> Manifest:
    try:
        return read(Manifest, document)
    except Misfit as error:
        raise NoManifest(f"{what} is no manifest that is known here: {error}; {write}") from None
