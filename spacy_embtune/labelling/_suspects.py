"""Find labels that are probably wrong, by a classifier that was trained without the document."""

import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ..labels import SparseTargets
from ..metrics.carriers import find_carriers
from ..metrics.ranking import Bools, Floats, Ints, unit_rows
from ..plots.arrays import Space, labels_of, vectors_of
from ..reports.types import Documents

_N_FOLDS = 5
# For vectors that are centred and have a mean squared length of 1. A model with this C finds at
# least as many wrong labels as a model whose C is chosen by cross-validation.
_C = 1.0
# With so many labels that targets are sparse, only labels that this many documents carry are
# checked; of labels that are not exclusive, this many must lack it too.
FEWEST = 5


class Suspects(NamedTuple):
    """How well the given labels of n documents agree with a classifier.

    is_suspect (Bools): Whether the classifier confidently predicts another label, shape (n,).
    probability (Floats): The probability of the given label, 0..1, shape (n,). If labels are not
        exclusive, the lowest probability of a given label or a given absence. NaN without a
        prediction: for documents without known labels or without a vector, and for labels that too
        few other documents have.
    expected (list[list[str]]): The predicted labels; empty without a prediction.
    """

    is_suspect: Bools
    probability: Floats
    expected: list[list[str]]


def find_suspects(documents: Documents, *, space: Space = "base") -> Suspects:
    """Find documents whose given label is probably wrong.

    A document is suspect if a classifier that was trained without it predicts another label, and
    gives that label at least the probability that documents with this given label have on average
    (confident learning: Northcutt et al. 2021, "Confident Learning: Estimating Uncertainty in
    Dataset Labels"). If labels are not exclusive, each label is compared with its absence, and one
    contradiction is enough.

    Use base vectors if the component was trained on these documents. A head learns the given
    labels, even wrong ones, so tuned vectors of training documents agree with wrong labels.

    >>> from spacy_embtune.labels import make_targets
    >>> from spacy_embtune.reports import Documents
    >>> cats = [{"A": 1.0}, {"B": 1.0}] * 10 + [{}]
    >>> vectors = np.asarray([[1.0, 0.1], [0.1, 1.0]] * 10 + [[1.0, 0.2]])
    >>> documents = Documents(
    ...     ids=[str(i) for i in range(21)],
    ...     texts=[f"text {i}" for i in range(21)],
    ...     labels=["A", "B"],
    ...     targets=make_targets(cats, ["A", "B"], exclusive=True),
    ...     base=vectors,
    ...     tuned=vectors,
    ...     probabilities=np.zeros((21, 0)),
    ...     predicted_labels=[],
    ... )
    >>> wrong = cats[:-2] + [{"A": 1.0}, {}]
    >>> targets = make_targets(wrong, ["A", "B"], exclusive=True)
    >>> suspects = find_suspects(documents._replace(targets=targets))
    >>> np.flatnonzero(suspects.is_suspect).tolist(), suspects.expected[19]
    ([19], ['B'])

    If there are very many labels (`labels.MOST_DENSE`), those that fewer than 5 documents carry, or
    fewer than 5 are known to lack, are left out.

    documents (Documents): The documents.
    space (str): "base", or "tuned" for documents that the component was not trained on, where tuned
        vectors find more wrong labels.
    RETURNS (Suspects): The suspect documents.
    """
    n = len(documents.texts)
    documents = with_frequent_labels(documents)
    carries, known = labels_of(documents)
    probabilities = predict_out_of_fold(documents, space=space, labelled_only=True)
    suspects = Suspects(np.zeros(n, dtype=bool), np.full(n, np.nan), [[] for _ in range(n)])
    if documents.targets.exclusive and documents.labels:
        rows = np.flatnonzero(carries.any(axis=1) & np.isfinite(probabilities).all(axis=1))
        row_probabilities = probabilities[rows]
        _compare(suspects, rows, row_probabilities, carries[rows].argmax(axis=1))
        for row, best in zip(rows, row_probabilities.argmax(axis=1), strict=True):
            suspects.expected[row].append(documents.labels[best])
        return suspects
    for j, label in enumerate(documents.labels):
        rows = np.flatnonzero(known[:, j] & np.isfinite(probabilities[:, j]))
        present = probabilities[rows, j]
        both = np.column_stack([1 - present, present])
        _compare(suspects, rows, both, carries[rows, j].astype(np.intp))
        for row in rows[present > 0.5]:
            suspects.expected[row].append(label)
    return suspects


def _compare(suspects: Suspects, rows: Ints, probabilities: Floats, given: Ints) -> None:
    """Compare given classes with predictions, and write the result into `suspects`.

    suspects (Suspects): The result; it is changed in place.
    rows (Ints): The documents, shape (m,).
    probabilities (Floats): The probabilities of K classes for each document, shape (m, K).
    given (Ints): The given class of each document, shape (m,).
    """
    given_probability = probabilities[np.arange(rows.size), given]
    suspects.probability[rows] = np.fmin(suspects.probability[rows], given_probability)
    usual = np.full(probabilities.shape[1], np.inf)
    for k in np.unique(given):
        usual[k] = given_probability[given == k].mean()
    best = probabilities.argmax(axis=1)
    is_confident = probabilities[np.arange(rows.size), best] >= usual[best]
    suspects.is_suspect[rows] |= (best != given) & is_confident


def with_frequent_labels(documents: Documents) -> Documents:
    """Leave out rare labels, if there are so many labels that targets are sparse.

    documents (Documents): The documents.
    RETURNS (Documents): The documents with the labels that at least `FEWEST` documents carry and,
        of labels that are not exclusive, that as many are known to lack. Unchanged with few labels.
    """
    targets = documents.targets
    if not isinstance(targets, SparseTargets):
        return documents
    found = find_carriers(targets)
    kept = found.counts() >= FEWEST
    if not targets.exclusive:
        kept &= found.counts_absent() >= FEWEST
    labels = [label for label, is_kept in zip(documents.labels, kept, strict=True) if is_kept]
    return documents._replace(labels=labels, targets=targets.select_labels(kept))


def predict_out_of_fold(
    documents: Documents, *, space: Space = "base", labelled_only: bool = False
) -> Floats:
    """Predict the label of each document by a logistic regression that was trained without it.

    Labelled documents are predicted in five folds, and copies of a text are in the same fold. All
    other documents are predicted by a model of all labelled documents.

    >>> from spacy_embtune.labels import make_targets
    >>> from spacy_embtune.reports import Documents
    >>> cats = [{"A": 1.0}, {"B": 1.0}] * 10 + [{}]
    >>> vectors = np.asarray([[1.0, 0.1], [0.1, 1.0]] * 10 + [[1.0, 0.2]])
    >>> documents = Documents(
    ...     ids=[str(i) for i in range(21)],
    ...     texts=[f"text {i}" for i in range(21)],
    ...     labels=["A", "B"],
    ...     targets=make_targets(cats, ["A", "B"], exclusive=True),
    ...     base=vectors,
    ...     tuned=vectors,
    ...     probabilities=np.zeros((21, 0)),
    ...     predicted_labels=[],
    ... )
    >>> predict_out_of_fold(documents).shape
    (21, 2)

    documents (Documents): The n documents with their L labels.
    space (str): "base" or "tuned": the vectors to predict from. They are normalised to unit length.
    labelled_only (bool): Whether to leave out documents in which the label is not known.
    RETURNS (Floats): Probabilities, shape (n, L). If labels are exclusive, each row sums to 1. NaN
        for documents without a vector, and for labels that too few documents have or too few lack.
    """
    carries, known = labels_of(documents)
    probabilities = np.full(carries.shape, np.nan)
    x, rows = unit_rows(vectors_of(documents, space))
    if not probabilities[rows].size:
        return probabilities
    x -= x.mean(axis=0)
    # All dimensions are divided by one number. It is 0 if all vectors are equal.
    x /= np.sqrt((x**2).sum(axis=1).mean()) or 1.0
    texts = [documents.texts[row] for row in rows]
    if documents.targets.exclusive:
        labelled = np.asarray(carries[rows].any(axis=1))
        classes = carries[rows].argmax(axis=1)
        probabilities[rows] = _predict(x, classes, labelled, texts, carries.shape[1], labelled_only)
        return probabilities
    for j in range(carries.shape[1]):
        classes = carries[rows, j].astype(np.intp)
        probabilities[rows, j] = _predict(x, classes, known[rows, j], texts, 2, labelled_only)[:, 1]
    return probabilities


def _predict(
    x: Floats,
    classes: Ints,
    is_known: Bools,
    texts: Sequence[str],
    n_classes: int,
    labelled_only: bool,
) -> Floats:
    """RETURNS (Floats): Probabilities of the classes, shape (n, n_classes); NaN if too few labels
    are known for a prediction."""
    probabilities = np.full((x.shape[0], n_classes), np.nan)
    known = np.flatnonzero(is_known)
    fold = np.full(x.shape[0], -1)
    fold[known] = _folds(classes[known], [texts[int(i)] for i in known])
    # The last model (-1) learns from all labelled documents and predicts the unlabelled ones.
    for held_out in (*range(_N_FOLDS), *(() if labelled_only else (-1,))):
        train = is_known & (fold != held_out)
        test = fold == held_out
        seen = np.unique(classes[train])
        if held_out >= 0:
            # A model cannot predict a class that is not in its training folds.
            test &= np.isin(classes, seen)
        if seen.size >= 2 and test.any():
            probabilities[np.ix_(test, seen)] = _fit(x[train], classes[train], x[test])
            probabilities[test] = np.nan_to_num(probabilities[test], nan=0.0)
    return probabilities


def _folds(classes: Ints, texts: Sequence[str]) -> Ints:
    """RETURNS (Ints): The fold of each document, from 0. In the order of their classes, documents
    are assigned to the folds in turn, so that each fold gets its share of each class. Copies of a
    text are in the fold of the first copy."""
    first: dict[str, int] = {}
    leader = np.array([first.setdefault(text, i) for i, text in enumerate(texts)], dtype=np.intp)
    leaders = np.unique(leader)
    fold = np.zeros(classes.size, dtype=np.intp)
    order = leaders[np.argsort(classes[leaders], kind="stable")]
    fold[order] = np.arange(order.size) % _N_FOLDS
    return fold[leader]


def _fit(x: Floats, classes: Ints, test_x: Floats) -> Any:
    """RETURNS (ndarray): The probabilities of the classes for each row of `test_x`."""
    from sklearn.linear_model import LogisticRegression  # slow to import

    with warnings.catch_warnings():
        # A model that stops before the optimum is good enough.
        warnings.simplefilter("ignore")
        return LogisticRegression(C=_C, max_iter=500).fit(x, classes).predict_proba(test_x)
