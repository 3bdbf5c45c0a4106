"""Label texts in a notebook: `spacy_embtune.label`."""

import html
import threading
from collections.abc import Iterable, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from ..data import Record, read_records
from ..pipeline import find_component
from ._pile import Progress, make_pile, make_tuned_pile
from ._session import Pile
from .serving import PageServer

if TYPE_CHECKING:
    from spacy.language import Language

# The height of the frame in a notebook, in pixels.
HEIGHT = 760


class Labelling:
    """A page to label texts that runs beside a notebook, see `label`. A notebook shows it in a
    frame. As a context manager, it ends with the block.

    path (Path): The log of labels.
    address (str): The address of the page.
    """

    def __init__(self, server: PageServer, make: Any, *, height: int) -> None:
        self.path = server.log.path
        self._server = server.__enter__()
        self.address = server.address
        self._height = height
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._open, args=(make,), name="encoding")
        self._thread.daemon = True
        self._thread.start()

    def _open(self, make: Any) -> None:
        try:
            self._server.open(make)
        except Exception as error:
            self._error = error

    def wait(self) -> Self:
        """Wait until all texts are encoded.

        RETURNS (Labelling): Itself.
        RAISES (ValueError): If there are too few texts, or labels of the texts do not fit the log.
        """
        self._thread.join()
        if self._error is not None:
            raise self._error
        return self

    def records(self) -> list[dict[str, Any]]:
        """Give the labels by now.

        RETURNS (list[dict]): A record with "id", "text" and "cats" for each text of which something
            is known, as `read_records` reads the log.
        RAISES (ValueError): If the texts could not be encoded.
        """
        session = self.wait()._server.session
        assert session is not None
        return session.records()

    def close(self) -> None:
        """End the page. The labels are in the log."""
        self._thread.join()
        self._server.__exit__(None, None, None)

    def __enter__(self) -> Self:
        """RETURNS (Labelling): Itself."""
        return self

    def __exit__(self, *error: object) -> None:
        """End the page."""
        self.close()

    def _repr_html_(self) -> str:
        """RETURNS (str): The page in a frame."""
        address = html.escape(self.address, quote=True)
        return (
            f'<iframe src="{address}" width="100%" height="{self._height}" '
            f'style="border: 1px solid #d9dde4" title="Label texts"></iframe>'
        )

    def __repr__(self) -> str:
        return f"<Labelling: {self.address}, labels in {self.path}>"


def label(
    texts: Any,
    labels: Sequence[str] = (),
    *,
    model: "str | PathLike[str] | Language | None" = None,
    encoder: Any = None,
    path: "str | PathLike[str]" = "labels.jsonl",
    exclusive: bool = True,
    port: int = 0,
    height: int = HEIGHT,
) -> Labelling:
    """Label texts in a page beside a notebook. The cell goes on at once; the page shows how far
    encoding is. Each label is on the disk before the page says "saved".

    >>> from tempfile import TemporaryDirectory
    >>> from sklearn.feature_extraction.text import HashingVectorizer
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import FunctionTransformer
    >>> dense = FunctionTransformer(lambda matrix: matrix.toarray())
    >>> words = make_pipeline(HashingVectorizer(n_features=16), dense)
    >>> pile = ["bread and soup", "a guitar", {"text": "a ball", "label": "SPORT"}]
    >>> with TemporaryDirectory() as folder:
    ...     with label(pile, ["FOOD"], encoder=words, path=f"{folder}/labels.jsonl") as labelling:
    ...         records = labelling.records()
    >>> [(record["text"], record["cats"]) for record in records]
    [('a ball', {'SPORT': 1.0})]

    texts (Any): The texts: strings, records with the key "text", a data frame, or whatever else
        `read_records` reads. Labels that they have are given labels.
    labels (Sequence[str]): Labels to offer at the start. Their names are the first teacher.
    model (str | Path | Language | None): A trained pipeline, to start with its tuned vectors.
    encoder (Any): The encoder, if there is no model: a name, or an object with `transform(texts)`.
        None: `SentenceEncoder()`.
    path (str | Path): The log of labels, which is made or continued. Vectors are kept beside it,
        where something tells the encoder from others.
    exclusive (bool): Whether a text carries one label at most. A log that exists has the answer.
    port (int): The port. 0: a free one.
    height (int): The height of the frame, in pixels.
    RETURNS (Labelling): The page. A notebook shows it if it is the last line of a cell. Its
        `records()` are the labels by now, and `close()` ends it.
    RAISES (ValueError): If both model and encoder are given, the log is used by another page, or a
        label is not valid. ImportError: without starlette or uvicorn.
    """
    if model is not None and encoder is not None:
        raise ValueError("model and encoder exclude each other. A pipeline has its own encoder.")
    records = _read(texts)
    log = Path(path)

    def make(progress: Progress) -> Pile:
        store = log.with_suffix(".vectors")
        if model is not None:
            nlp = _load(model)
            pipe = find_component(nlp)
            return make_tuned_pile(
                records, nlp, pipe, title=log.stem, store=store, progress=progress
            )
        made = encoder
        if encoder is None or isinstance(encoder, str | PathLike):
            from ..finetune import SentenceEncoder

            made = SentenceEncoder() if encoder is None else SentenceEncoder(str(encoder))
        # Of other encoders, nothing certain tells one from another.
        kept = store if hasattr(type(made), "fingerprint") else None
        return make_pile(records, made, title=log.stem, store=kept, progress=progress)

    server = PageServer(log, labels=labels, exclusive=exclusive, port=port, may_frame=True)
    return Labelling(server, make, height=height)


def _read(texts: Any) -> list[Record]:
    is_file = isinstance(texts, str | PathLike)
    if not is_file and isinstance(texts, Iterable) and not hasattr(texts, "columns"):
        texts = [{"text": text} if isinstance(text, str) else text for text in texts]
    return list(read_records(texts))


def _load(model: Any) -> "Language":
    import spacy

    if isinstance(model, str):
        return spacy.load(model)  # may be the name of a package
    return spacy.load(Path(model)) if isinstance(model, PathLike) else model
