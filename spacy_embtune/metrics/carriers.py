"""Which documents carry which labels, in memory that grows with what is known."""

from typing import Any, NamedTuple

import numpy as np

from ..labels import CARRIES, SparseTargets
from ..types import Targets
from .ranking import Array, Bools, Ints, carried_labels


class Carriers(NamedTuple):
    """Which of n documents carry and know which of L labels, one entry for each known value.

    >>> found = find_carriers([[1.0, 0.0], [0.0, 0.0]], [[1, 1], [0, 1]])
    >>> found.counts().tolist(), found.counts_absent().tolist()
    ([1, 0], [0, 2])

    rows (Ints): The document of each entry, shape (m,), ascending.
    columns (Ints): The label of each entry, shape (m,).
    carries (Bools): Whether the document carries the label, shape (m,).
    complete (Ints): The documents of which all labels are known, ascending. They lack the labels
        without an entry.
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

    def counts_absent(self) -> Ints:
        """RETURNS (Ints): The number of documents that are known to lack each label, shape (L,)."""
        complete = self.is_complete()[self.rows]
        apart = np.bincount(self.columns[~complete & ~self.carries], minlength=self.n_labels)
        carried = np.bincount(self.columns[complete & self.carries], minlength=self.n_labels)
        return np.asarray(apart + self.complete.size - carried)

    def counts_known(self) -> Ints:
        """RETURNS (Ints): The number of documents in which each label is known, shape (L,)."""
        return self.counts() + self.counts_absent()

    def is_complete(self) -> Bools:
        """RETURNS (Bools): Whether all labels of each document are known, shape (n,)."""
        complete = np.zeros(self.n_docs, dtype=bool)
        complete[self.complete] = True
        return complete

    def is_known(self) -> Bools:
        """RETURNS (Bools): Whether a label of each document is known, shape (n,)."""
        known = self.is_complete() & (self.n_labels > 0)
        known[self.rows] = True
        return known

    def n_carried(self) -> Ints:
        """RETURNS (Ints): The number of labels that each document carries, shape (n,)."""
        return np.bincount(self.rows[self.carries], minlength=self.n_docs)

    def first_label(self) -> Ints:
        """RETURNS (Ints): The first label that each document carries, shape (n,); -1 if it carries
        none."""
        first = np.full(self.n_docs, self.n_labels)
        np.minimum.at(first, self.rows[self.carries], self.columns[self.carries])
        first[first == self.n_labels] = -1
        return first

    def known_apart(self) -> "LabelSlices":
        """RETURNS (LabelSlices): The documents in which a label is known, without the complete
        ones."""
        apart = ~self.is_complete()[self.rows]
        return LabelSlices(self.columns[apart], self.rows[apart], self.n_labels)

    def knowing(self, label: int, apart: "LabelSlices") -> Ints:
        """Find the documents in which a label is known.

        label (int): The label.
        apart (LabelSlices): What `known_apart` returned.
        RETURNS (Ints): The documents, ascending.
        """
        others = apart.of(label)
        return np.union1d(self.complete, others) if others.size else self.complete

    def carried(self) -> "LabelSlices":
        """RETURNS (LabelSlices): The documents that carry a label."""
        return LabelSlices(self.columns[self.carries], self.rows[self.carries], self.n_labels)

    def subset(self, rows: Ints) -> "Carriers":
        """RETURNS (Carriers): What is known of some documents, `rows`, which are ascending."""
        place = np.full(self.n_docs, -1)
        place[rows] = np.arange(rows.size)
        kept = place[self.rows] >= 0
        complete = place[self.complete]
        return Carriers(
            place[self.rows[kept]],
            self.columns[kept],
            self.carries[kept],
            complete[complete >= 0],
            rows.size,
            self.n_labels,
        )

    def known_entries(self) -> tuple[Ints, Ints, Bools]:
        """RETURNS (tuple): The document and the label of each known value, and whether the document
        carries the label; in the order of documents and labels. All labels of a complete document
        are listed."""
        apart = ~self.is_complete()[self.rows]
        rows = np.concatenate([self.rows[apart], np.repeat(self.complete, self.n_labels)])
        every = np.tile(np.arange(self.n_labels), self.complete.size)
        columns = np.concatenate([self.columns[apart], every])
        order = np.lexsort((columns, rows))
        rows, columns = rows[order], columns[order]
        carried = (self.rows * self.n_labels + self.columns)[self.carries]
        return rows, columns, np.isin(rows * self.n_labels + columns, carried)

    def matrix(self, *, carried: bool = True) -> Any:
        """Make a sparse matrix of the entries.

        carried (bool): Whether the entries of carried labels are 1.0, or those of labels that are
            known to be absent. Absent labels of complete documents have no entry.
        RETURNS (csr_array): The matrix, float64, shape (n, L).
        """
        from scipy.sparse import csr_array

        chosen = self.carries if carried else ~self.carries & ~self.is_complete()[self.rows]
        at = self.rows[chosen], self.columns[chosen]
        return csr_array((np.ones(at[0].size), at), shape=(self.n_docs, self.n_labels))


class LabelSlices:
    """The documents of each label.

    >>> LabelSlices(np.asarray([1, 0, 1]), np.asarray([0, 1, 2]), n_labels=2).of(1).tolist()
    [0, 2]
    """

    def __init__(self, labels: Ints, rows: Ints, n_labels: int) -> None:
        order = np.argsort(labels, kind="stable")
        self._rows = rows[order]
        self._starts = np.searchsorted(labels[order], np.arange(n_labels + 1))

    def of(self, label: int) -> Ints:
        """RETURNS (Ints): The documents of a label, ascending."""
        return self._rows[self._starts[label] : self._starts[label + 1]]


def find_carriers(
    values: Array | Targets | SparseTargets,
    known: Array | None = None,
    rows: Ints | None = None,
    *,
    n_docs: int | None = None,
) -> Carriers:
    """Find which documents carry which labels.

    >>> find_carriers([[1.0, 0.0], [0.2, 0.0]]).first_label().tolist()
    [0, -1]

    values (Array | Targets | SparseTargets): How much of each label each document carries, 0..1,
        shape (n, L); or the targets of the n documents.
    known (Array | None): Above 0 where the value is known, shape (n, L). None: all are known, or
        the targets say what is.
    rows (Ints | None): The documents that take part, ascending, shape (k,). None: all.
    n_docs (int | None): The number of documents n, for a check. None: it is not checked.
    RETURNS (Carriers): What is known of these k documents, numbered from 0.
    RAISES (ValueError): If the shapes do not fit.
    """
    if isinstance(values, SparseTargets):
        if n_docs is not None and values.shape[0] != n_docs:
            raise ValueError(f"There are targets of {values.shape[0]} documents, not {n_docs}.")
        part = values if rows is None else values.subset(rows)
        complete = np.flatnonzero(part.is_complete)
        carries = np.asarray(part.values >= CARRIES)
        n = part.shape[0]
        return Carriers(part.rows, part.columns, carries, complete, n, values.n_labels)
    if isinstance(values, Targets):
        return find_carriers(values.values, values.known, rows, n_docs=n_docs)
    n = np.shape(values)[0] if n_docs is None else n_docs
    carried, is_known = carried_labels(values, known, n_docs=n)
    if rows is not None:
        carried, is_known = carried[rows], is_known[rows]
    is_complete = np.asarray(is_known.all(axis=1))
    # In a complete document only what it carries needs an entry.
    at = np.nonzero(np.where(is_complete[:, None], carried, is_known))
    complete = np.flatnonzero(is_complete)
    return Carriers(at[0], at[1], carried[at], complete, len(carried), carried.shape[1])


def group_by_documents(known_apart: LabelSlices, labels: Ints, n_labels: int) -> Ints:
    """Number labels so that those that are known in the same documents have the same number. They
    can share one ranking.

    >>> slices = LabelSlices(np.asarray([0, 1, 1, 2]), np.asarray([5, 5, 6, 5]), n_labels=3)
    >>> group_by_documents(slices, np.arange(3), 3).tolist()
    [0, 1, 0]

    known_apart (LabelSlices): The documents in which each label is known, without the complete
        ones.
    labels (Ints): The labels to number.
    n_labels (int): The number of labels L.
    RETURNS (Ints): A number for each label, shape (L,); 0 for labels that are not asked for.
    """
    numbers: dict[bytes, int] = {}
    groups = np.zeros(n_labels, dtype=np.intp)
    for label in labels.tolist():
        groups[label] = numbers.setdefault(known_apart.of(label).tobytes(), len(numbers))
    return groups
