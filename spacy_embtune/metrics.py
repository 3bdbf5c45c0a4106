"""How good vectors are, as numbers: retrieval within a corpus, and what a simple classifier trained
on one corpus makes of another. Arrays in, numbers out.

A document whose vector is all zeros has no vector and takes no part anywhere. A document carries a
label when its value is known and at least `CARRIES`; what is missing is left out, never taken as 0.
"""

import warnings
from collections.abc import Iterator
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from thinc.types import Floats2d

from .types import Targets

CARRIES = 0.5
# Cosines are compared on this grid (steps of about 1e-9): equal vectors must tie, and a matrix
# product may round them apart in the last bits, depending on where in the matrix they stand.
_STEPS = 2.0**30
_INDEX_BITS = np.uint64(32)
_INDEX_MASK = np.uint64(2**32 - 1)
# Similarities held at a time. All that is made of one takes below 64 bytes, so 64 MB at most.
_BLOCK_ENTRIES = 2**20
_PROBE_CS = (0.01, 0.1, 1.0, 10.0, 100.0)
_PROBE_FOLDS = 5

# thinc's arrays are numpy's here, which only mypy does not know.
Array: TypeAlias = ArrayLike | Floats2d
Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Ints = NDArray[np.intp]


class LabelScores(NamedTuple):
    """Retrieval label by label; NaN for a label that fewer than two documents carry.

    p_at_1 (Floats): Share of queries whose nearest neighbour carries the label, shape (L,).
    map_at_r (Floats): Mean average precision at R, shape (L,).
    r_precision (Floats): Precision among the R nearest, shape (L,).
    n_queries (Ints): The queries, shape (L,): 0 for a label left out.
    """

    p_at_1: Floats
    map_at_r: Floats
    r_precision: Floats
    n_queries: Ints


class RetrievalScores(NamedTuple):
    """How well nearest neighbours share labels: means over the labels, each of the same weight.

    p_at_1 (float | None): See LabelScores. None when no label has two documents that carry it.
    map_at_r (float | None): As above.
    r_precision (float | None): As above.
    per_label (LabelScores): The same label by label.
    n_queries (int): Queries over all labels; a document asks once for each label it carries.
    """

    p_at_1: float | None
    map_at_r: float | None
    r_precision: float | None
    per_label: LabelScores
    n_queries: int


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


def retrieval_scores(
    vectors: Array,
    values: Array,
    known: Array | None = None,
    *,
    block_size: int | None = None,
) -> RetrievalScores:
    """Score nearest-neighbour retrieval by cosine within one corpus, label by label.

    For each label, over the documents in which it is known: every document that carries it queries
    all others, of which R carry it too. MAP@R is the mean over the queries of
    1/R * sum(precision@i * relevant_i, i = 1..R), as in Musgrave et al. 2020, "A Metric Learning
    Reality Check", and pytorch-metric-learning. Neighbours at the same cosine rank by index, lowest
    first. The result is exact and does not depend on the block size.

    A label known only where it is present scores 1, whatever the vectors: there is no document that
    could be retrieved wrongly.

    vectors (Array): The vectors, shape (n, d).
    values (Array): How much of each label each document carries, 0..1, shape (n, L).
    known (Array | None): Above 0 where the value is known, shape (n, L). None: all are known.
    block_size (int | None): How many queries to compare at a time. None: as many as keep the
        working memory, beside a copy of the vectors, below 64 MB.
    RETURNS (RetrievalScores): The scores.
    RAISES (ValueError): If the shapes do not fit or a vector is not finite.
    """
    unit, rows = _unit_rows(vectors)
    carries, is_known = _carries(values, known, n_docs=np.shape(vectors)[0])
    carries, is_known = carries[rows], is_known[rows]
    counts = carries.sum(axis=0)
    asked = counts >= 2
    sums = np.zeros((3, counts.size))
    groups = _labels_by_gallery(is_known, np.flatnonzero(asked))
    queries = np.flatnonzero(carries[:, asked].any(axis=1))
    for block in _blocks(queries, unit.shape[0], block_size):
        keys = _ranking_keys(unit, block)
        for gallery, labels in groups:
            asking = carries[np.ix_(block, labels)]
            asks = asking.any(axis=1)
            if not asks.any():
                continue
            depth = int(counts[labels][asking.any(axis=0)].max()) - 1
            ranked = _first(keys[np.ix_(asks, gallery)], depth)
            for label, who in zip(labels, asking[asks].T, strict=True):
                if who.any():
                    hits = carries[ranked[who, : counts[label] - 1], label]
                    sums[:, label] += _sum_over_queries(hits)
    means = np.full_like(sums, np.nan)
    np.divide(sums, counts, out=means, where=asked)
    n_queries = np.where(asked, counts, 0)
    per_label = LabelScores(means[0], means[1], means[2], n_queries)
    if not asked.any():
        return RetrievalScores(None, None, None, per_label, 0)
    p_at_1, map_at_r, r_precision = (float(m) for m in means[:, asked].mean(axis=1))
    return RetrievalScores(p_at_1, map_at_r, r_precision, per_label, int(n_queries.sum()))


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
    known. Of several nearest, the first counts.

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
    for rows, group in _labels_by_gallery(gallery.known, labels):
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
    multinomial model; otherwise each label has its own, trained where the label is known.

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
        unit, rows = _unit_rows(vectors)
        carries, known = _carries(targets.values, targets.known, n_docs=np.shape(vectors)[0])
        sides.append(_Side(unit, carries[rows], known[rows]))
    return sides[0], sides[1]


def _unit_rows(vectors: Array) -> tuple[Floats, Ints]:
    """RETURNS (tuple): The vectors other than zero at length 1, float64, and their rows."""
    # float64, though vectors are float32: 1e-16 of rounding is far below the grid of _STEPS.
    array = np.asarray(vectors, dtype=np.float64)
    if array.ndim != 2:
        raise ValueError(f"Vectors must have shape (n, d), not {array.shape}.")
    if not np.isfinite(array).all():
        raise ValueError("Vectors must be finite, but some hold NaN or infinity.")
    # The largest entry first: squares of tiny entries would underflow.
    largest = np.maximum(array.max(axis=1, initial=0.0), -array.min(axis=1, initial=0.0))
    rows = np.flatnonzero(largest > 0)
    unit = array[rows]
    unit /= largest[rows, None]
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    return unit, rows


def _carries(values: Array, known: Array | None, *, n_docs: int) -> tuple[Bools, Bools]:
    """RETURNS (tuple): Which labels documents carry, and which are known, both shape (n, L)."""
    value_array = np.asarray(values)
    is_known = np.full(value_array.shape, True) if known is None else np.asarray(known) > 0
    if value_array.ndim != 2 or value_array.shape[0] != n_docs:
        raise ValueError(
            f"Values must have shape ({n_docs}, L) to fit the vectors, not {value_array.shape}."
        )
    if is_known.shape != value_array.shape:
        raise ValueError(f"known has shape {is_known.shape}, but values {value_array.shape}.")
    return is_known & (value_array >= CARRIES), is_known


def _labels_by_gallery(known: Bools, labels: Ints) -> list[tuple[Ints, Ints]]:
    """Bring the labels together that are known in the same documents: one ranking serves them.

    RETURNS (list): Pairs of the documents' indices and the labels' indices.
    """
    groups: dict[bytes, list[int]] = {}
    for label in labels:
        groups.setdefault(np.packbits(known[:, label]).tobytes(), []).append(int(label))
    return [(np.flatnonzero(known[:, ids[0]]), np.asarray(ids)) for ids in groups.values()]


def _blocks(rows: Ints, width: int, size: int | None) -> Iterator[Ints]:
    if size is None:
        size = max(1, _BLOCK_ENTRIES // max(1, width))
    elif size < 1:
        raise ValueError(f"block_size must be at least 1, not {size}.")
    for start in range(0, rows.size, size):
        yield rows[start : start + size]


def _distances(queries: Floats, gallery: Floats) -> Floats:
    """RETURNS (Floats): 1 - cosine in whole steps of the grid, shape (queries, gallery)."""
    steps = queries @ gallery.T
    steps *= -_STEPS
    np.rint(steps, out=steps)
    steps += _STEPS
    return steps


def _ranking_keys(unit: Floats, queries: Ints) -> NDArray[np.uint64]:
    """Make one number of distance and index, so that no two neighbours tie: selecting the smallest
    keys without sorting the rest then gives the very same neighbours as a stable sort.

    RETURNS (NDArray[np.uint64]): shape (queries, n); a query's own key is the largest.
    """
    keys = _distances(unit[queries], unit).astype(np.uint64)
    keys <<= _INDEX_BITS
    keys |= np.arange(unit.shape[0], dtype=np.uint64)
    keys[np.arange(queries.size), queries] = np.iinfo(np.uint64).max
    return keys


def _first(keys: NDArray[np.uint64], depth: int) -> Ints:
    """RETURNS (Ints): Indices of the `depth` smallest keys of each row, in order."""
    if depth < keys.shape[1]:
        keys.partition(depth - 1, axis=1)
    keys = keys[:, :depth]
    keys.sort(axis=1)
    return (keys & _INDEX_MASK).astype(np.intp)


def _sum_over_queries(hits: Bools) -> Floats:
    """Sum P@1, AP@R and R-precision of queries that share their R.

    hits (Bools): Whether each of the R nearest is relevant, shape (queries, R).
    RETURNS (Floats): The three sums, shape (3,).
    """
    r = hits.shape[1]
    precision = np.cumsum(hits, axis=1, dtype=np.float64)
    precision /= np.arange(1, r + 1)
    precision *= hits
    return np.array([hits[:, 0].sum(), precision.sum() / r, hits.sum() / r])


def _nearest(gallery: Floats, queries: Floats, block_size: int | None) -> Ints:
    """RETURNS (Ints): Index of the nearest gallery row for each query, shape (queries,)."""
    nearest = np.empty(queries.shape[0], dtype=np.intp)
    for block in _blocks(np.arange(queries.shape[0]), gallery.shape[0], block_size):
        nearest[block] = _distances(queries[block], gallery).argmin(axis=1)
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
