"""
The files of the tab, to whoever may use Airflow's website. They hold nothing of any run: the page asks Airflow's REST API, in the
name of the user whose session it is in, so that Airflow alone decides what may be seen.
"""

from __future__ import annotations

from pathlib import Path

from airflow.api_fastapi.auth.managers.models.resource_details import AccessView
from airflow.api_fastapi.core_api.security import requires_access_view
from fastapi import Depends, FastAPI, HTTPException
from fastapi.responses import FileResponse

PAGE = Path(__file__).with_name("page")
#: All that is served, by its name in the address.
FILES = {
    "tab": ("tab.html", "text/html"),
    "tab.css": ("tab.css", "text/css"),
    **{
        name: (name, "text/javascript")
        for name in ("tab.js", "ask.js", "chart.js", "elements.js", "format.js", "tables.js", "view.js")
    },
    "icon.svg": ("icon.svg", "image/svg+xml"),
    "icon-dark.svg": ("icon-dark.svg", "image/svg+xml"),
}
HEADERS = {
    # Its own files and Airflow's API, nothing inline, nothing of others, and only in a frame of Airflow itself.
    "Content-Security-Policy": "; ".join(
        (
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "connect-src 'self'",
            "img-src 'self'",
            "frame-ancestors 'self'",
            "base-uri 'none'",
            "form-action 'none'",
        )
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    # A newer provider brings newer files, which must not meet older ones.
    "Cache-Control": "no-cache",
}


def make_app() -> FastAPI:
    app = FastAPI(
        # Anybody could read these.
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        dependencies=[Depends(requires_access_view(AccessView.WEBSITE))],
    )

    @app.get("/{name}")
    def file(name: str) -> FileResponse:
        if name not in FILES:
            raise HTTPException(404, "the tab of Oxide Flow has no such file")
        path, media_type = FILES[name]
        return FileResponse(PAGE / path, media_type=media_type, headers=HEADERS)

    return app
