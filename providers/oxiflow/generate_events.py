"""Writes oxiflow/events.py anew from the runner's JSON Schemas; run it after a change to them."""

from __future__ import annotations

import json
import keyword
import re
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
SCHEMAS = HERE / "../../runner/observe/schemas"
TARGET = HERE / "oxiflow/events.py"

HEAD = '''"""
The events of the runner, version 1, made by generate_events.py from its JSON Schemas: change those, not this file.
Counts are over all attempts where nothing else is said. Fields that may be absent are None then.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal, Optional, Union

from .fields import AtLeast, Between, Matches, MoreThan


'''

#: What every line begins with, in the order of the schemas.
ENVELOPE = ["v", "ts", "seq", "type", "run_key", "run_id", "attempt", "worker_id", "pipeline"]


def class_name(text: str) -> str:
    return "".join(part.capitalize() for part in re.split(r"[._]", text))


def number(schema: dict[str, Any]) -> str:
    kind = {"integer": "int", "number": "float"}[schema["type"]]
    low, high = schema.get("minimum"), schema.get("maximum")
    if high == 2**53 - 1:
        high = None
    if "exclusiveMinimum" in schema and low is None and high is None:
        return f"Annotated[{kind}, MoreThan({schema['exclusiveMinimum']})]"
    if low is not None and high is not None:
        return f"Annotated[{kind}, Between({low}, {high})]"
    if low is not None:
        return f"Annotated[{kind}, AtLeast({low})]"
    return kind


def annotation(schema: dict[str, Any], where: str) -> str:
    if "$ref" in schema:
        return class_name(schema["$ref"].rpartition("/")[2])
    if "anyOf" in schema:
        (one,) = [option for option in schema["anyOf"] if option.get("type") != "null"]
        return f"Optional[{annotation(one, where)}]"
    if "const" in schema:
        return f"Literal[{json.dumps(schema['const'])}]"
    if "enum" in schema:
        return f"Literal[{', '.join(json.dumps(value) for value in schema['enum'])}]"
    if schema["type"] == "array":
        return f"tuple[{annotation(schema['items'], where)}, ...]"
    if schema["type"] == "string":
        return f'Annotated[str, Matches(r"{schema["pattern"]}")]' if "pattern" in schema else "str"
    if schema["type"] in ("integer", "number"):
        return number(schema)
    if schema["type"] == "boolean":
        return "bool"
    raise ValueError(f"{where}: an object in an object needs an id in event-schemas.ts")


def comment(text: str) -> list[str]:
    lines: list[str] = []
    for word in text.split():
        if lines and len(lines[-1]) + len(word) < 112:
            lines[-1] += f" {word}"
        else:
            lines.append(f"    #: {word}")
    return lines


def fields(properties: dict[str, Any], required: list[str], where: str) -> list[str]:
    """Those that may be absent come last, as dataclasses want it."""
    lines: list[str] = []
    for name in sorted(properties, key=lambda name: name not in required):
        schema = properties[name]
        if "description" in schema:
            lines += comment(schema["description"])
        kind = annotation(schema, f"{where}.{name}")
        python_name = f"{name}_" if keyword.iskeyword(name) else name
        lines.append(
            f"    {python_name}: {kind}" if name in required else f"    {python_name}: Optional[{kind}] = None"
        )
    return lines


def definition(name: str, base: str, schema: dict[str, Any], body: list[str]) -> str:
    text = schema.get("description", "")
    head = ["@dataclass(frozen=True)", f"class {name}{base}:"]
    if text:
        head += [f'    """{text}"""', ""]
    return "\n".join([*head, *body]) + "\n"


def source() -> str:
    union = json.loads((SCHEMAS / "event.json").read_text())
    lines = union["anyOf"]
    pieces: list[str] = []

    # What others refer to comes first.
    done: set[str] = set()

    def put(name: str) -> None:
        if name in done:
            return
        done.add(name)
        schema = union["$defs"][name]
        for used in re.findall(r'"#/\$defs/(\w+)"', json.dumps(schema)):
            put(used)
        pieces.append(definition(class_name(name), "", schema, fields(schema["properties"], schema["required"], name)))

    for name in union["$defs"]:
        put(name)

    first = lines[0]["properties"]
    head = {name: first[name] for name in ENVELOPE if name != "type"}
    envelope = {"description": "What every event tells. (run_id, attempt, seq) is unique; a gap in seq is lines lost."}
    pieces.append(definition("Envelope", "", envelope, ['    type: ClassVar[str] = ""', *fields(head, ENVELOPE, "")]))
    names = []
    for schema in lines:
        type_name = schema["properties"]["type"]["const"]
        names.append((type_name, class_name(type_name)))
        own = {name: value for name, value in schema["properties"].items() if name not in ENVELOPE}
        body = [f"    type: ClassVar[str] = {json.dumps(type_name)}", *fields(own, schema["required"], type_name)]
        pieces.append(definition(class_name(type_name), "(Envelope)", schema, body))
    classes = [name for _, name in names]
    pieces.append("Event = Union[\n" + "".join(f"    {name},\n" for name in classes) + "]\n")
    table = "".join(f'    "{type_name}": {name},\n' for type_name, name in names)
    pieces[-1] += "\n#: The class of each type.\nEVENTS: dict[str, type[Event]] = {\n" + table + "}\n"
    return HEAD + "\n\n".join(pieces)


if __name__ == "__main__":
    TARGET.write_text(source())
