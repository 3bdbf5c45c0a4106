"""Predicted labels beside the true ones, as arrays of documents times labels or as the entries of
sparse matrices."""

from typing import Any, NamedTuple, cast

import numpy as np

from ..labels import AnyTargets, SparseTargets
from .ranking import Bools, Floats, Ints, Matrix


class Predictions(NamedTuple):
    """Predictions of the labels of m test documents: matrices of shape (m, L). They are numpy
    arrays, or `scipy.sparse.csr_array` if the labels came as `SparseTargets`.

    tested (Matrix): Where there is a prediction and a known value. Elsewhere the other matrices
        have no meaning. If labels are exclusive, a sparse matrix has entries only for labels that
        are carried or predicted: a document with entries is tested for all labels.
    carries (Matrix): Whether the document carries the label.
    predicted (Matrix): Whether the label was predicted.
    decision (Matrix | None): The decision values: the larger, the more probable the label. None for
        predictions by the nearest neighbour, and for sparse predictions of exclusive labels.
    exclusive (bool): Whether a document carries exactly one label.
    """

    tested: Matrix
    carries: Matrix
    predicted: Matrix
    decision: Matrix | None
    exclusive: bool

    def entries(self) -> "Entries":
        """RETURNS (Entries): The entries of `tested`, in the order of documents and labels."""
        if isinstance(self.tested, np.ndarray):
            rows, labels = np.nonzero(self.tested)
            others = [
                None if part is None else part[rows, labels]
                for part in (self.carries, self.predicted, self.decision)
            ]
            return Entries(rows, labels, *others)  # type: ignore[arg-type]
        rows, labels = self.tested.nonzero()
        keys = rows * self.tested.shape[1] + labels
        carries, predicted = (
            np.isin(keys, np.ravel_multi_index(part.nonzero(), part.shape))
            for part in (self.carries, self.predicted)
        )
        decision = None if self.decision is None else self.decision.data
        return Entries(rows, labels, carries, predicted, decision)


class Entries(NamedTuple):
    """Tested labels of documents, one entry for each: arrays of shape (k,), see `Predictions`."""

    rows: Ints
    labels: Ints
    carries: Bools
    predicted: Bools
    decision: Floats | None


class PredictionsBuilder:
    """Collects predictions label by label, or document by document if labels are exclusive.

    test (Targets | SparseTargets): The targets of the m test documents. The predictions are sparse
        if these are.
    """

    def __init__(self, test: AnyTargets) -> None:
        self._is_sparse = isinstance(test, SparseTargets)
        self._exclusive = test.exclusive
        self._shape = test.shape if isinstance(test, SparseTargets) else np.shape(test.values)
        self._parts: list[Entries] = []
        self._whole_rows: Ints = np.zeros(0, dtype=np.intp)
        self._decision: Floats | None = None

    def add_label(
        self,
        label: int,
        rows: Ints,
        carries: Bools,
        predicted: Bools,
        decision: Floats | None = None,
    ) -> None:
        """Add the predictions of one label for some documents, arrays of shape (k,)."""
        self.add_entries(rows, np.full(rows.size, label), carries, predicted, decision)

    def add_entries(
        self,
        rows: Ints,
        labels: Ints,
        carries: Bools,
        predicted: Bools,
        decision: Floats | None = None,
    ) -> None:
        """Add predictions of some labels of some documents, arrays of shape (k,)."""
        self._parts.append(Entries(rows, labels, carries, predicted, decision))

    def add_classes(self, rows: Ints, true: Ints, predicted: Ints) -> None:
        """Add the predicted classes of some documents, if labels are exclusive; shape (k,)."""
        yes, no = np.ones(rows.size, dtype=bool), np.zeros(rows.size, dtype=bool)
        wrong = true != predicted
        self._parts.append(Entries(rows, true, yes, ~wrong, None))
        self._parts.append(Entries(rows[wrong], predicted[wrong], no[wrong], yes[wrong], None))
        self._whole_rows = np.concatenate([self._whole_rows, rows])

    def set_decision(self, rows: Ints, classes: Ints, scores: Floats) -> None:
        """Set the decision values of the k classes that a classifier knows, shape (rows, k). Other
        classes get the lowest values. Sparse predictions do not keep them."""
        if self._is_sparse:
            return
        decision = np.zeros(self._shape)
        if rows.size:
            decision[rows] = scores.min(axis=1, keepdims=True) - 1.0
            decision[np.ix_(rows, classes)] = scores
        self._decision = decision

    def build(self, *, has_decision: bool = False) -> Predictions:
        """Make the predictions.

        has_decision (bool): Whether decision values were added.
        RETURNS (Predictions): The predictions.
        """
        nothing = Entries(*(np.zeros(0, d) for d in (np.intp, np.intp, bool, bool, float)))
        parts = [nothing, *self._parts]
        rows, labels, carries, predicted = (
            np.concatenate([cast(Any, part[i]) for part in parts]) for i in range(4)
        )
        decision = self._decision
        values = None
        if has_decision and not self._exclusive:
            values = np.concatenate([part.decision for part in parts if part.decision is not None])
        if self._is_sparse:
            of_values = None if values is None else self._sparse(rows, labels, values)
            return Predictions(
                self._mark(rows, labels),
                self._mark(rows[carries], labels[carries]),
                self._mark(rows[predicted], labels[predicted]),
                of_values,
                self._exclusive,
            )
        tested, carried, found = (np.zeros(self._shape, dtype=bool) for _ in range(3))
        tested[rows, labels] = True
        tested[self._whole_rows] = True
        carried[rows, labels], found[rows, labels] = carries, predicted
        if has_decision and decision is None:
            decision = np.zeros(self._shape)
            if values is not None:
                decision[rows, labels] = values
        return Predictions(tested, carried, found, decision, self._exclusive)

    def _mark(self, rows: Ints, labels: Ints) -> Any:
        return self._sparse(rows, labels, np.ones(rows.size, dtype=bool))

    def _sparse(self, rows: Ints, labels: Ints, values: Any) -> Any:
        from scipy.sparse import csr_array

        matrix = csr_array((values, (rows, labels)), shape=self._shape)
        matrix.sort_indices()
        return matrix
