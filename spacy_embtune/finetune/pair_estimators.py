"""`ContrastiveLearner`: tune vectors to pairs, with one head for both sides or a tower for each."""

from pathlib import Path
from typing import Any, Literal, Self, cast

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import check_array, check_consistent_length, check_random_state, column_or_1d
from sklearn.utils.validation import check_is_fitted, validate_data
from thinc.api import get_current_ops

from ..heads import Towers
from ..losses import make_cosine_pairs, make_supervised_contrastive
from ..training import (
    BlockAdam,
    build_section,
    count_batches,
    has_negatives,
    pair_batches,
    seeded,
    side_batches,
    train_head,
)
from . import _estimator_files as storage
from ._apply import apply_head
from ._distinct_rows import distinct_pairs, distinct_sides, unscored_pairs
from ._parameters import check_parameters, count_epochs, require_vectors

Side = Literal["left", "right"]
_TOWERS = ("auto", "shared", "separate")


class ContrastiveLearner(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Tunes vectors to pairs. The network is the component's `spacy-embtune.Contrastive.v1`.

    With scores, the cosine of two tuned vectors approaches the score of their pair. Without scores,
    the two rows of a pair find each other: in each batch, the rows of the other pairs are the
    negatives, in both directions (symmetric InfoNCE, as in CLIP, Radford et al. 2021, and in
    sentence-transformers' MultipleNegativesSymmetricRankingLoss). Two rows that are a pair anywhere
    in the data are never negatives of each other, and equal rows count as one row.

    The two sides may be different kinds of objects with vectors of different widths: questions and
    answers, images and texts, code and prose. Each side then has a tower, a network of its own.

        >>> import numpy as np
        >>> X1, X2 = np.random.RandomState(0).normal(size=(2, 20, 8))
        >>> learner = ContrastiveLearner(epochs=5, random_state=0).fit(X1, X2, np.arange(20) / 19)
        >>> learner.transform(X1).shape, learner.predict(X1, X2).shape
        ((20, 8), (20,))

        >>> towers = ContrastiveLearner(epochs=5, random_state=0).fit(X1, X2[:, :5])
        >>> towers.transform(X1).shape, towers.transform(X2[:, :5], side="right").shape
        ((20, 5), (20, 5))

    shape_out (int | None): The width k of the tuned vectors. None: the width of the vectors, or the
        smaller width of the two sides. (embetter: 300.)
    batch_size (int): The number of pairs in a step. Without scores, a larger one has more
        negatives. (embetter: 16.)
    epochs (int | None): The number of passes over the pairs. None: about 250 steps, and at least 10
        passes. (embetter: 1.)
    learning_rate (float): The learning rate of Adam, which falls linearly to 0. (embetter: 2e-05,
        which learns nothing.)
    towers (str): "shared": both sides have the same width and share one network. "separate": each
        side has a network of its own. "auto": "separate" exactly if the widths differ.
    temperature (float): The temperature of pairs without scores, above 0. With a lower one, the
        nearest negatives have more influence. It has no effect on pairs with scores.
    hidden_width (int): The width of the hidden layer.
    dropout (float): The dropout rate of the hidden layer, 0..1.
    weight_decay (float): The decoupled weight decay, as in AdamW.
    random_state (int | RandomState | None): The seed for reproducible results.

    Attributes of a fitted learner:
        head_ (Model): The head, or `spacy_embtune.heads.Towers` of two.
        n_features_in_ (int): The width of the vectors, with two towers that of the left side.
        n_features_in_right_ (int): The width of the right side.
    """

    def __init__(
        self,
        shape_out: int | None = None,
        batch_size: int = 64,
        epochs: int | None = None,
        learning_rate: float = 0.001,
        *,
        towers: str = "auto",
        temperature: float = 0.05,
        hidden_width: int = 384,
        dropout: float = 0.2,
        weight_decay: float = 0.01,
        random_state: Any = None,
    ) -> None:
        self.shape_out = shape_out
        self.batch_size = batch_size
        self.epochs = epochs
        self.learning_rate = learning_rate
        self.towers = towers
        self.temperature = temperature
        self.hidden_width = hidden_width
        self.dropout = dropout
        self.weight_decay = weight_decay
        self.random_state = random_state

    def fit(self, X1: Any, X2: Any, y: Any = None) -> Self:
        """Train a new head on pairs. What an earlier fit learned is lost.

        X1 (Any): The vectors of the left side of each pair, shape (n, d1).
        X2 (Any): The vectors of the right side of each pair, shape (n, d2).
        y (Any): The wanted similarity of each pair, 0..1, shape (n,). None, or 1 for all pairs: the
            rows of a pair belong together, and the other rows of a batch are the negatives.
        RETURNS (Self): The learner.
        RAISES (ValueError): If the lengths differ, the widths differ although weights are shared, a
            score is outside 0..1, or there is nothing to learn from.
        """
        check_parameters(self)
        loss = make_supervised_contrastive(float(self.temperature))
        require_vectors(X1, name="X1")
        require_vectors(X2, name="X2")
        is_separate = self._has_towers(X1, X2)
        X1 = validate_data(self, X1, dtype="float32", reset=True, order="C")
        right = _RightSide() if is_separate else None
        X2 = validate_data(
            self if right is None else right,
            X2,
            dtype="float32",
            reset=right is not None,
            order="C",
        )
        scores = None if y is None else check_scores(y)
        check_consistent_length(X1, X2, scores)
        if scores is not None and (scores == 1.0).all():
            scores = None
        self._right = right
        rng = check_random_state(self.random_state)
        batches, base, n = self._make_batches(X1, X2, scores, rng, is_separate=is_separate)
        config = self.head_config()
        if is_separate and self.shape_out is None:
            config["output_width"] = min(X1.shape[1], X2.shape[1])
        self._make_head(*base, config=config, rng=rng)
        optimizer = BlockAdam(weight_decay=float(self.weight_decay))
        n_epochs = count_epochs(n, self.batch_size, self.epochs)
        with seeded(rng):
            train_head(
                self.head_,
                loss if scores is None else make_cosine_pairs(),
                optimizer,
                batches,
                learning_rate=float(self.learning_rate),
                n_steps=n_epochs * count_batches(n, self.batch_size),
            )
        return self

    def _has_towers(self, X1: Any, X2: Any) -> bool:
        """RETURNS (bool): Whether each side gets a tower."""
        if self.towers not in _TOWERS:
            raise ValueError(
                f"ContrastiveLearner: towers is {self.towers!r}: give one of "
                f"{', '.join(map(repr, _TOWERS))}."
            )
        first, second = _width(X1), _width(X2)
        differ = first is not None and second is not None and first != second
        if self.towers == "shared" and differ:
            raise ValueError(
                f"X1 has {first} columns and X2 has {second}, so the two sides cannot share "
                'weights. Give vectors of one width, or towers="separate".'
            )
        return self.towers == "separate" or differ

    def _make_batches(
        self,
        X1: NDArray[Any],
        X2: NDArray[Any],
        scores: NDArray[Any] | None,
        rng: Any,
        *,
        is_separate: bool,
    ) -> tuple[Any, tuple[NDArray[Any], NDArray[Any] | None], int]:
        """RETURNS (tuple): The batches, the distinct rows of both sides (the latter None if weights
        are shared), and the number of pairs that decides the number of steps."""
        settings = {
            "batch_size": self.batch_size,
            "n_epochs": count_epochs(len(X1), self.batch_size, self.epochs),
            "rng": rng,
        }
        if scores is not None and not is_separate:
            scored = distinct_pairs(X1, X2, scores)
            return pair_batches(scored, **settings), (scored.base, None), len(X1)
        pairs = distinct_sides(X1, X2, scores) if is_separate else unscored_pairs(X1, X2)
        if scores is None:
            if self.batch_size < 2:
                raise ValueError(
                    "ContrastiveLearner: batch_size is 1, but without scores the other pairs of a "
                    "batch are the negatives. Give a batch_size of 2 or more, or scores as y."
                )
            if not has_negatives(pairs):
                raise ValueError(
                    "Each row of X1 is paired with each row of X2, so no row has a negative and "
                    "there is nothing to learn. Give pairs of more rows, or scores as y."
                )
        return side_batches(pairs, **settings), (pairs.left, pairs.right), len(X1)

    def head_config(self) -> dict[str, Any]:
        """Describe the head as a section of a spaCy config. Two towers have the same section.

        RETURNS (dict): The section, with @architectures.
        """
        return {
            "@architectures": "spacy-embtune.Contrastive.v1",
            "hidden_width": int(self.hidden_width),
            "output_width": None if self.shape_out is None else int(self.shape_out),
            "dropout": self.dropout,
        }

    def _make_head(
        self, left: NDArray[Any], right: NDArray[Any] | None, *, config: dict[str, Any], rng: Any
    ) -> None:
        self._head_config = config
        ops = get_current_ops()
        heads = []
        with seeded(rng):
            for base in (left,) if right is None else (left, right):
                # There are no labels, so the output layer has width 0.
                head = build_section(config)
                head.initialize(
                    X=ops.asarray2f(cast(Any, base)), Y=cast(Any, ops.alloc2f(len(base), 0))
                )
                heads.append(head)
        self.head_ = heads[0] if right is None else Towers(*heads)
        self._n_features_out = int(self.head_.get_dim("nH"))

    @property
    def n_features_in_right_(self) -> int:
        """RETURNS (int): The width of the vectors of the right side."""
        check_is_fitted(self, "head_")
        side: Any = self if self._right is None else self._right
        return int(side.n_features_in_)

    def transform(self, X: Any, y: Any = None, *, side: Side | None = None) -> NDArray[Any]:
        """Tune vectors.

        X (Any): Vectors, shape (n, d).
        y (Any): Not used.
        side (str | None): "left" for vectors like X1 of `fit`, "right" for vectors like X2. None:
            the width of the vectors decides; if weights are shared, the side has no effect.
        RETURNS (ndarray): The tuned vectors, float32, shape (n, k).
        RAISES (NotFittedError): Before `fit`.
        RAISES (ValueError): If the side is unknown, or is needed and not given, or the width is not
            that of the side.
        """
        check_is_fitted(self, "head_")
        require_vectors(X)
        if side not in (None, "left", "right"):
            raise ValueError(f'side is {side!r}: give "left" (as X1) or "right" (as X2).')
        if self._right is None:
            X = validate_data(self, X, dtype="float32", reset=False, order="C")
            return apply_head(self.head_, X, scores=False)[0]
        if side is None:
            side = self._find_side(_width(X))
        is_left = side == "left"
        tower = self.head_.layers[0 if is_left else 1]
        found, expected = _width(X), tower.get_dim("nI")
        if found is not None and found != expected:
            raise ValueError(
                f"X has {found} columns, but the {side} side had {expected} in fit. Give vectors "
                "of that side."
            )
        of_side = self if is_left else self._right
        X = validate_data(of_side, X, dtype="float32", reset=False, order="C")
        return apply_head(tower, X, scores=False)[0]

    def _find_side(self, width: int | None) -> Side:
        """RETURNS (str): The side that vectors of this width belong to."""
        left, right = (tower.get_dim("nI") for tower in self.head_.layers)
        if left == right:
            raise ValueError(
                f"Each side has a tower, and both take vectors of {left} columns. Say which side "
                'these are: transform(X, side="left") for vectors like X1 of fit, side="right" for '
                "vectors like X2."
            )
        if width not in (None, left, right):
            raise ValueError(
                f"X has {width} columns, but the left side had {left} in fit, and the right side "
                f"{right}. Give vectors of one of the sides."
            )
        return "right" if width == right else "left"

    def predict(self, X1: Any, X2: Any) -> NDArray[Any]:
        """Predict the similarity of pairs.

        X1 (Any): The vectors of the left side of each pair, shape (n, d1).
        X2 (Any): The vectors of the right side of each pair, shape (n, d2).
        RETURNS (ndarray): The cosine of their tuned vectors, float32, shape (n,).
        RAISES (NotFittedError): Before `fit`.
        """
        first, second = self.transform(X1, side="left"), self.transform(X2, side="right")
        check_consistent_length(first, second)
        return paired_cosines(np.asarray(first), np.asarray(second))

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
            **_describe_input(self),
            "right": None if self._right is None else _describe_input(self._right),
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
            _restore_input(learner, saved)
            # Earlier versions had no towers.
            learner._right = None
            sides: list[Any] = [learner]
            if saved.get("right") is not None:
                learner._right = _RightSide()
                _restore_input(learner._right, saved["right"])
                sides.append(learner._right)
            empty = [np.zeros((1, side.n_features_in_), dtype="float32") for side in sides]
            learner._make_head(
                empty[0],
                empty[1] if len(empty) > 1 else None,
                config=saved["head"],
                rng=np.random.RandomState(0),
            )
            storage.arrays_to_head(arrays, learner.head_)
        return learner


class _RightSide(BaseEstimator):
    """What `validate_data` learns of the vectors of the right side: their width and names."""


def _width(X: Any) -> int | None:
    """RETURNS (int | None): The number of columns. None if X has no two dimensions; scikit-learn's
    checks then say what is wrong."""
    try:
        shape = X.shape if hasattr(X, "shape") else np.shape(X)
    except ValueError:
        return None
    return int(shape[1]) if len(shape) == 2 else None


def _describe_input(side: Any) -> dict[str, Any]:
    """RETURNS (dict[str, Any]): The width and the names of the vectors of a side."""
    return {
        "n_features_in": side.n_features_in_,
        "feature_names_in": getattr(side, "feature_names_in_", np.asarray([])).tolist(),
    }


def _restore_input(side: Any, saved: dict[str, Any]) -> None:
    """Set what `_describe_input` gave."""
    side.n_features_in_ = saved["n_features_in"]
    if saved["feature_names_in"]:
        side.feature_names_in_ = np.asarray(saved["feature_names_in"], dtype=object)


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
