"""Estimators for pairs of vectors: `ContrastiveLearner` and `DifferenceClassifier`."""

from pathlib import Path
from typing import Any, Self, cast

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin, clone
from sklearn.utils import check_array, check_consistent_length, check_random_state, column_or_1d
from sklearn.utils.validation import check_is_fitted, validate_data
from thinc.api import get_current_ops

from ..losses import make_cosine_pairs
from ..training import BlockAdam, build_section, count_batches, pair_batches, seeded, train_head
from . import _estimator_files as storage
from ._apply import apply_head
from ._distinct_rows import distinct_pairs
from ._parameters import check_parameters, count_epochs, require_vectors


class ContrastiveLearner(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Tunes vectors to scores of pairs, so that the cosine of two tuned vectors approaches the
    score of their pair. The network is the component's `spacy-embtune.Contrastive.v1`.

        >>> import numpy as np
        >>> X1, X2 = np.random.RandomState(0).normal(size=(2, 20, 8))
        >>> learner = ContrastiveLearner(epochs=5, random_state=0).fit(X1, X2, np.arange(20) / 19)
        >>> learner.transform(X1).shape, learner.predict(X1, X2).shape
        ((20, 8), (20,))

    shape_out (int | None): The width k of the tuned vectors. None: the width of the vectors.
        (embetter: 300.)
    batch_size (int): The number of pairs in a step. (embetter: 16.)
    epochs (int | None): The number of passes over the pairs. None: about 250 steps, and at least 10
        passes. (embetter: 1.)
    learning_rate (float): The learning rate of Adam, which falls linearly to 0. (embetter: 2e-05,
        which learns nothing.)
    hidden_width (int): The width of the hidden layer.
    dropout (float): The dropout rate of the hidden layer, 0..1.
    weight_decay (float): The decoupled weight decay, as in AdamW.
    random_state (int | RandomState | None): The seed for reproducible results.
    """

    def __init__(
        self,
        shape_out: int | None = None,
        batch_size: int = 64,
        epochs: int | None = None,
        learning_rate: float = 0.001,
        *,
        hidden_width: int = 384,
        dropout: float = 0.2,
        weight_decay: float = 0.01,
        random_state: Any = None,
    ) -> None:
        self.shape_out = shape_out
        self.batch_size = batch_size
        self.epochs = epochs
        self.learning_rate = learning_rate
        self.hidden_width = hidden_width
        self.dropout = dropout
        self.weight_decay = weight_decay
        self.random_state = random_state

    def fit(self, X1: Any, X2: Any, y: Any) -> Self:
        """Train a new head on pairs. What an earlier fit learned is lost.

        X1, X2 (Any): The vectors of each pair, both of shape (n, d).
        y (Any): The wanted similarity of each pair, 0..1, shape (n,).
        RETURNS (Self): The learner.
        RAISES (ValueError): If the shapes differ, or a score is outside 0..1.
        """
        check_parameters(self)
        require_vectors(X1, name="X1")
        require_vectors(X2, name="X2")
        X1 = validate_data(self, X1, dtype="float32", reset=True, order="C")
        X2 = validate_data(self, X2, dtype="float32", reset=False, order="C")
        scores = check_scores(y)
        check_consistent_length(X1, X2, scores)
        pairs = distinct_pairs(X1, X2, scores)
        rng = check_random_state(self.random_state)
        self._make_head(pairs.base, self.head_config(), rng)
        n_epochs = count_epochs(len(scores), self.batch_size, self.epochs)
        batches = pair_batches(pairs, batch_size=self.batch_size, n_epochs=n_epochs, rng=rng)
        optimizer = BlockAdam(weight_decay=float(self.weight_decay))
        with seeded(rng):
            train_head(
                self.head_,
                make_cosine_pairs(),
                optimizer,
                batches,
                learning_rate=float(self.learning_rate),
                n_steps=n_epochs * count_batches(len(scores), self.batch_size),
            )
        return self

    def head_config(self) -> dict[str, Any]:
        """Describe the head as a section of a spaCy config.

        RETURNS (dict): The section, with @architectures.
        """
        return {
            "@architectures": "spacy-embtune.Contrastive.v1",
            "hidden_width": int(self.hidden_width),
            "output_width": None if self.shape_out is None else int(self.shape_out),
            "dropout": self.dropout,
        }

    def _make_head(self, base: NDArray[Any], config: dict[str, Any], rng: Any) -> None:
        self._head_config = config
        self.head_ = build_section(config)
        ops = get_current_ops()
        with seeded(rng):
            # There are no labels, so the output layer has width 0.
            self.head_.initialize(
                X=ops.asarray2f(cast(Any, base)), Y=cast(Any, ops.alloc2f(len(base), 0))
            )
        self._n_features_out = int(self.head_.get_dim("nH"))

    def transform(self, X: Any, y: Any = None) -> NDArray[Any]:
        """Tune vectors.

        X (Any): Vectors, shape (n, d).
        y (Any): Not used.
        RETURNS (ndarray): The tuned vectors, float32, shape (n, k).
        RAISES (NotFittedError): Before `fit`.
        """
        check_is_fitted(self, "head_")
        require_vectors(X)
        X = validate_data(self, X, dtype="float32", reset=False, order="C")
        return apply_head(self.head_, X, scores=False)[0]

    def predict(self, X1: Any, X2: Any) -> NDArray[Any]:
        """Predict the similarity of pairs.

        X1, X2 (Any): The vectors of each pair, both of shape (n, d).
        RETURNS (ndarray): The cosine of their tuned vectors, float32, shape (n,).
        RAISES (NotFittedError): Before `fit`.
        """
        first, second = self.transform(X1), self.transform(X2)
        check_consistent_length(first, second)
        return paired_cosines(first, second)

    def to_disk(self, path: str | Path) -> None:
        """Save the learner, without pickle.

        path (str | Path): The directory. It is created if it does not exist.
        RAISES (NotFittedError): Before `fit`.
        RAISES (ValueError): If the path is a file, or a parameter cannot be written as JSON.
        """
        check_is_fitted(self, "head_")
        description = {
            "class": type(self).__name__,
            "params": {k: storage.to_json(v) for k, v in self.get_params().items()},
            "head": self._head_config,
            "n_features_in": self.n_features_in_,
            "feature_names_in": getattr(self, "feature_names_in_", np.asarray([])).tolist(),
        }
        storage.save(path, description, storage.head_to_arrays(self.head_, None))

    @classmethod
    def from_disk(cls, path: str | Path) -> Self:
        """Load a learner that `to_disk` saved.

        path (str | Path): The directory.
        RETURNS (Self): The learner.
        RAISES (ValueError): If the directory is missing or damaged, or holds another class.
        """
        saved, arrays = storage.load(path, kind=cls.__name__)
        with storage.reading(path):
            learner = cls(**{k: storage.from_json(v) for k, v in saved["params"].items()})
            learner.n_features_in_ = saved["n_features_in"]
            if saved["feature_names_in"]:
                learner.feature_names_in_ = np.asarray(saved["feature_names_in"], dtype=object)
            empty = np.zeros((1, learner.n_features_in_), dtype="float32")
            learner._make_head(empty, saved["head"], np.random.RandomState(0))
            storage.arrays_to_head(arrays, learner.head_)
        return learner


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


def check_scores(y: Any) -> NDArray[Any]:
    """Check the scores of pairs.

    y (Any): The scores.
    RETURNS (ndarray): The scores, float64, shape (n,).
    RAISES (ValueError): If a score is not a number from 0 to 1.
    """
    scores = check_array(column_or_1d(y), ensure_2d=False, dtype="float64", input_name="y")
    if len(scores) and not (scores.min() >= 0.0 and scores.max() <= 1.0):
        raise ValueError(
            f"y goes from {scores.min():g} to {scores.max():g}: give scores from 0 (different) to "
            "1 (equal), for instance (y - y.min()) / (y.max() - y.min())."
        )
    return cast(NDArray[Any], scores)


def paired_cosines(first: NDArray[Any], second: NDArray[Any]) -> NDArray[Any]:
    """Compute the cosine of each row of one array with the same row of another array.

    first, second (ndarray): The vectors, both of shape (n, k).
    RETURNS (ndarray): The cosines, float32, shape (n,); 0 for a row of zeros.
    """
    lengths = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    products = (first * second).sum(axis=1)
    cosines = np.where(lengths > 0, products / np.where(lengths > 0, lengths, 1.0), 0.0)
    return cosines.astype("float32")
