"""Find the nearest neighbours of a query or of each document, and the labels of neighbours."""

from typing import NamedTuple

import numpy as np

from ..metrics.ranking import (
    Bools,
    Floats,
    Ints,
    blocks,
    group_labels,
    nearest_first,
    ranking_keys,
    unit_rows,
)
from ..reports.types import Documents
from .arrays import Space, labels_of, sample_rows, vectors_of


class Neighbor(NamedTuple):
    """A document near a query.

    row (int): The row of the document.
    cosine (float): The cosine of its vector and the vector of the query, -1..1.
    """

    row: int
    cosine: float


class NeighborMatrix(NamedTuple):
    """The labels of nearest neighbours.

    labels (list[str]): The K labels of the rows and columns.
    shares (Floats): Of the documents with the label of the row, the share whose nearest neighbour
        carries the label of the column, 0..1, shape (K, K). NaN if no neighbour could be compared.
    counts (Ints): How many documents carry each label, shape (K,).
    p_at_1 (float | None): The mean of the diagonal over the labels that at least two documents
        carry; None if there is no such label. If there is a single label, its absence has a row but
        does not count here.
    n_left_out (int): How many of the labels that documents carry have no row.
    n_sampled (int | None): The size of the sample whose neighbours were counted; None if the
        neighbours of all documents were counted.
    """

    labels: list[str]
    shares: Floats
    counts: Ints
    p_at_1: float | None
    n_left_out: int
    n_sampled: int | None


def find_neighbors(documents: Documents, query: Documents, space: Space, k: int) -> list[Neighbor]:
    """Find the documents nearest to a text by cosine. Neighbours with equal cosine keep the order
    of the documents.

    >>> from spacy_embtune.labels import make_targets
    >>> from spacy_embtune.reports import Documents
    >>> targets = make_targets([{"A": 1.0}, {"B": 1.0}, {"B": 1.0}], ["A", "B"], exclusive=True)
    >>> vectors = np.asarray([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]])
    >>> documents = Documents(
    ...     list("123"), list("xyz"), ["A", "B"], targets, vectors, vectors, np.zeros((3, 0)), []
    ... )
    >>> query = documents._replace(texts=["z"], base=vectors[2:], tuned=vectors[2:])
    >>> find_neighbors(documents, query, "base", k=2)
    [Neighbor(row=2, cosine=1.0), Neighbor(row=1, cosine=0.8)]

    documents (Documents): The documents to search. Those without a vector are never found.
    query (Documents): The text, as the only document, from the same pipeline.
    space (str): "base" or "tuned".
    k (int): How many documents to find, if there are that many.
    RETURNS (list[Neighbor]): The nearest documents, the nearest first.
    RAISES (ValueError): If the query has no vector, k is less than 1, or no document has a vector.
    """
    _check_k(k)
    asking, _ = unit_rows(vectors_of(query, space))
    unit, rows = unit_rows(vectors_of(documents, space))
    if not asking.shape[0]:
        raise ValueError(
            "The query has no vector: it is empty, or the encoder knows none of its words. Give a "
            "text with other words."
        )
    if not rows.size:
        raise ValueError(f"None of the {len(documents.texts)} documents has a vector.")
    # The query is the last row. A query is never its own neighbour.
    both = np.vstack([unit, asking[:1]])
    keys = ranking_keys(both, np.array([rows.size]))
    found = nearest_first(keys, min(k, rows.size))[0]
    return [Neighbor(int(rows[i]), float(unit[i] @ asking[0])) for i in found]


def nearest_rows(documents: Documents, space: Space, k: int) -> Ints:
    """Find the k nearest other documents of each document by cosine.

    >>> from spacy_embtune.labels import make_targets
    >>> from spacy_embtune.reports import Documents
    >>> targets = make_targets([{"A": 1.0}, {"B": 1.0}, {"B": 1.0}], ["A", "B"], exclusive=True)
    >>> vectors = np.asarray([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]])
    >>> documents = Documents(
    ...     list("123"), list("xyz"), ["A", "B"], targets, vectors, vectors, np.zeros((3, 0)), []
    ... )
    >>> nearest_rows(documents, "base", k=1).tolist()
    [[1], [2], [1]]

    documents (Documents): The n documents.
    space (str): "base" or "tuned".
    k (int): How many neighbours to find.
    RETURNS (Ints): The rows of the neighbours, the nearest first, shape (n, k). -1 where there are
        too few documents, and for documents without a vector.
    RAISES (ValueError): If k is less than 1.
    """
    _check_k(k)
    unit, rows = unit_rows(vectors_of(documents, space))
    found = np.full((len(documents.texts), k), -1, dtype=np.intp)
    depth = min(k, rows.size - 1)
    if depth > 0:
        for block in blocks(np.arange(rows.size), rows.size, None):
            found[rows[block], :depth] = rows[nearest_first(ranking_keys(unit, block), depth)]
    return found


def _check_k(k: int) -> None:
    if k < 1:
        raise ValueError(f"k is {k}: ask for at least 1 neighbour.")


def neighbor_matrix(
    documents: Documents, space: Space, *, most: int = 30, most_documents: int = 5000
) -> NeighborMatrix:
    """Count the labels of the nearest neighbours of documents with each label.

    If labels are exclusive, the neighbour of a labelled document is the nearest other labelled
    document. The result is then a confusion matrix whose rows sum to 1. Otherwise the neighbour is,
    for the label of each column, the nearest other document in which that label is known, and the
    sums of rows have no meaning. If there is a single label, its absence gets a row and a column.

    >>> from spacy_embtune.labels import make_targets
    >>> from spacy_embtune.reports import Documents
    >>> targets = make_targets([{"A": 1.0}, {"B": 1.0}, {"B": 1.0}], ["A", "B"], exclusive=True)
    >>> vectors = np.asarray([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]])
    >>> documents = Documents(
    ...     list("123"), list("xyz"), ["A", "B"], targets, vectors, vectors, np.zeros((3, 0)), []
    ... )
    >>> neighbor_matrix(documents, "base").shares.tolist()
    [[0.0, 1.0], [0.0, 1.0]]

    documents (Documents): The documents.
    space (str): "base" or "tuned".
    most (int): How many labels the matrix has: the most frequent ones.
    most_documents (int): The neighbours of at most so many documents are counted. If there are more
        documents, a sample is drawn, always the same one. Neighbours are searched among all.
    RETURNS (NeighborMatrix): The matrix. Its labels have the order of `documents.labels`.
    """
    unit, rows = unit_rows(vectors_of(documents, space))
    carries, known = labels_of(documents)
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
    candidates = np.flatnonzero(carries[:, chosen].any(axis=1))
    queries = sample_rows(candidates, most_documents)
    shares = _shares(unit, carries[:, chosen], known[:, chosen], queries)
    scored = np.diag(shares)[(counts[chosen] >= 2) & (chosen < n_labels)]
    scored = scored[np.isfinite(scored)]
    return NeighborMatrix(
        [labels[j] for j in chosen],
        shares,
        counts[chosen],
        float(scored.mean()) if scored.size else None,
        int((counts > 0).sum()) - chosen.size,
        queries.size if queries.size < candidates.size else None,
    )


def _shares(unit: Floats, carries: Bools, known: Bools, queries: Ints) -> Floats:
    """RETURNS (Floats): `NeighborMatrix.shares`."""
    n_labels = carries.shape[1]
    hits, asked = np.zeros((n_labels, n_labels)), np.zeros((n_labels, n_labels))
    groups = group_labels(known, np.arange(n_labels))
    for block in blocks(queries, unit.shape[0], None):
        keys = ranking_keys(unit, block)
        for gallery, columns in groups:
            # A query that is the only document of the gallery has no neighbour there.
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
