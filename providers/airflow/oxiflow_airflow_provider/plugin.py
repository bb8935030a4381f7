"""
The tab "Oxide Flow" on the page of a task instance (Airflow 3.1 and newer; older ones have no place for it and pass over it).
Every part of Airflow loads plugins, so nothing is imported here that only the API server needs.
"""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, cast

from airflow.plugins_manager import AirflowPlugin

from .provider_info import NAME

Message = MutableMapping[str, Any]
Application = Callable[
    [Message, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Awaitable[None]
]


@functools.cache
def _application() -> Application:
    from .tab import make_app

    return cast(Application, make_app())


async def application(
    scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
) -> None:
    """Made at the first request. Where Airflow has not what it needs to ask who is there, every request fails."""
    await _application()(scope, receive, send)


class OxiFlowPlugin(AirflowPlugin):
    name = "oxiflow"
    fastapi_apps = [{"app": application, "url_prefix": "/oxiflow", "name": NAME}]  # noqa: RUF012
    external_views = [  # noqa: RUF012
        {
            "name": NAME,
            # Without a slash at the start: Airflow may be served below a path. A task that is not mapped has no MAP_INDEX, and
            # the word stays as it is.
            "href": "oxiflow/tab?dag={DAG_ID}&run={RUN_ID}&task={TASK_ID}&map={MAP_INDEX}",
            "icon": "oxiflow/icon.svg",
            "icon_dark_mode": "oxiflow/icon-dark.svg",
            "destination": "task_instance",
            "url_route": "oxiflow",
        }
    ]
