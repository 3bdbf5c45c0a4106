"""Batches of base vectors and their targets, for training a head outside of spaCy."""

import math
from collections.abc import Iterator
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from ..data import combine_pairs
from ..labels import SparseTargets
from ..types import Targets


class RowBatch(NamedTuple):
    """A batch of n base vectors and their targets, as numpy arrays.

    base (ndarray): Base vectors, float32, shape (n, d).
    targets (Targets): The targets of the n rows.
    """

    base: NDArray[Any]
    targets: Targets


class ScoredPairs(NamedTuple):
    """Pairs of rows with scores. A row may be in several pairs.

    base (ndarray): The distinct rows, float32, shape (m, d).
    first, second (ndarray of int): The two rows of each of the n pairs, as indices into `base`,
        shape (n,).
    scores (ndarray): The wanted similarity of each pair, 0..1, shape (n,).
    """

    base: NDArray[Any]
    first: NDArray[Any]
    second: NDArray[Any]
    scores: NDArray[Any]


def count_batches(n: int, batch_size: int) -> int:
    """Count the batches that n rows or pairs make.

        >>> count_batches(130, 64), count_batches(0, 64)
        (3, 1)

    n (int): The number of rows or pairs.
    batch_size (int): The largest size of a batch.
    RETURNS (int): The number of batches, at least 1.
    """
    return max(math.ceil(n / batch_size), 1)


def shuffled_batches(n: int, batch_size: int, rng: Any) -> Iterator[NDArray[Any]]:
    """Shuffle the rows 0..n-1 and split them into batches whose sizes differ by at most 1. A small
    last batch would change the weights as much as a full one, with a noisier gradient.

        >>> import numpy as np
        >>> [len(rows) for rows in shuffled_batches(10, 4, np.random.RandomState(0))]
        [4, 3, 3]

    n (int): The number of rows or pairs.
    batch_size (int): The largest size of a batch.
    rng (RandomState): The generator for the order.
    YIELDS (ndarray of int): The rows of each batch.
    """
    yield from np.array_split(rng.permutation(n), count_batches(n, batch_size))


def select_rows(targets: Targets | SparseTargets, rows: NDArray[Any]) -> Targets:
    """Select the targets of some documents.

        >>> import numpy as np
        >>> from spacy_embtune.labels import make_targets
        >>> targets = make_targets([{"A": 1.0}, {"B": 1.0}], ["A", "B"], exclusive=True)
        >>> select_rows(targets, np.array([1])).values.tolist()
        [[0.0, 1.0]]

    targets (Targets | SparseTargets): The targets of n documents, without pairs.
    rows (ndarray of int): The documents to select, shape (m,).
    RETURNS (Targets): The targets of the m documents. `counts` stays, because it describes the
        training corpus.
    """
    if isinstance(targets, SparseTargets):
        return targets.select(rows)
    weights = targets.weights
    return targets._replace(
        values=cast(Any, targets.values)[rows],
        known=cast(Any, targets.known)[rows],
        weights=None if weights is None else cast(Any, weights)[rows],
    )


def label_batches(
    base: NDArray[Any],
    targets: Targets | SparseTargets,
    *,
    batch_size: int,
    n_epochs: int,
    rng: Any,
) -> Iterator[RowBatch]:
    """Make batches of labelled documents, in a new order in each epoch.

        >>> import numpy as np
        >>> from spacy_embtune.labels import make_targets
        >>> targets = make_targets([{"A": 1.0}, {"B": 1.0}], ["A", "B"], exclusive=True)
        >>> rng = np.random.RandomState(0)
        >>> batches = label_batches(np.eye(2), targets, batch_size=2, n_epochs=3, rng=rng)
        >>> [len(batch.base) for batch in batches]
        [2, 2, 2]

    base (ndarray): Base vectors, float32, shape (n, d).
    targets (Targets | SparseTargets): The targets of the n documents.
    batch_size (int): The largest size of a batch.
    n_epochs (int): The number of passes over the documents.
    rng (RandomState): The generator for the order.
    YIELDS (RowBatch): The batches.
    """
    for _ in range(n_epochs):
        for rows in shuffled_batches(len(base), batch_size, rng):
            yield RowBatch(base[rows], select_rows(targets, rows))


def pair_batches(
    pairs: ScoredPairs, *, batch_size: int, n_epochs: int, rng: Any
) -> Iterator[RowBatch]:
    """Make batches of scored pairs, in a new order in each epoch. A row that is in several pairs of
    a batch is in the batch once.

        >>> import numpy as np
        >>> first, second = np.array([0, 0]), np.array([1, 2])
        >>> pairs = ScoredPairs(np.eye(3, dtype="float32"), first, second, np.array([1.0, 0.0]))
        >>> rng = np.random.RandomState(0)
        >>> [len(batch.base) for batch in pair_batches(pairs, batch_size=2, n_epochs=1, rng=rng)]
        [3]

    pairs (ScoredPairs): The pairs.
    batch_size (int): The largest number of pairs in a batch.
    n_epochs (int): The number of passes over the pairs.
    rng (RandomState): The generator for the order.
    YIELDS (RowBatch): The batches.
    """
    for _ in range(n_epochs):
        for chosen in shuffled_batches(len(pairs.scores), batch_size, rng):
            sides = np.concatenate([pairs.first[chosen], pairs.second[chosen]])
            rows, place = np.unique(sides, return_inverse=True)
            first, second = np.split(place, 2)
            scored = list(zip(first, second, pairs.scores[chosen], strict=True))
            yield RowBatch(pairs.base[rows], pair_targets(len(rows), scored))


def pair_targets(n_rows: int, scored: list[tuple[int, int, float]]) -> Targets:
    """Make the targets of rows that have no labels but scores of pairs.

        >>> targets = pair_targets(3, [(0, 1, 0.5)])
        >>> targets.values.shape, float(targets.pairs.similarity[0, 1])
        ((3, 0), 0.5)

    n_rows (int): The number of rows.
    scored (list[tuple[int, int, float]]): The two rows of each pair, and its score, 0..1.
    RETURNS (Targets): The targets.
    """
    no_labels = cast(Any, np.zeros((n_rows, 0), dtype="float32"))
    return Targets(no_labels, no_labels, False, pairs=combine_pairs(n_rows, scored))
