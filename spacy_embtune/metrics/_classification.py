"""Score how well one corpus predicts the labels of another: by nearest neighbour and linear
probe."""

import warnings
from typing import Any, NamedTuple

import numpy as np

from ..labels import AnyTargets
from ._predictions import Predictions, PredictionsBuilder
from .carriers import Carriers, LabelSlices, find_carriers, group_by_documents
from .ranking import Array, Floats, Ints, blocks, distances, unit_rows

_PROBE_CS = (0.01, 0.1, 1.0, 10.0, 100.0)
_PROBE_FOLDS = 5


class ClassificationScores(NamedTuple):
    """How well the labels of test documents were predicted from training documents.

    accuracy (float | None): If labels are exclusive, the share of documents whose label was
        predicted. Otherwise the accuracy of each label over the documents in which it is known,
        averaged over the labels. None if nothing could be predicted.
    macro_f1 (float | None): The F1 score of each label that a test document carries, averaged over
        these labels. (With rare labels, a classifier that never predicts them has a high accuracy.)
        None if no test document carries a label.
    n_labels (int): The number of labels that `accuracy` is computed from.
    n_documents (int): The number of test documents that `accuracy` is computed from.
    """

    accuracy: float | None
    macro_f1: float | None
    n_labels: int
    n_documents: int


def knn_scores(
    train_vectors: Array,
    train: AnyTargets,
    test_vectors: Array,
    test: AnyTargets,
    *,
    block_size: int | None = None,
) -> ClassificationScores:
    """Score predictions from the nearest training document by cosine.

    If labels are not exclusive, each label is predicted from the nearest training document in which
    it is known. If several training documents are equally near, the first one counts. The weights
    of documents have no effect.

    >>> from spacy_embtune.labels import make_targets
    >>> train = make_targets([{"A": 1.0}, {"B": 1.0}], ["A", "B"], exclusive=True)
    >>> test = make_targets([{"A": 1.0}], ["A", "B"], exclusive=True)
    >>> knn_scores([[1.0, 0.0], [0.0, 1.0]], train, [[2.0, 0.5]], test).accuracy
    1.0

    train_vectors (Array): Vectors of the training documents, shape (n, d).
    train (Targets | SparseTargets): The labels of the training documents, n rows.
    test_vectors (Array): Vectors of the test documents, shape (m, d).
    test (Targets | SparseTargets): The labels of the test documents, m rows.
    block_size (int | None): The number of test documents to compare at a time. None: the number
        that needs less than 64 MB, not counting copies of the vectors.
    RETURNS (ClassificationScores): The scores.
    RAISES (ValueError): If the shapes do not fit or a vector is not finite.
    """
    sides = (train_vectors, train, test_vectors, test)
    return score_predictions(predict_by_neighbour(*sides, block_size=block_size))


def probe_scores(
    train_vectors: Array, train: AnyTargets, test_vectors: Array, test: AnyTargets
) -> ClassificationScores:
    """Score a logistic regression that is trained on the training vectors (a linear probe).

    The vectors are normalised to unit length, the training mean is subtracted, and all dimensions
    are divided by one number, so that the same values of C suit all encoders. (Dividing each
    dimension by its own standard deviation would enlarge dimensions that hold only noise.) C is
    chosen by log-loss in a stratified cross-validation on the training documents, because a fixed C
    favours some encoders. Exclusive labels share one multinomial model. Otherwise each label has
    its own model, trained on the documents in which it is known. The weights of documents have no
    effect.

    >>> from spacy_embtune.labels import make_targets
    >>> train = make_targets([{"A": 1.0}, {"B": 1.0}] * 5, ["A", "B"], exclusive=True)
    >>> test = make_targets([{"A": 1.0}], ["A", "B"], exclusive=True)
    >>> probe_scores([[1.0, 0.0], [0.0, 1.0]] * 5, train, [[2.0, 0.5]], test).accuracy
    1.0

    train_vectors (Array): Vectors of the training documents, shape (n, d).
    train (Targets | SparseTargets): The labels of the training documents, n rows.
    test_vectors (Array): Vectors of the test documents, shape (m, d).
    test (Targets | SparseTargets): The labels of the test documents, m rows.
    RETURNS (ClassificationScores): The scores.
    RAISES (ValueError): If the shapes do not fit or a vector is not finite.
    """
    return score_predictions(predict_by_probe(train_vectors, train, test_vectors, test))


def predict_by_neighbour(
    train_vectors: Array,
    train: AnyTargets,
    test_vectors: Array,
    test: AnyTargets,
    *,
    block_size: int | None = None,
) -> Predictions:
    """Predict labels from the nearest training document. `knn_scores` takes the same arguments,
    says what they are, and scores the result.

    >>> from spacy_embtune.labels import make_targets
    >>> train = make_targets([{"A": 1.0}, {"B": 1.0}], ["A", "B"], exclusive=True)
    >>> test = make_targets([{"A": 1.0}], ["A", "B"], exclusive=True)
    >>> predict_by_neighbour([[1.0, 0.0], [0.0, 1.0]], train, [[2.0, 0.5]], test).predicted.tolist()
    [[True, False]]

    RETURNS (Predictions): The predictions, without decision values.
    """
    gallery, queries = _corpora(train_vectors, train, test_vectors, test)
    builder = PredictionsBuilder(test)
    if train.exclusive:
        gallery, queries = gallery.labelled(), queries.labelled()
        if gallery.rows.size and queries.rows.size:
            nearest = _nearest(gallery.unit, queries.unit, block_size)
            builder.add_classes(queries.rows, queries.classes(), gallery.classes()[nearest])
        return builder.build()
    carriers, askers = gallery.found.carried(), queries.found.carried()
    is_carrier = np.zeros(gallery.rows.size, dtype=bool)
    is_asker = np.zeros(queries.rows.size, dtype=bool)
    labels = gallery.learnable(queries)
    groups = group_by_documents(gallery.apart, labels, gallery.found.n_labels)
    for group in np.unique(groups[labels]):
        members = labels[groups[labels] == group].tolist()
        rows = gallery.knowing(members[0])
        asked = [queries.knowing(label) for label in members]
        asking = np.unique(np.concatenate(asked))
        nearest = rows[_nearest(gallery.unit[rows], queries.unit[asking], block_size)]
        for label, tested in zip(members, asked, strict=True):
            is_carrier[carriers.of(label)], is_asker[askers.of(label)] = True, True
            predicted = is_carrier[nearest[np.searchsorted(asking, tested)]]
            builder.add_label(label, queries.rows[tested], is_asker[tested], predicted)
            is_carrier[carriers.of(label)], is_asker[askers.of(label)] = False, False
    return builder.build()


def predict_by_probe(
    train_vectors: Array, train: AnyTargets, test_vectors: Array, test: AnyTargets
) -> Predictions:
    """Predict labels by a linear probe. `probe_scores` takes the same arguments, says what they
    are, and scores the result.

    >>> from spacy_embtune.labels import make_targets
    >>> train = make_targets([{"A": 1.0}, {"B": 1.0}] * 5, ["A", "B"], exclusive=True)
    >>> test = make_targets([{"A": 1.0}], ["A", "B"], exclusive=True)
    >>> sides = ([[1.0, 0.0], [0.0, 1.0]] * 5, train, [[2.0, 0.5]], test)
    >>> predict_by_probe(*sides).predicted.tolist()
    [[True, False]]

    RETURNS (Predictions): The predictions, with decision values.
    """
    learned, tested = _corpora(train_vectors, train, test_vectors, test)
    builder = PredictionsBuilder(test)
    if train.exclusive:
        learned, tested = learned.labelled(), tested.labelled()
        if learned.rows.size and tested.rows.size:
            classes, scores = _probe(learned.unit, learned.classes(), tested.unit)
            builder.set_decision(tested.rows, classes, scores)
            best = classes[scores.argmax(axis=1)]
            builder.add_classes(tested.rows, tested.classes(), best)
        return builder.build(has_decision=True)
    carriers, askers = learned.found.carried(), tested.found.carried()
    for label in learned.learnable(tested).tolist():
        labelled, rows = learned.knowing(label), tested.knowing(label)
        y = np.isin(labelled, carriers.of(label)).astype(np.intp)
        _, scores = _probe(learned.unit[labelled], y, tested.unit[rows])
        difference = scores[:, 1] - scores[:, 0]
        is_asker = np.isin(rows, askers.of(label))
        predicted = scores[:, 1] > scores[:, 0]
        builder.add_label(label, tested.rows[rows], is_asker, predicted, difference)
    return builder.build(has_decision=True)


def score_predictions(predictions: Predictions) -> ClassificationScores:
    """Score predictions.

    >>> carries = np.asarray([[True, False], [False, True]])
    >>> predicted = np.asarray([[True, False], [True, False]])
    >>> tested = np.ones((2, 2), dtype=bool)
    >>> scores = score_predictions(Predictions(tested, carries, predicted, None, exclusive=True))
    >>> scores.accuracy, round(scores.macro_f1, 3)
    (0.5, 0.333)

    predictions (Predictions): The predictions.
    RETURNS (ClassificationScores): The scores.
    """
    tested, carries, predicted, _, exclusive = predictions
    carries, predicted = tested * carries, tested * predicted
    both = (carries * predicted).sum(axis=0)
    n_tested, n_carried, n_predicted = (m.sum(axis=0) for m in (tested, carries, predicted))
    rows, labels, tested_labels = tested.sum(axis=1) > 0, n_carried > 0, n_tested > 0
    if not rows.any():
        return ClassificationScores(None, None, 0, 0)
    if exclusive:
        accuracy = float((n_wrong(predictions) == 0)[rows].mean())
    else:
        n_right = n_tested - n_carried - n_predicted + 2 * both
        accuracy = float((n_right[tested_labels] / n_tested[tested_labels]).mean())
    f1s = 2 * both[labels] / (n_carried + n_predicted)[labels]
    return ClassificationScores(
        accuracy=accuracy,
        macro_f1=float(f1s.mean()) if f1s.size else None,
        n_labels=int((labels if exclusive else tested_labels).sum()),
        n_documents=int(rows.sum()),
    )


def n_wrong(predictions: Predictions) -> Ints:
    """RETURNS (Ints): The number of labels that are predicted wrong for each document, shape
    (m,)."""
    carries = predictions.tested * predictions.carries
    predicted = predictions.tested * predictions.predicted
    both = (carries * predicted).sum(axis=1)
    wrong: Ints = carries.sum(axis=1) + predicted.sum(axis=1) - 2 * both
    return wrong


def auc_score(predictions: Predictions) -> float | None:
    """Compute the area under the ROC curve of the decision values: how often a document that
    carries a label has a higher value than a document that does not.

    >>> carries = np.asarray([[True], [False]])
    >>> decision = np.asarray([[0.7], [0.2]])
    >>> auc_score(Predictions(np.ones((2, 1), dtype=bool), carries, carries, decision, False))
    1.0

    predictions (Predictions): Predictions with decision values, as from `predict_by_probe`.
    RETURNS (float | None): The mean over the labels that some tested documents carry and some do
        not. None if there is no such label, or there are no decision values.
    """
    from sklearn.metrics import roc_auc_score  # slow to import

    _, labels, carries, _, decision = predictions.entries()
    if decision is None:
        return None
    order = np.argsort(labels, kind="stable")
    areas = []
    for of_label in np.split(order, np.flatnonzero(np.diff(labels[order])) + 1):
        truth = carries[of_label]
        if truth.any() and not truth.all():
            areas.append(roc_auc_score(truth, decision[of_label]))
    return float(np.mean(areas)) if areas else None


class _Corpus(NamedTuple):
    """The n documents of a corpus that have a vector.

    unit (Floats): Their unit vectors, shape (n, d).
    found (Carriers): What is known of their labels.
    apart (LabelSlices): The documents in which a label is known, without the complete ones.
    rows (Ints): Their rows in the corpus, shape (n,).
    """

    unit: Floats
    found: Carriers
    apart: LabelSlices
    rows: Ints

    def labelled(self) -> "_Corpus":
        """RETURNS (_Corpus): The documents that carry a label."""
        at = np.flatnonzero(self.found.n_carried() > 0)
        found = self.found.subset(at)
        return _Corpus(self.unit[at], found, found.known_apart(), self.rows[at])

    def classes(self) -> Ints:
        """RETURNS (Ints): The first label of each document, shape (n,)."""
        return self.found.first_label()

    def knowing(self, label: int) -> Ints:
        """RETURNS (Ints): The documents in which a label is known, ascending."""
        return self.found.knowing(label, self.apart)

    def learnable(self, test: "_Corpus") -> Ints:
        """RETURNS (Ints): The labels that some documents carry and some lack, and that are known in
        a document of `test`."""
        return np.flatnonzero(
            (self.found.counts() > 0)
            & (self.found.counts_absent() > 0)
            & (test.found.counts_known() > 0)
        )


def _corpora(
    train_vectors: Array, train: AnyTargets, test_vectors: Array, test: AnyTargets
) -> tuple[_Corpus, _Corpus]:
    """RETURNS (tuple[_Corpus, _Corpus]): The training documents and the test documents."""
    if train.exclusive != test.exclusive:
        raise ValueError(
            "The labels of both train and test must be exclusive, or those of neither."
        )
    corpora = []
    for vectors, targets in ((train_vectors, train), (test_vectors, test)):
        unit, rows = unit_rows(vectors)
        found = find_carriers(targets, None, rows, n_docs=np.shape(vectors)[0])
        corpora.append(_Corpus(unit, found, found.known_apart(), rows))
    n_labels = [corpus.found.n_labels for corpus in corpora]
    if n_labels[0] != n_labels[1]:
        raise ValueError(
            f"train has {n_labels[0]} labels and test {n_labels[1]}: make both targets from the "
            "same list of labels."
        )
    return corpora[0], corpora[1]


def _nearest(gallery: Floats, queries: Floats, block_size: int | None) -> Ints:
    """RETURNS (Ints): The row of the nearest gallery vector for each query, shape (queries,)."""
    nearest = np.empty(queries.shape[0], dtype=np.intp)
    for block in blocks(np.arange(queries.shape[0]), gallery.shape[0], block_size):
        nearest[block] = distances(queries[block], gallery).argmin(axis=1)
    return nearest


def _probe(train_x: Floats, train_y: Ints, test_x: Floats) -> tuple[Ints, Floats]:
    """RETURNS (tuple): The k classes of train_y, and the decision value of each class for each row
    of test_x, shape (m, k)."""
    classes = np.unique(train_y)
    if classes.size == 1:
        return classes, np.zeros((test_x.shape[0], 1))
    mean = train_x.mean(axis=0)
    centred = train_x - mean
    # The root of the total variance. It is 0 if all vectors are equal.
    scale = np.sqrt((centred**2).sum(axis=1).mean()) or 1.0
    with warnings.catch_warnings():
        # A probe that stops before the optimum is good enough, and users cannot change the
        # parameters that the warnings of scikit-learn name.
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
    """RETURNS (float): The C with the lowest log-loss on held-out folds; if several, the
    smallest."""
    # In the order of their classes, documents are assigned to the folds in turn. So each fold gets
    # its share of each class, and a class with one document is no problem.
    fold = np.empty(y.size, dtype=np.intp)
    fold[np.argsort(y, kind="stable")] = np.arange(y.size) % _PROBE_FOLDS
    losses = np.zeros(len(_PROBE_CS))
    for held_out in range(_PROBE_FOLDS):
        inner, outer = fold != held_out, fold == held_out
        seen = np.unique(y[inner])
        # The model has no probability for a class that is not in its training folds.
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
