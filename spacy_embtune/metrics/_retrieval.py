"""Score how well the nearest neighbours within a corpus share labels: p@1, MAP@R, R-precision."""

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from ..labels import SparseTargets
from ._rankings import Ranking, rank_neighbours
from .carriers import find_carriers
from .ranking import Array, Bools, Floats, Ints, Matrix, unit_rows


class LabelScores(NamedTuple):
    """Retrieval scores of each label; NaN for a label that fewer than two documents carry.

    p_at_1 (Floats): The share of queries whose nearest neighbour carries the label, shape (L,).
    map_at_r (Floats): The mean average precision at R, shape (L,).
    r_precision (Floats): The precision among the R nearest neighbours, shape (L,).
    n_queries (Ints): The number of queries, shape (L,); 0 for a label without scores.
    """

    p_at_1: Floats
    map_at_r: Floats
    r_precision: Floats
    n_queries: Ints


class RetrievalScores(NamedTuple):
    """Retrieval scores: unweighted means over the labels.

    p_at_1 (float | None): The mean of `LabelScores.p_at_1`. None if no label has two documents that
        carry it.
    map_at_r (float | None): The mean of `LabelScores.map_at_r`. None as above.
    r_precision (float | None): The mean of `LabelScores.r_precision`. None as above.
    per_label (LabelScores): The scores of each label.
    n_queries (int): The number of queries of all labels. A document is a query once for each label
        that it carries.
    """

    p_at_1: float | None
    map_at_r: float | None
    r_precision: float | None
    per_label: LabelScores
    n_queries: int


class QueryScores(NamedTuple):
    """Retrieval scores of each query: matrices of shape (n, L). A query is a document and a label.
    They are numpy arrays, or `scipy.sparse.csr_array` if the labels came as `SparseTargets`.

    The effect of a document is what its presence as a candidate adds to the sum of the other
    documents' scores: the sum with it minus the sum without it. The effect is 0 where only one
    other document carries the label, because without the candidate there would be no query.

    asks (Matrix): Whether there is a query: the document and another one carry the label.
    p_at_1 (Matrix): 1.0 if the nearest neighbour carries the label, else 0.0; 0.0 without a query.
    map_at_r (Matrix): The average precision at R; 0.0 without a query.
    p_at_1_effect (Matrix): The effect of the document on p@1.
    map_at_r_effect (Matrix): The effect of the document on average precision.
    """

    asks: Matrix
    p_at_1: Matrix
    map_at_r: Matrix
    p_at_1_effect: Matrix
    map_at_r_effect: Matrix


def retrieval_scores(
    vectors: Array,
    values: Array | SparseTargets,
    known: Array | None = None,
    *,
    block_size: int | None = None,
) -> RetrievalScores:
    """Score nearest-neighbour retrieval by cosine within one corpus, for each label.

    Only documents in which a label is known count for that label. Each document that carries the
    label is a query; R of the others carry it too. MAP@R is the mean over the queries of
    1/R * sum(precision@i * relevant_i, i = 1..R), as in Musgrave et al. 2020, "A Metric Learning
    Reality Check", and pytorch-metric-learning. Neighbours with equal cosine rank by index, lowest
    first. The result is exact and does not depend on the block size.

    A label that is nowhere known to be absent scores 1 for all vectors, because no document could
    be retrieved wrongly.

    >>> vectors = [[1.0, 0.0], [1.0, 0.2], [0.0, 1.0], [0.2, 1.0]]
    >>> scores = retrieval_scores(vectors, [[1, 0], [1, 0], [0, 1], [0, 1]])
    >>> scores.p_at_1, scores.n_queries
    (1.0, 4)

    vectors (Array): The vectors, shape (n, d).
    values (Array | SparseTargets): How much of each label each document carries, 0..1, shape
        (n, L); or the targets of the n documents, if there are many labels.
    known (Array | None): Above 0 where the value is known, shape (n, L). None: all are known.
    block_size (int | None): The number of queries to compare at a time. None: the number that needs
        less than 64 MB, not counting a copy of the vectors.
    RETURNS (RetrievalScores): The scores.
    RAISES (ValueError): If the shapes do not fit or a vector is not finite.
    """
    unit, rows = unit_rows(vectors)
    found = find_carriers(values, known, rows, n_docs=np.shape(vectors)[0])
    counts = found.counts()
    asked = counts >= 2
    sums = np.zeros((3, counts.size))
    for ranking in rank_neighbours(unit, found, block_size):
        sums[:, ranking.label] += _score_queries(ranking.hits).sum(axis=1)
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
    values: Array | SparseTargets,
    known: Array | None = None,
    *,
    block_size: int | None = None,
) -> QueryScores:
    """Score retrieval for each query, as the bootstrap of `compare_ratios` needs it. The mean over
    the queries of a label, and then over the labels, equals the result of `retrieval_scores`.

    >>> scores = query_scores([[1.0, 0.0], [1.0, 0.2], [0.0, 1.0]], [[1], [1], [0]])
    >>> scores.asks.tolist(), scores.p_at_1.tolist()
    ([[True], [True], [False]], [[1.0], [1.0], [0.0]])

    vectors (Array): The vectors, shape (n, d).
    values (Array | SparseTargets): How much of each label each document carries, 0..1, shape
        (n, L); or the targets of the n documents, if there are many labels.
    known (Array | None): Above 0 where the value is known, shape (n, L). None: all are known.
    block_size (int | None): As in `retrieval_scores`.
    RETURNS (QueryScores): The scores of all n documents, including those without a vector.
    RAISES (ValueError): If the shapes do not fit or a vector is not finite.
    """
    unit, rows = unit_rows(vectors)
    found = find_carriers(values, known, rows, n_docs=np.shape(vectors)[0])
    if isinstance(values, SparseTargets):
        rankings = rank_neighbours(unit, found, block_size, beyond=1)
        return _sparse_query_scores(rankings, rows, values.shape)
    scores = QueryScores(*(np.zeros(np.shape(values), d) for d in (bool, *4 * (float,))))
    for label, queries, ranked, hits, carriers, r in rank_neighbours(
        unit, found, block_size, beyond=1
    ):
        at = rows[queries]
        scores.asks[at, label] = True
        scores.p_at_1[at, label], scores.map_at_r[at, label], _ = _score_queries(hits[:, :r])
        effects = _sum_effects(hits, r, ranked, queries, carriers, rows.size)
        scores.p_at_1_effect[rows, label] += effects[0]
        scores.map_at_r_effect[rows, label] += effects[1]
    return scores


def _sparse_query_scores(
    rankings: Iterable[Ranking], rows: Ints, shape: tuple[int, int]
) -> QueryScores:
    """RETURNS (QueryScores): The scores as sparse matrices of this shape. `rows` are the documents
    that have a vector."""
    from scipy.sparse import csr_array

    queries_at: list[tuple[Ints, Ints]] = []
    effects_at: list[tuple[Ints, Ints]] = []
    scores, effects = [np.zeros((2, 0))], [np.zeros((2, 0))]
    for label, queries, ranked, hits, carriers, r in rankings:
        queries_at.append((rows[queries], np.full(queries.size, label)))
        scores.append(_score_queries(hits[:, :r])[:2])
        # Only these documents have an effect.
        touched = np.union1d(ranked, carriers)
        at, of_queries, of_carriers = (
            np.searchsorted(touched, some) for some in (ranked, queries, carriers)
        )
        effects_at.append((rows[touched], np.full(touched.size, label)))
        effects.append(_sum_effects(hits, r, at, of_queries, of_carriers, touched.size))

    def matrix(pairs: list[tuple[Ints, Ints]], values: Any) -> Any:
        places = [np.concatenate(part) for part in zip(*pairs, strict=True)]
        # Values at the same place are added.
        made = csr_array((values, places or ([], [])), shape=shape)
        made.eliminate_zeros()
        return made

    found, added = np.concatenate(scores, axis=1), np.concatenate(effects, axis=1)
    return QueryScores(
        matrix(queries_at, np.ones(found.shape[1], dtype=bool)),
        *(matrix(queries_at, values) for values in found),
        *(matrix(effects_at, values) for values in added),
    )


def _score_queries(hits: Bools) -> Floats:
    """Compute p@1, average precision at R and R-precision of queries with the same R.

    hits (Bools): Whether each of the R nearest neighbours is relevant, shape (queries, R).
    RETURNS (Floats): The three scores of each query, shape (3, queries).
    """
    r = hits.shape[1]
    precision = np.cumsum(hits, axis=1, dtype=np.float64)
    precision /= np.arange(1, r + 1)
    precision *= hits
    return np.array([hits[:, 0], precision.sum(axis=1) / r, hits.sum(axis=1) / r])


def _sum_effects(
    hits: Bools, r: int, ranked: Ints, queries: Ints, carriers: Ints, n_docs: int
) -> Floats:
    """Sum what each candidate adds to the scores of queries with the same R, see `QueryScores`.

    hits (Bools): Whether each of the R nearest neighbours, and the next one if there is one, is
        relevant, shape (queries, R + 1) or (queries, R).
    r (int): R.
    ranked (Ints): The neighbours, of the same shape as `hits`.
    queries (Ints): The queries, shape (queries,).
    carriers (Ints): All documents that carry the label.
    n_docs (int): The number of documents.
    RETURNS (Floats): The effects on p@1 and on average precision, shape (2, n_docs).
    """
    rank = np.arange(1, hits.shape[1] + 1)
    found = np.cumsum(hits, axis=1, dtype=np.float64)
    as_is = found / rank * hits
    before = np.cumsum(as_is, axis=1) - as_is
    ap = as_is[:, :r].sum(axis=1, keepdims=True) / r
    # Without a candidate, all later neighbours move up one rank, and the one at rank R + 1 counts.
    moved_up = found / np.maximum(rank - 1, 1) * hits
    without = (before + _sum_after(moved_up))[:, :r] / r
    far = np.zeros(queries.size)
    if r == 1:
        without = np.where(hits[:, :1], ap, without)
    else:
        # Without a relevant candidate, later neighbours have one hit less before them, and R is one
        # less, so the same neighbours count. R is also one less if the relevant candidate is not
        # among the R nearest: `far` is the effect of such a candidate.
        one_less = ((found - 1) / np.maximum(rank - 1, 1) * hits)[:, :r]
        of_relevant = (before[:, :r] + _sum_after(one_less)) / (r - 1)
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


def _sum_after(x: Floats) -> Floats:
    """RETURNS (Floats): For each entry, the sum of the later entries in its row."""
    return x.sum(axis=1, keepdims=True) - np.cumsum(x, axis=1)
