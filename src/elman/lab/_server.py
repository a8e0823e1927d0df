"""The server: routes, who may ask, and a connection a tab."""

from __future__ import annotations

import asyncio
import json
import resource
import secrets
import socket
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import uvicorn
from fastapi import FastAPI, WebSocket, WebSocketDisconnect
from fastapi.responses import FileResponse, JSONResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from elman._errors import ConfigError, ElmanError
from elman.cells.references import names
from elman.lab._asks import TYPED, Place, asks_of
from elman.lab._lesson import FOLDER, LESSONS, described
from elman.lab._own_cell import EXAMPLE
from elman.lab._protocol import (
    LONGEST_MESSAGE,
    AskMessage,
    BadMessage,
    Event,
    encode,
    error_event,
    read_message,
    read_settings,
    thinned,
)
from elman.lab._run import FOLLOW
from elman.lab._runs import folder_of, follow, listed
from elman.lab._supervisor import QueuedAsk, Supervisor

HOST = "127.0.0.1"
PORT = 8777
PAGE = Path(__file__).parent / "page"
CONNECTIONS = 32
"""Tabs at once."""
UNSENT = 512
"""Events that a tab may be behind before it is cut off."""
SLOW, FULL = 1013, 1013
"""Codes with which a socket is closed: try again later."""
TYPES = {
    ".css": "text/css",
    ".html": "text/html",
    ".js": "text/javascript",
    ".json": "application/json",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".txt": "text/plain",
    ".woff2": "font/woff2",
}
"""Files that are served, by their suffix; others are not there."""
ANEW = "open the address that `elman lab` printed, with its token"


def serve(
    runs: Sequence[Path] = (),
    *,
    port: int = PORT,
    directory: Path = Path("runs"),
    cell: str = "",
    code: bool = True,
    ready: Callable[[str], object] | None = None,
) -> None:
    """Serve the lab on the loopback address until Ctrl-C.

    Args:
        runs: run folders to show beside those of the directory.
        port: the port; 0 for a free one.
        directory: the folder of runs, where the sandbox trains.
        cell: the user's own cell as FILE.py:Class, which is executed.
        code: whether code may be typed into the page, which runs with the user's rights.
        ready: called with the address, once it can be opened.

    Raises:
        ConfigError: the port is taken.
    """
    with listening(port) as listener, suppress(KeyboardInterrupt):  # Ctrl-C is how a lab ends
        server(Place(directory, tuple(runs), cell, code), listener, ready).run([listener])


def server(
    place: Place, listener: socket.socket, ready: Callable[[str], object] | None = None
) -> uvicorn.Server:
    """The server of a lab with a new token, which runs on a socket that listens."""
    _allow_files()
    port, token = listener.getsockname()[1], secrets.token_urlsafe(24)
    return uvicorn.Server(
        uvicorn.Config(
            app(place, port, token, ready),
            log_level="error",
            ws="websockets-sansio",
            ws_max_size=LONGEST_MESSAGE,
            ws_per_message_deflate=False,
            server_header=False,
            timeout_graceful_shutdown=2,
            lifespan="on",
        )
    )


def listening(port: int) -> socket.socket:
    """A socket that listens on the loopback address.

    Raises:
        ConfigError: the port is taken.
    """
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
        listener.listen(128)  # so that the address can be opened as soon as it is printed
    except (OSError, OverflowError) as error:
        listener.close()
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(
            f"--port {port} cannot be used: {reason}: choose another, or 0 for a free one"
        ) from error
    return listener


def _allow_files() -> None:
    """As many open files as the system allows, so that idle connections use up none of ours."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = 65_536 if hard == resource.RLIM_INFINITY else min(hard, 65_536)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def app(
    place: Place, port: int, token: str, ready: Callable[[str], object] | None = None
) -> ASGIApp:
    """The application, behind its guard."""
    lab = _Lab(place)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        task = asyncio.create_task(lab.supervisor.run())
        if ready:
            ready(f"http://{HOST}:{port}/?token={token}")
        yield
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    api = FastAPI(lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)
    api.add_api_route("/", lab.index)
    api.add_api_route("/lessons", lab.lessons)
    api.add_api_route("/lessons/{slug}/{name:path}", lab.of_lesson)
    api.add_api_route("/runs", lab.runs)
    api.add_api_route("/lab", lab.facts)
    api.add_api_websocket_route("/socket", lab.socket)
    api.add_api_route("/{name:path}", lab.of_page)
    return _Guard(api, port, token)


class _Guard:
    """Lets only this lab's own page in: by host, by origin and by token."""

    def __init__(self, inner: ASGIApp, port: int, token: str) -> None:
        self._inner, self._port, self._token = inner, port, token
        self._hosts = {f"{host}:{port}" for host in (HOST, "localhost")}
        self._origins = {f"http://{host}" for host in self._hosts}
        self._cookie = f"elman-lab-{port}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._inner(scope, receive, send)
            return
        headers = {name.decode("latin-1"): v.decode("latin-1") for name, v in scope["headers"]}
        given = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]
        refusal = self._refusal(scope["type"], headers, given)
        if refusal:
            await _refused(scope, receive, send, refusal)
            return

        async def guarded(message: Any) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *self._headers(new=bool(given))]
            await send(message)

        await self._inner(scope, receive, guarded)

    def _refusal(self, kind: str, headers: dict[str, str], given: str) -> str:
        """Why a request is refused; "" if it is not."""
        if headers.get("host") not in self._hosts:
            return f"the host must be {HOST}:{self._port} or localhost:{self._port}: {ANEW}"
        origin = headers.get("origin")
        if origin not in self._origins and (kind == "websocket" or origin is not None):
            return f"the lab answers only its own page, not a page of another origin: {ANEW}"
        cookies = SimpleCookie()
        with suppress(Exception):  # a cookie of another program on this host may be malformed
            cookies.load(headers.get("cookie", ""))
        kept = cookies[self._cookie].value if self._cookie in cookies else ""
        if not any(secrets.compare_digest(t.encode(), self._token.encode()) for t in (given, kept)):
            return f"the token is missing or wrong: {ANEW}"
        return ""

    def _headers(self, *, new: bool) -> list[tuple[bytes, bytes]]:
        sockets = " ".join(f"ws://{host}" for host in sorted(self._hosts))
        policy = (
            f"default-src 'self'; connect-src 'self' {sockets}; img-src 'self' data: blob:; "
            "media-src 'self' data: blob:; base-uri 'none'; form-action 'none'; "
            "frame-ancestors 'none'; object-src 'none'"
        )
        headers = {
            "content-security-policy": policy,
            "cross-origin-opener-policy": "same-origin",
            "cross-origin-resource-policy": "same-origin",
            "referrer-policy": "no-referrer",
            "x-content-type-options": "nosniff",
            "cache-control": "no-store",
        }
        if new:
            headers["set-cookie"] = (
                f"{self._cookie}={self._token}; Path=/; HttpOnly; SameSite=Strict"
            )
        return [(name.encode(), value.encode()) for name, value in headers.items()]


async def _refused(scope: Scope, receive: Receive, send: Send, why: str) -> None:
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 1008, "reason": why[:120]})
        return
    await PlainTextResponse(why + "\n", status_code=403)(scope, receive, send)


class _Lab:
    """The routes."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._asks = asks_of(place)
        self._tabs: set[_Tab] = set()
        self.supervisor = Supervisor(place, self._announce)

    def _announce(self, event: Event) -> None:
        for tab in self._tabs:
            tab.send(event)

    async def index(self) -> Response:
        return self._file(PAGE, "index.html")

    async def of_page(self, name: str) -> Response:
        return self._file(PAGE, name)

    async def of_lesson(self, slug: str, name: str) -> Response:
        if slug not in dict(LESSONS):
            return PlainTextResponse("no such lesson\n", status_code=404)
        return self._file(FOLDER / slug, name)

    async def lessons(self) -> Response:
        return JSONResponse([described(slug) for slug, _ in LESSONS])

    async def runs(self) -> Response:
        runs = await asyncio.to_thread(listed, self._place)
        return JSONResponse(json.loads(encode({"runs": runs}))["runs"])

    async def facts(self) -> Response:
        place = self._place
        return JSONResponse(
            {
                "code": place.code,
                "cell": place.cell,
                "cells": names(),
                "example": EXAMPLE,
                "asks": {n: ask.settings.model_json_schema() for n, ask in self._asks.items()},
            }
        )

    def _file(self, folder: Path, name: str) -> Response:
        if not name.isprintable():
            return PlainTextResponse("no such file\n", status_code=404)
        file = (folder / name).resolve()
        inside = file.is_relative_to(folder.resolve())
        if not inside or file.suffix not in TYPES or not file.is_file():
            return PlainTextResponse("no such file\n", status_code=404)
        return FileResponse(file, media_type=TYPES[file.suffix])

    async def socket(self, socket: WebSocket) -> None:
        await socket.accept()
        if len(self._tabs) >= CONNECTIONS:
            await socket.close(FULL, f"the lab is open in {CONNECTIONS} tabs: close some")
            return
        tab = _Tab(socket)
        self._tabs.add(tab)
        tab.send(self.supervisor.state)
        sender = asyncio.create_task(tab.deliver())
        try:
            while True:
                self._receive(tab, await socket.receive_text())
        except (WebSocketDisconnect, KeyError, RuntimeError):  # closed, or sent bytes
            pass
        finally:
            self._tabs.discard(tab)
            self.supervisor.stop(tab)
            tab.end()
            sender.cancel()
            with suppress(RuntimeError):
                await socket.close()

    def _receive(self, tab: _Tab, text: str) -> None:
        try:
            message = read_message(text)
        except BadMessage as error:
            tab.send({"of": error.of, "event": "error", "message": str(error), "where": ""})
            return
        if not isinstance(message, AskMessage):
            self.supervisor.stop(tab, message.id)
            tab.end(message.id)
            return
        job = QueuedAsk(tab, message.id, message.name, message.settings, tab.send)
        ask = self._asks.get(message.name)
        if ask is None:
            off = message.name.startswith(TYPED) and not self._place.code
            job.fail(
                "typed code is turned off: start the lab without --no-code"
                if off
                else f"unknown ask {message.name!r}: reload the page"
            )
            return
        checked = read_settings(ask.settings, message.settings)
        if isinstance(checked, list):
            job.tell(error_event(checked))
            return
        if ask.name == FOLLOW:
            tab.begin(job, self._follow(job))
        else:
            self.supervisor.submit(job)

    async def _follow(self, job: QueuedAsk) -> None:
        """Answer a page that follows a run, beside the queue."""
        try:
            path = folder_of(str(job.settings["run"]), self._place)
            async for event in follow(path):
                job.tell(json.loads(encode(thinned(event))))
            job.tell({"event": "end"})
        except (ElmanError, OSError) as error:
            job.fail(str(error))
        except asyncio.CancelledError:
            job.tell({"event": "stopped"})
            raise


class _Tab:
    """A connection: the events that it has not been sent yet, and the runs that it follows."""

    def __init__(self, socket: WebSocket) -> None:
        self._socket = socket
        self._following: dict[int, asyncio.Task[None]] = {}
        self._unsent: asyncio.Queue[str] = asyncio.Queue(UNSENT)

    def send(self, event: Event) -> None:
        """Send an event soon; a tab that does not read is cut off."""
        try:
            self._unsent.put_nowait(json.dumps(event))
        except asyncio.QueueFull:
            asyncio.get_running_loop().create_task(self._cut())

    def begin(self, job: QueuedAsk, work: Coroutine[Any, Any, None]) -> None:
        """Follow a run, and no other run."""
        self.end()
        self._following = {job.of: asyncio.get_running_loop().create_task(work)}

    def end(self, of: int | None = None) -> None:
        """No longer follow a run."""
        for id_, task in self._following.items():
            if of in (None, id_):
                task.cancel()

    async def deliver(self) -> None:
        """Send what there is to send, until canceled."""
        with suppress(WebSocketDisconnect, RuntimeError):
            while True:
                await self._socket.send_text(await self._unsent.get())

    async def _cut(self) -> None:
        with suppress(RuntimeError):
            await self._socket.close(SLOW, "this tab reads too slowly: reload it")
