"""Lets only requests of the person's own page reach the server.

A server on this machine can be reached by every page that the browser shows, and by every program
on the machine. So each address holds a random token, the header Host must be that of this server
(against DNS rebinding), the header Origin must be its own (against other sites), and the size of a
body is bounded.
"""

import secrets
from typing import Any

# The largest body: the numbers of 100,000 texts, and some more.
MOST_BYTES = 2_000_000
NAMES = ("127.0.0.1", "localhost")
HEADERS = (
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
)


class Guard:
    """Wraps an ASGI application, and refuses requests of strangers.

    app (Any): The application. Its paths begin with the token.
    token (str): The secret part of the address.
    port (int): The port of the server.
    may_frame (bool): Whether a page of another site, such as a notebook, may show the page in a
        frame. Only who knows the token can do it.
    """

    def __init__(self, app: Any, *, token: str, port: int, may_frame: bool = False) -> None:
        self.app = app
        self.token = token
        self.may_frame = may_frame
        self.hosts = {f"{name}:{port}".encode() for name in NAMES}

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer a request, or refuse it."""
        if scope["type"] != "http":
            return
        refusal = self._refuse(scope)
        if refusal is not None:
            await _answer(send, *refusal)
            return
        bounded = _Bounded(receive, has_body=_has_body(scope))
        await self.app(scope, bounded, _with_headers(send, bounded))

    def _refuse(self, scope: Any) -> tuple[int, str] | None:
        """RETURNS (tuple[int, str] | None): The status and the reason of a refusal."""
        headers: dict[bytes, list[bytes]] = {}
        for name, value in scope["headers"]:
            headers.setdefault(name.lower(), []).append(value)
        hosts = headers.get(b"host", [])
        if len(hosts) != 1 or hosts[0].lower() not in self.hosts:
            return 421, "This server answers at its own address only."
        origins = headers.get(b"origin", [])
        own = b"http://" + hosts[0].lower()
        if any(origin.lower() != own for origin in origins):
            return 403, "Requests of other sites are refused."
        if scope["method"] not in ("GET", "HEAD") and len(origins) != 1:
            return 403, "A request that changes something needs the header Origin."
        sites = headers.get(b"sec-fetch-site", [])
        is_foreign = any(site not in (b"same-origin", b"none") for site in sites)
        is_frame = headers.get(b"sec-fetch-dest", []) == [b"iframe"] and scope["method"] == "GET"
        if is_foreign and not (is_frame and self.may_frame):
            return 403, "Requests of other sites are refused."
        first = scope["path"].split("/")[1:2]
        if not first or not secrets.compare_digest(
            first[0].encode(errors="replace"), self.token.encode()
        ):
            return 404, "There is nothing here. Open the address that the command printed."
        lengths = headers.get(b"content-length", [])
        if any(not length.isdigit() or int(length[:20]) > MOST_BYTES for length in lengths):
            return 413, "The request is too large."
        return None


class TooLargeError(Exception):
    """The body of a request is larger than it may be."""


class _Bounded:
    """Receives a body of unknown length up to the bound. `is_open` as long as more may come."""

    def __init__(self, receive: Any, *, has_body: bool) -> None:
        self.receive = receive
        self.is_open = has_body
        self.n = 0

    async def __call__(self) -> Any:
        message = await self.receive()
        self.n += len(message.get("body", b""))
        if self.n > MOST_BYTES:
            raise TooLargeError
        self.is_open = bool(message.get("more_body", False))
        return message


def _has_body(scope: Any) -> bool:
    """RETURNS (bool): Whether a request may have a body."""
    names = {name.lower() for name, _ in scope["headers"]}
    return scope["method"] not in ("GET", "HEAD") or bool(
        names & {b"content-length", b"transfer-encoding"}
    )


def _with_headers(send: Any, body: _Bounded) -> Any:
    async def wrapped(message: Any) -> None:
        if message["type"] == "http.response.start":
            # A body that was refused is not read to its end.
            closing = ((b"connection", b"close"),) if body.is_open else ()
            message = {**message, "headers": [*message["headers"], *HEADERS, *closing]}
        await send(message)

    return wrapped


async def _answer(send: Any, status: int, text: str) -> None:
    body = text.encode()
    headers = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),
        *HEADERS,
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
