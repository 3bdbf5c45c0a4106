"""The vectors of a pile, with what is computed of them once."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ..metrics.ranking import Floats, unit_rows
from .propagation import NeighbourGraph


@dataclass(frozen=True, eq=False)
class VectorSpace:
    """The unit vectors of n texts.

    >>> VectorSpace.of(np.asarray([[0.0, 4.0], [2.0, 0.0]])).vectors.tolist()
    [[0.0, 1.0], [1.0, 0.0]]

    vectors (ndarray): Float32, shape (n, d).
    mean (Floats): Their mean, float64, shape (d,).
    scale (float): The root of their mean squared distance to the mean.
    graph (NeighbourGraph): Their neighbours, found when they are first needed.
    """

    vectors: NDArray[Any]
    mean: Floats
    scale: float
    graph: NeighbourGraph

    @classmethod
    def of(cls, vectors: NDArray[Any]) -> Self:
        """RETURNS (VectorSpace): The space of vectors of any length, shape (n, d). A text without a
        vector has a row of zeros."""
        # Less than half of the time of `unit_rows`, which computes in float64.
        unit = np.asarray(vectors, dtype=np.float32)
        lengths = np.linalg.norm(unit, axis=1, keepdims=True)
        if np.isfinite(lengths).all() and (lengths > 1e-12).all():
            unit = unit / lengths
        else:
            unit = np.zeros(unit.shape, dtype=np.float32)
            unit_of_others, rows = unit_rows(vectors)
            unit[rows] = unit_of_others
        mean = unit.mean(axis=0, dtype=np.float64)
        scale = float(np.sqrt(max(1.0 - float(mean @ mean), 1e-6)))
        return cls(unit, mean, scale, NeighbourGraph(unit))
