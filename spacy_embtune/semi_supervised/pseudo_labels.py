"""Choose labels for unlabelled documents by the vectors and probabilities of a trained model."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..labels import CARRIES, MOST_DENSE, AnyTargets, SparseTargets, to_sparse
from ..metrics import Rows, row_blocks
from ..metrics.ranking import blocks, distances, nearest_first, unit_rows

# The share of the documents of each predicted class that get a label: the surest ones.
SUREST_SHARE = 0.3
# The temperature of cosines that stand in for an output layer.
_TEMPERATURE = 0.1


class ChosenLabels(NamedTuple):
    """Labels for some of m unlabelled documents.

    rows (ndarray of int): The k documents, ascending, shape (k,).
    targets (SparseTargets): Their labels. Labels that were not chosen are not known. All of their
        `weights` are the given weight, shape (k,).
    n_agreed (int): The number of documents for which both views agree on a label.
    """

    rows: NDArray[np.intp]
    targets: SparseTargets
    n_agreed: int


def choose_pseudo_labels(
    labelled: NDArray[Any],
    targets: AnyTargets,
    pile: NDArray[Any],
    probabilities: Rows,
    *,
    share: float = SUREST_SHARE,
    weight: float = 1.0,
    threshold: float = 0.5,
    usable: NDArray[np.bool_] | None = None,
) -> ChosenLabels:
    """Choose labels for unlabelled documents where two views of a trained model agree: the label
    of the nearest labelled document, and the label with the highest probability. Of the documents
    that agree on a class, the surest share is chosen, by probability.

    If labels are not exclusive, each label is chosen by itself: where both views say that a
    document carries it, and where both say that it does not, the surest share of each. The other
    labels of the document stay unknown.

    >>> from spacy_embtune.labels import make_targets
    >>> targets = make_targets([{"A": 1.0}, {"B": 1.0}], ["A", "B"], exclusive=True)
    >>> pile = np.asarray([[1.0, 0.1], [1.0, 0.3], [0.1, 1.0], [0.2, 1.0]])
    >>> probabilities = np.asarray([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.6, 0.4]])
    >>> chosen = choose_pseudo_labels(np.eye(2), targets, pile, probabilities, share=0.5)
    >>> chosen.rows.tolist(), chosen.targets.select(range(2)).values.tolist()
    ([0, 2], [[1.0, 0.0], [0.0, 1.0]])

    labelled (ndarray): Tuned vectors of n labelled documents, shape (n, k).
    targets (Targets | SparseTargets): Their targets, of L labels.
    pile (ndarray): Tuned vectors of m unlabelled documents, shape (m, k). Those that are all zeros
        get no label.
    probabilities (Rows): Probabilities of the labels of these documents, shape (m, L).
    share (float): The share of the documents of each class that is chosen, 0..1. At least one
        document of each class that both views agree on is chosen, unless the share is 0.
    weight (float): How much each document counts, in labelled documents.
    threshold (float): The probability from which a label counts as carried, if labels are not
        exclusive.
    usable (ndarray | None): Whether each unlabelled document may get a label, bool, shape (m,).
        None: all may.
    RETURNS (ChosenLabels): The documents with their labels.
    RAISES (ValueError): If the share is outside 0..1, or shapes do not fit.
    """
    if not 0.0 <= share <= 1.0:
        raise ValueError(f"share is {share}: give a number between 0 and 1.")
    known = targets if isinstance(targets, SparseTargets) else to_sparse(targets)
    n, n_labels = known.shape
    m = len(pile)
    if len(labelled) != n or probabilities.shape != (m, n_labels):
        raise ValueError(
            f"There are {len(labelled)} labelled vectors and {n} targets, and {m} vectors of the "
            f"pile with probabilities of shape {probabilities.shape}, not {(m, n_labels)}."
        )
    may = np.ones(m, dtype=bool) if usable is None else np.asarray(usable, dtype=bool)
    nearest = _find_nearest(labelled, known, pile)
    may = may & (nearest >= 0)
    choose = _choose_classes if known.exclusive else _choose_labels
    rows, columns, values, n_agreed = choose(
        known, np.flatnonzero(may), nearest, probabilities, share, threshold
    )
    order = np.lexsort((columns, rows))
    chosen, place = np.unique(rows[order], return_inverse=True)
    weights: Any = np.full(len(chosen), weight, dtype="float32")
    return ChosenLabels(
        chosen,
        SparseTargets(
            place.astype(np.intp),
            columns[order],
            values[order].astype("float32"),
            np.full(len(chosen), known.exclusive),
            n_labels,
            known.exclusive,
            weights=weights,
        ),
        n_agreed,
    )


def _find_nearest(
    labelled: NDArray[Any], known: SparseTargets, pile: NDArray[Any]
) -> NDArray[np.intp]:
    """RETURNS (ndarray): The nearest labelled document of each unlabelled one, shape (m,). -1 for
    one without a vector, and if nothing is labelled. Documents of which only absent labels are
    known do not count if labels are exclusive."""
    nearest = np.full(len(pile), -1, dtype=np.intp)
    counts = known.row_sums() >= CARRIES if known.exclusive else known.is_known()
    unit, rows = unit_rows(labelled)
    unit, rows = unit[counts[rows]], rows[counts[rows]]
    queries, places = unit_rows(pile)
    if not rows.size:
        return nearest
    for block in blocks(np.arange(len(places)), len(rows), None):
        keys = distances(queries[block], unit).astype(np.uint64) << np.uint64(32)
        keys |= np.arange(len(rows), dtype=np.uint64)
        nearest[places[block]] = rows[nearest_first(keys, 1)[:, 0]]
    return nearest


# The arguments and the result of both functions are the same: what is known of the labelled
# documents, the unlabelled documents that may be chosen, the nearest labelled document of each
# unlabelled one, probabilities, share, threshold -> documents, labels, values, number that agree.
_Entries = tuple[NDArray[np.intp], NDArray[np.intp], NDArray[Any], int]


def _choose_classes(
    known: SparseTargets,
    rows: NDArray[np.intp],
    nearest: NDArray[np.intp],
    probabilities: Rows,
    share: float,
    threshold: float,
) -> _Entries:
    """Choose the surest documents of each class, if labels are exclusive."""
    carried = known.values >= CARRIES
    class_of = np.full(known.shape[0], -1, dtype=np.intp)
    class_of[known.rows[carried]] = known.columns[carried]
    best = np.full(len(rows), -1, dtype=np.intp)
    sure = np.zeros(len(rows))
    for block in row_blocks(len(rows), known.n_labels):
        found = np.asarray(probabilities[rows[block]])
        best[block] = found.argmax(axis=1)
        sure[block] = found.max(axis=1)
    agrees = np.flatnonzero(class_of[nearest[rows]] == best)
    kept = agrees[surest(best[agrees], sure[agrees], share)]
    return rows[kept], best[kept], np.ones(len(kept)), len(agrees)


def _choose_labels(
    known: SparseTargets,
    rows: NDArray[np.intp],
    nearest: NDArray[np.intp],
    probabilities: Rows,
    share: float,
    threshold: float,
) -> _Entries:
    """Choose the surest documents that carry each label, and the surest that lack it."""
    # All labels of each document are compared, so a large pile with many labels is thinned out.
    step = -(-len(rows) * known.n_labels // MOST_DENSE) or 1
    rows = rows[::step]
    parts: list[tuple[NDArray[Any], ...]] = []
    for block in row_blocks(len(rows), known.n_labels):
        found = np.asarray(probabilities[rows[block]], dtype=np.float64)
        near = known.select(nearest[rows[block]])
        carries = np.asarray(near.values) >= CARRIES
        predicted = found >= threshold
        at, columns = np.nonzero((np.asarray(near.known) > 0) & (carries == predicted))
        is_carried = predicted[at, columns]
        sure = np.abs(found[at, columns] - threshold)
        parts.append((rows[block][at], columns, is_carried, sure))
    if not parts:
        nothing = np.zeros(0, dtype=np.intp)
        return nothing, nothing, np.zeros(0), 0
    of_row, columns, is_carried, sure = (np.concatenate(part) for part in zip(*parts, strict=True))
    kept = surest(2 * columns + is_carried, sure, share)
    n_agreed = len(np.unique(of_row))
    return of_row[kept], columns[kept], is_carried[kept].astype(float), n_agreed


def surest(groups: NDArray[Any], certainty: NDArray[Any], share: float) -> NDArray[np.intp]:
    """Choose the surest entries of each group.

    >>> surest(np.asarray([0, 0, 0, 1]), np.asarray([0.9, 0.5, 0.7, 0.6]), 0.5).tolist()
    [0, 2, 3]

    groups (ndarray): The group of each entry, shape (m,).
    certainty (ndarray): How sure each entry is, shape (m,). Of equal ones, the earlier come first.
    share (float): The share of each group that is chosen, 0..1; of a share above 0, one at least.
    RETURNS (ndarray of int): The entries, ascending.
    """
    order = np.lexsort((np.arange(len(groups)), -np.round(certainty, 6), groups))
    if not order.size:
        return order
    _, first, counts = np.unique(groups[order], return_index=True, return_counts=True)
    place = np.arange(len(order)) - np.repeat(first, counts)
    room = np.ceil(np.round(share * counts, 9))
    return np.sort(order[place < np.repeat(room, counts)])


def compare_with_means(
    labelled: NDArray[Any], targets: AnyTargets, pile: NDArray[Any]
) -> NDArray[np.float32]:
    """Compute rough probabilities of labels from vectors alone, for a model whose output layer is
    not trained: by the cosines of documents and the mean vector of each label. A label that no
    labelled document carries has the probability 0.

    >>> from spacy_embtune.labels import make_targets
    >>> targets = make_targets([{"A": 1.0}, {"B": 1.0}], ["A", "B"], exclusive=True)
    >>> compare_with_means(np.eye(2), targets, np.asarray([[1.0, 0.2]])).round(2).tolist()
    [[1.0, 0.0]]

    labelled (ndarray): Tuned vectors of n labelled documents, shape (n, k).
    targets (Targets | SparseTargets): Their targets, of L labels.
    pile (ndarray): Tuned vectors of m documents, shape (m, k).
    RETURNS (ndarray): The probabilities, float32, shape (m, L).
    """
    from scipy.sparse import csr_array

    known = targets if isinstance(targets, SparseTargets) else to_sparse(targets)
    unit, queries = _unit(labelled), _unit(pile)
    carried = known.values >= CARRIES
    at = known.columns[carried], known.rows[carried]
    shape = (known.n_labels, len(unit))
    sums = csr_array((np.ones(len(at[0])), at), shape=shape) @ unit
    is_carried = np.bincount(at[0], minlength=known.n_labels) > 0
    cosines = queries @ _unit(sums).T
    if known.exclusive:
        scores = np.where(is_carried, cosines, -np.inf) / _TEMPERATURE
        likely = np.exp(scores - scores.max(axis=1, keepdims=True, initial=-1e9))
        return np.asarray(likely / np.maximum(likely.sum(axis=1, keepdims=True), 1e-12), "float32")
    # All other labelled documents stand for those that lack a label.
    others = queries @ _unit(unit.sum(axis=0) - sums).T
    scores = (cosines - others) / _TEMPERATURE
    return np.where(is_carried, 1.0 / (1.0 + np.exp(-scores)), 0.0).astype("float32")


def _unit(vectors: NDArray[Any]) -> NDArray[np.float64]:
    """RETURNS (ndarray): The vectors at unit length. Those that are all zeros stay so."""
    unit = np.zeros(np.shape(vectors))
    rows, places = unit_rows(vectors)
    unit[places] = rows
    return unit


class BalancedOrder:
    """Draws documents so that each class is drawn equally often, in a random order without
    replacement: a document of a class is drawn again only after all others of that class.

    >>> order = BalancedOrder([0, 0, 0, 1], seed=0)
    >>> [sorted(order.classes[order.draw(2)].tolist()) for _ in range(2)]
    [[0, 1], [0, 1]]

    classes (Sequence[int]): The class of each document, shape (m,).
    seed (int): The seed of the order.
    """

    def __init__(self, classes: Sequence[int] | NDArray[Any], *, seed: int) -> None:
        self.classes = np.asarray(classes)
        self._rng = np.random.default_rng(seed)
        self._members = [np.flatnonzero(self.classes == c) for c in np.unique(self.classes)]
        self._queues: list[list[int]] = [[] for _ in self._members]
        self._turn = 0

    def draw(self, k: int) -> NDArray[np.intp]:
        """Draw documents. Classes that have too few leave their places to others.

        k (int): The number of documents.
        RETURNS (ndarray of int): Different documents, shape (min(k, m),).
        """
        k = min(k, len(self.classes))
        drawn: set[int] = set()
        left = [len(members) for members in self._members]
        while len(drawn) < k:
            i = self._turn % len(self._members)
            self._turn += 1
            if left[i]:
                left[i] -= 1
                drawn.add(self._next(i, drawn))
        return np.asarray(sorted(drawn), dtype=np.intp)

    def _next(self, i: int, drawn: set[int]) -> int:
        """RETURNS (int): The next document of a class that is not drawn yet."""
        queue = self._queues[i]
        if not any(row not in drawn for row in queue):
            more = self._rng.permutation(self._members[i]).tolist()
            queue.extend(row for row in more if row not in drawn)
        place = next(j for j, row in enumerate(queue) if row not in drawn)
        return queue.pop(place)
