"""Airflow's connections as variables of the runner. They are read when the task runs, and are in nothing that Airflow shows."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from .compat import AirflowFailException, BaseHook, mask_secret, sensitive_names

#: What may stand behind `#` in conn_env, beside a field of the connection's extra.
PARTS = ("login", "password", "host", "port", "schema", "uri")
#: Those that would be struck out of words that have nothing to do with them.
OPEN_PARTS = ("login", "host", "port", "schema")
#: Fields of an extra that hold secrets, by parts of their names, beside those that Airflow's own settings name.
SECRET_FIELDS = (
    *("password", "passwd", "passphrase", "secret", "token", "key", "auth", "bearer", "credential", "signature"),
    *("connection_string", "dsn", "proxy", "proxies", "service_account"),
)
#: An address with a password in it.
WITH_PASSWORD = re.compile(r"://[^/?#\s]*:[^/?#\s]*@")
#: Where the scheme of the address is not the connection's type.
SCHEMES = {"mongo": "mongodb"}


def connection_variables(conn_env: Mapping[str, str]) -> dict[str, str]:
    """`{'PG_URL': 'my_postgres', 'TOKEN': 'my_api#password'}`: the whole address, or one part. Throws for one that is missing."""
    return {name: value_of(name, spec) for name, spec in conn_env.items()}


def value_of(name: str, spec: str) -> str:
    conn_id, _, part = spec.partition("#")
    connection = BaseHook.get_connection(conn_id)
    value = part_of(connection, part or "uri")
    if value is None:
        raise AirflowFailException(f"conn_env: {name} asks for {part!r} of connection {conn_id!r}, which has none")
    if is_secret(part or "uri", value):
        mask_secret(value)
    if connection.password:
        # As it stands in an address.
        mask_secret(quote(connection.password, safe=""))
    return value


def is_secret(part: str, value: str) -> bool:
    if part in OPEN_PARTS:
        return False
    if part in PARTS:
        return True
    return any(word in part.lower() for word in (*SECRET_FIELDS, *sensitive_names())) or bool(
        WITH_PASSWORD.search(value)
    )


def part_of(connection: Any, part: str) -> str | None:
    if part == "uri":
        return uri_of(connection)
    value = getattr(connection, part) if part in PARTS else connection.extra_dejson.get(part)
    return None if value is None else str(value)


def uri_of(connection: Any) -> str:
    uri = str(connection.get_uri())
    scheme, mark, rest = uri.partition("://")
    return f"{SCHEMES.get(scheme, scheme)}{mark}{rest}"
