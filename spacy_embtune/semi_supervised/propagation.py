"""Propagates labels from labelled texts to their neighbours in a pile."""

import warnings
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..metrics.ranking import Floats, unit_vectors

N_NEIGHBOURS = 10
# The share that a text takes from its neighbours in each step; after so many steps, what is passed
# on is the same for nearly all texts.
_DECAY, _N_STEPS = 0.9, 15
# Up to so many texts, each is compared with all others; of more, with those of a few cells.
_MOST_COMPARED = 8_192
_N_CELLS, _N_NEAR_CELLS, _CELLS_SAMPLE = 64, 6, 8_192
_BLOCK = 1_024
# How many texts are traced at a time, and how many labelled texts pass their labels on at most.
_MOST_TRACED, MOST_SEEDS = 64, 1_000
# If all labels were equally frequent, each would have n / L texts. This share of them is taken for
# sure: the texts nearest to the name of the label.
_SURE = 0.2
# Turns differences of cosines into probabilities: cosines of MiniLM with the right name are about
# .1 above the others. And the weight of a text's neighbours, beside the text itself.
_TEMPERATURE, _NEIGHBOURS = 0.1, 2.0
# What is added to each label's share of a text, because a text whose neighbours all carry one label
# may carry another.
_FLOOR = 0.02


class NeighbourGraph:
    """The nearest neighbours of n texts, to propagate labels over: a text passes what it has on to
    its neighbours, these to theirs, and so on, each time a little less (Zhou, Bousquet, Lal, Weston
    and Schölkopf 2004, "Learning with local and global consistency"). scikit-learn's
    `LabelSpreading` does so too, but cannot tell what a text would get without its own label.

    >>> vectors = np.asarray([[1.0, 0.1], [1.0, 0.2], [0.1, 1.0], [0.2, 1.0]])
    >>> graph = NeighbourGraph(vectors, n_neighbours=1)
    >>> graph.propagate(np.asarray([[1.0], [0.0], [0.0], [0.0]])).argsort(axis=0)[-2:].ravel()
    array([1, 0])

    vectors (ndarray): The vectors of the texts, shape (n, d). The graph is made when it is first
        used.
    n_neighbours (int): How many neighbours each text has; and it is one of theirs.
    """

    def __init__(self, vectors: NDArray[Any], *, n_neighbours: int = N_NEIGHBOURS) -> None:
        self.vectors = vectors
        self.n_neighbours = n_neighbours
        # Texts that were traced, by row, and what each passes on to each.
        self._place: dict[int, int] = {}
        self._between = np.zeros((0, 0), dtype=np.float32)

    @cached_property
    def _links(self) -> Any:
        """RETURNS (csr_array): How much each text passes on to each other in one step."""
        from scipy.sparse import csr_array

        n = len(self.vectors)
        k = min(self.n_neighbours, n - 1)
        if k < 1:
            return csr_array((n, n), dtype=np.float32)
        unit = _unit(self.vectors)
        nearest, cosines = _find_nearest(unit, k)
        rows, columns = np.repeat(np.arange(n), k), nearest.ravel()
        # A text unlike all others has neighbours too, one without a vector has none.
        weights = np.maximum(cosines.ravel(), 1e-6).astype(np.float32)
        present: NDArray[np.bool_] = np.asarray(unit.any(axis=1))
        weights[~(present[rows] & present[columns])] = 0.0
        links = csr_array((weights, (rows, columns)), shape=(n, n))
        links = links.maximum(links.T)
        scale = np.maximum(np.asarray(links.sum(axis=1)).ravel(), 1e-9) ** -0.5
        return csr_array(links * scale[:, None] * scale[None, :])

    def propagate(self, seeds: NDArray[Any]) -> NDArray[Any]:
        """Pass on what some texts have.

        seeds (ndarray): What each text has of k things, shape (n, k).
        RETURNS (ndarray): What each text has in the end, its own and from all others, float32,
            shape (n, k).
        """
        seeds = np.asarray(seeds, dtype=np.float32)
        links, found = self._links, seeds
        for _ in range(_N_STEPS):
            found = np.float32(_DECAY) * (links @ found) + seeds
        return found

    def assortativity(self, classes: NDArray[np.intp]) -> float:
        """Measure how much more often than by chance neighbours are of one class: whether the
        labels are what the vectors are near each other for (Newman 2003, "Mixing patterns in
        networks").

        >>> vectors = np.asarray([[1.0, 0.1], [1.0, 0.2], [0.1, 1.0], [0.2, 1.0]])
        >>> graph = NeighbourGraph(vectors, n_neighbours=1)
        >>> round(graph.assortativity(np.asarray([0, 0, 1, 1])), 6)
        1.0

        classes (ndarray of int): The class of each text, from 0 on, shape (n,).
        RETURNS (float): 1.0 if all neighbours are of one class, 0.0 if as many as by chance are, or
            if there is one class only.
        """
        links = self._links.tocoo()
        total = float(links.data.sum())
        if total <= 0:
            return 0.0
        one, other = classes[links.row], classes[links.col]
        share = np.bincount(one, weights=links.data) / total
        by_chance = float((share**2).sum())
        same = float(links.data[one == other].sum()) / total
        return (same - by_chance) / (1.0 - by_chance) if by_chance < 1.0 - 1e-9 else 0.0

    def between(self, rows: NDArray[np.intp]) -> NDArray[Any]:
        """Compute how much some texts pass on to each other. This is remembered.

        rows (ndarray): The s rows of the texts.
        RETURNS (ndarray): Float32, shape (s, s), symmetric.
        """
        new = [row for row in dict.fromkeys(rows.tolist()) if row not in self._place]
        for start in range(0, len(new), _MOST_TRACED):
            part = new[start : start + _MOST_TRACED]
            seeds = np.zeros((len(self.vectors), len(part)), dtype=np.float32)
            seeds[part, np.arange(len(part))] = 1.0
            traced = self.propagate(seeds)
            old = traced[list(self._place)]
            self._between = np.block([[self._between, old], [old.T, traced[part]]])
            self._place |= {row: len(self._place) + i for i, row in enumerate(part)}
        places = [self._place[row] for row in rows.tolist()]
        return self._between[np.ix_(places, places)]


class Propagation:
    """Propagates labels from m labelled texts to all n texts of a graph. Each label passes on the
    same in all, so that frequent labels do not win for being frequent ("class mass normalization",
    Zhu, Ghahramani and Lafferty 2003, "Semi-supervised learning using Gaussian fields").

    Scores are logarithms of the share that each label has of a text if labels are exclusive, and
    half of the logarithm of the odds of each label otherwise.

    >>> graph = NeighbourGraph(np.asarray([[1.0, 0.1], [1.0, 0.2], [0.1, 1.0], [0.2, 1.0]]))
    >>> found = Propagation(graph, np.asarray([0, 2]), 2 * np.eye(2) - 1, exclusive=True)
    >>> found.scores().argmax(axis=1)
    array([0, 0, 1, 1])

    graph (NeighbourGraph): The n texts.
    rows (ndarray): The rows of m different labelled texts. Of more than 1,000, some of each label
        pass their labels on: with so many, other classifiers know more.
    values (Floats): 1 where a text carries a label, -1 where it does not, NaN where this is not
        known, shape (m, L).
    exclusive (bool): Whether a text carries one label at most.
    mass (Floats | None): What each text has of each label before any is labelled, shape (n, L).
    """

    def __init__(
        self,
        graph: NeighbourGraph,
        rows: NDArray[np.intp],
        values: Floats,
        *,
        exclusive: bool,
        mass: Floats | None = None,
    ) -> None:
        self.graph = graph
        self.rows = rows
        self.mass = np.zeros((1, values.shape[1])) if mass is None else mass
        self._mass_of_rows = self.mass if mass is None else mass[rows]
        signs = (1.0,) if exclusive else (1.0, -1.0)
        is_seed = _choose_seeds(rows, values, len(graph.vectors))
        self._given = [((values == sign) & is_seed[:, None]).astype(np.float64) for sign in signs]
        self._found = [self._propagate(given) for given in self._given]
        self._seeds = np.flatnonzero(is_seed)
        self._between = graph.between(rows[is_seed])

    def _propagate(self, given: Floats) -> NDArray[Any]:
        seeds = np.zeros((len(self.graph.vectors), given.shape[1]), dtype=np.float32)
        seeds[self.rows] = given
        return self.graph.propagate(seeds)

    def scores(self, weights: Floats | float = 0.0) -> Floats:
        """RETURNS (Floats): The scores of all texts, shape (n, L). `weights` is how much the mass
        from before counts for each label, in labelled texts, shape (L,)."""
        return _to_scores(
            [
                _mean(found, given.sum(axis=0), self.mass, weights)
                for given, found in zip(self._given, self._found, strict=True)
            ]
        )

    def out_of_fold(self, weights: Floats | float = 0.0) -> Floats:
        """RETURNS (Floats): The scores of labelled texts, each from all labels but its own, shape
        (m, L)."""
        # Not what all passed on minus its own: what is left after rounding would count as certain.
        others = self._between.copy()
        np.fill_diagonal(others, 0.0)
        masses = []
        for given, found in zip(self._given, self._found, strict=True):
            mass = found[self.rows].astype(np.float64)
            mass[self._seeds] = others @ given[self._seeds]
            masses.append(_mean(mass, given.sum(axis=0) - given, self._mass_of_rows, weights))
        return _to_scores(masses)

    def from_some(self, some: NDArray[np.intp], weights: Floats | float = 0.0) -> Floats:
        """RETURNS (Floats): The scores of labelled texts from the labels of some of them, whose
        places among them are given, shape (m, L)."""
        masses = []
        for given in self._given:
            only = np.zeros_like(given)
            only[some] = given[some]
            if len(self._seeds) == len(self.rows):
                mass = self._between[:, some] @ given[some]
            else:
                mass = self._propagate(only)[self.rows]
            masses.append(_mean(mass, only.sum(axis=0), self._mass_of_rows, weights))
        return _to_scores(masses)


def _choose_seeds(rows: NDArray[np.intp], values: Floats, n: int) -> NDArray[np.bool_]:
    """RETURNS (ndarray): Which of m labelled texts pass their labels on, shape (m,). The same texts
    are chosen again if others are labelled later."""
    is_seed = np.ones(len(rows), dtype=bool)
    if len(rows) <= MOST_SEEDS:
        return is_seed
    rank = np.random.default_rng(0).permutation(n)[rows]
    place = np.full(len(rows), len(rows))
    for carried in (values == 1.0).T:
        of_label = np.flatnonzero(carried)
        order = of_label[np.argsort(rank[of_label])]
        place[order] = np.minimum(place[order], np.arange(len(order)))
    is_seed[np.lexsort((rank, place))[MOST_SEEDS:]] = False
    return is_seed


def _mean(found: NDArray[Any], n: Floats, mass: Floats, weights: Floats | float) -> Floats:
    """RETURNS (Floats): What texts have from n labelled ones and from before, in the mean."""
    total = n + weights
    return np.where(total > 0, (found + weights * mass) / np.maximum(total, 1e-9), 0.0)


class NamePropagation(NamedTuple):
    """What the names of L labels say of n texts.

    probabilities (Floats): Shape (n, L).
    mass (Floats): What each text has of each label, shape (n, L); see `Propagation`.
    """

    probabilities: Floats
    mass: Floats


def propagate_names(graph: NeighbourGraph, cosines: Floats) -> NamePropagation:
    """Propagate labels from the texts that are nearest to their names, and once more from those
    that are sure then. The labels compete for each text.

    >>> vectors = np.asarray([[1.0, 0.1], [1.0, 0.2], [0.1, 1.0], [0.2, 1.0]])
    >>> cosines = np.asarray([[0.3, 0.1], [0.1, 0.12], [0.1, 0.3], [0.12, 0.1]])
    >>> propagate_names(NeighbourGraph(vectors), cosines).probabilities.argmax(axis=1)
    array([0, 0, 1, 1])

    graph (NeighbourGraph): The n texts.
    cosines (Floats): The cosine of each text with each name, shape (n, L).
    RETURNS (NamePropagation): What the names say.
    """
    found = _combine(cosines, _spread_surest(graph, cosines))
    mass = _spread_surest(graph, found)
    return NamePropagation(_combine(cosines, mass), mass)


def _spread_surest(graph: NeighbourGraph, certainty: Floats) -> Floats:
    n_sure = max(1, round(_SURE * len(certainty) / certainty.shape[1]))
    sure = np.argpartition(-certainty, n_sure - 1, axis=0)[:n_sure]
    seeds = np.zeros(certainty.shape)
    np.put_along_axis(seeds, sure, 1.0 / n_sure, axis=0)
    return graph.propagate(seeds).astype(np.float64)


def _combine(cosines: Floats, mass: Floats) -> Floats:
    """RETURNS (Floats): Probabilities by the text itself and by its neighbours."""
    from scipy.special import softmax

    scores = cosines / _TEMPERATURE + _NEIGHBOURS * _to_scores([mass])
    return np.asarray(softmax(scores, axis=1))


def _to_scores(masses: list[Floats]) -> Floats:
    """RETURNS (Floats): The scores of the masses of labels, or of labels and of their contraries.
    Texts without any have 0."""
    total = masses[0].sum(axis=1, keepdims=True) if len(masses) == 1 else sum(masses)
    share = np.divide(masses[0], total, out=np.full_like(masses[0], np.nan), where=total > 0)
    share += _FLOOR
    if len(masses) == 1:
        return np.nan_to_num(np.log(share))
    return np.nan_to_num(0.5 * np.log(share / (1.0 + 2 * _FLOOR - share)))


def _unit(vectors: NDArray[Any]) -> NDArray[Any]:
    """RETURNS (ndarray): Vectors minus their mean, at unit length, float32. Texts without a vector
    stay at 0."""
    shifted = np.asarray(vectors, dtype=np.float32)
    present = shifted.any(axis=1)
    shifted = shifted - shifted[present].mean(axis=0) if present.sum() > 1 else shifted
    unit = np.zeros_like(shifted)
    unit[present] = unit_vectors(shifted[present])
    return unit


def _find_nearest(unit: NDArray[Any], k: int) -> tuple[NDArray[np.intp], NDArray[Any]]:
    """RETURNS (tuple): The k nearest others of each text, of many texts nearly all of them, and
    their cosines, shape (n, k)."""
    n = len(unit)
    nearest, cosines = np.empty((n, k), dtype=np.intp), np.empty((n, k), dtype=np.float32)
    for rows, candidates in _pair_cells(unit, k):
        for start in range(0, len(rows), _BLOCK):
            block = rows[start : start + _BLOCK]
            found = unit[block] @ unit[candidates].T
            at = np.arange(len(block))[:, None]
            found[at.ravel(), np.searchsorted(candidates, block)] = -np.inf
            best = np.argpartition(-found, k - 1, axis=1)[:, :k]
            nearest[block], cosines[block] = candidates[best], found[at, best]
    return nearest, cosines


def _pair_cells(unit: NDArray[Any], k: int) -> list[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """RETURNS (list[tuple]): Groups of rows, and the rows among which their neighbours are looked
    for, ascending: those of their cell and of the cells near it."""
    n = len(unit)
    if n <= _MOST_COMPARED:
        return [(np.arange(n), np.arange(n))]
    from sklearn.cluster import MiniBatchKMeans

    sample = unit[np.random.default_rng(0).permutation(n)[:_CELLS_SAMPLE]]
    with warnings.catch_warnings():
        # There may be fewer distinct vectors than cells.
        warnings.simplefilter("ignore")
        centres = MiniBatchKMeans(_N_CELLS, n_init=1, random_state=0).fit(sample).cluster_centers_
    cell = (unit @ centres.T - 0.5 * (centres**2).sum(axis=1)).argmax(axis=1)
    sizes = np.bincount(cell, minlength=len(centres))
    near = np.argsort(-(centres @ centres.T), axis=1, kind="stable")
    pairs = []
    for own in np.unique(cell):
        order = np.array([own, *near[own][near[own] != own]])
        # More cells if these have too few texts.
        n_needed = np.searchsorted(np.cumsum(sizes[order]), k, side="right") + 1
        candidates = np.isin(cell, order[: max(_N_NEAR_CELLS, n_needed)])
        pairs.append((np.flatnonzero(cell == own), np.flatnonzero(candidates)))
    return pairs
