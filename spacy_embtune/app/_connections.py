"""Connections to the server of the page: strangers who say nothing do not shut the person out."""

from typing import TYPE_CHECKING, Any

from .._extras import import_extra

if TYPE_CHECKING:
    from asyncio import Transport

# Connections that have sent no whole request yet. Browsers open a few in advance.
MOST_WAITING = 64


def make_protocol() -> Any:
    """Make the class of the connections of one server. If too many connections have sent no
    request, the one that has waited longest is closed.

    RETURNS (Any): A class for the setting `http` of uvicorn.
    RAISES (ImportError): Without uvicorn. The message names the extra.
    """
    import_extra("uvicorn", "The page of `label` needs uvicorn", extra="label")
    from uvicorn.protocols.http.h11_impl import H11Protocol

    waiting: dict[Any, None] = {}

    class Connection(H11Protocol):
        def connection_made(self, transport: "Transport") -> None:  # type: ignore[override]
            super().connection_made(transport)
            waiting[self] = None
            if len(waiting) > MOST_WAITING:
                oldest = next(iter(waiting))
                del waiting[oldest]
                oldest.transport.abort()

        def handle_events(self) -> None:
            super().handle_events()
            if self.scope is not None:
                waiting.pop(self, None)

        def connection_lost(self, exc: Exception | None) -> None:
            waiting.pop(self, None)
            super().connection_lost(exc)

    return Connection
