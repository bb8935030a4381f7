"""Which pipelines of a project, and in which order: the ones whose output another one reads come first."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence, Set
from fnmatch import fnmatchcase
from graphlib import CycleError, TopologicalSorter

import dagster as dg

from .manifest import Manifest, Output, Pipeline
from .partitions import REFERENCE

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


#: In the name of a file that is a part of an output.
PART = re.compile(r"-\d{5,}-of-\d{5,}(?=(?:\.[^/.]+){0,2}$)")
Upstream = dict[str, list[tuple[Pipeline, Output]]]


def upstream_of(manifest: Manifest, of_partition: Mapping[str, str]) -> Upstream:
    """
    By name of a pipeline: outputs of others that it reads. Paths are compared as they are by the defaults of the parameters, and
    as they are for one partition: `of_partition` says what a parameter is of it, whatever its default.
    """
    made: dict[str, list[tuple[Pipeline, Output]]] = {}
    for pipeline in manifest.pipelines:
        for output in pipeline.outputs:
            for path in _ways(pipeline, output.path, output.template, of_partition):
                made.setdefault(path, []).append((pipeline, output))
    parts = {path: _part_of(path) for path in made}
    found: Upstream = {}
    for pipeline in manifest.pipelines:
        reads = [
            one
            for source in pipeline.inputs
            for path, template in zip(source.paths, source.templates or source.paths, strict=True)
            for way in _ways(pipeline, path, template, of_partition)
            for one in _written(made, parts, way)
        ]
        found[pipeline.name] = [one for one in dict.fromkeys(reads) if one[0].name != pipeline.name]
    return found


def _ways(pipeline: Pipeline, path: str | None, template: str | None, of_partition: Mapping[str, str]) -> Sequence[str]:
    """The path as it is by the defaults, and as it is for a partition; None is no file."""
    if path is None:
        return ()
    template = path if template is None else template
    if "${" not in template:
        return (path,)
    known = {parameter.name: parameter.default for parameter in pipeline.parameters}

    def given(reference: re.Match[str]) -> str:
        name = reference[1]
        if name in known and name in of_partition:
            return f"${{partition {of_partition[name]}}}"
        return reference[0] if known.get(name) is None else str(known[name])

    return tuple(dict.fromkeys((path, REFERENCE.sub(given, template))))


def in_order(pipelines: Sequence[Pipeline], needs: Mapping[str, Set[str]]) -> list[Pipeline]:
    """Each behind those of them that it needs, by name. Throws DagsterInvalidDefinitionError where they go in a circle."""
    by_name = {pipeline.name: pipeline for pipeline in pipelines}
    graph = {name: needs[name] & by_name.keys() - {name} for name in by_name}
    try:
        return [by_name[name] for name in TopologicalSorter(graph).static_order()]
    except CycleError as error:
        circle = " -> ".join(reversed(error.args[1]))
        raise dg.DagsterInvalidDefinitionError(f"these pipelines read one another's output: {circle}") from None


def _written(
    made: Mapping[str, list[tuple[Pipeline, Output]]], parts: Mapping[str, str], path: str
) -> list[tuple[Pipeline, Output]]:
    """What is written where `path`, which may be a pattern, looks; `parts`: the name of a part of each output."""
    whole = PART.sub("", path)
    if whole in made:
        return made[whole]
    if not re.search(r"[*?\[{]", path.replace("${", "")):
        return []
    pattern = _regex(path)
    return [
        one
        for output, ones in made.items()
        if pattern.fullmatch(output) or pattern.fullmatch(parts[output])
        for one in ones
    ]


def _part_of(path: str) -> str:
    """The name of a part of the output, where several workers make it: its number is in front of the endings."""
    packing = re.search(r"(?<=[^/])\.(?:gz|zst)$", path, re.IGNORECASE)
    plain, last = (path, "") if packing is None else (path[: packing.start()], packing[0])
    ending = re.search(r"(?<=[^/])\.[^/.]+$", plain)
    stem, middle = (plain, "") if ending is None else (plain[: ending.start()], ending[0])
    return f"{stem}-00000-of-00001{middle}{last}"


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
