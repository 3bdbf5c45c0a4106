"""Run the page of labelling until the person stops it."""

import secrets
from collections.abc import Callable, Sequence
from pathlib import Path

from ._log import LabelLog
from ._server import make_app, open_socket, serve
from ._session import Pile, Session, check_label


def serve_labelling(
    make: Callable[[], Pile],
    path: Path,
    *,
    labels: Sequence[str] = (),
    exclusive: bool = True,
    port: int = 0,
    ready: Callable[[str, Session], None] = lambda address, session: None,
) -> None:
    """Serve the page to label texts, on this machine only, until Ctrl-C.

    >>> serve_labelling(lambda: None, Path("labels.jsonl"), labels=[" "])
    Traceback (most recent call last):
    spacy_embtune.app._session.ActionError: Give the label a name.

    make (Callable[[], Pile]): Makes the texts with their vectors. It is called once the log and the
        port are known to be free, because it may take long.
    path (Path): The log of labels, which is made or continued.
    labels (Sequence[str]): Labels to offer, besides those in the log.
    exclusive (bool): Whether a text carries one label at most. A log that exists has the answer.
    port (int): The port. 0: a free one.
    ready (Callable[[str, Session], None]): Is called with the address before the first request.
    RAISES (ValueError): If another process uses the log, the file is no log, the port is taken, or
        the name of a label is not valid. ImportError: without starlette or uvicorn.
    """
    names = [check_label(label) for label in labels]
    with open_socket(port) as listening, LabelLog(path, exclusive=exclusive) as log:
        log.name(names)
        used = int(listening.getsockname()[1])
        token = secrets.token_urlsafe(24)
        with Session(make(), log) as session:
            app = make_app(session, token=token, port=used)
            ready(f"http://127.0.0.1:{used}/{token}/", session)
            serve(app, listening)
