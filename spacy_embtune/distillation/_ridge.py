"""Ridge regression from sums over rows: memory does not depend on the number of rows."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Penalties, as shares of the mean variance of the features.
PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
N_FOLDS = 5


class RidgeSums:
    """The sums that a ridge regression needs, for each fold of a cross-validation.

    n_features, n_outputs (int): Widths of X and Y.
    """

    def __init__(self, n_features: int, n_outputs: int, n_folds: int = N_FOLDS) -> None:
        # The last feature is 1, for the bias.
        self._xx = np.zeros((n_folds, n_features + 1, n_features + 1))
        self._xy = np.zeros((n_folds, n_features + 1, n_outputs))
        self._yy = np.zeros(n_folds)
        self._n_rows = 0

    def add(self, X: NDArray[Any], Y: NDArray[Any]) -> None:
        """Add rows. Each goes to the next fold.

        X, Y (ndarray): Features, shape (n, n_features), and outputs, shape (n, n_outputs).
        """
        n_folds = len(self._yy)
        fold = (self._n_rows + np.arange(len(X))) % n_folds
        self._n_rows += len(X)
        X = np.concatenate([X, np.ones((len(X), 1), dtype=X.dtype)], axis=1)
        for i in range(n_folds):
            x, y = X[fold == i], Y[fold == i]
            self._xx[i] += x.T @ x
            self._xy[i] += x.T @ y
            self._yy[i] += float(np.einsum("ij,ij->", y, y, dtype="float64"))

    def solve(self, penalty: float, without: int | None = None) -> NDArray[Any]:
        """Solve the regression.

        penalty (float): The penalty, relative to the mean variance of the features.
        without (int | None): A fold to leave out.
        RETURNS (ndarray): float64, shape (n_features + 1, n_outputs). The last row is the bias,
            which has no penalty.
        """
        keep = [i for i in range(len(self._yy)) if i != without]
        xx, xy = self._xx[keep].sum(axis=0), self._xy[keep].sum(axis=0)
        n = max(xx[-1, -1], 1.0)
        variance = max(float((np.diag(xx)[:-1] - xx[-1, :-1] ** 2 / n).mean()), 1e-12)
        xx[np.arange(len(xx) - 1), np.arange(len(xx) - 1)] += penalty * variance
        solution: NDArray[Any] = np.linalg.solve(xx, xy)
        return solution

    def error(self, penalty: float) -> float:
        """RETURNS (float): The mean squared error of rows that were left out."""
        total = 0.0
        for i in range(len(self._yy)):
            W = self.solve(penalty, without=i)
            explained = 2 * np.vdot(W, self._xy[i]) - np.vdot(W, self._xx[i] @ W)
            total += self._yy[i] - float(explained)
        return total / max(self._n_rows, 1)

    def best(self, penalties: Sequence[float] = PENALTIES) -> tuple[float, float]:
        """RETURNS (tuple[float, float]): The penalty with the lowest error of rows that were left
        out, and the error."""
        errors = {penalty: self.error(penalty) for penalty in penalties}
        found = min(errors, key=errors.__getitem__)
        return found, errors[found]
