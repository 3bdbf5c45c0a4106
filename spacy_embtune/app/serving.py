"""Run the page of labelling."""

import secrets
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Self

from ..pipeline import find_component
from ._log import LabelLog
from ._pile import Progress, encode_again
from ._server import Opening, make_app, make_server, open_socket
from ._session import Pile, Session, check_label
from ._tuning import Tuning

# Makes the texts with their vectors. It is given a function that it tells its progress.
MakePile = Callable[[Progress], Pile]


class PageServer:
    """Serves the page of one log in a thread. Use it in a `with` block.

    >>> PageServer(Path("labels.jsonl"), labels=[" "])
    Traceback (most recent call last):
    spacy_embtune.app._session.ActionError: Give the label a name.

    path (Path): The log of labels, which is made or continued.
    labels (Sequence[str]): Labels to offer, besides those in the log.
    exclusive (bool): Whether a text carries one label at most. A log that exists has the answer.
    port (int): The port. 0: a free one.
    may_frame (bool): Whether a notebook may show the page in a frame.
    tune_with (Sequence[str] | None): The command that the button "Tune" runs, see `make_command`.
        It writes the directory `pipeline_beside(path)`. None: there is no button.
    store (Path | None): The directory that keeps the vectors of a tuned pipeline.
    """

    def __init__(
        self,
        path: Path,
        *,
        labels: Sequence[str] = (),
        exclusive: bool = True,
        port: int = 0,
        may_frame: bool = False,
        tune_with: Sequence[str] | None = None,
        store: Path | None = None,
    ) -> None:
        self.labels = [check_label(label) for label in labels]
        self.port = port
        self.address = ""
        self.log = LabelLog(path, exclusive=exclusive)
        self._may_frame = may_frame
        self._store = store
        tuning = None if tune_with is None else Tuning(tune_with, pipeline_beside(path))
        self._opening = Opening(tuning=tuning, use=self._use)
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        """Lock the log, reserve the port, and serve a page that says how far encoding is.

        RAISES (ValueError): If another process uses the log, the file is no log, or the port is
            taken. ImportError: without starlette or uvicorn.
        """
        with ExitStack() as stack:
            listening = stack.enter_context(open_socket(self.port))
            stack.enter_context(self.log)
            self.log.name(self.labels)
            self.port = int(listening.getsockname()[1])
            token = secrets.token_urlsafe(24)
            app = make_app(self._opening, token=token, port=self.port, may_frame=self._may_frame)
            server = make_server(app)
            thread = threading.Thread(
                target=server.run, kwargs={"sockets": [listening]}, name="page", daemon=True
            )
            thread.start()

            def stop() -> None:
                server.should_exit = True
                thread.join()

            stack.callback(stop)
            self.address = f"http://127.0.0.1:{self.port}/{token}/"
            self._stack = stack.pop_all()
        return self

    def open(self, make: MakePile) -> Session:
        """Encode the texts, and open the page.

        make (Callable): Makes the texts with their vectors.
        RETURNS (Session): The session that the page shows.
        RAISES (ValueError): If there are too few texts, or labels of DATA do not fit the log.
        """
        session = Session(make(self._opening.progress), self.log)
        self._stack.enter_context(session)
        if self._opening.tuning is not None:
            self._stack.callback(self._opening.tuning.close)
        self._opening.session = session
        return session

    def _use(self, session: Session, out: Path) -> None:
        """Show the vectors of a pipeline that was tuned."""
        import spacy

        nlp = spacy.load(out)
        texts = session.pile.texts
        session.use_vectors(*encode_again(texts, nlp, find_component(nlp), store=self._store))

    @property
    def session(self) -> Session | None:
        """RETURNS (Session | None): The session; None as long as texts are encoded."""
        return self._opening.session

    def __exit__(self, *error: object) -> None:
        """Stop the page, and unlock the log."""
        self._stack.close()


def pipeline_beside(path: Path) -> Path:
    """Name the directory of the pipeline that the button "Tune" makes.

    >>> pipeline_beside(Path("labels.jsonl")).name
    'labels.tuned'

    path (Path): The log of labels.
    RETURNS (Path): The directory.
    """
    return path.with_suffix(".tuned")


def serve_labelling(
    make: MakePile,
    path: Path,
    *,
    labels: Sequence[str] = (),
    exclusive: bool = True,
    port: int = 0,
    tune_with: Sequence[str] | None = None,
    store: Path | None = None,
    started: Callable[[str], None] = lambda address: None,
    ready: Callable[[Session], None] = lambda session: None,
) -> None:
    """Serve the page to label texts, on this machine only, until Ctrl-C.

    >>> serve_labelling(lambda progress: None, Path("labels.jsonl"), labels=[" "])
    Traceback (most recent call last):
    spacy_embtune.app._session.ActionError: Give the label a name.

    make (Callable[[Callable], Pile]): Makes the texts with their vectors, and tells its progress to
        the function that it is given. The page shows it.
    path, labels, exclusive, port, tune_with, store: As for `PageServer`.
    started (Callable[[str], None]): Is called with the address, before texts are encoded.
    ready (Callable[[Session], None]): Is called when texts are encoded.
    RAISES (ValueError): If another process uses the log, the file is no log, the port is taken, or
        the name of a label is not valid. ImportError: without starlette or uvicorn.
    """
    with PageServer(
        path, labels=labels, exclusive=exclusive, port=port, tune_with=tune_with, store=store
    ) as server:
        started(server.address)
        ready(server.open(make))
        with suppress(KeyboardInterrupt):
            threading.Event().wait()
