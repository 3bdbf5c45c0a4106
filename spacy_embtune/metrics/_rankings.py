"""Rank the neighbours of queries label by label, in memory and time that grow with what is known.

A query is a document and a label that it carries. Its neighbours are the documents in which the
label is known.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from ..labels import CARRIES, SparseTargets
from .ranking import (
    Array,
    Bools,
    Floats,
    Ints,
    blocks,
    carried_labels,
    nearest_first,
    ranking_keys,
)


class Carriers(NamedTuple):
    """Which of n documents carry and know which of L labels, one entry for each known value.

    rows (Ints): The document of each entry, shape (m,), ascending.
    columns (Ints): The label of each entry, shape (m,).
    carries (Bools): Whether the document carries the label, shape (m,).
    complete (Ints): The documents of which all labels are known, ascending.
    n_docs (int): The number of documents n.
    n_labels (int): The number of labels L.
    """

    rows: Ints
    columns: Ints
    carries: Bools
    complete: Ints
    n_docs: int
    n_labels: int

    def counts(self) -> Ints:
        """RETURNS (Ints): The number of documents that carry each label, shape (L,)."""
        return np.bincount(self.columns[self.carries], minlength=self.n_labels)


class Ranking(NamedTuple):
    """The neighbours of some queries with one label.

    label (int): The label.
    queries (Ints): The documents that ask.
    ranked (Ints): Their nearest neighbours, shape (queries, R + beyond) or less if there are fewer
        documents.
    hits (Bools): Whether each neighbour carries the label.
    carriers (Ints): All documents that carry the label.
    r (int): R, the number of other documents that carry the label.
    """

    label: int
    queries: Ints
    ranked: Ints
    hits: Bools
    carriers: Ints
    r: int


def find_carriers(
    values: Array | SparseTargets, known: Array | None, rows: Ints, *, n_docs: int
) -> Carriers:
    """Find which documents carry which labels.

    values (Array | SparseTargets): How much of each label each document carries, 0..1, shape
        (n, L); or the targets of the n documents.
    known (Array | None): Above 0 where the value is known, shape (n, L). None: all are known, or
        the targets say what is.
    rows (Ints): The documents that take part, ascending, shape (k,).
    n_docs (int): The number of documents n, for a check.
    RETURNS (Carriers): What is known of these k documents, numbered from 0.
    RAISES (ValueError): If the shapes do not fit.
    """
    if isinstance(values, SparseTargets):
        if values.shape[0] != n_docs:
            raise ValueError(f"There are targets of {values.shape[0]} documents, not {n_docs}.")
        part = values.subset(rows)
        complete = np.flatnonzero(part.is_complete)
        carries = np.asarray(part.values >= CARRIES)
        return Carriers(part.rows, part.columns, carries, complete, rows.size, values.n_labels)
    carried, is_known = carried_labels(values, known, n_docs=n_docs)
    carried, is_known = carried[rows], is_known[rows]
    is_complete = np.asarray(is_known.all(axis=1))
    # In a complete document only what it carries needs an entry.
    at = np.nonzero(np.where(is_complete[:, None], carried, is_known))
    return Carriers(
        at[0], at[1], carried[at], np.flatnonzero(is_complete), rows.size, carried.shape[1]
    )


def rank_neighbours(
    unit: Floats, found: Carriers, block_size: int | None, *, beyond: int = 0
) -> Iterator[Ranking]:
    """Rank the neighbours of each query, for one block of queries and one label at a time. Labels
    that are known in the same documents share one ranking.

    unit (Floats): The unit vectors of the documents, shape (n, d).
    found (Carriers): Which of their labels they carry.
    block_size (int | None): The number of queries to compare at a time, see `blocks`.
    beyond (int): How many neighbours to rank after the R nearest.
    YIELDS (Ranking): The neighbours of queries with a label that two or more documents carry.
    """
    counts = found.counts()
    asks = found.carries & (counts[found.columns] >= 2)
    rows, labels = found.rows[asks], found.columns[asks]
    carriers = _Slices(labels, rows, found.n_labels)
    is_complete = np.zeros(found.n_docs, dtype=bool)
    is_complete[found.complete] = True
    apart = ~is_complete[found.rows]
    known_apart = _Slices(found.columns[apart], found.rows[apart], found.n_labels)
    groups = _group(known_apart, np.unique(labels), found.n_labels)
    is_carrier = np.zeros(found.n_docs, dtype=bool)
    for block in blocks(np.unique(rows), found.n_docs, block_size):
        keys = ranking_keys(unit, block)
        entries = slice(*np.searchsorted(rows, [block[0], block[-1] + 1]))
        at, asked = np.searchsorted(block, rows[entries]), labels[entries]
        # Sorted by group, label and query.
        order = np.lexsort((at, asked, groups[asked]))
        at, asked = at[order], asked[order]
        for group in np.split(np.arange(at.size), _steps(groups[asked])):
            label = int(asked[group[0]])
            others = known_apart.of(label)
            gallery = np.union1d(found.complete, others) if others.size else found.complete
            asking = np.unique(at[group])
            depth = int(counts[asked[group]].max()) - 1 + beyond
            # The query itself ranks last, so it is not among the neighbours.
            ranked = nearest_first(keys[np.ix_(asking, gallery)], min(depth, gallery.size - 1))
            for part in np.split(group, _steps(asked[group])):
                label = int(asked[part[0]])
                r = int(counts[label]) - 1
                nearest = ranked[np.searchsorted(asking, at[part]), : r + beyond]
                is_carrier[carriers.of(label)] = True
                hits = is_carrier[nearest]
                is_carrier[carriers.of(label)] = False
                yield Ranking(label, block[at[part]], nearest, hits, carriers.of(label), r)


class _Slices:
    """The documents of each label."""

    def __init__(self, labels: Ints, rows: Ints, n_labels: int) -> None:
        order = np.argsort(labels, kind="stable")
        self._rows = rows[order]
        self._starts = np.searchsorted(labels[order], np.arange(n_labels + 1))

    def of(self, label: int) -> Ints:
        """RETURNS (Ints): The documents of a label, ascending."""
        return self._rows[self._starts[label] : self._starts[label + 1]]


def _group(known: _Slices, labels: Ints, n_labels: int) -> Ints:
    """RETURNS (Ints): A number for each label, shape (L,). It is the same for labels that are known
    in the same documents."""
    numbers: dict[bytes, int] = {}
    groups = np.zeros(n_labels, dtype=np.intp)
    for label in labels.tolist():
        groups[label] = numbers.setdefault(known.of(label).tobytes(), len(numbers))
    return groups


def _steps(numbers: Ints) -> Ints:
    """RETURNS (Ints): Where the next number differs from the one before it."""
    return np.flatnonzero(np.diff(numbers)) + 1
