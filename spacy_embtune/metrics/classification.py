"""How well one corpus predicts the labels of another: nearest neighbour and linear probe."""

import warnings
from typing import Any, NamedTuple

import numpy as np

from ..types import Targets
from .ranking import (
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


class Predictions(NamedTuple):
    """What was predicted of the labels of m test documents: arrays of shape (m, L).

    tested (Bools): Where a prediction stands against something known; the others hold nothing.
    carries (Bools): Whether the document carries the label.
    guess (Bools): Whether that was predicted.
    decision (Floats | None): The larger, the likelier the label; None from the nearest neighbour.
    exclusive (bool): Whether a document carries exactly one label.
    """

    tested: Bools
    carries: Bools
    guess: Bools
    decision: Floats | None
    exclusive: bool


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
    sides = (train_vectors, train, test_vectors, test)
    return score_predictions(predict_by_neighbour(*sides, block_size=block_size))


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
    return score_predictions(predict_by_probe(train_vectors, train, test_vectors, test))


def predict_by_neighbour(
    train_vectors: Array,
    train: Targets,
    test_vectors: Array,
    test: Targets,
    *,
    block_size: int | None = None,
) -> Predictions:
    """RETURNS (Predictions): What `knn_scores`, which takes the same, scores."""
    gallery, queries = _sides(train_vectors, train, test_vectors, test)
    predictions = _no_predictions(test)
    if train.exclusive:
        gallery, queries = gallery.labelled(), queries.labelled()
        if gallery.rows.size and queries.rows.size:
            nearest = _nearest(gallery.unit, queries.unit, block_size)
            _fill_classes(predictions, queries, gallery.classes()[nearest])
        return predictions
    for rows, group in labels_by_gallery(gallery.known, gallery.teachable(queries)):
        nearest = rows[_nearest(gallery.unit[rows], queries.unit, block_size)]
        for label in group:
            tested = queries.known[:, label]
            guess = gallery.carries[nearest[tested], label]
            _fill_label(predictions, queries, label, guess)
    return predictions


def predict_by_probe(
    train_vectors: Array, train: Targets, test_vectors: Array, test: Targets
) -> Predictions:
    """RETURNS (Predictions): What `probe_scores`, which takes the same, scores."""
    teaching, tested = _sides(train_vectors, train, test_vectors, test)
    decision = np.zeros(np.shape(test.values))
    predictions = _no_predictions(test)._replace(decision=decision)
    if train.exclusive:
        teaching, tested = teaching.labelled(), tested.labelled()
        if teaching.rows.size and tested.rows.size:
            classes, scores = _probe(teaching.unit, teaching.classes(), tested.unit)
            # A class that no training document has is less likely than any that one has.
            decision[tested.rows] = scores.min(axis=1, keepdims=True) - 1.0
            decision[np.ix_(tested.rows, classes)] = scores
            _fill_classes(predictions, tested, classes[scores.argmax(axis=1)])
        return predictions
    for label in teaching.teachable(tested):
        taught, rows = teaching.known[:, label], tested.known[:, label]
        y = teaching.carries[taught, label].astype(np.intp)
        _, scores = _probe(teaching.unit[taught], y, tested.unit[rows])
        decision[tested.rows[rows], label] = scores[:, 1] - scores[:, 0]
        _fill_label(predictions, tested, label, scores[:, 1] > scores[:, 0])
    return predictions


def score_predictions(predictions: Predictions) -> ClassificationScores:
    """RETURNS (ClassificationScores): How many of the predictions are right."""
    tested, carries, guess, _, exclusive = predictions
    rows, labels = tested.any(axis=1), carries.any(axis=0)
    tested_labels = tested.any(axis=0)
    if not rows.any():
        return ClassificationScores(None, None, 0, 0)
    right = tested & (carries == guess)
    if exclusive:
        accuracy = float(right[rows].all(axis=1).mean())
    else:
        sums = right.sum(axis=0)[tested_labels], tested.sum(axis=0)[tested_labels]
        accuracy = float((sums[0] / sums[1]).mean())
    both = 2 * (carries & guess).sum(axis=0)[labels]
    f1s = both / (carries.sum(axis=0) + guess.sum(axis=0))[labels]
    return ClassificationScores(
        accuracy=accuracy,
        macro_f1=float(f1s.mean()) if f1s.size else None,
        n_labels=int((labels if exclusive else tested_labels).sum()),
        n_documents=int(rows.sum()),
    )


def auc_score(predictions: Predictions) -> float | None:
    """The area under the ROC curve of the decisions: how often a document that carries the label
    gets a higher value than one that does not, whatever the threshold.

    predictions (Predictions): With decisions, as `predict_by_probe` gives them.
    RETURNS (float | None): Mean over the labels that are known as present and as absent among the
        tested documents; None if there is no such label, or there are no decisions.
    """
    from sklearn.metrics import roc_auc_score  # slow to import

    tested, carries, _, decision, _ = predictions
    areas = []
    for label in np.flatnonzero(carries.any(axis=0) & (tested & ~carries).any(axis=0)):
        if decision is not None:
            rows = tested[:, label]
            areas.append(roc_auc_score(carries[rows, label], decision[rows, label]))
    return float(np.mean(areas)) if areas else None


class _Side(NamedTuple):
    """The documents of one corpus that have a vector: unit vectors (n, d), labels (n, L), rows."""

    unit: Floats
    carries: Bools
    known: Bools
    rows: Ints

    def labelled(self) -> "_Side":
        """RETURNS (_Side): The documents that carry a label."""
        at = self.carries.any(axis=1)
        return _Side(self.unit[at], self.carries[at], self.known[at], self.rows[at])

    def classes(self) -> Ints:
        """RETURNS (Ints): The first label that each document carries, shape (n,)."""
        return self.carries.argmax(axis=1)

    def teachable(self, test: "_Side") -> Ints:
        """RETURNS (Ints): The labels known as present and as absent here, and known in test."""
        absent = self.known & ~self.carries
        return np.flatnonzero(
            self.carries.any(axis=0) & absent.any(axis=0) & test.known.any(axis=0)
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
        sides.append(_Side(unit, carries[rows], known[rows], rows))
    return sides[0], sides[1]


def _no_predictions(test: Targets) -> Predictions:
    tested, carries, guess = (np.zeros(np.shape(test.values), dtype=bool) for _ in range(3))
    return Predictions(tested, carries, guess, None, test.exclusive)


def _fill_classes(predictions: Predictions, test: _Side, guess: Ints) -> None:
    predictions.tested[test.rows] = True
    predictions.carries[test.rows, test.classes()] = True
    predictions.guess[test.rows, guess] = True


def _fill_label(predictions: Predictions, test: _Side, label: int, guess: Bools) -> None:
    tested = test.known[:, label]
    rows = test.rows[tested]
    predictions.tested[rows, label] = True
    predictions.carries[rows, label] = test.carries[tested, label]
    predictions.guess[rows, label] = guess


def _nearest(gallery: Floats, queries: Floats, block_size: int | None) -> Ints:
    """RETURNS (Ints): Index of the nearest gallery row for each query, shape (queries,)."""
    nearest = np.empty(queries.shape[0], dtype=np.intp)
    for block in blocks(np.arange(queries.shape[0]), gallery.shape[0], block_size):
        nearest[block] = distances(queries[block], gallery).argmin(axis=1)
    return nearest


def _probe(train_x: Floats, train_y: Ints, test_x: Floats) -> tuple[Ints, Floats]:
    """RETURNS (tuple): The k classes of train_y, and how much each row of test_x looks like each of
    them, shape (m, k)."""
    classes = np.unique(train_y)
    if classes.size == 1:
        return classes, np.zeros((test_x.shape[0], 1))
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
        scores: Floats = model.decision_function((test_x - mean) / scale)
    if classes.size == 2:
        scores = np.column_stack([-scores, scores])
    return classes, scores


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
