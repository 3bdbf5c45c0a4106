"""The texts to label, with their vectors, which are kept on disk for the next start."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .._files import sha256_of_file
from .._texts import count
from ..data import LoggedText, Record
from ..finetune import cached
from ..labels import CARRIES
from ..reports import documents
from ._session import Pile

if TYPE_CHECKING:
    from spacy.language import Language

    from ..pipeline import EmbTune

# The vectors that a figure needs at least.
FEWEST = 3
# Texts that are encoded at a time. After each part, progress is told and the part is kept.
PART = 1_024
Progress = Callable[[int, int], None]
MANIFEST = "manifest.json"


def make_pile(
    records: Iterable[Record],
    encoder: Any,
    *,
    title: str,
    store: Path | None,
    progress: Progress = lambda done, n: None,
) -> Pile:
    """Encode texts with an encoder.

    >>> from sklearn.feature_extraction.text import HashingVectorizer
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import FunctionTransformer
    >>> dense = FunctionTransformer(lambda matrix: matrix.toarray())
    >>> words = make_pipeline(HashingVectorizer(n_features=16), dense)
    >>> texts = ["bread and soup", "a guitar", "a guitar", "a ball"]
    >>> records = [Record(text, {}, str(i), {}, i) for i, text in enumerate(texts)]
    >>> pile = make_pile(records, words, title="Texts", store=None)
    >>> pile.base.shape, pile.notes
    ((3, 16), ['1 copy left out'])

    records (Iterable[Record]): The documents. Their labels are given labels.
    encoder (Any): An object with `transform(texts)`, such as `SentenceEncoder`.
    title (str): The title of the page.
    store (Path | None): The directory that keeps the vectors. None: they are not kept.
    progress (Callable): Is called with the number of texts that are encoded, and of all.
    RETURNS (Pile): The distinct texts that have a vector.
    RAISES (ValueError): If there are fewer than 3.
    """
    found = _distinct(records)
    transformer = encoder if store is None else cached(encoder, store)
    vectors = _encode(transformer, found.texts, progress)
    return _with_vectors(found, vectors, vectors, title, encoder)


def make_tuned_pile(
    records: Iterable[Record],
    nlp: "Language",
    pipe: "EmbTune",
    *,
    title: str,
    store: Path | None,
    progress: Progress = lambda done, n: None,
) -> Pile:
    """Encode texts with a trained pipeline.

    >>> import spacy
    >>> from spacy.training import Example
    >>> nlp = spacy.blank("en")
    >>> for i, word in enumerate(["ball", "team", "soup", "oven"]):
    ...     _ = nlp.vocab.set_vector(word, np.eye(4, dtype="float32")[i] + 1)
    >>> encoder = {"@architectures": "spacy-embtune.DocVectors.v1"}
    >>> pipe = nlp.add_pipe("embtune", config={"model": {"encoder": encoder}})
    >>> texts, labels = ["ball team", "ball", "soup oven", "soup"], ["A", "A", "B", "B"]
    >>> cats = [{"cats": {"A": float(label == "A"), "B": float(label == "B")}} for label in labels]
    >>> docs = zip(map(nlp.make_doc, texts), cats)
    >>> examples = [Example.from_dict(doc, known) for doc, known in docs]
    >>> _ = nlp.update(examples, sgd=nlp.initialize(lambda: examples))
    >>> records = [Record(text, {}, str(i), {}, i) for i, text in enumerate(texts)]
    >>> pile = make_tuned_pile(records, nlp, pipe, title="Texts", store=None)
    >>> pile.base.shape, pile.tuned.shape
    ((4, 4), (4, 200))

    nlp (Language): The pipeline.
    pipe (EmbTune): Its component.
    records, title, store, progress: As for `make_pile`. Vectors of a pipeline that was not loaded
        from a directory are not kept.
    RETURNS (Pile): The distinct texts that have a vector.
    RAISES (ValueError): If there are fewer than 3.
    """
    found = _distinct(records)
    encoder = _PipelineEncoder(nlp, pipe)
    transformer = _kept(encoder, store) if found.texts else encoder
    both = _encode(transformer, found.texts, progress)
    width = encoder.base_width
    return _with_vectors(found, both[:, :width], both[:, width:], title, _TunedEncoder(encoder))


def encode_again(
    texts: list[LoggedText], nlp: "Language", pipe: "EmbTune", *, store: Path | None
) -> tuple[NDArray[Any], Any]:
    """Encode the texts of a pile with another pipeline.

    texts (list[LoggedText]): The n texts.
    nlp, pipe, store: As for `make_tuned_pile`.
    RETURNS (tuple[ndarray, Any]): The tuned vectors, float32, shape (n, k), zeros for a text
        without one; and an object with `transform(texts)` that gives such vectors.
    """
    encoder = _PipelineEncoder(nlp, pipe)
    both = _encode(_kept(encoder, store), texts, lambda done, n: None)
    return both[:, encoder.base_width :], _TunedEncoder(encoder)


def _kept(encoder: "_PipelineEncoder", store: Path | None) -> Any:
    """RETURNS (Any): The encoder with a store, where something tells it from others."""
    name = encoder.identify()
    return encoder if store is None or name is None else cached(encoder, store, name=name)


def _encode(transformer: Any, texts: list[LoggedText], progress: Progress) -> NDArray[Any]:
    """RETURNS (ndarray): The vectors of texts, float32, shape (n, d)."""
    strings = [text.text for text in texts]
    parts = []
    progress(0, len(strings))
    for start in range(0, max(len(strings), 1), PART):
        part = strings[start : start + PART]
        parts.append(np.asarray(transformer.transform(part), dtype=np.float32))
        progress(start + len(part), len(strings))
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


class _PipelineEncoder:
    """Gives base vectors and tuned vectors side by side."""

    def __init__(self, nlp: "Language", pipe: "EmbTune") -> None:
        self.nlp = nlp
        self.pipe = pipe

    def identify(self) -> str | None:
        """RETURNS (str | None): Tells the component from others. None if its vectors depend on
        other components, or it has no directory."""
        path = None if self.nlp.path is None else Path(self.nlp.path, self.pipe.name, MANIFEST)
        reads_texts = self.pipe.model.get_ref("encoder").attrs.get("reads_texts", False)
        if path is None or not path.is_file() or not reads_texts:
            return None
        return f"pipeline {sha256_of_file(path)}"

    @property
    def base_width(self) -> int:
        """RETURNS (int): The width of base vectors."""
        return int(self.pipe.model.get_ref("encoder").get_dim("nO"))

    def transform(self, texts: list[str]) -> NDArray[Any]:
        """RETURNS (ndarray): The vectors, float32, shape (n, d + k)."""
        records = [Record(text, {}, str(i), {}, i) for i, text in enumerate(texts)]
        found = documents(self.nlp, self.pipe.name, records, progress=None)
        return np.hstack([found.base, found.tuned]).astype(np.float32)


class _TunedEncoder:
    """Gives tuned vectors of sentences and of names of labels."""

    def __init__(self, encoder: _PipelineEncoder) -> None:
        self.encoder = encoder

    def transform(self, texts: list[str]) -> NDArray[Any]:
        """RETURNS (ndarray): The vectors, float32, shape (n, k)."""
        return self.encoder.transform(texts)[:, self.encoder.base_width :]


class _Distinct(NamedTuple):
    """Distinct texts, their given labels by digest, and what was left out."""

    texts: list[LoggedText]
    given: dict[str, Mapping[str, float]]
    notes: list[str]


def _distinct(records: Iterable[Record]) -> _Distinct:
    """RETURNS (_Distinct): The distinct texts that are not empty."""
    found: dict[str, LoggedText] = {}
    given: dict[str, Mapping[str, float]] = {}
    n = n_empty = 0
    for record in records:
        n += 1
        if not record.text.strip():
            n_empty += 1
            continue
        text = LoggedText.of(record.text, record.id)
        found.setdefault(text.digest, text)
        if record.cats and text.digest not in given:
            carried = {label: float(value >= CARRIES) for label, value in record.cats.items()}
            given[text.digest] = carried
    notes = []
    if n_empty:
        notes.append(f"{count(n_empty, 'empty text')} left out")
    n_copies = n - n_empty - len(found)
    if n_copies:
        notes.append(f"{n_copies} {'copy' if n_copies == 1 else 'copies'} left out")
    return _Distinct(list(found.values()), given, notes)


def _with_vectors(
    found: _Distinct, base: NDArray[Any], tuned: NDArray[Any], title: str, encoder: Any
) -> Pile:
    texts, given, notes = found
    # An encoder that was given no text does not know the width of its vectors.
    has_vector = np.zeros(len(texts), dtype=bool)
    if texts:
        has_vector |= base.any(axis=1) & tuned.any(axis=1)
    if has_vector.sum() < FEWEST:
        raise ValueError(
            f"Only {count(int(has_vector.sum()), 'distinct text')} of DATA can be encoded. Give a "
            f"file with at least {FEWEST} texts."
        )
    if not has_vector.all():
        notes.append(f"{count(int((~has_vector).sum()), 'text')} without a vector left out")
        texts = [text for text, keep in zip(texts, has_vector.tolist(), strict=True) if keep]
        base, tuned = base[has_vector], tuned[has_vector]
    rows = {row: given[text.digest] for row, text in enumerate(texts) if text.digest in given}
    return Pile(texts, base, tuned, title, notes, encoder, rows)
