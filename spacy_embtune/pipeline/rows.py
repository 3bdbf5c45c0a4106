"""Raw scores and probabilities of many documents, computed when they are read."""

from collections.abc import Callable
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from ..labels import MOST_DENSE
from ..metrics import row_blocks
from ..types import Output
from .model import to_probabilities

Compute = Callable[[NDArray[Any]], NDArray[Any]]


class ComputedRows:
    """An array of documents times labels that is not in memory: rows are computed from the base
    vectors of documents when they are read.

    >>> rows = ComputedRows(lambda base: 2 * base, np.eye(3), width=3)
    >>> rows.shape, rows[1:].tolist()
    ((3, 3), [[0.0, 2.0, 0.0], [0.0, 0.0, 2.0]])

    base (ndarray): The base vectors, shape (n, d).
    shape (tuple[int, int]): The shape of the array, (n, width).
    """

    def __init__(self, compute: Compute, base: NDArray[Any], *, width: int) -> None:
        """Initialize the array.

        compute (Callable): Computes the rows of base vectors, shape (k, d) to (k, width).
        base (ndarray): The base vectors, shape (n, d).
        width (int): The number of columns.
        """
        self._compute = compute
        self.base = base
        self.shape = (len(base), width)

    @property
    def size(self) -> int:
        """RETURNS (int): The number of entries."""
        return self.shape[0] * self.shape[1]

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Any) -> NDArray[Any]:
        """Compute rows.

        rows (int | slice | ndarray): The rows, as for a numpy array.
        RETURNS (ndarray): The rows, float32.
        """
        if isinstance(rows, int | np.integer):
            row: NDArray[Any] = self[[int(rows)]][0]
            return row
        base = self.base[rows]
        found = np.empty((len(base), self.shape[1]), dtype="float32")
        for block in row_blocks(*found.shape):
            found[block] = self._compute(base[block])
        return found

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        found = self[:]
        return found if dtype is None else found.astype(dtype, copy=False)


def probability_rows(pipe: Any, base: NDArray[Any]) -> NDArray[Any] | ComputedRows:
    """Compute the probabilities of labels from base vectors.

    pipe (EmbTune): The component. Later changes of its weights have no effect on the rows.
    base (ndarray): The base vectors, float32, shape (n, d).
    RETURNS (ndarray | ComputedRows): The probabilities, float32, shape (n, L). If they have more
        than `MOST_DENSE` entries, rows are computed when they are read.
    """
    settings = {
        "exclusive": bool(pipe.cfg["exclusive_classes"]),
        "temperature": pipe.temperature,
    }

    def finish(output: Output) -> Any:
        return to_probabilities(pipe.model.ops, output, **settings)

    return _head_rows(pipe, base, finish)


def score_rows(pipe: Any, base: NDArray[Any]) -> NDArray[Any] | ComputedRows:
    """Compute the raw scores of labels from base vectors.

    pipe (EmbTune): As for `probability_rows`.
    base (ndarray): The base vectors, float32, shape (n, d).
    RETURNS (ndarray | ComputedRows): The scores, as from `probability_rows`.
    """
    return _head_rows(pipe, base, lambda output: output.scores)


def _head_rows(
    pipe: Any, base: NDArray[Any], finish: Callable[[Output], Any]
) -> NDArray[Any] | ComputedRows:
    is_small = len(base) * len(pipe.labels) <= MOST_DENSE
    head = pipe.model.get_ref("head")
    head, ops = head if is_small else head.copy(), head.ops

    def compute(rows: NDArray[Any]) -> NDArray[Any]:
        vectors = ops.asarray2f(cast(Any, rows))
        tuned, scores = head.predict(vectors)
        return cast(NDArray[Any], ops.to_numpy(finish(Output(vectors, tuned, scores))))

    return compute(base) if is_small else ComputedRows(compute, base, width=len(pipe.labels))
