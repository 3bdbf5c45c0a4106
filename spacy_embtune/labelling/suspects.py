"""What a classifier that never saw a document says of its labels: given ones that may be wrong."""

import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ..metrics.ranking import Bools, Floats, Ints, carried_labels, unit_rows
from ..plots.neighbors import Space, vectors_of
from ..report.types import Documents

N_FOLDS = 5
# Of vectors that are centred and have a mean square of 1. With wrong labels among them, a model as
# smooth as this finds as many as one whose C is chosen by cross-validation, or more.
_C = 1.0


class Suspects(NamedTuple):
    """What was found out about the given labels of n documents.

    is_suspect (Bools): Whether they are contradicted with confidence, shape (n,).
    probability (Floats): What the classifier gives to what is given, 0..1, shape (n,): of several
        labels, to the one it doubts most. NaN where it has nothing to say: documents without known
        labels or vectors, and labels that too few others have.
    expected (list[list[str]]): The labels that it would give where it has something to say.
    """

    is_suspect: Bools
    probability: Floats
    expected: list[list[str]]


def find_suspects(documents: Documents, *, space: Space = "base") -> Suspects:
    """Look for documents whose given label is probably wrong.

    A document is suspect if the classifier that was trained without it, see `cross_predict`, finds
    another label than the given one most probable, and at least as probable as for documents that
    were given that label on average (confident learning: Northcutt et al. 2021, "Confident
    Learning: Estimating Uncertainty in Dataset Labels"). Without exclusive classes each label
    stands against its absence, and one contradiction is enough.

    Take base vectors if the component was trained on these documents. A head pulls documents to the
    labels that they were given, wrong ones too, until nothing contradicts these any more.

    documents (Documents): The documents.
    space (str): "base"; or "tuned" for documents that the component was not trained on: their tuned
        vectors tell more.
    RETURNS (Suspects): What was found.
    """
    n = len(documents.texts)
    carries, known = carried_labels(documents.targets.values, documents.targets.known, n_docs=n)
    probabilities = cross_predict(documents, space=space)
    found = Suspects(np.zeros(n, dtype=bool), np.full(n, np.nan), [[] for _ in range(n)])
    if documents.targets.exclusive:
        rows = np.flatnonzero(carries.any(axis=1) & np.isfinite(probabilities).all(axis=1))
        of_rows = probabilities[rows]
        _compare(found, rows, of_rows, carries[rows].argmax(axis=1))
        for row, best in zip(rows, of_rows.argmax(axis=1), strict=True):
            found.expected[row].append(documents.labels[best])
        return found
    for j, label in enumerate(documents.labels):
        rows = np.flatnonzero(known[:, j] & np.isfinite(probabilities[:, j]))
        present = probabilities[rows, j]
        of_rows = np.column_stack([1 - present, present])
        _compare(found, rows, of_rows, carries[rows, j].astype(np.intp))
        for row in rows[present > 0.5]:
            found.expected[row].append(label)
    return found


def _compare(found: Suspects, rows: Ints, probabilities: Floats, given: Ints) -> None:
    """Note what is contradicted.

    probabilities (Floats): Of K classes, for each of the rows, shape (m, K).
    given (Ints): The class that each of them was given, shape (m,).
    """
    of_given = probabilities[np.arange(rows.size), given]
    found.probability[rows] = np.fmin(found.probability[rows], of_given)
    usual = np.full(probabilities.shape[1], np.inf)
    for k in np.unique(given):
        usual[k] = of_given[given == k].mean()
    best = probabilities.argmax(axis=1)
    is_confident = probabilities[np.arange(rows.size), best] >= usual[best]
    found.is_suspect[rows] |= (best != given) & is_confident


def cross_predict(documents: Documents, *, space: Space = "base") -> Floats:
    """Predict the labels of documents from the others. A logistic regression learns from all that
    is known; what is itself known of a document is predicted by one that was trained without it: in
    five folds, of which copies of a text share one.

    documents (Documents): The n documents with their L labels.
    space (str): "base" or "tuned": the vectors to predict from, at unit length.
    RETURNS (Floats): Probabilities, shape (n, L): of exclusive labels, sums of 1. NaN for documents
        without a vector, and for labels that too few documents have, or too few lack, to learn
        them.
    """
    n = len(documents.texts)
    carries, known = carried_labels(documents.targets.values, documents.targets.known, n_docs=n)
    probabilities = np.full(carries.shape, np.nan)
    x, rows = unit_rows(vectors_of(documents, space))
    if not rows.size:
        return probabilities
    x -= x.mean(axis=0)
    # One scale for all dimensions; vectors that are all alike leave nothing to scale.
    x /= np.sqrt((x**2).sum(axis=1).mean()) or 1.0
    texts = [documents.texts[row] for row in rows]
    if documents.targets.exclusive:
        labelled = np.asarray(carries[rows].any(axis=1))
        classes = carries[rows].argmax(axis=1)
        probabilities[rows] = _predict(x, classes, labelled, texts, carries.shape[1])
        return probabilities
    for j in range(carries.shape[1]):
        classes = carries[rows, j].astype(np.intp)
        probabilities[rows, j] = _predict(x, classes, known[rows, j], texts, 2)[:, 1]
    return probabilities


def _predict(
    x: Floats, classes: Ints, is_known: Bools, texts: Sequence[str], n_classes: int
) -> Floats:
    """RETURNS (Floats): Probabilities of the classes, shape (n, n_classes); NaN where too little is
    known to predict."""
    probabilities = np.full((x.shape[0], n_classes), np.nan)
    known = np.flatnonzero(is_known)
    fold = np.full(x.shape[0], -1)
    fold[known] = _folds(classes[known], [texts[int(i)] for i in known])
    # The last of them learns from all that is known, for the documents of which nothing is.
    for held_out in (*range(N_FOLDS), -1):
        taught = is_known & (fold != held_out)
        asked = fold == held_out
        seen = np.unique(classes[taught])
        if held_out >= 0:
            # A class that the others do not have could not be found.
            asked &= np.isin(classes, seen)
        if seen.size >= 2 and asked.any():
            probabilities[np.ix_(asked, seen)] = _fit(x[taught], classes[taught], x[asked])
            probabilities[asked] = np.nan_to_num(probabilities[asked], nan=0.0)
    return probabilities


def _folds(classes: Ints, texts: Sequence[str]) -> Ints:
    """RETURNS (Ints): A fold for each document, from 0. Each class is dealt out to the folds in
    turn, and goes on where the last one stopped; copies follow the first of them."""
    first: dict[str, int] = {}
    leader = np.array([first.setdefault(text, i) for i, text in enumerate(texts)], dtype=np.intp)
    leaders = np.unique(leader)
    dealt = np.zeros(classes.size, dtype=np.intp)
    order = leaders[np.argsort(classes[leaders], kind="stable")]
    dealt[order] = np.arange(order.size) % N_FOLDS
    return dealt[leader]


def _fit(x: Floats, classes: Ints, asked: Floats) -> Any:
    from sklearn.linear_model import LogisticRegression  # slow to import

    with warnings.catch_warnings():
        # A model that stopped short of the optimum predicts all the same.
        warnings.simplefilter("ignore")
        return LogisticRegression(C=_C, max_iter=500).fit(x, classes).predict_proba(asked)
