"""How good a rung of the ladder is on documents that it did not learn from."""

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .._texts import digest_number, text_key
from ..labels import SparseTargets
from ..metrics import (
    Ratios,
    accuracy_ratios,
    macro_f1_ratios,
    map_at_r_ratios,
    p_at_1_ratios,
    predict_by_neighbour,
    predict_by_threshold,
    query_scores,
)
from ..reports import Documents

# The metrics of a rung, in the order of `FoldScores.ratios`. Their mean is its score.
METRICS = ("accuracy", "knn_accuracy", "p_at_1", "map_at_r")
N_RESAMPLES = 300
# A fold is judged by at most so many documents.
MOST_JUDGED = 1000
# With fewer documents than this, the folds are drawn twice.
FEW_DOCUMENTS = 150


class Fold(NamedTuple):
    """A split of the labelled documents.

    known (ndarray of int): The rows that a rung learns from.
    held (ndarray of int): The rows that it is judged by.
    """

    known: NDArray[Any]
    held: NDArray[Any]


class FoldScores(NamedTuple):
    """The metrics of one fold.

    held (ndarray of int): The rows of its documents, shape (m,).
    ratios (tuple[Ratios, ...]): What each of its documents adds to each metric.
    """

    held: NDArray[Any]
    ratios: tuple[Ratios, ...]


class Estimate(NamedTuple):
    """A number and its standard error."""

    value: float
    error: float

    @property
    def is_known(self) -> bool:
        """RETURNS (bool): Whether there were documents to compute it from."""
        return not math.isnan(self.value)


def make_folds(
    texts: Sequence[str], classes: NDArray[Any], *, seed: int, n_folds: int = 4
) -> list[Fold]:
    """Split labelled documents. Copies of a text are on the same side of a split.

    texts (Sequence[str]): The n texts.
    classes (ndarray of int): The label of each document, or one of its labels; -1 if it carries
        none. Shape (n,).
    seed (int): The seed of the split.
    n_folds (int): The number of parts.
    RETURNS (list[Fold]): The folds; with few documents, of two splits. Empty if no label has two
        documents, so that nothing can be judged.
    """
    digests = np.asarray([digest_number(text_key(text)) for text in texts], dtype=np.uint64)
    groups = np.unique(digests, return_inverse=True)[1].ravel()
    n_groups = int(groups.max()) + 1 if len(groups) else 0
    counts = np.bincount(classes[classes >= 0])
    n_folds = min(n_folds, n_groups, int(counts.max(initial=0)))
    if n_folds < 2:
        return []
    n_splits = 2 if len(texts) < FEW_DOCUMENTS else 1
    folds = []
    for split in range(n_splits):
        rng = np.random.RandomState(seed + split)
        part = _deal(groups, classes, n_folds, rng)
        for k in range(n_folds):
            held = np.flatnonzero(part == k)
            if len(held) > MOST_JUDGED:
                held = np.sort(rng.choice(held, MOST_JUDGED, replace=False))
            folds.append(Fold(np.flatnonzero(part != k), held))
    return folds


def _deal(groups: NDArray[Any], classes: NDArray[Any], n_folds: int, rng: Any) -> NDArray[Any]:
    """RETURNS (ndarray): The part of each document: the groups of each class are dealt out like
    cards, in a random order, and go on where the class before ended."""
    n_groups = int(groups.max()) + 1
    of_group = np.full(n_groups, -1)
    # The last document of a group decides its class.
    of_group[groups] = classes
    order = rng.permutation(n_groups)
    order = order[np.argsort(of_group[order], kind="stable")]
    part = np.empty(n_groups, dtype=int)
    part[order] = np.arange(n_groups) % n_folds
    return np.asarray(part[groups])


def judge(held: Documents, learned: Documents, rows: NDArray[Any], threshold: float) -> FoldScores:
    """Score the tuned vectors and the predicted labels of a fold.

    held (Documents): The m documents that were held out.
    learned (Documents): The documents that were learned from, with the same labels.
    rows (ndarray of int): The rows of the held-out documents, shape (m,).
    threshold (float): The probability from which a label is predicted, if labels are not exclusive.
    RETURNS (FoldScores): The scores.
    """
    targets = held.targets
    if isinstance(targets, SparseTargets):
        queries = query_scores(held.tuned, targets)
    else:
        queries = query_scores(held.tuned, targets.values, targets.known)
    ratios = accuracy_ratios if targets.exclusive else macro_f1_ratios
    own = predict_by_threshold(
        held.probabilities,
        targets,
        threshold=threshold,
        has_vector=held.base.any(axis=1),
    )
    nearest = predict_by_neighbour(learned.tuned, learned.targets, held.tuned, targets)
    return FoldScores(
        rows,
        (ratios(own), ratios(nearest), p_at_1_ratios(queries), map_at_r_ratios(queries)),
    )


def estimate(folds: Sequence[FoldScores]) -> list[Estimate]:
    """Estimate the metrics of a rung over all its folds.

    folds (Sequence[FoldScores]): The folds.
    RETURNS (list[Estimate]): Each metric, and its standard error; then those of their mean.
    """
    joined = [_join([fold.ratios[k] for fold in folds]) for k in range(len(METRICS))]
    values = np.asarray([_value(ratios) for ratios in joined])
    drawn = np.concatenate(list(_resample(folds, [joined])))[..., 0]
    return _summarize(values, drawn)


def estimate_gain(first: Sequence[FoldScores], second: Sequence[FoldScores]) -> list[Estimate]:
    """Compare two rungs, by a paired bootstrap over documents.

    first, second (Sequence[FoldScores]): The scores of both. They are compared on the folds that
        both have.
    RETURNS (list[Estimate]): The difference of each metric, second minus first, and its standard
        error; then those of the mean.
    """
    n = min(len(first), len(second))
    sides = [
        [_join([fold.ratios[k] for fold in side[:n]]) for k in range(len(METRICS))]
        for side in (first, second)
    ]
    before, after = (np.asarray([_value(ratios) for ratios in side]) for side in sides)
    drawn = np.concatenate(list(_resample(first[:n], sides)))
    return _summarize(after - before, drawn[..., 1] - drawn[..., 0])


def _summarize(values: NDArray[Any], drawn: NDArray[Any]) -> list[Estimate]:
    """values has shape (k,), drawn (b, k)."""
    found = [
        Estimate(float(value), _deviation(column))
        for value, column in zip(values, drawn.T, strict=True)
    ]
    is_known = ~np.isnan(values)
    if not is_known.any():
        return [*found, Estimate(math.nan, math.nan)]
    means = drawn[:, is_known].mean(axis=1)
    return [*found, Estimate(float(values[is_known].mean()), _deviation(means))]


def _deviation(column: NDArray[Any]) -> float:
    column = column[~np.isnan(column)]
    return float(column.std()) if len(column) > 1 else math.nan


def _value(ratios: Ratios) -> float:
    value = ratios.value
    return math.nan if value is None else value


def _resample(
    folds: Sequence[FoldScores], sides: Sequence[Sequence[Ratios]]
) -> Iterator[NDArray[Any]]:
    """YIELDS (ndarray): The metrics of some resamples of the documents, shape (b, metrics, sides).
    A document that was judged in two splits is drawn in both."""
    held = np.concatenate([fold.held for fold in folds])
    places = np.unique(held, return_inverse=True)[1].ravel()
    n = int(places.max()) + 1
    rng = np.random.default_rng(0)
    size = max(1, 2**22 // max(1, len(held)))
    for start in range(0, N_RESAMPLES, size):
        b = min(size, N_RESAMPLES - start)
        drawn = rng.integers(0, n, size=(b, n)) + n * np.arange(b)[:, None]
        weights = np.bincount(drawn.ravel(), minlength=b * n).reshape(b, n).astype(float)
        of_rows = weights[:, places]
        yield np.stack(
            [
                np.stack([ratios.resample(of_rows, n_groups=n) for ratios in side], axis=1)
                for side in sides
            ],
            axis=2,
        )


def _join(parts: Sequence[Ratios]) -> Ratios:
    """RETURNS (Ratios): The parts of the documents of several folds."""
    first = parts[0]
    if len(parts) == 1:
        return first
    numerator, denominator, presence = (_stack([part[k] for part in parts]) for k in range(3))
    effect = None if first.effect is None else _stack([part.effect for part in parts])
    return Ratios(numerator, denominator, presence, effect, first.is_additive)


def _stack(matrices: Sequence[Any]) -> Any:
    if isinstance(matrices[0], np.ndarray):
        return np.concatenate(matrices)
    from scipy.sparse import vstack

    return vstack(matrices, format="csr")
