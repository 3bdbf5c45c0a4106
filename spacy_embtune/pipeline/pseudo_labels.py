"""Give unlabelled texts the labels that a trained pipeline is sure of (pseudo-labels)."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example

from .._texts import shorten, text_key, word_key
from ..data import PseudoLabel, Record, text_digest
from ..labels import make_sparse_targets, validate_cats
from ..metrics import Rows
from ..semi_supervised import SUREST_SHARE, choose_pseudo_labels, compare_with_means
from .component import EmbTune
from .lookup import find_component
from .rows import probability_rows
from .text_inputs import prepare_texts

# How much a text with a pseudo-label counts, in labelled documents.
WEIGHT = 1.0
_BATCH_SIZE = 512


class PseudoLabels(NamedTuple):
    """The labels that a pipeline gave to some of m unlabelled texts.

    rows (ndarray of int): The zero-based positions of the k texts among all, shape (k,).
    texts (list[str]): Their texts.
    cats (list[dict[str, float]]): Their labels. If labels are exclusive, the label that each
        carries; otherwise the labels that it carries (1.0) and lacks (0.0). Others are unknown.
    weight (float): How much each text counts in training, in labelled documents.
    n_texts (int): The number m of all texts.
    n_agreed (int): The number of texts for which both views of the pipeline agree on a label.
    n_known (int): The number of texts that were left out because a labelled document has the same
        words.
    """

    rows: NDArray[np.intp]
    texts: list[str]
    cats: list[dict[str, float]]
    weight: float
    n_texts: int
    n_agreed: int
    n_known: int

    def by_digest(self) -> dict[str, PseudoLabel]:
        """Give the labels as the reader `spacy-embtune.unlabelled.v1` and `write_pseudo_labels`
        take them. Of copies of a text, the first counts.

        RETURNS (dict[str, PseudoLabel]): The labels by the digest of their text.
        """
        found: dict[str, PseudoLabel] = {}
        for text, cats in zip(self.texts, self.cats, strict=True):
            found.setdefault(text_digest(text), PseudoLabel(cats, self.weight))
        return found


def pseudo_label(
    nlp: Language,
    documents: Iterable[Record | Example | Doc],
    texts: Sequence[str],
    *,
    name: str | None = None,
    share: float = SUREST_SHARE,
    weight: float = WEIGHT,
) -> PseudoLabels:
    """Give unlabelled texts the labels that a trained pipeline is sure of, to train another
    pipeline with them. A text gets a label where two views agree: the label of the nearest labelled
    document, by tuned vectors, and the most probable label of the output layer. Of these, the
    surest share of each label is taken. If no loss trained the output layer, the mean vectors of
    the labels take its place.

    This is self-training (Scudder 1965; Lee 2013, "Pseudo-Label"). It helps if the pipeline is
    right about most texts, and harms if it is not: compare on held-out documents.

    >>> import spacy
    >>> nlp = spacy.blank("en")
    >>> for i, word in enumerate(["ball", "team", "soup", "oven"]):
    ...     _ = nlp.vocab.set_vector(word, np.eye(4, dtype="float32")[i] + 1)
    >>> encoder = {"@architectures": "spacy-embtune.DocVectors.v1"}
    >>> _ = nlp.add_pipe("embtune", config={"model": {"encoder": encoder}})
    >>> rows = {"ball team": "A", "ball": "A", "soup oven": "B", "soup": "B"}
    >>> examples = [
    ...     Example.from_dict(nlp.make_doc(text), {"cats": {label: 1.0}})
    ...     for text, label in rows.items()
    ... ]
    >>> optimizer = nlp.initialize(lambda: examples)
    >>> for _ in range(20):
    ...     _ = nlp.update(examples, sgd=optimizer)
    >>> pseudo_label(nlp, examples, ["team ball ball", "oven soup soup", "Soup!"]).cats
    [{'A': 1.0}, {'B': 1.0}]

    nlp (Language): The trained pipeline. It is not changed.
    documents (Iterable[Record | Example | Doc]): The labelled documents; of Examples, the
        reference. They may be those that the pipeline was trained on.
    texts (Sequence[str]): The m unlabelled texts. Those with the words of a labelled document are
        left out, as are copies of an earlier text.
    name (str | None): The name of the component. None: there must be exactly one.
    share (float): The share of the texts on which both views agree that is taken of each label,
        0..1.
    weight (float): How much each text counts in training, in labelled documents.
    RETURNS (PseudoLabels): The labels. There may be none.
    RAISES (ValueError): If there is no such component, it is not trained or has no labels, no
        document is labelled, or the share is outside 0..1.
    """
    pipe = find_component(nlp, name)
    if not pipe.is_trained or not pipe.labels:
        raise ValueError(
            f"[{pipe.name}] cannot give labels, because it "
            + ("has no labels." if pipe.is_trained else "is not trained.")
            + " Train it on labelled documents first."
        )
    labelled = [_text_and_cats(i, document) for i, document in enumerate(documents)]
    own = set(pipe.labels)
    labelled = [(text, cats) for text, cats in labelled if text.strip() and own & set(cats)]
    if not labelled:
        raise ValueError(
            f"[{pipe.name}] none of the documents has one of its labels, {list(pipe.labels)[:5]}. "
            "Give labelled documents."
        )
    targets = make_sparse_targets(
        [cats for _, cats in labelled],
        pipe.labels,
        exclusive=bool(pipe.cfg["exclusive_classes"]),
        where=lambda i: f"document {i} ({shorten(labelled[i][0])!r})",
    )
    known = {word_key(text) for text, _ in labelled}
    copies: set[str] = set()
    usable = np.zeros(len(texts), dtype=bool)
    n_known = 0
    for i, text in enumerate(texts):
        key, words = text_key(text), word_key(text)
        n_known += words in known
        usable[i] = bool(key) and key not in copies and words not in known
        copies.add(key)
    rows = np.flatnonzero(usable)
    near = _predict(nlp, pipe, [text for text, _ in labelled])[1]
    probabilities: Rows
    tuned, probabilities = near[:0], np.zeros((0, len(pipe.labels)), dtype="float32")
    if rows.size:
        base, tuned = _predict(nlp, pipe, [texts[i] for i in rows.tolist()])
        probabilities = (
            probability_rows(pipe, base)
            if pipe.predicts_labels
            else compare_with_means(near, targets, tuned)
        )
    chosen = choose_pseudo_labels(
        near,
        targets,
        tuned,
        probabilities,
        share=share,
        weight=weight,
        threshold=pipe.threshold,
    )
    cats: list[dict[str, float]] = [{} for _ in chosen.rows]
    entries = zip(chosen.targets.rows, chosen.targets.columns, chosen.targets.values, strict=True)
    for row, column, value in entries:
        cats[row][pipe.labels[column]] = float(value)
    rows = rows[chosen.rows]
    return PseudoLabels(
        rows,
        [texts[i] for i in rows.tolist()],
        cats,
        weight,
        len(texts),
        chosen.n_agreed,
        n_known,
    )


def _text_and_cats(i: int, document: Record | Example | Doc) -> tuple[str, Mapping[str, float]]:
    if isinstance(document, Example):
        document = document.reference
    validate_cats(document.cats, where=f"document {i} ({shorten(document.text)!r})")
    return document.text, document.cats


def _predict(
    nlp: Language, pipe: EmbTune, texts: Sequence[str]
) -> tuple[NDArray[Any], NDArray[Any]]:
    """RETURNS (tuple): The base vectors and the tuned vectors of texts, one row each."""
    found = [
        pipe.predict(prepare_texts(nlp, pipe, texts[start : start + _BATCH_SIZE]), with_spans=False)
        for start in range(0, len(texts), _BATCH_SIZE)
    ]
    tuned = [cast(Any, part.tuned) for part in found]
    return np.concatenate([part.base for part in found]), np.concatenate(tuned)
