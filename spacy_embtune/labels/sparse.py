"""What is known of the labels of a whole corpus, in memory that grows with what is known."""

import hashlib
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray
from thinc.types import Floats1d, Floats2d

from ..types import Targets
from ._arrays import MOST_DENSE, TOLERANCE
from .cats import describe_document, validate_cats


class SparseTargets(NamedTuple):
    """What is known of the labels of n documents, one entry for each known value.

    >>> targets = make_sparse_targets([{"A": 1.0}, {"B": 0.0}], ["A", "B"], exclusive=False)
    >>> targets.shape, len(targets.values)
    ((2, 2), 2)
    >>> targets.select([0]).known.tolist()
    [[1.0, 0.0]]

    rows (ndarray): The document of each entry, in ascending order, shape (m,).
    columns (ndarray): The label of each entry, shape (m,).
    values (ndarray): How much of the label the document carries, 0..1, float32, shape (m,).
    is_complete (ndarray): Whether all labels of a document are known; those without an entry are
        absent. Bool, shape (n,).
    n_labels (int): The number of labels L.
    exclusive (bool): Whether a document carries exactly one label.
    counts (Floats2d | None): See `Targets`, shape (2, L).
    weights (Floats1d | None): How much each document counts, see `Targets`, shape (n,).
    """

    rows: NDArray[np.intp]
    columns: NDArray[np.intp]
    values: NDArray[np.float32]
    is_complete: NDArray[np.bool_]
    n_labels: int
    exclusive: bool
    counts: Floats2d | None = None
    weights: Floats1d | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """RETURNS (tuple[int, int]): The numbers of documents and labels, (n, L)."""
        return len(self.is_complete), self.n_labels

    def select(self, rows: Any) -> Targets:
        """Make the arrays of some documents, for a batch.

        rows (Sequence[int] | ndarray): The documents, shape (k,).
        RETURNS (Targets): Their targets, float32, shape (k, L).
        """
        rows = np.asarray(rows, dtype=np.intp)
        values = np.zeros((len(rows), self.n_labels), dtype="float32")
        known = np.zeros_like(values)
        known[self.is_complete[rows]] = 1.0
        at, entries = self.entries_of(rows)
        values[at, self.columns[entries]] = self.values[entries]
        known[at, self.columns[entries]] = 1.0
        return Targets(
            cast(Floats2d, values),
            cast(Floats2d, known),
            self.exclusive,
            self.counts,
            weights=self._weights_of(rows),
        )

    def _weights_of(self, rows: NDArray[np.intp]) -> Any:
        return None if self.weights is None else np.asarray(self.weights)[rows]

    def entries_of(self, rows: NDArray[np.intp]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Find the entries of some documents.

        rows (ndarray): The k documents.
        RETURNS (tuple[ndarray, ndarray]): For each entry of these documents, the position of its
            document in `rows`, and the index of the entry.
        """
        first = np.searchsorted(self.rows, rows, side="left")
        n_each = np.searchsorted(self.rows, rows, side="right") - first
        at = np.repeat(np.arange(len(rows)), n_each)
        start = np.cumsum(n_each) - n_each
        entries = np.arange(len(at)) - start[at] + first[at]
        return at, entries.astype(np.intp)

    def subset(self, rows: Any) -> "SparseTargets":
        """Keep some documents.

        rows (Sequence[int] | ndarray): The documents, shape (k,).
        RETURNS (SparseTargets): The targets of these documents, in this order.
        """
        rows = np.asarray(rows, dtype=np.intp)
        at, entries = self.entries_of(rows)
        return self._replace(
            rows=at.astype(np.intp),
            columns=self.columns[entries],
            values=self.values[entries],
            is_complete=self.is_complete[rows],
            weights=self._weights_of(rows),
        )

    def select_labels(self, columns: NDArray[np.bool_]) -> "SparseTargets":
        """Keep some labels.

        >>> targets = make_sparse_targets([{"A": 1.0, "B": 0.0}], ["A", "B"], exclusive=False)
        >>> targets.select_labels(np.asarray([False, True])).select([0]).known.tolist()
        [[1.0]]

        columns (ndarray): Whether to keep each label, bool, shape (L,).
        RETURNS (SparseTargets): The targets with the other labels removed. Their counts are left
            out.
        """
        place = np.cumsum(columns) - 1
        kept = columns[self.columns]
        return self._replace(
            rows=self.rows[kept],
            columns=place[self.columns[kept]].astype(np.intp),
            values=self.values[kept],
            n_labels=int(columns.sum()),
            counts=None,
        )

    def row_sums(self, of_label: NDArray[Any] | None = None) -> NDArray[np.float64]:
        """Add up the values of each document.

        of_label (ndarray | None): A factor for each label, shape (L,). None: all are 1.
        RETURNS (ndarray): The sums, shape (n,).
        """
        factors = np.ones(self.n_labels) if of_label is None else of_label
        weights = self.values.astype("float64") * factors[self.columns]
        return np.bincount(self.rows, weights, len(self.is_complete)).astype("float64")

    def is_known(self) -> NDArray[np.bool_]:
        """RETURNS (ndarray): Whether a label of each document is known, bool, shape (n,)."""
        known = self.is_complete.copy()
        known[self.rows] = True
        return known

    def row_digests(self) -> NDArray[np.uint8]:
        """RETURNS (ndarray): A digest of what is known of each document, shape (n, 16)."""
        ends = np.searchsorted(self.rows, np.arange(len(self.is_complete) + 1))
        digests = [
            hashlib.blake2b(
                self.columns[a:b].tobytes() + self.values[a:b].tobytes() + bytes([bool(complete)]),
                digest_size=16,
            ).digest()
            for a, b, complete in zip(ends, ends[1:], self.is_complete, strict=False)
        ]
        return np.frombuffer(b"".join(digests), dtype="uint8").reshape(-1, 16)

    def count_labels(self) -> NDArray[np.float32]:
        """Count how often each label is known to be present and known to be absent, as
        `count_labels` does for `Targets`.

        >>> targets = make_sparse_targets([{"A": 1.0}, {"B": 1.0}], ["A", "B"], exclusive=True)
        >>> targets.count_labels().tolist()
        [[1.0, 1.0], [1.0, 1.0]]

        RETURNS (ndarray): The counts, float32, shape (2, L).
        """
        of_rows = np.ones(len(self.is_complete))
        if self.weights is not None:
            of_rows = np.asarray(self.weights, dtype="float64")
        of_entries = of_rows[self.rows]
        size = self.n_labels
        present = np.bincount(self.columns, self.values * of_entries, size)
        # An entry of a complete document is counted with all labels of the document.
        apart = np.where(self.is_complete[self.rows], 0.0, of_entries)
        known = np.bincount(self.columns, apart, size) + of_rows[self.is_complete].sum()
        return np.stack([present, known - present]).astype("float32")

    def digest(self) -> bytes:
        """RETURNS (bytes): A digest of what is known."""
        digest = hashlib.sha256(repr((self.n_labels, self.exclusive)).encode())
        for array in self[:4]:
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.digest()


def make_sparse_targets(
    cats: Iterable[Mapping[str, float]],
    labels: Sequence[str],
    *,
    exclusive: bool,
    where: Callable[[int], str] | None = None,
) -> SparseTargets:
    """Collect what is known of the labels of a corpus, with the rules of `make_targets`.

    >>> make_sparse_targets([{"A": 1.0}, {}], ["A", "B"], exclusive=False).is_known().tolist()
    [True, False]

    cats (Iterable[Mapping[str, float]]): What is known of each of the n documents' labels.
    labels (Sequence[str]): The L labels. Other labels are ignored.
    exclusive (bool): Whether a document carries exactly one label.
    where (Callable[[int], str] | None): Returns the name of the i-th document (from 0) for error
        messages.
    RETURNS (SparseTargets): The targets.
    RAISES (ValueError): As `make_targets`.
    """
    columns = {label: j for j, label in enumerate(labels)}
    name = describe_document if where is None else where
    entries: list[tuple[int, int, float]] = []
    is_complete: list[bool] = []
    for i, mapping in enumerate(cats):
        known = [
            (i, columns[label], _read_value(mapping, value, i, name))
            for label, value in mapping.items()
            if label in columns
        ]
        total = sum(value for _, _, value in known)
        if exclusive and total > 1.0 + TOLERANCE:
            raise ValueError(
                f"{name(i)}: the labels are exclusive, but the values of {dict(mapping)!r} "
                "sum to more than 1. Set exclusive_classes = false if a document may carry "
                "several labels at once."
            )
        is_complete.append(exclusive and total >= 1.0 - TOLERANCE)
        entries.extend(sorted(known))
    rows, at, values = zip(*entries, strict=True) if entries else ((), (), ())
    return SparseTargets(
        np.asarray(rows, dtype=np.intp),
        np.asarray(at, dtype=np.intp),
        np.asarray(values, dtype="float32"),
        np.asarray(is_complete, dtype=bool),
        len(columns),
        exclusive,
    )


def to_sparse(targets: "AnyTargets") -> SparseTargets:
    """Keep only the known values of targets.

    >>> values = np.asarray([[1.0, 0.0], [0.0, 0.0]])
    >>> dense = Targets(values, known=np.asarray([[1.0, 1.0], [0.0, 1.0]]), exclusive=False)
    >>> sparse = to_sparse(dense)
    >>> sparse.columns.tolist(), sparse.is_complete.tolist()
    ([0, 1], [True, False])

    targets (Targets | SparseTargets): The targets, shape (n, L).
    RETURNS (SparseTargets): The same targets.
    """
    if isinstance(targets, SparseTargets):
        return targets
    values, known = np.asarray(targets.values), np.asarray(targets.known) > 0
    values = np.where(known, values, 0.0)
    is_complete = np.asarray(known.all(axis=1))
    # In a complete document a value of 0 needs no entry.
    rows, columns = np.nonzero(known & ((values != 0) | ~is_complete[:, None]))
    return SparseTargets(
        rows,
        columns,
        values[rows, columns].astype("float32"),
        is_complete,
        values.shape[1],
        targets.exclusive,
        targets.counts,
        targets.weights,
    )


def dense_if_small(targets: SparseTargets) -> "AnyTargets":
    """Make arrays of documents times labels, unless they would be large.

    >>> targets = make_sparse_targets([{"A": 1.0}], ["A", "B"], exclusive=True)
    >>> dense_if_small(targets).known.tolist()
    [[1.0, 1.0]]

    targets (SparseTargets): The targets, shape (n, L).
    RETURNS (Targets | SparseTargets): The targets as dense arrays if these have at most
        `MOST_DENSE` entries, otherwise unchanged.
    """
    n_docs, n_labels = targets.shape
    return targets if n_docs * n_labels > MOST_DENSE else targets.select(range(n_docs))


def known_rows(targets: "AnyTargets") -> NDArray[np.bool_]:
    """Find the documents of which a label is known.

    >>> targets = make_sparse_targets([{"A": 1.0}, {}], ["A"], exclusive=False)
    >>> known_rows(targets).tolist()
    [True, False]

    targets (Targets | SparseTargets): The targets of n documents.
    RETURNS (ndarray): Whether a label of each document is known, bool, shape (n,).
    """
    if isinstance(targets, SparseTargets):
        return targets.is_known()
    return np.asarray((np.asarray(targets.known) > 0).any(axis=1))


# What is known of the labels of documents: as arrays of documents times labels, or only the known
# values.
AnyTargets: TypeAlias = Targets | SparseTargets


def _read_value(
    mapping: Mapping[str, float], value: float, i: int, name: Callable[[int], str]
) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    # All comparisons with NaN are false, so this form also finds NaN.
    if not 0.0 <= number <= 1.0:
        validate_cats(mapping, where=name(i))
    return number
