"""The texts of labels as documents that a component learns from, beside those of its corpus."""

import logging
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from spacy.language import Language
from spacy.tokens import Doc

from ..encoder import token_counter
from ..encoder.shim import find_shim
from ..labels import MOST_DENSE, SparseTargets, find_codes, make_targets, read_label_texts
from ..training import (
    ODDS_OF_CODES,
    ODDS_OF_WORDS,
    find_nearest_labels,
    label_text_weights,
    move_to_documents,
    texts_mean_something,
)
from ._added_documents import AddedDocuments
from ._training_corpus import TrainingCorpus, annotate

logger = logging.getLogger(__name__)

# Whether texts mean something is decided by at most so many documents.
MOST_JUDGED = 1000
# At most so many texts of labels are added to a batch.
MOST_IN_BATCH = 256
# How many labels a notice names.
MOST_NAMES = 5


class LabelDocuments:
    """The texts of labels as documents. In an epoch, each of them is used about once.

    inputs (list[Any]): What the encoder reads for each of the m texts: strings, or Docs.
    columns (ndarray of int): The columns of their labels, shape (m,).
    weights (ndarray): How much each text counts, in documents, shape (m,).
    n_labels (int): The number of labels L.
    n_documents (int): The number of labelled documents of the training corpus.
    shift (ndarray | None): What is added to the base vectors of the texts, shape (d,).
    """

    def __init__(
        self,
        inputs: list[Any],
        columns: NDArray[Any],
        weights: NDArray[Any],
        *,
        n_labels: int,
        n_documents: int,
        shift: NDArray[Any] | None,
    ) -> None:
        counted = np.flatnonzero(weights > 0)
        self.inputs = [inputs[i] for i in counted]
        self.columns, self.weights = columns[counted], weights[counted]
        self.n_labels = n_labels
        self.n_documents = n_documents
        self.shift = shift
        self._next = 0

    def select(self, n_labelled: int) -> AddedDocuments | None:
        """Choose the texts for a batch, in turn.

        n_labelled (int): The number of labelled documents in the batch.
        RETURNS (AddedDocuments | None): The texts: as large a share of all as the batch has of the
            labelled documents. None if there are none.
        """
        m = len(self.inputs)
        share = min(n_labelled / self.n_documents, 1.0) if self.n_documents else 1.0
        k = min(math.ceil(m * share), MOST_IN_BATCH)
        if k == 0:
            return None
        rows = (self._next + np.arange(k)) % m
        self._next = (self._next + k) % m
        weights: Any = (self.weights[rows] * (m * share / k)).astype("float32")
        targets = SparseTargets(
            rows=np.arange(k),
            columns=self.columns[rows],
            values=np.ones(k, dtype="float32"),
            is_complete=np.ones(k, dtype=bool),
            n_labels=self.n_labels,
            exclusive=False,
            weights=weights,
        )
        return AddedDocuments([self.inputs[i] for i in rows], targets, self.shift)


def described_labels(
    setting: Any, labels: Sequence[str] | None, found: Iterable[str], name: str
) -> list[str]:
    """Find the labels of a component whose labels may have texts.

    setting (Any): The setting label_texts.
    labels (Sequence[str] | None): The labels that were passed to `initialize`.
    found (Iterable[str]): The labels of the corpus.
    name (str): The component.
    RETURNS (list[str]): The labels, with those that have a text only.
    RAISES (ValueError): If the setting has another form, or names a label that is not in `labels`.
    """
    try:
        given = read_label_texts(setting, [])
    except ValueError as error:
        raise ValueError(f"[{name}] {error}") from error
    known = list(found if labels is None else labels)
    there = set(known)
    more = [label for label in given if label not in there]
    if more and labels is not None:
        raise ValueError(
            f"[{name}] label_texts has a text for {more[0]!r}, which is not among the labels. Add "
            f"it to labels ([initialize.components.{name}] labels), or remove its text."
        )
    return known + more


def make_label_documents(
    pipe: Any, setting: Any, corpus: TrainingCorpus, counts: NDArray[Any], nlp: Language | None
) -> LabelDocuments | None:
    """Make documents of the texts of labels, unless the texts mean nothing. This logs a notice of
    texts that are left out.

    pipe (EmbTune): The component, initialized with the corpus.
    setting (Any): The setting label_texts.
    corpus (TrainingCorpus): The training corpus.
    counts (ndarray): How often each label is known to be present and absent, shape (2, L).
    nlp (Language | None): The pipeline.
    RETURNS (LabelDocuments | None): The documents. None if there are none. Their texts are in
        `pipe.cfg["label_texts"]`.
    """
    texts = read_label_texts(setting, pipe.labels)
    odds = ODDS_OF_WORDS
    if isinstance(setting, str):
        shim = find_shim(pipe.model)
        codes = find_codes(texts, None if shim is None else token_counter(shim.encoder))
        if len(codes) == len(texts):
            odds = ODDS_OF_CODES
        elif codes:
            _say_left_out(pipe.name, codes, "these names look like codes")
            for label in codes:
                del texts[label]
    if not texts:
        return None
    inputs, columns = _make_inputs(pipe, texts, nlp)
    vectors = _encode(pipe, inputs)
    if not _mean_something(pipe, corpus, vectors, columns, odds):
        checked = "the nearest text of a labelled document is right no more often than by chance"
        why = checked if any(corpus.cats) else "these names look like codes"
        _say_left_out(pipe.name, list(texts), why)
        return None
    n_documents = sum(bool(known) for known in corpus.cats)
    pipe.cfg["label_texts"] = {"texts": texts, "n_documents": n_documents}
    logger.info(
        "[%s] label_texts: %d texts of %d labels are learned as documents",
        pipe.name,
        len(inputs),
        len(texts),
    )
    return _make(pipe, inputs, columns, vectors, counts, n_documents)


def restore_label_documents(pipe: Any) -> LabelDocuments | None:
    """Make the documents again of a component that was loaded.

    pipe (EmbTune): The component.
    RETURNS (LabelDocuments | None): The documents. None if there are none, or if the encoder reads
        annotated Docs, which only `initialize` can make.
    """
    kept: Mapping[str, Any] | None = pipe.cfg.get("label_texts")
    if not kept or not pipe.model.get_ref("encoder").attrs.get("reads_texts", False):
        return None
    inputs, columns = _make_inputs(pipe, kept["texts"], None)
    counts = np.asarray(pipe.cfg["label_counts"])
    return _make(pipe, inputs, columns, _encode(pipe, inputs), counts, int(kept["n_documents"]))


def _say_left_out(name: str, labels: Sequence[str], why: str) -> None:
    named = ", ".join(map(repr, labels[:MOST_NAMES]))
    more = f" and {len(labels) - MOST_NAMES} others" if len(labels) > MOST_NAMES else ""
    logger.warning(
        "[%s] the texts of the labels %s%s are left out: %s. Describe the labels to use them: "
        "label_texts = {LABEL: TEXT}.",
        name,
        named,
        more,
        why,
    )


def _make_inputs(
    pipe: Any, texts: Mapping[str, Sequence[str]], nlp: Language | None
) -> tuple[list[Any], NDArray[Any]]:
    """RETURNS (tuple): What the encoder reads for each text, and the column of its label."""
    place = {label: column for column, label in enumerate(pipe.labels)}
    given = [text for label in texts for text in texts[label]]
    columns = np.repeat([place[label] for label in texts], [len(texts[label]) for label in texts])
    encoder = pipe.model.get_ref("encoder")
    if encoder.attrs.get("reads_texts", False):
        return given, columns
    if nlp is None:
        docs = [Doc(pipe.vocab, words=text.split()) for text in given]
    else:
        docs = [nlp.make_doc(text) for text in given]
    return [annotate(doc, nlp, pipe, encoder) for doc in docs], columns


def _encode(pipe: Any, inputs: Sequence[Any]) -> NDArray[Any]:
    found = pipe.model.get_ref("encoder").predict(inputs)
    return cast(NDArray[Any], pipe.model.ops.to_numpy(found))


def _mean_something(
    pipe: Any, corpus: TrainingCorpus, vectors: NDArray[Any], columns: NDArray[Any], odds: float
) -> bool:
    """RETURNS (bool): Whether the nearest text of a label is right more often than by chance."""
    most = min(MOST_JUDGED, max(MOST_DENSE // len(pipe.labels), 1))
    judged = [i for i, cats in enumerate(corpus.sample_cats) if cats][:most]
    if not judged:
        return odds > 1.0
    described, place = np.unique(columns, return_inverse=True)
    names = pipe.labels
    labels = [names[column] for column in described]
    wanted = set(labels)
    exclusive = bool(pipe.cfg["exclusive_classes"]) and len(labels) > 1
    known = [
        {label: value for label, value in corpus.sample_cats[i].items() if label in wanted}
        for i in judged
    ]
    targets = make_targets(known, labels, exclusive=exclusive)
    base = _encode(pipe, [corpus.sample[i] for i in judged])
    nearest = find_nearest_labels(base, vectors, place).nearest
    values, are_known = cast(Any, targets.values), cast(Any, targets.known)
    return texts_mean_something(nearest, values, are_known, odds=odds)


def _make(
    pipe: Any,
    inputs: list[Any],
    columns: NDArray[Any],
    vectors: NDArray[Any],
    counts: NDArray[Any],
    n_documents: int,
) -> LabelDocuments:
    shift = None
    head, shim = pipe.model.get_ref("head"), find_shim(pipe.model)
    # An encoder that learns moves the texts itself.
    is_frozen = shim is None or not shim.is_trainable
    if is_frozen and "standardize" in head.ref_names:
        mean = head.ops.to_numpy(head.get_ref("standardize").get_param("mean"))
        shift = (move_to_documents(vectors, columns, mean) - vectors)[0]
    weights = label_text_weights(counts[0], columns)
    return LabelDocuments(
        inputs,
        columns,
        weights,
        n_labels=len(pipe.labels),
        n_documents=n_documents,
        shift=shift,
    )
