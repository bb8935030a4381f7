"""
Shows a run in Prefect while it goes on, and learns from there when to stop it: all in a thread of its own, because a server that
is slow or away must not hold the run up. What Prefect can't take at the moment never harms the run.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from contextvars import copy_context
from functools import partial
from typing import Any
from uuid import UUID

from httpx import HTTPStatusError, codes
from oxiflow.documents import CheckpointDocument, RunDocument
from oxiflow.events import Event
from oxiflow.live import Live
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import ArtifactCreate, ArtifactUpdate
from prefect.events import emit_event

from oxiflow import Result

from .figures import checkpoint_rows, links, oxi_rows, percent, progress_text, summary_text
from .identity import Place
from .news import News, Piece
from .pace import Pace
from .stopping import Stopping
from .texts import escaped, slug

#: Between two updates, in seconds, at first and at last: of the progress, and of the tables.
PROGRESS, LONGEST_PROGRESS = 2.0, 10.0
TABLES, LONGEST_TABLES = 30.0, 60.0
#: Between two looks at what is to be told.
TICK = 1.0
#: What the last words to Prefect may take, in seconds: at the end of a run, and of one that was stopped.
AT_THE_END = 30.0
STOPPED = 5.0


class Surface:
    def __init__(
        self, live: Live, news: News, place: Place, log: Any, *, pipeline: str, part: tuple[int, int] | None
    ) -> None:
        self._live = live
        self._news = news
        self._place = place
        self._log = log
        self._title = pipeline if part is None else f"{pipeline}, part {part[0]} of {part[1]}"
        self._keys = f"oxiflow-{slug(pipeline)}" + ("" if part is None else f"-{part[0]}-of-{part[1]}")
        self._stopping = Stopping(place)
        #: Live and news are told of by one thread and read by another.
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._thread: threading.Thread | None = None
        self._client: SyncPrefectClient | None = None
        self._artifacts: dict[str, UUID] = {}
        self._shown: dict[str, Any] = {}
        self._last: list[Piece] = []
        self._shared = part is not None
        #: It is the report of a run that had finished before.
        self._repeated = False
        self._progress = Pace(PROGRESS, LONGEST_PROGRESS)
        self._tables = Pace(TABLES, LONGEST_TABLES)
        self._failed = False

    @property
    def stopped_by(self) -> str | None:
        """The state of the flow run for which this has stopped the run."""
        return self._stopping.stopped_by

    def start(self, stop: Callable[[], None]) -> None:
        # In the context of the task: events belong to it, and the client is its own.
        work = copy_context().run
        self._thread = threading.Thread(target=work, args=(self._work, stop), name="oxiflow", daemon=True)
        self._thread.start()

    def observe(self, event: Event) -> None:
        with self._lock:
            self._live.observe(event)
            self._news.observe(event)

    def end(self, result: Result, error: str | None, now: str) -> None:
        """Shows how it ended."""
        with self._lock:
            self._live.ended(result, error, now)
            self._last = self._news.last(result, error)
        self._repeated = result.succeeded and result.started is None
        within = AT_THE_END if result.succeeded else STOPPED
        self._over.set()
        if self._thread is not None:
            self._thread.join(within)
            if self._thread.is_alive():
                self._log.warning("Prefect does not answer: its page does not show how the run has ended")

    def _work(self, stop: Callable[[], None]) -> None:
        self._try(self._open)
        while not self._over.is_set():
            self._try(self._show)
            self._try(partial(self._stopping.look, self._client, stop))
            self._over.wait(TICK)
        self._try(self._show_the_end)

    def _open(self) -> None:
        self._client = get_client(sync_client=True)

    def _show(self) -> None:
        with self._lock:
            news = self._news.take()
        if news:
            self._emit(news)
        if self._progress.due():
            self._progress.told()
            run, checkpoints = self._documents()
            self._put_progress(run, checkpoints)
            if run["oxis"] and self._tables.due():
                self._tables.told()
                self._put_tables(run, checkpoints)

    def _show_the_end(self) -> None:
        self._emit(self._last)
        run, checkpoints = self._documents()
        if self._shared and self._repeated:
            self._try(partial(self._warn_of_a_repeat, run))
        # Where one is not taken, the others are.
        self._try(partial(self._put_progress, run, checkpoints))
        self._try(partial(self._put_tables, run, checkpoints))
        said = summary_text(run, checkpoints)
        self._try(partial(self._put, "summary", "markdown", said, self._about("summary"), request=request_of(run)))
        for number, link in enumerate(links(run), 1):
            self._try(partial(self._put, f"output-{number}", "markdown", link, self._about(f"output {number}")))

    def _warn_of_a_repeat(self, run: RunDocument) -> None:
        """
        A part that comes late, and one that is tried again, find the run finished as they should. Not so where another task run
        has told the same part of the same request: the flow run asks for it a second time, and may think that it is done anew.
        """
        if self._client is None or self._place.flow_run_id is None:
            return
        wanted = {"flow_run_id": {"any_": [str(self._place.flow_run_id)]}, "key": {"any_": [f"{self._keys}-summary"]}}
        task_run = str(self._place.task_run_id)
        found = self._client.request(
            "POST", "/artifacts/filter", json={"artifacts": wanted, "sort": "CREATED_DESC"}
        ).json()
        if any(one["metadata_"] == request_of(run) and one["task_run_id"] != task_run for one in found):
            self._log.warning(
                "nothing was done: this flow run has already called %s with the same params, and that run has finished; this is "
                "its report. For another run, give the call a run_key of its own",
                self._title,
            )

    def _documents(self) -> tuple[RunDocument, list[CheckpointDocument]]:
        with self._lock:
            return self._live.run(), self._live.checkpoints()

    def _put_progress(self, run: RunDocument, checkpoints: list[CheckpointDocument]) -> None:
        said = progress_text(run, checkpoints, self._title)
        self._put("progress", "progress", percent(run, checkpoints), said, live=True)

    def _put_tables(self, run: RunDocument, checkpoints: list[CheckpointDocument]) -> None:
        if run["oxis"]:
            self._put("oxis", "table", oxi_rows(run), self._about("what each step did"))
        if checkpoints:
            self._put("checkpoints", "table", checkpoint_rows(checkpoints), self._about("checkpoints"))

    def _about(self, what: str) -> str:
        return f"{escaped(self._title)}: {what}"

    def _put(
        self,
        name: str,
        kind: str,
        data: Any,
        description: str,
        live: bool = False,
        request: dict[str, str] | None = None,
    ) -> None:
        """Makes the artifact, or brings it up to date. `live`: the description changes, too."""
        said = (data, description if live else None)
        if self._client is None or self._shown.get(name) == said:
            return
        known = self._artifacts.get(name)
        update = ArtifactUpdate(data=data, description=description) if live else ArtifactUpdate(data=data)
        if known is None or not updated(self._client, known, update, quietly=not self._over.is_set()):
            made = self._client.create_artifact(
                ArtifactCreate(
                    key=f"{self._keys}-{name}",
                    type=kind,
                    description=description,
                    data=data,
                    flow_run_id=self._place.flow_run_id,
                    task_run_id=self._place.task_run_id,
                    **({} if request is None else {"metadata_": request}),
                )
            )
            self._artifacts[name] = made.id
        self._shown[name] = said

    def _emit(self, news: Iterable[Piece]) -> None:
        run_id = self._live.run_id or "unknown"
        related = {"flow-run": self._place.flow_run_id, "task-run": self._place.task_run_id}
        for piece in news:
            emit_event(
                event=piece.name,
                resource={
                    "prefect.resource.id": f"oxiflow.run.{run_id}",
                    "prefect.resource.name": piece.labels["oxiflow.pipeline"],
                    **piece.labels,
                },
                related=[
                    {"prefect.resource.id": f"prefect.{role}.{id}", "prefect.resource.role": role}
                    for role, id in related.items()
                    if id is not None
                ],
                payload=piece.payload,
            )

    def _try(self, what: Callable[[], None]) -> None:
        try:
            what()
        except Exception as error:
            # Whatever Prefect's side throws: the run is worth more than its picture.
            if not self._failed:
                self._failed = True
                self._log.warning("Prefect does not take what is shown of the run: %s", error)


def request_of(run: RunDocument) -> dict[str, str]:
    """Names it, for other task runs to find."""
    return {"oxiflow.run-key": run["run_key"], "oxiflow.invocation": run["invocation"]}


def updated(client: SyncPrefectClient, artifact: UUID, update: ArtifactUpdate, quietly: bool) -> bool:
    """Whether it was still there: somebody may have deleted it. `quietly`: without the event that Prefect has for each update."""
    try:
        if quietly:
            said = update.model_dump(mode="json", exclude_unset=True)
            client.request("PATCH", "/artifacts/{id}", path_params={"id": artifact}, json=said)
        else:
            client.update_artifact(artifact, update)
    except HTTPStatusError as error:
        if error.response.status_code == codes.NOT_FOUND:
            return False
        raise
    return True
