"""`DifferenceClassifier`: classify pairs by the difference of their vectors."""

from typing import Any, Self, cast

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse
from sklearn.base import BaseEstimator, clone
from sklearn.utils import check_consistent_length
from sklearn.utils.validation import check_is_fitted


class DifferenceClassifier(BaseEstimator):
    """Classifies pairs by the absolute difference of their vectors.

        >>> import numpy as np
        >>> from sklearn.preprocessing import FunctionTransformer
        >>> X1, X2 = np.zeros((4, 2)), np.array([[0.0, 0.1], [1.0, 0.9], [0.1, 0.0], [0.9, 1.0]])
        >>> classifier = DifferenceClassifier(FunctionTransformer())
        >>> classifier.fit(X1, X2, [1, 0, 1, 0]).predict(X1, X2).tolist()
        [1, 0, 1, 0]

    enc (TransformerMixin): Makes the vectors of both sides of a pair, such as `SentenceEncoder`. It
        is not fitted.
    clf_head (ClassifierMixin | None): Classifies the differences. `fit` fits a clone of it,
        `clf_head_`. None: a logistic regression with balanced classes.
    """

    def __init__(self, enc: Any, clf_head: Any = None) -> None:
        self.enc = enc
        self.clf_head = clf_head

    def fit(self, X1: Any, X2: Any, y: Any) -> Self:
        """Train the classifier on pairs.

        X1, X2 (Any): The two sides of n pairs, as input for the encoder.
        y (Any): The class of each pair, shape (n,).
        RETURNS (Self): The classifier.
        """
        from sklearn.linear_model import LogisticRegression

        balanced = LogisticRegression(class_weight="balanced")
        head = balanced if self.clf_head is None else clone(self.clf_head)
        self.clf_head_ = head.fit(self._differences(X1, X2), y)
        self.classes_ = self.clf_head_.classes_
        return self

    def predict(self, X1: Any, X2: Any) -> NDArray[Any]:
        """Predict the classes of pairs.

        X1, X2 (Any): The two sides of n pairs, as input for the encoder.
        RETURNS (ndarray): The predicted class of each pair, shape (n,).
        RAISES (NotFittedError): Before `fit`.
        """
        check_is_fitted(self, "clf_head_")
        return cast(NDArray[Any], self.clf_head_.predict(self._differences(X1, X2)))

    def predict_proba(self, X1: Any, X2: Any) -> NDArray[Any]:
        """Estimate the probabilities of the classes of pairs.

        X1, X2 (Any): The two sides of n pairs, as input for the encoder.
        RETURNS (ndarray): The probability of each class, shape (n, L).
        RAISES (NotFittedError): Before `fit`.
        """
        check_is_fitted(self, "clf_head_")
        return cast(NDArray[Any], self.clf_head_.predict_proba(self._differences(X1, X2)))

    def _differences(self, X1: Any, X2: Any) -> NDArray[Any]:
        first, second = (self.enc.transform(X) for X in (X1, X2))
        if not issparse(first):
            first, second = np.asarray(first), np.asarray(second)
        check_consistent_length(first, second)
        return abs(first - second)
