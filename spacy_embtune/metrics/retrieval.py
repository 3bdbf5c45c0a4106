"""How well nearest neighbours within a corpus share labels."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from .ranking import (
    Array,
    Bools,
    Floats,
    Ints,
    blocks,
    carried_labels,
    labels_by_gallery,
    nearest_first,
    ranking_keys,
    unit_rows,
)


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


class QueryScores(NamedTuple):
    """Retrieval query by query: arrays of shape (n, L), a query being a document and a label.

    The effect of a document is what its presence as a candidate adds to the scores of the others,
    summed over these: what they had together, less what they would have without it. It is 0 where
    the only other document with the label would be missing: the others would not ask any more.

    asks (Bools): Whether the document asks for the label: it carries it, and so does another one.
    p_at_1 (Floats): 1.0 if the nearest neighbour carries the label; 0.0 where nobody asks.
    map_at_r (Floats): Average precision at R; 0.0 where nobody asks.
    p_at_1_effect (Floats): The document's effect on p@1.
    map_at_r_effect (Floats): Its effect on average precision.
    """

    asks: Bools
    p_at_1: Floats
    map_at_r: Floats
    p_at_1_effect: Floats
    map_at_r_effect: Floats


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
    unit, carries, is_known, _ = _documents(vectors, values, known)
    counts = carries.sum(axis=0)
    asked = counts >= 2
    sums = np.zeros((3, counts.size))
    for label, _, ranked, _ in _rankings(unit, carries, is_known, block_size):
        sums[:, label] += _of_queries(carries[ranked, label]).sum(axis=1)
    means = np.full_like(sums, np.nan)
    np.divide(sums, counts, out=means, where=asked)
    n_queries = np.where(asked, counts, 0)
    per_label = LabelScores(means[0], means[1], means[2], n_queries)
    if not asked.any():
        return RetrievalScores(None, None, None, per_label, 0)
    p_at_1, map_at_r, r_precision = (float(m) for m in means[:, asked].mean(axis=1))
    return RetrievalScores(p_at_1, map_at_r, r_precision, per_label, int(n_queries.sum()))


def query_scores(
    vectors: Array,
    values: Array,
    known: Array | None = None,
    *,
    block_size: int | None = None,
) -> QueryScores:
    """The same query by query, for whoever resamples documents: the mean over the queries of a
    label, and then over the labels, is `retrieval_scores`.

    vectors, values, known, block_size: As in `retrieval_scores`.
    RETURNS (QueryScores): The scores of n documents, those without a vector included.
    RAISES (ValueError): If the shapes do not fit or a vector is not finite.
    """
    unit, carries, is_known, rows = _documents(vectors, values, known)
    scores = QueryScores(*(np.zeros(np.shape(values), d) for d in (bool, *4 * (float,))))
    for label, queries, ranked, r in _rankings(unit, carries, is_known, block_size, beyond=1):
        hits = carries[ranked, label]
        at = rows[queries]
        scores.asks[at, label] = True
        scores.p_at_1[at, label], scores.map_at_r[at, label], _ = _of_queries(hits[:, :r])
        effects = _effects(hits, r, ranked, queries, np.flatnonzero(carries[:, label]), rows.size)
        scores.p_at_1_effect[rows, label] += effects[0]
        scores.map_at_r_effect[rows, label] += effects[1]
    return scores


def _documents(
    vectors: Array, values: Array, known: Array | None
) -> tuple[Floats, Bools, Bools, Ints]:
    """RETURNS (tuple): Of the documents with a vector: unit vectors, which labels they carry, which
    are known, and their rows."""
    unit, rows = unit_rows(vectors)
    carries, is_known = carried_labels(values, known, n_docs=np.shape(vectors)[0])
    return unit, carries[rows], is_known[rows], rows


def _rankings(
    unit: Floats, carries: Bools, known: Bools, block_size: int | None, *, beyond: int = 0
) -> Iterator[tuple[int, Ints, Ints, int]]:
    """YIELDS (tuple): A label, some of the queries for it, the R nearest of each, and as many as
    asked beyond, shape (queries, R + beyond) or less where there are no more documents, and R."""
    counts = carries.sum(axis=0)
    asked = counts >= 2
    groups = labels_by_gallery(known, np.flatnonzero(asked))
    queries = np.flatnonzero(carries[:, asked].any(axis=1))
    for block in blocks(queries, unit.shape[0], block_size):
        keys = ranking_keys(unit, block)
        for gallery, labels in groups:
            asking = carries[np.ix_(block, labels)]
            asks = asking.any(axis=1)
            if not asks.any():
                continue
            depth = int(counts[labels][asking.any(axis=0)].max()) - 1 + beyond
            # The last of the gallery is the query itself.
            ranked = nearest_first(keys[np.ix_(asks, gallery)], min(depth, gallery.size - 1))
            for label, who in zip(labels, asking[asks].T, strict=True):
                if who.any():
                    r = int(counts[label]) - 1
                    yield int(label), block[asks][who], ranked[who, : r + beyond], r


def _of_queries(hits: Bools) -> Floats:
    """Make P@1, AP@R and R-precision of queries that share their R.

    hits (Bools): Whether each of the R nearest is relevant, shape (queries, R).
    RETURNS (Floats): The three scores of each query, shape (3, queries).
    """
    r = hits.shape[1]
    precision = np.cumsum(hits, axis=1, dtype=np.float64)
    precision /= np.arange(1, r + 1)
    precision *= hits
    return np.array([hits[:, 0], precision.sum(axis=1) / r, hits.sum(axis=1) / r])


def _effects(
    hits: Bools, r: int, ranked: Ints, queries: Ints, carriers: Ints, n_docs: int
) -> Floats:
    """Sum up what each candidate adds to the scores of queries that share their R.

    hits (Bools): Whether each of the R nearest, and the next one if there is one, is relevant.
    ranked (Ints): Which documents they are, of the same shape.
    queries (Ints): The queries.
    carriers (Ints): All documents that carry the label.
    RETURNS (Floats): The effect on p@1 and on average precision, shape (2, n_docs).
    """
    rank = np.arange(1, hits.shape[1] + 1)
    found = np.cumsum(hits, axis=1, dtype=np.float64)
    as_is = found / rank * hits
    before = np.cumsum(as_is, axis=1) - as_is
    ap = as_is[:, :r].sum(axis=1, keepdims=True) / r
    # Behind a candidate that is missing all move up by one, and the first beyond R comes in.
    moved_up = found / np.maximum(rank - 1, 1) * hits
    without = (before + _sum_behind(moved_up))[:, :r] / r
    far = np.zeros(queries.size)
    if r == 1:
        without = np.where(hits[:, :1], ap, without)
    else:
        # Without a relevant one there is one hit less before them, and R is one less: the window
        # ends where it did. It is one less as well without one that is not among the R nearest.
        one_less = ((found - 1) / np.maximum(rank - 1, 1) * hits)[:, :r]
        of_relevant = (before[:, :r] + _sum_behind(one_less)) / (r - 1)
        without = np.where(hits[:, :r], of_relevant, without)
        far = ap[:, 0] - as_is[:, : r - 1].sum(axis=1) / (r - 1)
    effects = np.zeros((2, n_docs))
    if hits.shape[1] > 1:
        change = hits[:, 0].astype(float) - hits[:, 1]
        effects[0] = np.bincount(ranked[:, 0], np.where(hits[:, 0] & (r == 1), 0.0, change), n_docs)
    within = ap - without - np.where(hits[:, :r], far[:, None], 0.0)
    effects[1] = np.bincount(ranked[:, :r].ravel(), within.ravel(), n_docs)
    effects[1, carriers] += far.sum()
    effects[1, queries] -= far
    return effects


def _sum_behind(x: Floats) -> Floats:
    """RETURNS (Floats): The sum of what stands behind each entry in its row."""
    return x.sum(axis=1, keepdims=True) - np.cumsum(x, axis=1)
