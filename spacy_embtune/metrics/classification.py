"""How well one corpus predicts the labels of another: nearest neighbour and linear probe."""

import warnings
from typing import Any, NamedTuple

import numpy as np

from ..types import Targets
from .vectors import (
    Array,
    Bools,
    Floats,
    Ints,
    blocks,
    carried_labels,
    distances,
    labels_by_gallery,
    unit_rows,
)

_PROBE_CS = (0.01, 0.1, 1.0, 10.0, 100.0)
_PROBE_FOLDS = 5


class ClassificationScores(NamedTuple):
    """How well labels of test documents were predicted from training documents.

    accuracy (float | None): Exclusive labels: the share of documents whose label was predicted.
        Otherwise per label over the documents in which it is known, then averaged over the labels.
        None when nothing could be predicted.
    macro_f1 (float | None): F1 of each label that a test document carries, averaged over those:
        with rare labels, accuracy is high for whoever never predicts them.
    n_labels (int): How many labels `accuracy` rests on.
    n_documents (int): How many test documents it rests on.
    """

    accuracy: float | None
    macro_f1: float | None
    n_labels: int
    n_documents: int


def knn_scores(
    train_vectors: Array,
    train: Targets,
    test_vectors: Array,
    test: Targets,
    *,
    block_size: int | None = None,
) -> ClassificationScores:
    """Give each test document the labels of the nearest training document by cosine.

    Where the labels are not exclusive, each label asks the nearest training document in which it is
    known. Of several nearest, the first counts. The documents' weights do not matter.

    train_vectors (Array): Vectors of the training documents, shape (n, d).
    train (Targets): Their labels, n rows.
    test_vectors (Array): Vectors of the test documents, shape (m, d).
    test (Targets): Their labels, m rows.
    block_size (int | None): How many test documents to compare at a time. None: as many as keep
        the working memory, beside copies of the vectors, below 64 MB.
    RETURNS (ClassificationScores): The scores.
    RAISES (ValueError): If the shapes do not fit or a vector is not finite.
    """
    gallery, queries = _sides(train_vectors, train, test_vectors, test)
    if train.exclusive:
        gallery, queries = gallery.labelled(), queries.labelled()
        truth = queries.classes()
        if not gallery.unit.shape[0] or not truth.size:
            return ClassificationScores(None, None, 0, 0)
        nearest = _nearest(gallery.unit, queries.unit, block_size)
        return _exclusive_scores(truth, gallery.classes()[nearest])
    scores = _ScoresOverLabels(queries.unit.shape[0])
    labels = gallery.teachable(queries)
    for rows, group in labels_by_gallery(gallery.known, labels):
        nearest = rows[_nearest(gallery.unit[rows], queries.unit, block_size)]
        for label in group:
            tested = queries.known[:, label]
            guess = gallery.carries[nearest[tested], label]
            scores.add(tested, queries.carries[tested, label], guess)
    return scores.result()


def probe_scores(
    train_vectors: Array, train: Targets, test_vectors: Array, test: Targets
) -> ClassificationScores:
    """Train a logistic regression on the training vectors, and score it on the test vectors: how
    much of the labels a linear classifier can read off the vectors.

    The vectors are normalised, centred on the training mean and divided by one number for all
    dimensions (scaling each by its own deviation would blow up dimensions that hold nothing), so
    that one grid of C fits any embedding. C is chosen by log-loss in a stratified cross-validation
    within the training documents: a fixed C favours some embeddings. Exclusive labels share one
    multinomial model; otherwise each label has its own, trained where the label is known. The
    documents' weights do not matter.

    train_vectors (Array): Vectors of the training documents, shape (n, d).
    train (Targets): Their labels, n rows.
    test_vectors (Array): Vectors of the test documents, shape (m, d).
    test (Targets): Their labels, m rows.
    RETURNS (ClassificationScores): The scores.
    RAISES (ValueError): If the shapes do not fit or a vector is not finite.
    """
    teaching, tested = _sides(train_vectors, train, test_vectors, test)
    if train.exclusive:
        teaching, tested = teaching.labelled(), tested.labelled()
        truth = tested.classes()
        if not teaching.unit.shape[0] or not truth.size:
            return ClassificationScores(None, None, 0, 0)
        guess = _probe(teaching.unit, teaching.classes(), tested.unit)
        return _exclusive_scores(truth, guess)
    scores = _ScoresOverLabels(tested.unit.shape[0])
    for label in teaching.teachable(tested):
        taught, rows = teaching.known[:, label], tested.known[:, label]
        y = teaching.carries[taught, label].astype(np.intp)
        guess = _probe(teaching.unit[taught], y, tested.unit[rows])
        scores.add(rows, tested.carries[rows, label], guess > 0)
    return scores.result()


class _Side(NamedTuple):
    """The documents of one corpus that have a vector: unit vectors (n, d), labels (n, L)."""

    unit: Floats
    carries: Bools
    known: Bools

    def labelled(self) -> "_Side":
        """RETURNS (_Side): The documents that carry a label."""
        rows = self.carries.any(axis=1)
        return _Side(self.unit[rows], self.carries[rows], self.known[rows])

    def classes(self) -> Ints:
        """RETURNS (Ints): The first label that each document carries, shape (n,)."""
        return self.carries.argmax(axis=1)

    def teachable(self, test: "_Side") -> Ints:
        """RETURNS (Ints): The labels known as present and as absent here, and known in test."""
        absent = self.known & ~self.carries
        return np.flatnonzero(
            self.carries.any(axis=0) & absent.any(axis=0) & test.known.any(axis=0)
        )


class _ScoresOverLabels:
    """Collects the scores of one label after the other."""

    def __init__(self, n_docs: int) -> None:
        self.accuracies: list[float] = []
        self.f1s: list[float] = []
        self.tested = np.zeros(n_docs, dtype=bool)

    def add(self, tested: Bools, truth: Bools, guess: Bools) -> None:
        self.tested |= tested
        self.accuracies.append(float((truth == guess).mean()))
        if truth.any():
            self.f1s.append(_f1(truth, guess))

    def result(self) -> ClassificationScores:
        return ClassificationScores(
            accuracy=float(np.mean(self.accuracies)) if self.accuracies else None,
            macro_f1=float(np.mean(self.f1s)) if self.f1s else None,
            n_labels=len(self.accuracies),
            n_documents=int(self.tested.sum()),
        )


def _sides(
    train_vectors: Array, train: Targets, test_vectors: Array, test: Targets
) -> tuple[_Side, _Side]:
    if train.exclusive != test.exclusive:
        raise ValueError("The labels of train and test must be exclusive both, or neither.")
    if train.values.shape[1] != test.values.shape[1]:
        raise ValueError(
            f"train has {train.values.shape[1]} labels and test {test.values.shape[1]}: "
            "make both targets with the same labels."
        )
    sides = []
    for vectors, targets in ((train_vectors, train), (test_vectors, test)):
        unit, rows = unit_rows(vectors)
        carries, known = carried_labels(targets.values, targets.known, n_docs=np.shape(vectors)[0])
        sides.append(_Side(unit, carries[rows], known[rows]))
    return sides[0], sides[1]


def _nearest(gallery: Floats, queries: Floats, block_size: int | None) -> Ints:
    """RETURNS (Ints): Index of the nearest gallery row for each query, shape (queries,)."""
    nearest = np.empty(queries.shape[0], dtype=np.intp)
    for block in blocks(np.arange(queries.shape[0]), gallery.shape[0], block_size):
        nearest[block] = distances(queries[block], gallery).argmin(axis=1)
    return nearest


def _exclusive_scores(truth: Ints, guess: Ints) -> ClassificationScores:
    labels = np.unique(truth)
    f1s = [_f1(truth == label, guess == label) for label in labels]
    return ClassificationScores(
        accuracy=float((truth == guess).mean()),
        macro_f1=float(np.mean(f1s)),
        n_labels=labels.size,
        n_documents=truth.size,
    )


def _f1(truth: Bools, guess: Bools) -> float:
    return float(2 * (truth & guess).sum() / (truth.sum() + guess.sum()))


def _probe(train_x: Floats, train_y: Ints, test_x: Floats) -> Ints:
    """RETURNS (Ints): The class predicted for each row of test_x, shape (m,)."""
    if np.unique(train_y).size == 1:
        return np.full(test_x.shape[0], train_y[0])
    mean = train_x.mean(axis=0)
    centred = train_x - mean
    # Root of the total variance; equal vectors leave nothing to scale.
    scale = np.sqrt((centred**2).sum(axis=1).mean()) or 1.0
    with warnings.catch_warnings():
        # A probe that stopped short of the optimum is a probe all the same, and sklearn's advice on
        # its own parameters is not for our users.
        warnings.simplefilter("ignore")
        c = _choose_c(centred / scale, train_y)
        model = _logistic_regression(c).fit(centred / scale, train_y)
        guess: Ints = model.predict((test_x - mean) / scale)
    return guess


def _logistic_regression(c: float) -> Any:
    from sklearn.linear_model import LogisticRegression  # slow to import

    return LogisticRegression(C=c, max_iter=1000, tol=1e-4, warm_start=True)


def _choose_c(x: Floats, y: Ints) -> float:
    """RETURNS (float): The C of least log-loss on held-out folds, the smallest such."""
    # Each class is dealt out to the folds in turn, and goes on where the last one stopped: every
    # fold gets its share of each class, and a class of one does no harm.
    fold = np.empty(y.size, dtype=np.intp)
    fold[np.argsort(y, kind="stable")] = np.arange(y.size) % _PROBE_FOLDS
    losses = np.zeros(len(_PROBE_CS))
    for held_out in range(_PROBE_FOLDS):
        inner, outer = fold != held_out, fold == held_out
        seen = np.unique(y[inner])
        # A class that a fold's model never met has no probability there.
        outer &= np.isin(y, seen)
        if seen.size < 2 or not outer.any():
            continue
        model = _logistic_regression(_PROBE_CS[0])
        for i, c in enumerate(_PROBE_CS):
            model.set_params(C=c).fit(x[inner], y[inner])
            column = np.searchsorted(seen, y[outer])
            log_p = model.predict_log_proba(x[outer])[np.arange(column.size), column]
            losses[i] -= np.maximum(log_p, np.log(1e-15)).sum()
    return _PROBE_CS[int(losses.argmin())]
