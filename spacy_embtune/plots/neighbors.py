"""Nearest neighbours before and after: of a query, of every document, and label by label."""

from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..metrics.ranking import (
    Bools,
    Floats,
    Ints,
    blocks,
    carried_labels,
    group_labels,
    nearest_first,
    ranking_keys,
    unit_rows,
)
from ..report.types import Documents

Space = Literal["base", "tuned"]


class Neighbor(NamedTuple):
    """A document near a query.

    row (int): Which of the documents it is.
    cosine (float): Of its vector and the query's, -1..1.
    """

    row: int
    cosine: float


class NeighborMatrix(NamedTuple):
    """Which labels the nearest neighbours of the documents with a label carry.

    labels (list[str]): The K labels of the rows and columns.
    shares (Floats): The share of the documents with the label of the row whose nearest neighbour
        carries the label of the column, 0..1, shape (K, K); NaN where none has such a neighbour.
    counts (Ints): How many documents carry each label, shape (K,).
    p_at_1 (float | None): The mean of the diagonal over labels, without the absence of a lone one,
        that at least two documents carry; None if there is no such label.
    n_left_out (int): How many labels that documents carry have no row.
    n_drawn (int | None): How many documents stand for all; None: all do.
    """

    labels: list[str]
    shares: Floats
    counts: Ints
    p_at_1: float | None
    n_left_out: int
    n_drawn: int | None


def vectors_of(documents: Documents, space: Space) -> NDArray[Any]:
    """RETURNS (ndarray): Their base or their tuned vectors, shape (n, width)."""
    return documents.base if space == "base" else documents.tuned


def find_neighbors(documents: Documents, query: Documents, space: Space, k: int) -> list[Neighbor]:
    """Find the documents nearest to a text by cosine; at the same cosine the first comes first.

    documents (Documents): Where to look; those without a vector are never found.
    query (Documents): The text, as a single document of the same pipeline.
    space (str): "base" or "tuned".
    k (int): How many to find, if there are so many.
    RETURNS (list[Neighbor]): The nearest, in order.
    RAISES (ValueError): If the query has no vector, k is less than 1, or there are no documents.
    """
    if k < 1:
        raise ValueError(f"k is {k}: ask for at least 1 neighbour.")
    asking, _ = unit_rows(vectors_of(query, space))
    unit, rows = unit_rows(vectors_of(documents, space))
    if not asking.shape[0]:
        raise ValueError(
            "The query has no vector: it is empty, or the encoder knows none of its words. Give a "
            "text."
        )
    if not rows.size:
        raise ValueError(f"None of the {len(documents.texts)} documents has a vector.")
    # The query stands last, and what is found is never the query itself.
    both = np.vstack([unit, asking[:1]])
    keys = ranking_keys(both, np.array([rows.size]))
    found = nearest_first(keys, min(k, rows.size))[0]
    return [Neighbor(int(rows[i]), float(unit[i] @ asking[0])) for i in found]


def nearest_rows(documents: Documents, space: Space, k: int) -> Ints:
    """Find the k nearest other documents of each document by cosine.

    documents (Documents): The n documents.
    space (str): "base" or "tuned".
    k (int): How many to find.
    RETURNS (Ints): Their rows in order, shape (n, k); -1 where there are no more, and for documents
        without a vector.
    RAISES (ValueError): If k is less than 1.
    """
    if k < 1:
        raise ValueError(f"k is {k}: ask for at least 1 neighbour.")
    unit, rows = unit_rows(vectors_of(documents, space))
    found = np.full((len(documents.texts), k), -1, dtype=np.intp)
    depth = min(k, rows.size - 1)
    if depth > 0:
        for block in blocks(np.arange(rows.size), rows.size, None):
            found[rows[block], :depth] = rows[nearest_first(ranking_keys(unit, block), depth)]
    return found


def neighbor_matrix(
    documents: Documents, space: Space, *, most: int = 30, most_documents: int = 5000
) -> NeighborMatrix:
    """Count which labels the nearest neighbours of the documents carry. With exclusive labels, each
    labelled document has one neighbour, the nearest other that is labelled, and this is a confusion
    matrix: its rows sum to 1. Otherwise each label of a column asks the nearest other document in
    which it is known, and rows sum to anything. A lone label is a class, and so is its absence.

    documents (Documents): The documents.
    space (str): "base" or "tuned".
    most (int): How many labels to show: the commonest.
    most_documents (int): Of how many documents to look for the neighbours, among all: if there are
        more, as many are drawn at random, the same each time.
    RETURNS (NeighborMatrix): The matrix, its labels in the order of the documents' labels.
    """
    unit, rows = unit_rows(vectors_of(documents, space))
    carries, known = carried_labels(
        documents.targets.values, documents.targets.known, n_docs=len(documents.texts)
    )
    carries, known, labels = carries[rows], known[rows], list(documents.labels)
    n_labels, is_partition = len(labels), documents.targets.exclusive
    if n_labels == 1:
        labels, is_partition = [labels[0], f"not {labels[0]}"], True
        carries = np.column_stack([carries[:, 0], known[:, 0] & ~carries[:, 0]])
    if is_partition:
        known = np.broadcast_to(carries.any(axis=1, keepdims=True), carries.shape)
    counts = carries.sum(axis=0)
    chosen = np.sort(np.argsort(-counts, kind="stable")[:most])
    chosen = chosen[counts[chosen] > 0]
    queries = np.flatnonzero(carries[:, chosen].any(axis=1))
    is_drawn = queries.size > most_documents
    if is_drawn:
        queries = np.sort(np.random.default_rng(0).choice(queries, most_documents, replace=False))
    shares = _shares(unit, carries[:, chosen], known[:, chosen], queries)
    scored = np.diag(shares)[(counts[chosen] >= 2) & (chosen < n_labels)]
    scored = scored[np.isfinite(scored)]
    return NeighborMatrix(
        [labels[j] for j in chosen],
        shares,
        counts[chosen],
        float(scored.mean()) if scored.size else None,
        int((counts > 0).sum()) - chosen.size,
        most_documents if is_drawn else None,
    )


def _shares(unit: Floats, carries: Bools, known: Bools, queries: Ints) -> Floats:
    n_labels = carries.shape[1]
    hits, asked = np.zeros((n_labels, n_labels)), np.zeros((n_labels, n_labels))
    groups = group_labels(known, np.arange(n_labels))
    for block in blocks(queries, unit.shape[0], None):
        keys = ranking_keys(unit, block)
        for gallery, columns in groups:
            # A query that is alone in the gallery would find nobody but itself.
            has_other = gallery.size - np.isin(block, gallery) > 0
            if not has_other.any():
                continue
            nearest = gallery[keys[np.ix_(has_other, gallery)].argmin(axis=1)]
            asking = carries[block[has_other]].astype(float)
            hits[:, columns] += asking.T @ carries[np.ix_(nearest, columns)]
            asked[:, columns] += asking.sum(axis=0)[:, None]
    shares = np.full_like(hits, np.nan)
    np.divide(hits, asked, out=shares, where=asked > 0)
    return shares
