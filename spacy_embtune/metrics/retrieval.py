"""How well nearest neighbours within a corpus share labels."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

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

_INDEX_BITS = np.uint64(32)
_INDEX_MASK = np.uint64(2**32 - 1)


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
    unit, rows = unit_rows(vectors)
    carries, is_known = carried_labels(values, known, n_docs=np.shape(vectors)[0])
    carries, is_known = carries[rows], is_known[rows]
    counts = carries.sum(axis=0)
    asked = counts >= 2
    sums = np.zeros((3, counts.size))
    groups = labels_by_gallery(is_known, np.flatnonzero(asked))
    queries = np.flatnonzero(carries[:, asked].any(axis=1))
    for block in blocks(queries, unit.shape[0], block_size):
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


def _ranking_keys(unit: Floats, queries: Ints) -> NDArray[np.uint64]:
    """Make one number of distance and index, so that no two neighbours tie: selecting the smallest
    keys without sorting the rest then gives the very same neighbours as a stable sort.

    RETURNS (NDArray[np.uint64]): shape (queries, n); a query's own key is the largest.
    """
    keys = distances(unit[queries], unit).astype(np.uint64)
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
