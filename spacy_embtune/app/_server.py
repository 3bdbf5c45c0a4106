"""The server of the page: some addresses, none of which opens a file."""

import asyncio
import base64
import json
import socket
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from .._extras import import_extra
from ..plots import AssembledPage, assemble_page, seal_page
from ._connections import MOST_WAITING, make_protocol
from ._guard import Guard, TooLargeError
from ._session import MOST_NEAR, ActionError, Session
from ._tuning import Tuning

# How long an answer waits for something new, in seconds.
PATIENCE = 20.0
PAUSE = 0.1
# Connections at once, more than those that wait. Others are told to try again.
MOST_CONNECTIONS = 4 * MOST_WAITING
SCRIPTS = ("connection", "texts", "choosing", "tuning", "labelling")


class Opening:
    """The session, or how far it is on the way to it.

    session (Session | None): The session; None as long as texts are encoded.
    tuning (Tuning | None): Tunes a pipeline. None: the page has no button for it.
    use (Callable): Is called with the session and the directory of the tuned pipeline.
    n_done, n (int): How many texts are encoded, and of how many.
    """

    def __init__(
        self,
        session: Session | None = None,
        *,
        tuning: Tuning | None = None,
        use: Callable[[Session, Path], None] = lambda session, out: None,
    ) -> None:
        self.session = session
        self.tuning = tuning
        self.use = use
        self.n_done = self.n = 0

    def progress(self, n_done: int, n: int) -> None:
        """Tell how far encoding is."""
        self.n_done, self.n = n_done, n


def make_app(opened: Session | Opening, *, token: str, port: int, may_frame: bool = False) -> Any:
    """Make the application: the page, and what it asks for.

    opened (Session | Opening): The session, which is running, or will be.
    token (str): The secret part of the address.
    port (int): The port that the server listens on.
    may_frame (bool): Whether a notebook may show the page in a frame.
    RETURNS (Any): An ASGI application.
    RAISES (ImportError): Without starlette. The message names the extra.
    """
    need = "The page of `label` needs starlette and uvicorn"
    applications = import_extra("starlette.applications", need, extra="label")
    concurrency = import_extra("starlette.concurrency", need, extra="label")
    responses = import_extra("starlette.responses", need, extra="label")
    routing = import_extra("starlette.routing", need, extra="label")
    opening = opened if isinstance(opened, Opening) else Opening(opened)

    def get_session() -> Session:
        if opening.session is None:
            raise ActionError("The texts are not encoded yet. Wait a little.")
        return opening.session

    async def show(request: Any) -> Any:
        page = make_waiting_page()
        if opening.session is not None:
            page = await concurrency.run_in_threadpool(
                make_page, opening.session, can_tune=opening.tuning is not None
            )
        policy = page.policy if may_frame else f"{page.policy}; frame-ancestors 'none'"
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
        if not isinstance(content.get("rows", []), list):
            raise ActionError("The rows are no list.")
        return content

    def asking(work: Callable[[Session, dict[str, Any]], Any]) -> Callable[[Any], Any]:
        """RETURNS (Callable): Answers a request with the result of some work in a thread."""

        async def handle(request: Any) -> Any:
            try:
                asked = await read(request)
                return answer(await concurrency.run_in_threadpool(work, get_session(), asked))
            except ActionError as error:
                return refuse(error, 400)
            except TooLargeError:
                return refuse(ActionError("The request is too large."), 413)
            except OSError as error:
                return refuse(error, 507)

        return handle

    async def follow(request: Any) -> Any:
        try:
            version = int(request.query_params.get("version", -1))
            learned = int(request.query_params.get("learned", -1))
            session = get_session()
        except ActionError as error:
            return refuse(error, 400)
        except ValueError:
            return refuse(ActionError("The versions are no numbers."), 400)
        deadline = asyncio.get_running_loop().time() + PATIENCE
        # Not a thread that waits, because there are fewer threads than connections.
        while not session.is_newer(version, learned):
            if asyncio.get_running_loop().time() > deadline:
                break
            await asyncio.sleep(PAUSE)
        return answer(session.state(learned_since=learned))

    async def give_arrays(request: Any) -> Any:
        if opening.session is None:
            return refuse(ActionError("The texts are not encoded yet."), 400)
        version, xy, predicted, confidence = opening.session.arrays()
        head = np.array([version, len(xy)], dtype="<i4")
        parts = [part.tobytes() for part in (head, xy, predicted, confidence)]
        return responses.Response(b"".join(parts), media_type="application/octet-stream")

    async def give_progress(request: Any) -> Any:
        is_ready = opening.session is not None
        return answer({"is_ready": is_ready, "n_done": opening.n_done, "n": opening.n})

    posts: dict[str, Callable[[Session, dict[str, Any]], Any]] = {
        "act": _act,
        "agreement": lambda session, asked: session.agreement(asked.get("rows", [])),
        "texts": _texts,
        "words": lambda session, asked: session.find_words(asked.get("query", "")),
        "meaning": lambda session, asked: _near(session.find_meaning(asked.get("query", ""))),
        "neighbors": _neighbors,
        "clusters": _clusters,
        "tuning": lambda session, asked: _tune(opening, session, asked),
    }
    routes = [
        routing.Route(f"/{token}/", show, methods=["GET"]),
        routing.Route(f"/{token}/progress", give_progress, methods=["GET"]),
        routing.Route(f"/{token}/state", follow, methods=["GET"]),
        routing.Route(f"/{token}/arrays", give_arrays, methods=["GET"]),
        *(
            routing.Route(f"/{token}/{name}", asking(work), methods=["POST"])
            for name, work in posts.items()
        ),
    ]
    app = applications.Starlette(routes=routes)
    app.router.redirect_slashes = False
    return Guard(app, token=token, port=port, may_frame=may_frame)


def _act(session: Session, asked: dict[str, Any]) -> Any:
    do, label, rows = asked.get("do"), asked.get("label", ""), asked.get("rows", [])
    session.act(do if isinstance(do, str) else repr(do), label, rows)
    return session.state(learned_since=_number(asked.get("learned"), -1))


def _texts(session: Session, asked: dict[str, Any]) -> Any:
    found = session.texts(asked.get("rows", []))
    return {"ids": [text.id for text in found], "texts": [text.text for text in found]}


def _neighbors(session: Session, asked: dict[str, Any]) -> Any:
    n = min(max(_number(asked.get("n"), 20), 1), MOST_NEAR)
    return _near(session.find_neighbors(asked.get("rows", []), n))


def _near(found: tuple[list[int], list[float]]) -> Any:
    rows, cosines = found
    return {"rows": rows, "cosines": [round(cosine, 4) for cosine in cosines]}


def _clusters(session: Session, asked: dict[str, Any]) -> Any:
    found = session.clusters
    if found is None:
        return {"is_ready": False}
    return {"is_ready": True, "names": found.names, "of": found.of.tolist()}


def _tune(opening: Opening, session: Session, asked: dict[str, Any]) -> Any:
    tuning, do = opening.tuning, asked.get("do")
    if tuning is None:
        raise ActionError("This page cannot tune. Run `embtune tune` with the log of labels.")
    if do == "start":
        tuning.start(lambda out: opening.use(session, out))
    elif do == "stop":
        tuning.stop()
    elif do != "look":
        raise ActionError(f"{do!r} is no action.")
    return tuning.state()._asdict()


def _number(value: Any, otherwise: int) -> int:
    return value if type(value) is int else otherwise


def make_page(session: Session, *, can_tune: bool = False) -> AssembledPage:
    """RETURNS (AssembledPage): The page of a session, with or without a button to tune. Labels and
    predictions come as `state`. Texts come when they are shown."""
    pile = session.pile
    n = len(pile.texts)
    content = {
        "title": pile.title,
        "subtitle": " · ".join([f"{n:,} texts", *session.notes()]),
        "axes": {
            "base": ("PC 1 of the vectors", "PC 2 of the vectors"),
            "tuned": ("PC 1 of the tuned vectors, turned", "PC 2, turned"),
        },
        "n": n,
        "base": base64.b64encode(session.base_xy.astype("<f4").tobytes()).decode(),
        "exclusive": session.log.state.exclusive,
        "can_search_meaning": pile.encoder is not None,
        "state": session.state(),
    }
    return assemble_page(
        content,
        title=f"{pile.title} · label",
        actions=_read("actions.html"),
        keys=_read("keys.html"),
        aside=_read("aside.html").replace("{{tuning}}", _read("tuning.html") if can_tune else ""),
        search=_read("search.html"),
        scripts=[_read(f"{name}.js") for name in SCRIPTS],
        styles=[_read("label.css")],
        may_connect=True,
    )


def make_waiting_page() -> AssembledPage:
    """RETURNS (AssembledPage): The page that is shown while texts are encoded."""
    return seal_page(
        _read("waiting.html"),
        script=_read("waiting.js"),
        style=_read("waiting.css"),
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


def make_server(app: Any) -> Any:
    """Make a server, which runs by `run(sockets=[...])` until its `should_exit` is true.

    app (Any): The result of `make_app`.
    RETURNS (Any): A server of uvicorn.
    RAISES (ImportError): Without uvicorn. The message names the extra.
    """
    uvicorn = import_extra("uvicorn", "The page of `label` needs uvicorn", extra="label")
    config = uvicorn.Config(
        app,
        http=make_protocol(),
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
    return uvicorn.Server(config)
