# SPDX-License-Identifier: GPL-2.0-only
"""The game in a browser: one page and one call, on 127.0.0.1 and for who knows the token.

The page is that of `replay --html` with moves in front of the lanes.  A move is a POST of JSON that
answers with the story so far.  Everything runs in the thread that made the session, between two
turns of the event loop: the engine is one, and a move takes some milliseconds.

Another page in the same browser can neither guess the token, which is in the path, nor send JSON
here without asking first, which is not answered.
"""

from __future__ import annotations

import json
import secrets
import socket
import sys
import webbrowser
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from mmsim import report
from mmsim.errors import UsageError
from mmsim.play.known import Known
from mmsim.play.session import Position, Session, goal_of
from mmsim.play.steering import UNTIL, Ask
from mmsim.report.page import POLICY, Cover, fill, story_data

HOST = "127.0.0.1"
MOST_BODY = 4_096
MOST_TIMES = 1_000_000
HEADERS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Resource-Policy": "same-origin",
}

Command = Callable[[str, bool], str]


class Table:
    """A session as what the page is told of it."""

    def __init__(self, session: Session, known: Known | None, command: Command) -> None:
        self._session = session
        self._known = known
        self._command = command

    def page(self) -> str:
        """The page, with the game as it stands."""
        variant = self._session.variant
        cover = Cover(variant.id, variant.summary, variant.scenario.title)
        policy = f"{POLICY}; connect-src 'self'"
        return fill(self.state(), cover, mode="play", script=("view.js", "play.js"), policy=policy)

    def move(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Do what the page asks for; the new state.  Raises UsageError for what makes no sense."""
        what = asked.get("do")
        session = self._session
        if what in ("undo", "redo"):
            times = _whole(asked.get("times", 1), 1, MOST_TIMES)
            (session.undo if what == "undo" else session.redo)(times)
        elif what == "show":
            if self._known is None:
                raise UsageError("no run that fails is known here")
            session.show(self._known.line)
        elif what in ("step", "run"):
            until = asked.get("until", "step")
            if until not in UNTIL:
                raise UsageError(f"until is one of {', '.join(UNTIL)}")
            ctx = _whole(asked.get("ctx"), -1, 10_000)
            session.ask(Ask(ctx, until, _whole(asked.get("times", 1), 1, MOST_TIMES)))
        else:
            raise UsageError("do is one of step, run, undo, redo, show")
        return self.state()

    def state(self) -> dict[str, Any]:
        """The story so far, and what a player has to know besides."""
        position = self._session.position
        extra = {s.who.id: s.stack for s in position.standing if s.stack}
        data = story_data(position.story, extra=extra)
        data["play"] = self._play(position)
        return data

    def _play(self, position: Position) -> dict[str, Any]:
        variant = self._session.variant
        found = position.findings[0] if position.findings else None
        line = self._command(position.line, found is not None)
        text = ""
        if found is not None:
            text = report.render(
                found,
                variant=variant,
                reproduce=line,
                lanes=report.lanes(position.story.events, position.story.focus or None),
                run={"engine": "play"},
            )
        return {
            "goal": goal_of(variant),
            "preemptions": position.preemptions,
            "known": None if self._known is None else self._known.preemptions,
            "over": position.over,
            "won": position.won,
            "title": "" if found is None else found.title,
            "report": text,
            "story": variant.scenario.story.strip() if position.won else "",
            "line": line,
            "actions": position.actions,
            "undone": position.undone,
            "contexts": [
                {
                    "id": s.who.id,
                    "state": s.state,
                    "reason": s.reason,
                    "next": s.next,
                    "fresh": s.fresh,
                    "preempts": s.preempts,
                }
                for s in position.standing
            ],
        }


def _whole(value: Any, least: int, most: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise UsageError(f"{str(value)[:20]!r} is no number from {least} to {most}")
    return value


def application(table: Table, token: str) -> Any:
    """The Starlette application: the page at /TOKEN/, moves at /TOKEN/move, else nothing."""
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import HTMLResponse, JSONResponse, Response
    from starlette.routing import Route

    def stranger(request: Request) -> bool:
        given = request.path_params["token"].encode()
        host = request.headers.get("host", "").partition(":")[0]
        return not secrets.compare_digest(given, token.encode()) or host not in (HOST, "localhost")

    async def page(request: Request) -> Response:
        if stranger(request):
            return Response("no such game\n", 404, HEADERS)
        return HTMLResponse(table.page(), headers=HEADERS)

    async def move(request: Request) -> Response:
        if stranger(request):
            return Response("no such game\n", 404, HEADERS)
        if request.headers.get("content-type") != "application/json":
            return Response("JSON, please\n", 415, HEADERS)
        length = request.headers.get("content-length", "")
        if not length.isdigit() or int(length) > MOST_BODY:
            return Response("too long\n", 413, HEADERS)
        try:
            asked = json.loads(await request.body())
            if not isinstance(asked, dict):
                raise UsageError("a move is an object")
            return JSONResponse(table.move(asked), headers=HEADERS)
        except ValueError:
            return JSONResponse({"error": "that is no JSON"}, 400, HEADERS)
        except UsageError as error:
            return JSONResponse({"error": str(error)}, 422, HEADERS)

    app = Starlette(
        routes=[
            Route("/{token}/", page, methods=["GET"]),
            Route("/{token}/move", move, methods=["POST"]),
        ]
    )
    app.router.redirect_slashes = False
    return app


def serve(session: Session, known: Known | None, command: Command, *, opens: bool = False) -> int:
    """Serve the game until Ctrl-C; the exit code."""
    import uvicorn

    token = secrets.token_urlsafe(18)
    app = application(Table(session, known, command), token)
    with socket.socket() as listener:
        listener.bind((HOST, 0))
        listener.listen()  # before anybody knows the address: a browser is quicker than uvicorn
        url = f"http://{HOST}:{listener.getsockname()[1]}/{token}/"
        print(f"{session.variant.id}: {goal_of(session.variant)}")
        print(url, flush=True)
        print("Ctrl-C ends the game.", file=sys.stderr, flush=True)
        if opens:
            webbrowser.open(url)
        config = uvicorn.Config(app, log_level="warning", access_log=False, lifespan="off")
        with suppress(KeyboardInterrupt):
            uvicorn.Server(config).run(sockets=[listener])
    return 0
