"""Score how early the right answers of queries are found among candidates: recall@k and MRR.

Queries and candidates are two collections of vectors in one space, for example questions and
answers. A query may have several right answers.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from ._intervals import Ratios
from .ranking import Array, Floats, Ints, blocks, distances, unit_rows

# The numbers of nearest candidates that recall is measured among.
RECALL_AT = (1, 5, 10)


class AnswerScores(NamedTuple):
    """Means over the queries that have a vector and a right answer with a vector.

    recall (dict[int, float | None]): For each k, the share of the right answers of a query that are
        among its k nearest candidates. None if there is no such query.
    mrr (float | None): The mean reciprocal rank: 1 / rank of the nearest right answer. None as
        above.
    n_queries (int): The number of queries.
    """

    recall: dict[int, float | None]
    mrr: float | None
    n_queries: int


class AnswerRatios(NamedTuple):
    """The parts of the metrics that each unit contributes, for `compare_ratios`. A unit is a group
    of queries and candidates that belong together, see `link_sides`.

    recall (dict[int, Ratios]): The parts of recall@k for each k.
    mrr (Ratios): The parts of the mean reciprocal rank.
    """

    recall: dict[int, Ratios]
    mrr: Ratios


class Units(NamedTuple):
    """The units of the rows of two sides.

    first (Ints): The unit of each row of the first side, shape (n,).
    second (Ints): The unit of each row of the second side, shape (m,).
    n_units (int): The number of units.
    """

    first: Ints
    second: Ints
    n_units: int

    def swap(self) -> "Units":
        """RETURNS (Units): The same units with the sides exchanged."""
        return Units(self.second, self.first, self.n_units)


def answer_scores(
    queries: Array,
    candidates: Array,
    pairs: Array | None = None,
    *,
    at: Sequence[int] = RECALL_AT,
    same: Array | None = None,
    block_size: int | None = None,
) -> AnswerScores:
    """Score how early queries find their right answers among all candidates, by cosine.

    Recall@k is the share of the right answers of a query that are among its k nearest candidates,
    and MRR is the mean of 1 / rank of the nearest right answer, both as in Manning et al. 2008,
    "Introduction to Information Retrieval". Candidates with equal cosine are in random order: the
    scores are exact means over all orders, so that vectors that are all equal score as chance. The
    result does not depend on the block size. The function needs the memory of the vectors and of
    one block of cosines.

    >>> queries, candidates = [[1.0, 0.0], [0.0, 1.0]], [[1.0, 0.1], [0.9, 0.3]]
    >>> scores = answer_scores(queries, candidates, at=[1])
    >>> scores.recall, scores.mrr, scores.n_queries
    ({1: 1.0}, 1.0, 2)

    queries (Array): The vectors of the queries, shape (n, d).
    candidates (Array): The vectors of the candidates, shape (m, d).
    pairs (Array | None): The right answers: rows of (query, candidate), zero-based, shape (p, 2). A
        query without a right answer does not count. None: candidate i answers query i.
    at (Sequence[int]): The numbers k of nearest candidates.
    same (Array | None): For each query the candidate that is the query itself, which is left out of
        its candidates; -1: there is none. Shape (n,). None: no candidate is a query.
    block_size (int | None): The number of queries to compare at a time. None: the number that needs
        less than 64 MB, not counting a copy of the vectors.
    RETURNS (AnswerScores): The scores.
    RAISES (ValueError): If shapes do not fit, a vector is not finite, a pair names a row that does
        not exist, or a k is below 1.
    """
    found = answer_ratios(queries, candidates, pairs, at=at, same=same, block_size=block_size)
    recall = {k: ratios.value for k, ratios in found.recall.items()}
    return AnswerScores(recall, found.mrr.value, int(found.mrr.denominator.sum()))


def answer_ratios(
    queries: Array,
    candidates: Array,
    pairs: Array | None = None,
    *,
    at: Sequence[int] = RECALL_AT,
    same: Array | None = None,
    units: Units | None = None,
    block_size: int | None = None,
) -> AnswerRatios:
    """Split recall@k and MRR into the parts of units, for the bootstrap of `compare_ratios`. The
    bootstrap draws units as queries; the candidates stay.

    >>> ratios = answer_ratios(np.eye(3), np.eye(3), at=[1])
    >>> ratios.mrr.value, ratios.recall[1].numerator.shape
    (1.0, (3, 1))

    queries, candidates, pairs, at, same, block_size: As in `answer_scores`.
    units (Units | None): The units. None: those of `link_sides`.
    RETURNS (AnswerRatios): The parts; their values are the scores.
    RAISES (ValueError): As in `answer_scores`.
    """
    n, m = _count_rows(queries, candidates)
    right = check_pairs(pairs, n, m)
    for k in at:
        if k < 1:
            raise ValueError(f"at holds {k}: give numbers of candidates from 1 on.")
    if units is None:
        units = link_sides(right, n, m)
    own = np.full(n, -1) if same is None else np.asarray(same, dtype=np.intp)
    if own.shape != (n,) or (own < -1).any() or (own >= m).any():
        raise ValueError(
            f"same must have shape ({n},) and hold zero-based rows of the {m} candidates, or -1."
        )
    # One row for each k, and the last one for the reciprocal rank.
    sums = np.zeros((len(at) + 1, units.n_units))
    n_asked = np.zeros(units.n_units)
    for block in _ranked_blocks(queries, candidates, right, own, block_size):
        scores = _score_queries(block, at)
        asked = units.first[block.queries]
        n_asked += np.bincount(asked, minlength=units.n_units)
        for total, score in zip(sums, scores, strict=True):
            total += np.bincount(asked, score, minlength=units.n_units)
    count = n_asked[:, None]
    found = [Ratios(total[:, None], count, count) for total in sums]
    return AnswerRatios(dict(zip(at, found[:-1], strict=True)), found[-1])


def link_sides(pairs: Array | None, n: int, m: int) -> Units:
    """Group the rows of two sides that are linked by pairs, directly or through other rows. Rows
    that belong together are drawn together in a bootstrap.

    >>> link_sides([[0, 0], [0, 1], [1, 2]], 2, 3)
    Units(first=array([0, 1]), second=array([0, 0, 1]), n_units=2)

    pairs (Array | None): Rows of (first, second), zero-based, shape (p, 2). None: row i of both.
    n, m (int): The number of rows of each side.
    RETURNS (Units): The units.
    RAISES (ValueError): If a pair names a row that does not exist.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    first, second = check_pairs(pairs, n, m).T
    links = coo_array((np.ones(first.size), (first, n + second)), shape=(n + m, n + m))
    n_units, unit = connected_components(links, directed=False)
    unit = unit.astype(np.intp)
    return Units(unit[:n], unit[n:], int(n_units))


def check_pairs(pairs: Array | None, n: int, m: int) -> Ints:
    """Check pairs of rows of two sides.

    >>> check_pairs([[1, 0], [0, 2], [1, 0]], 2, 3).tolist()
    [[0, 2], [1, 0]]

    pairs (Array | None): Rows of (first, second), zero-based, shape (p, 2). None: row i of both.
    n, m (int): The number of rows of each side.
    RETURNS (Ints): The distinct pairs, sorted, shape (q, 2).
    RAISES (ValueError): If the shape is another, or a pair names a row that does not exist.
    """
    if pairs is None:
        if n != m:
            raise ValueError(
                f"There are {n} rows on one side and {m} on the other, so row i does not belong to "
                "row i. Give the pairs that belong together."
            )
        return np.repeat(np.arange(n)[:, None], 2, axis=1)
    found = np.asarray(pairs)
    if found.size == 0:
        return np.zeros((0, 2), dtype=np.intp)
    if found.ndim != 2 or found.shape[1] != 2 or found.dtype.kind not in "iu":
        raise ValueError(
            f"pairs must be integers of shape (p, 2), not {found.dtype} of shape {found.shape}."
        )
    wrong = (found < 0) | (found >= (n, m))
    if wrong.any():
        pair = found[wrong.any(axis=1)][0].tolist()
        raise ValueError(f"The pair {pair} names a row outside 0..{n - 1} and 0..{m - 1}.")
    return np.unique(found.astype(np.intp), axis=0)


class _Block(NamedTuple):
    """The right answers of some queries.

    queries (Ints): The queries with right answers, shape (b,).
    at (Ints): For each right answer the zero-based place of its query in `queries`, ascending,
        shape (p,).
    above (Ints): How many candidates are nearer than the right answer, shape (p,).
    tied (Ints): How many candidates are as near, itself included, shape (p,).
    """

    queries: Ints
    at: Ints
    above: Ints
    tied: Ints


def _count_rows(queries: Array, candidates: Array) -> tuple[int, int]:
    shapes = np.shape(queries), np.shape(candidates)
    if len(shapes[0]) != 2 or len(shapes[1]) != 2 or shapes[0][1] != shapes[1][1]:
        raise ValueError(
            f"Queries have shape {shapes[0]} and candidates {shapes[1]}: give vectors of one "
            "width, shapes (n, d) and (m, d)."
        )
    return shapes[0][0], shapes[1][0]


def _ranked_blocks(
    queries: Array, candidates: Array, right: Ints, own: Ints, size: int | None
) -> Iterator[_Block]:
    """YIELDS (_Block): The queries that have a vector and a right answer with a vector."""
    of_queries, asking = unit_rows(queries)
    of_candidates, answering = unit_rows(candidates)
    n, m = np.shape(queries)[0], np.shape(candidates)[0]
    place_of_query, place = np.full(n, -1), np.full(m, -1)
    place_of_query[asking], place[answering] = np.arange(asking.size), np.arange(answering.size)
    can = (place_of_query[right[:, 0]] >= 0) & (place[right[:, 1]] >= 0)
    # A query is no answer to itself.
    can &= own[right[:, 0]] != right[:, 1]
    right = right[can]
    for block in blocks(np.unique(right[:, 0]), answering.size, size):
        far = distances(of_queries[place_of_query[block]], of_candidates)
        itself = own[block]
        has_itself = itself >= 0
        has_itself[has_itself] = place[itself[has_itself]] >= 0
        far[np.flatnonzero(has_itself), place[itself[has_itself]]] = np.inf
        part = right[slice(*np.searchsorted(right[:, 0], [block[0], block[-1] + 1]))]
        at = np.searchsorted(block, part[:, 0])
        near = far[at, place[part[:, 1]]]
        above, tied = np.zeros(at.size, np.intp), np.zeros(at.size, np.intp)
        # Parts of the size of a block, because a query may have many right answers.
        for some in blocks(np.arange(at.size), 1, block.size):
            rows = far[at[some]]
            above[some] = (rows < near[some, None]).sum(axis=1)
            tied[some] = (rows == near[some, None]).sum(axis=1)
        yield _Block(block, at, above, tied)


def _score_queries(block: _Block, at: Sequence[int]) -> Floats:
    """RETURNS (Floats): The recall at each k and the reciprocal rank of each query of a block,
    shape (K + 1, b)."""
    b = block.queries.size
    n_right = np.bincount(block.at, minlength=b)
    scores = np.zeros((len(at) + 1, b))
    for row, k in zip(scores, at, strict=False):
        # The chance that the answer is among the first k, if those that tie are shuffled.
        found = np.clip((k - block.above) / block.tied, 0.0, 1.0)
        row += np.bincount(block.at, found, minlength=b) / n_right
    first = _first_answers(block)
    for i, above, tied, n in zip(
        np.arange(b),
        block.above[first],
        block.tied[first],
        _count_first(block, first),
        strict=True,
    ):
        scores[-1, i] = 1.0 / (above + 1) if tied == n else _mean_reciprocal(above, tied, n)
    return scores


def _first_answers(block: _Block) -> Ints:
    """RETURNS (Ints): The nearest right answer of each query, as a place in `above`, shape (b,)."""
    order = np.lexsort((block.above, block.at))
    return order[np.searchsorted(block.at[order], np.arange(block.queries.size))]


def _count_first(block: _Block, first: Ints) -> Ints:
    """RETURNS (Ints): How many right answers of each query are as near as its nearest one."""
    as_near = block.above == block.above[first][block.at]
    return np.bincount(block.at[as_near], minlength=block.queries.size)


def _mean_reciprocal(above: int, tied: int, n_right: int) -> float:
    """RETURNS (float): The mean of 1 / rank of the first of n right answers among `tied` candidates
    in random order, which follow `above` others."""
    p = np.arange(1, tied - n_right + 2)
    # The chance that the first right answer has the position p: the product of the chances that
    # the positions before it hold none.
    misses = (tied - n_right - np.arange(p.size - 1)) / (tied - np.arange(p.size - 1))
    chance = np.concatenate([[1.0], np.cumprod(misses)]) * n_right / (tied - p + 1)
    return float((chance / (above + p)).sum())
