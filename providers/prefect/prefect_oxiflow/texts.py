"""Texts that come from others, made fit for Prefect's pages, which take markdown, and for its keys."""

from __future__ import annotations

import hashlib
import os
import re
import string
from urllib.parse import quote

#: Of a text in an artifact, in characters.
LONGEST = 300
#: Of Prefect's keys of assets, in characters; signs that it does not take in them are replaced.
LONGEST_KEY = 512
NOT_IN_KEYS = re.compile(r"[\s\0#?&%\"'<>\[\]{}|\\^`]")
#: In markdown, each of them may mean something; behind a backslash it means itself.
SIGNS = {ord(sign): f"\\{sign}" for sign in string.punctuation}


def plain(text: object) -> str:
    """One line without control characters, of bounded length."""
    line = "".join(sign if sign.isprintable() else " " for sign in str(text))
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 1]}\u2026"


def escaped(text: object) -> str:
    """Markdown that reads as `text`, without links, pictures and markup."""
    return plain(text).translate(SIGNS)


def link_text(text: object) -> str:
    """Within a link there are no others; what is left of markup is escaped, and a plain path stays one on every page."""
    return re.sub(r"[\\\[\]()<>`*|!&~#{}]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])", r"\\\g<0>", plain(text))


def slug(name: str) -> str:
    """For the key of an artifact: lowercase letters, digits and dashes. A file's folder and ending are left out."""
    stem = re.sub(r"\.ya?ml$", "", os.path.basename(name))
    words = re.sub(r"[^a-z0-9]+", "-", stem.lower()).strip("-")[:80]
    return words or hashlib.sha256(name.encode()).hexdigest()[:12]


def address_of(to: str) -> str:
    """Of an output, for a link: a file's, or what already is one."""
    if os.path.isabs(to):
        return f"file://{quote(to)}"
    return quote(to, safe="/:")


def asset_key(to: str, pipeline: str) -> str:
    """Of an output, for Prefect's assets: the address of a file, or of a table beneath the pipeline."""
    if os.path.isabs(to):
        key = f"file://{to}"
    elif re.match(r"[a-z0-9]+://", to):
        key = to
    else:
        key = f"oxiflow://{pipeline}/{to}"
    fit = NOT_IN_KEYS.sub("_", key)
    if fit == key and len(fit) <= LONGEST_KEY:
        return fit
    # Two that were made fit stay two.
    return f"{fit[: LONGEST_KEY - 13]}-{hashlib.sha256(key.encode()).hexdigest()[:12]}"
