"""The server of the page: four addresses, none of which opens a file."""

import asyncio
import json
import socket
from importlib.resources import files
from typing import Any

from .._extras import import_extra
from ..plots import AssembledPage, assemble_page, to_steps
from ._guard import Guard, TooLargeError
from ._session import ActionError, Session

# How long an answer waits for something new, in seconds.
PATIENCE = 20.0
PAUSE = 0.1
MOST_CONNECTIONS = 64


def make_app(session: Session, *, token: str, port: int) -> Any:
    """Make the application: the page, and what it asks for.

    session (Session): The session, which is running.
    token (str): The secret part of the address.
    port (int): The port that the server listens on.
    RETURNS (Any): An ASGI application.
    RAISES (ImportError): Without starlette. The message names the extra.
    """
    need = "The page of `label` needs starlette and uvicorn"
    applications = import_extra("starlette.applications", need, extra="label")
    concurrency = import_extra("starlette.concurrency", need, extra="label")
    responses = import_extra("starlette.responses", need, extra="label")
    routing = import_extra("starlette.routing", need, extra="label")
    page = make_page(session)

    def show(request: Any) -> Any:
        policy = f"{page.policy}; frame-ancestors 'none'"
        return responses.HTMLResponse(page.html, headers={"content-security-policy": policy})

    def answer(content: Any, status: int = 200) -> Any:
        # ASCII, because half of a pair of surrogates cannot be written in UTF-8.
        text = json.dumps(content, separators=(",", ":"), allow_nan=False)
        return responses.Response(text, status, media_type="application/json")

    def refuse(error: Exception, status: int) -> Any:
        return answer({"error": str(error)}, status)

    async def read(request: Any) -> dict[str, Any]:
        if request.headers.get("content-type", "").split(";")[0] != "application/json":
            raise ActionError("The request is not JSON.")
        try:
            content = json.loads(await request.body())
        except (ValueError, RecursionError):
            raise ActionError("The request is not JSON.") from None
        if not isinstance(content, dict):
            raise ActionError("The request is no object.")
        rows = content.get("rows", [])
        if not isinstance(rows, list):
            raise ActionError("The rows are no list.")
        return content

    async def change(request: Any) -> Any:
        try:
            asked = await read(request)
            do, label, rows = asked.get("do"), asked.get("label", ""), asked.get("rows", [])
            since = asked.get("learned", -1)
            await concurrency.run_in_threadpool(session.act, do, label, rows)
            state = session.state(learned_since=since if type(since) is int else -1)
            return answer(state)
        except ActionError as error:
            return refuse(error, 400)
        except TooLargeError:
            return refuse(ActionError("The request is too large."), 413)
        except OSError as error:
            return refuse(error, 507)

    async def compare(request: Any) -> Any:
        try:
            rows = (await read(request)).get("rows", [])
            return answer(await concurrency.run_in_threadpool(session.agreement, rows))
        except ActionError as error:
            return refuse(error, 400)
        except TooLargeError:
            return refuse(ActionError("The request is too large."), 413)

    async def follow(request: Any) -> Any:
        try:
            version = int(request.query_params.get("version", -1))
            learned = int(request.query_params.get("learned", -1))
        except ValueError:
            return refuse(ActionError("The versions are no numbers."), 400)
        deadline = asyncio.get_running_loop().time() + PATIENCE
        # Not a thread that waits, because there are fewer threads than connections.
        while not session.is_newer(version, learned):
            if asyncio.get_running_loop().time() > deadline:
                break
            await asyncio.sleep(PAUSE)
        return answer(session.state(learned_since=learned))

    routes = [
        routing.Route(f"/{token}/", show, methods=["GET"]),
        routing.Route(f"/{token}/state", follow, methods=["GET"]),
        routing.Route(f"/{token}/act", change, methods=["POST"]),
        routing.Route(f"/{token}/agreement", compare, methods=["POST"]),
    ]
    app = applications.Starlette(routes=routes)
    app.router.redirect_slashes = False
    return Guard(app, token=token, port=port)


def make_page(session: Session) -> AssembledPage:
    """RETURNS (AssembledPage): The page of a session. Labels and predictions come as `state`."""
    pile = session.pile
    n = len(pile.texts)
    positions = to_steps(session.base_xy)
    content = {
        "title": pile.title,
        "subtitle": " · ".join([f"{n:,} texts", *session.notes()]),
        "axes": {
            "base": ("PC 1 of the vectors", "PC 2 of the vectors"),
            "tuned": ("PC 1 of the tuned vectors, turned", "PC 2, turned"),
        },
        "base": positions,
        "tuned": positions,
        "exclusive": session.log.state.exclusive,
        "names": [],
        "n_given": 0,
        "predictable": [],
        "ids": [text.id for text in pile.texts],
        "texts": [text.text for text in pile.texts],
        "contexts": None,
        "fields": [""] * n,
        "patterns": [[]],
        "known": [0] * n,
        "values": [[]] * n,
        "given": [[]] * n,
        "probabilities": [[]] * n,
        "predicted": [[]] * n,
        "state": session.state(),
    }
    return assemble_page(
        content,
        title=f"{pile.title} · label",
        actions=_read("actions.html"),
        keys=_read("keys.html"),
        aside=_read("aside.html"),
        scripts=[_read("connection.js"), _read("labelling.js")],
        styles=[_read("label.css")],
        may_connect=True,
    )


def _read(name: str) -> str:
    return files(__package__).joinpath("web", name).read_text(encoding="utf-8")


def open_socket(port: int) -> socket.socket:
    """Reserve a port of this machine, which other machines cannot reach.

    port (int): The port. 0: a free one.
    RETURNS (socket.socket): The socket.
    RAISES (ValueError): If the port is taken.
    """
    made = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(("127.0.0.1", port))
        made.listen(MOST_CONNECTIONS)
    except (OSError, OverflowError) as error:
        made.close()
        raise ValueError(
            f"The port {port} cannot be used ({error}). Give another one, or 0 for a free one "
            "(--port 0)."
        ) from error
    return made


def serve(app: Any, listening: socket.socket) -> None:
    """Answer requests until Ctrl-C.

    app (Any): The result of `make_app`.
    listening (socket.socket): The result of `open_socket`.
    RAISES (ImportError): Without uvicorn. The message names the extra.
    """
    uvicorn = import_extra("uvicorn", "The page of `label` needs uvicorn", extra="label")
    config = uvicorn.Config(
        app,
        http="h11",
        ws="none",
        lifespan="off",
        # The path holds the token, so it is not logged.
        access_log=False,
        log_level="error",
        server_header=False,
        proxy_headers=False,
        limit_concurrency=MOST_CONNECTIONS,
        timeout_keep_alive=5,
        timeout_graceful_shutdown=1,
    )
    uvicorn.Server(config).run(sockets=[listening])
