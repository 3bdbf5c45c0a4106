"""Rank the neighbours of queries label by label, in memory and time that grow with what is known.

A query is a document and a label that it carries. Its neighbours are the documents in which the
label is known.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from .carriers import Carriers, LabelSlices, group_by_documents
from .ranking import Bools, Floats, Ints, blocks, nearest_first, ranking_keys


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
    carriers = LabelSlices(labels, rows, found.n_labels)
    known_apart = found.known_apart()
    groups = group_by_documents(known_apart, np.unique(labels), found.n_labels)
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
            gallery = found.knowing(label, known_apart)
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


def _steps(numbers: Ints) -> Ints:
    """RETURNS (Ints): Where the next number differs from the one before it."""
    return np.flatnonzero(np.diff(numbers)) + 1
