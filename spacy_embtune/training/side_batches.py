"""Batches of pairs of two sides: scored pairs for two towers, and pairs without scores, for which
the other rows of a batch are the negatives."""

from collections.abc import Iterator
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray
from thinc.types import Floats2d

from ..heads import join_sides
from ..types import PairTargets, Targets
from .row_batches import RowBatch, shuffled_batches


class SidePairs(NamedTuple):
    """Pairs of a row of one side and a row of the other. A row may be in several pairs.

    left (ndarray): The distinct rows of the left side, float32, shape (m1, d1).
    right (ndarray | None): The distinct rows of the right side, float32, shape (m2, d2). None: both
        sides share the rows of `left`.
    first, second (ndarray of int): The two rows of each of the n pairs, shape (n,).
    scores (ndarray | None): The wanted similarity of each pair, 0..1, shape (n,). None: the rows of
        a pair belong together, and rows that are in no pair together do not.
    """

    left: NDArray[Any]
    right: NDArray[Any] | None
    first: NDArray[Any]
    second: NDArray[Any]
    scores: NDArray[Any] | None


def side_batches(
    pairs: SidePairs, *, batch_size: int, n_epochs: int, rng: Any
) -> Iterator[RowBatch]:
    """Make batches of pairs of two sides, in a new order in each epoch. A row that is in several
    pairs of a batch is in the batch once. Only rows of different sides are compared.

    Of pairs without scores, each row of the batch is compared with all rows of the other side: the
    similarity is 1 if they are a pair anywhere in the corpus, and 0 otherwise. With the loss
    `supervised_contrastive` that is the symmetric in-batch contrast of CLIP (Radford et al. 2021,
    "Learning Transferable Visual Models From Natural Language Supervision"), which compares each
    row of both sides with the rows of the other side (InfoNCE; van den Oord et al. 2018). The
    difference: two pairs of a batch with a common row are not each other's negatives.

        >>> first = second = np.arange(2)
        >>> pairs = SidePairs(np.eye(2), np.eye(2, 3), first, second, None)
        >>> (batch,) = side_batches(pairs, batch_size=2, n_epochs=1, rng=np.random.RandomState(0))
        >>> batch.base.shape, batch.targets.pairs.similarity.tolist()[0]
        ((4, 5), [0.0, 0.0, 1.0, 0.0])

    pairs (SidePairs): The pairs.
    batch_size (int): The largest number of pairs in a batch.
    n_epochs (int): The number of passes over the pairs.
    rng (RandomState): The generator for the order.
    YIELDS (RowBatch): The batches. The rows of two towers are arranged by `heads.join_sides`.
    """
    together = _all_pairs(pairs) if pairs.scores is None else None
    for _ in range(n_epochs):
        for chosen in shuffled_batches(len(pairs.first), batch_size, rng):
            first, second = pairs.first[chosen], pairs.second[chosen]
            lefts, rights = np.unique(first), np.unique(second)
            if together is not None:
                similarity = together[lefts][:, rights].toarray()
                weight = np.ones_like(similarity)
            else:
                scores = cast(Any, pairs.scores)[chosen]
                similarity, weight = _mean_scores(
                    np.searchsorted(lefts, first), np.searchsorted(rights, second), scores
                )
            if pairs.right is not None:
                base = join_sides(pairs.left[lefts], pairs.right[rights])
                place = np.arange(len(base))
            else:
                # A row that is on both sides is in the batch once.
                rows, place = np.unique(np.concatenate([lefts, rights]), return_inverse=True)
                base = pairs.left[rows]
            yield RowBatch(base, _cross_targets(len(base), place, similarity, weight))


def has_negatives(pairs: SidePairs) -> bool:
    """Find out whether pairs without scores have negatives at all.

        >>> one = np.zeros(1, dtype=int)
        >>> has_negatives(SidePairs(np.ones((1, 2)), np.ones((1, 3)), one, one, None))
        False

    pairs (SidePairs): The pairs.
    RETURNS (bool): Whether any row of the left side is in no pair with a row of the right side.
    """
    lefts, rights = np.unique(pairs.first), np.unique(pairs.second)
    n_known = _all_pairs(pairs)[lefts][:, rights].nnz
    n_itself = np.intersect1d(lefts, rights).size if pairs.right is None else 0
    return bool(n_known + n_itself < lefts.size * rights.size)


def _all_pairs(pairs: SidePairs) -> Any:
    """RETURNS (csr_array): 1.0 for each left and right row that are a pair, shape (m1, m2). If both
    sides share their rows, the matrix is symmetric."""
    from scipy.sparse import csr_array

    first, second = pairs.first, pairs.second
    shape = len(pairs.left), len(pairs.left if pairs.right is None else pairs.right)
    if pairs.right is None:
        first, second = np.concatenate([first, second]), np.concatenate([second, first])
    found = csr_array((np.ones(first.size, dtype="float32"), (first, second)), shape=shape)
    found.data[:] = 1.0
    return found


def _mean_scores(
    first: NDArray[Any], second: NDArray[Any], scores: NDArray[Any]
) -> tuple[NDArray[Any], NDArray[Any]]:
    """RETURNS (tuple): The mean score and the weight of each left and right row of a batch."""
    shape = int(first.max()) + 1, int(second.max()) + 1
    total, count = np.zeros(shape), np.zeros(shape)
    np.add.at(total, (first, second), scores)
    np.add.at(count, (first, second), 1.0)
    return total / np.maximum(count, 1.0), (count > 0).astype("float32")


def _cross_targets(
    n: int, place: NDArray[Any], similarity: NDArray[Any], weight: NDArray[Any]
) -> Targets:
    """RETURNS (Targets): The targets of n rows of which only those of different sides are compared.

    place (ndarray of int): The row of each left and then of each right row, shape (b1 + b2,).
    similarity, weight (ndarray): Of each left and right row, shape (b1, b2).
    """
    lefts, rights = place[: len(similarity)], place[len(similarity) :]
    arrays = []
    for values in (similarity, weight):
        whole = np.zeros((n, n), dtype="float32")
        whole[np.ix_(lefts, rights)] = values
        arrays.append(cast(Floats2d, np.maximum(whole, whole.T)))
    no_labels = cast(Floats2d, np.zeros((n, 0), dtype="float32"))
    return Targets(no_labels, no_labels, False, pairs=PairTargets(*arrays))
