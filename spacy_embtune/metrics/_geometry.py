"""Measure a vector space: kept neighbours, distances within labels, and the number of directions.

Extreme values of these measures are signs of collapse.
"""

from typing import Any, NamedTuple

import numpy as np

from ..labels import AnyTargets, SparseTargets
from .carriers import Carriers, find_carriers
from .ranking import (
    Array,
    Floats,
    Matrix,
    blocks,
    carried_labels,
    nearest_first,
    ranking_keys,
    unit_rows,
)

N_NEIGHBOURS = 10
# Directions of float32 vectors that differ by at most this are equal but for rounding.
_SAME = 1e-6


class SpaceScores(NamedTuple):
    """Measures of a set of vectors, compared by cosine.

    spread (float | None): The mean cosine distance of two documents, 0..2. None with fewer than two
        vectors.
    within (float | None): The mean cosine distance of documents that share a label, divided by that
        of documents that do not, averaged over the labels. 1 if labels do not affect distances, 0
        if each label is one point. None if no label has two documents that carry it and one that
        does not.
    effective_rank (float | None): How many directions the documents use: the exponential of the
        entropy of the normalised singular values of the centred unit vectors (Roy & Vetterli 2007).
        0 if all vectors are equal. None with fewer than two vectors.
    """

    spread: float | None
    within: float | None
    effective_rank: float | None


def space_scores(vectors: Array, targets: AnyTargets) -> SpaceScores:
    """Measure how far the directions of vectors are apart.

    >>> from spacy_embtune.labels import make_targets
    >>> targets = make_targets([{"A": 1.0}] * 2 + [{"B": 1.0}] * 2, ["A", "B"], exclusive=True)
    >>> scores = space_scores([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0], [0.1, 1.0]], targets)
    >>> [round(score, 3) for score in scores]
    [0.602, 0.006, 1.21]

    vectors (Array): The vectors, shape (n, d).
    targets (Targets | SparseTargets): What is known of the documents' labels, n rows.
    RETURNS (SpaceScores): The measures.
    RAISES (ValueError): If the shapes do not fit or a vector is not finite.
    """
    unit, rows = unit_rows(vectors)
    n = np.shape(vectors)[0]
    if isinstance(targets, SparseTargets):
        groups = _sparse_groups(unit, find_carriers(targets, None, rows, n_docs=n))
    else:
        carries, known = carried_labels(targets.values, targets.known, n_docs=n)
        groups = _dense_groups(unit, carries[rows], (known & ~carries)[rows])
    if rows.size < 2:
        return SpaceScores(None, None, None)
    one_group = np.ones((rows.size, 1), dtype=bool)
    spread = float(_distances_within(one_group.sum(axis=0), one_group.T @ unit)[0])
    within = _distance_ratio(groups)
    return SpaceScores(spread, within, _effective_rank(unit))


def neighbour_overlap(first: Array, second: Array, k: int = N_NEIGHBOURS) -> float | None:
    """Compute which share of the k nearest neighbours in one space is also nearest in another.

    >>> vectors = [[1.0, 0.0], [1.0, 0.1], [0.0, 1.0], [0.1, 1.0]]
    >>> neighbour_overlap(vectors, [[x, 2.0 * y] for x, y in vectors], k=1)
    1.0

    first (Array): Vectors of n documents in one space, shape (n, d).
    second (Array): Vectors of the same documents in the other space, shape (n, e).
    k (int): The number of neighbours of each document.
    RETURNS (float | None): The mean share, 0..1; its chance level is k / (n - 1). None if there are
        at most k other documents, because all of them are then neighbours.
    RAISES (ValueError): If the shapes do not fit or a vector is not finite.
    """
    spaces = [unit_rows(vectors) for vectors in (first, second)]
    if np.shape(first)[0] != np.shape(second)[0]:
        raise ValueError(
            f"Both spaces need a vector of each document, but they have {np.shape(first)[0]} and "
            f"{np.shape(second)[0]} vectors."
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


class _Groups(NamedTuple):
    """The documents that carry each label, and those that are known to lack it.

    n_inside, n_outside (ndarray): Their numbers, shape (L,).
    inside, outside (Floats): The sums of their unit vectors, shape (L, d).
    """

    n_inside: Any
    n_outside: Any
    inside: Floats
    outside: Floats


def _dense_groups(unit: Floats, carries: Matrix, lacks: Matrix) -> _Groups:
    return _Groups(carries.sum(axis=0), lacks.sum(axis=0), carries.T @ unit, lacks.T @ unit)


def _sparse_groups(unit: Floats, found: Carriers) -> _Groups:
    inside, outside = found.matrix().T @ unit, found.matrix(carried=False).T @ unit
    # A complete document lacks all labels but those that it carries.
    is_complete = found.is_complete()
    outside += unit[is_complete].sum(axis=0) - found.matrix().T @ (unit * is_complete[:, None])
    return _Groups(found.counts(), found.counts_absent(), inside, outside)


def _distances_within(counts: Any, sums: Floats) -> Floats:
    """Compute the mean cosine distance of two members of each group.

    counts (ndarray): The number of members of each group, shape (L,).
    sums (Floats): The sum of their unit vectors, shape (L, d).
    RETURNS (Floats): The distances, shape (L,); NaN for a group with fewer than two members.
    """
    # The squared length of a sum of unit vectors is the sum of the cosines of all pairs, including
    # the pairs of a vector with itself.
    similar = (sums**2).sum(axis=1) - counts
    means = np.full(counts.size, np.nan)
    np.divide(similar, counts * (counts - 1.0), out=means, where=counts > 1)
    return np.maximum(1 - means, 0.0)


def _distance_ratio(groups: _Groups) -> float | None:
    """RETURNS (float | None): `SpaceScores.within`."""
    inside = _distances_within(groups.n_inside, groups.inside)
    n_pairs = groups.n_inside * groups.n_outside
    similar = (groups.inside * groups.outside).sum(axis=1)
    between = np.full(n_pairs.size, np.nan)
    np.divide(similar, n_pairs, out=between, where=n_pairs > 0)
    between = 1 - between
    defined = ~np.isnan(inside) & (between > _SAME**2)
    return float((inside[defined] / between[defined]).mean()) if defined.any() else None


def _effective_rank(unit: Floats) -> float:
    centred = unit - unit.mean(axis=0)
    if (centred**2).sum(axis=1).mean() <= _SAME**2:
        return 0.0
    # The eigenvalues of either product are the squared singular values. The smaller one is faster.
    gram = centred @ centred.T if len(centred) < centred.shape[1] else centred.T @ centred
    singular = np.sqrt(np.maximum(np.linalg.eigvalsh(gram), 0.0))
    shares = singular / singular.sum()
    shares = shares[shares > 0]
    return float(np.exp(-(shares * np.log(shares)).sum()))
