"""Which pipelines of a project, and in which order: the ones whose output another one reads come first."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fnmatch import fnmatchcase
from graphlib import CycleError, TopologicalSorter

import dagster as dg

from .manifest import Manifest, Output, Pipeline

Words = str | Sequence[str] | None


def select_pipelines(manifest: Manifest, select: Words = None, exclude: Words = None) -> list[Pipeline]:
    """
    In the order of the manifest. A word is a name (`rides`, `rides_*`), `tag:nightly`, `category:bikes` or `file:pipelines/b/*`;
    several ask for all of them together. Throws DagsterInvalidDefinitionError for a word that nothing answers to.
    """
    wanted = _matching(manifest, select, "select")
    unwanted = _matching(manifest, exclude, "exclude")
    chosen = set(wanted) if select is not None else {pipeline.name for pipeline in manifest.pipelines}
    return [pipeline for pipeline in manifest.pipelines if pipeline.name in chosen and pipeline.name not in unwanted]


def _matching(manifest: Manifest, words: Words, what: str) -> set[str]:
    found: set[str] = set()
    for word in words.split() if isinstance(words, str) else words or ():
        names = {pipeline.name for pipeline in manifest.pipelines if _answers(pipeline, word)}
        if not names:
            broken = next((one for one in manifest.errors if one.pipeline == word), None)
            why = "" if broken is None else f"; {broken.file} has mistakes: {'; '.join(broken.messages)}"
            raise dg.DagsterInvalidDefinitionError(f'{what}: no pipeline answers to "{word}"{why}')
        found |= names
    return found


def _answers(pipeline: Pipeline, word: str) -> bool:
    kind, _, rest = word.partition(":")
    if kind == "tag" and rest:
        return any(fnmatchcase(tag, rest) for tag in pipeline.tags)
    if kind == "category" and rest:
        return fnmatchcase(pipeline.category or "", rest)
    if kind == "file" and rest:
        return fnmatchcase(pipeline.file, rest)
    return fnmatchcase(pipeline.name, word)


Upstream = dict[str, list[tuple[Pipeline, Output]]]


def upstream_of(manifest: Manifest) -> Upstream:
    """By name of a pipeline: outputs of others that it reads. Throws DagsterInvalidDefinitionError where they go in a circle."""
    made: dict[str, list[tuple[Pipeline, Output]]] = {}
    for pipeline in manifest.pipelines:
        for output in pipeline.outputs:
            if output.path is not None:
                made.setdefault(output.path, []).append((pipeline, output))
    found: Upstream = {}
    for pipeline in manifest.pipelines:
        reads = [one for source in pipeline.inputs for path in source.paths for one in _written(made, path)]
        found[pipeline.name] = [one for one in dict.fromkeys(reads) if one[0].name != pipeline.name]
    try:
        TopologicalSorter({name: {one.name for one, _ in reads} for name, reads in found.items()}).prepare()
    except CycleError as error:
        circle = " -> ".join(reversed(error.args[1]))
        raise dg.DagsterInvalidDefinitionError(f"these pipelines read one another's output: {circle}") from None
    return found


def in_order(pipelines: Sequence[Pipeline], upstream: Upstream) -> list[Pipeline]:
    """Each behind those whose output it reads."""
    by_name = {pipeline.name: pipeline for pipeline in pipelines}
    graph = {name: {one.name for one, _ in upstream[name] if one.name in by_name} for name in by_name}
    return [by_name[name] for name in TopologicalSorter(graph).static_order()]


def _written(made: dict[str, list[tuple[Pipeline, Output]]], path: str) -> list[tuple[Pipeline, Output]]:
    if path in made:
        return made[path]
    if not re.search(r"[*?\[{]", path.replace("${", "")):
        return []
    pattern = _regex(path)
    return [one for output, ones in made.items() if pattern.fullmatch(output) for one in ones]


def _regex(glob: str) -> re.Pattern[str]:
    """As the runner's sources match files: `*` and `?` within a folder, `**` over folders, `{a,b}` either."""
    words = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]", "{": "(?:", "}": ")", ",": "|"}
    depth = 0
    parts: list[str] = []
    for piece in re.findall(r"\$\{[^}]*\}|\*\*/|\*\*|\[[^\]/]+\]|.", glob, re.DOTALL):
        depth += (piece == "{") - (piece == "}" and depth > 0)
        if piece == "," and depth == 0:
            parts.append(",")
        elif piece in words and not (piece == "}" and depth < 0):
            parts.append(words[piece])
        elif len(piece) > 1 and piece.startswith("["):
            parts.append(piece.replace("[!", "[^").replace("\\", "\\\\"))
        else:
            parts.append(re.escape(piece))
    try:
        return re.compile("".join(parts))
    except re.error:
        return re.compile(re.escape(glob))
