"""What became of a space: which neighbours are left, how narrow classes are, how many directions
are in use. Extremes of these are signs of collapse."""

from typing import NamedTuple

import numpy as np

from ..types import Targets
from .ranking import (
    Array,
    Bools,
    Floats,
    blocks,
    carried_labels,
    nearest_first,
    ranking_keys,
    unit_rows,
)

N_NEIGHBOURS = 10
# Directions of float32 vectors that differ by no more than this are the same.
_SAME = 1e-6


class SpaceScores(NamedTuple):
    """What a set of directions looks like.

    spread (float | None): Mean cosine distance of any two documents, 0..2. None with fewer than two
        vectors, as below.
    within (float | None): Mean cosine distance of documents that share a label over that of those
        that do not, averaged over the labels: 1 where labels have nothing to do with distance, 0
        where each label is one point. None where no label has two documents that carry it and
        one that does not.
    effective_rank (float | None): How many directions the documents use: the exponential of the
        entropy of the normalised singular values (Roy & Vetterli 2007) of the centred unit vectors.
        0 where all are the same.
    """

    spread: float | None
    within: float | None
    effective_rank: float | None


def space_scores(vectors: Array, targets: Targets) -> SpaceScores:
    """Measure how the directions of vectors are spread out.

    vectors (Array): The vectors, shape (n, d).
    targets (Targets): What is known of the documents' labels, n rows.
    RETURNS (SpaceScores): The measures.
    RAISES (ValueError): If the shapes do not fit or a vector is not finite.
    """
    unit, rows = unit_rows(vectors)
    carries, known = carried_labels(targets.values, targets.known, n_docs=np.shape(vectors)[0])
    if rows.size < 2:
        return SpaceScores(None, None, None)
    everybody = np.ones((rows.size, 1), dtype=bool)
    spread = float(_distances_within(unit, everybody)[0])
    return SpaceScores(spread, _within(unit, carries[rows], known[rows]), _effective_rank(unit))


def neighbour_overlap(first: Array, second: Array, k: int = N_NEIGHBOURS) -> float | None:
    """Say how many of the nearest neighbours in one space are among the nearest in another.

    first, second (Array): Vectors of the same n documents, shape (n, d) and (n, e).
    k (int): How many neighbours to look at.
    RETURNS (float | None): The mean share, 0..1; by chance it would be k / (n - 1). None where
        there are no more than k other documents, as all are then neighbours.
    RAISES (ValueError): If the shapes do not fit or a vector is not finite.
    """
    spaces = [unit_rows(vectors) for vectors in (first, second)]
    if np.shape(first)[0] != np.shape(second)[0]:
        raise ValueError(
            f"Both need a vector of each document, but there are {np.shape(first)[0]} and "
            f"{np.shape(second)[0]}."
        )
    both = np.intersect1d(spaces[0][1], spaces[1][1])
    n = both.size
    if n - 1 <= k:
        return None
    units = [unit[np.isin(rows, both)] for unit, rows in spaces]
    kept = 0
    for block in blocks(np.arange(n), n, None):
        near = np.zeros((2, block.size, n), dtype=bool)
        for i, unit in enumerate(units):
            np.put_along_axis(near[i], nearest_first(ranking_keys(unit, block), k), True, axis=1)
        kept += int((near[0] & near[1]).sum())
    return kept / (n * k)


def _distances_within(unit: Floats, members: Bools) -> Floats:
    """RETURNS (Floats): The mean cosine distance of any two members of each group, shape (L,); NaN
    for fewer than two. members: shape (n, L)."""
    counts = members.sum(axis=0)
    sums = members.T @ unit
    # The squared length of a sum of unit vectors is the sum of all cosines, those with oneself
    # included.
    similar = (sums**2).sum(axis=1) - counts
    means = np.full(counts.size, np.nan)
    np.divide(similar, counts * (counts - 1.0), out=means, where=counts > 1)
    return np.maximum(1 - means, 0.0)


def _within(unit: Floats, carries: Bools, known: Bools) -> float | None:
    lacks = known & ~carries
    inside = _distances_within(unit, carries)
    n_pairs = carries.sum(axis=0) * lacks.sum(axis=0)
    similar = ((carries.T @ unit) * (lacks.T @ unit)).sum(axis=1)
    between = np.full(n_pairs.size, np.nan)
    np.divide(similar, n_pairs, out=between, where=n_pairs > 0)
    between = 1 - between
    defined = ~np.isnan(inside) & (between > _SAME**2)
    return float((inside[defined] / between[defined]).mean()) if defined.any() else None


def _effective_rank(unit: Floats) -> float:
    centred = unit - unit.mean(axis=0)
    if (centred**2).sum(axis=1).mean() <= _SAME**2:
        return 0.0
    # Squared singular values, by the smaller of the two products.
    gram = centred @ centred.T if len(centred) < centred.shape[1] else centred.T @ centred
    singular = np.sqrt(np.maximum(np.linalg.eigvalsh(gram), 0.0))
    shares = singular / singular.sum()
    shares = shares[shares > 0]
    return float(np.exp(-(shares * np.log(shares)).sum()))
