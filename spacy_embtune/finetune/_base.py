"""What the tuners share: scikit-learn's rules on the outside, a head of ours on the inside."""

from abc import abstractmethod
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Self, cast

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import check_consistent_length, check_random_state
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data
from thinc.api import Adam, get_current_ops

from ..heads import has_vector
from ..labels import count_labels
from ..pipeline.model import Head
from ..training import RowBatch, build_section, count_batches, label_batches, seeded, train_head
from ..types import Loss, Targets
from . import _estimator_files as storage
from ._apply import apply_head
from ._distinct_rows import merge_equal_rows
from ._parameters import check_parameters, count_epochs, require_vectors
from .labels import Kind, Labels, add_classes, read_labels, require_contrast


class HeadTuner(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Tunes vectors to labels with a head: subclasses say which head, and which loss.

    Attributes of a fitted tuner:
        head_ (Model): The head, as in the component: `spacy_embtune.heads`.
        classes_ (ndarray): The L classes or labels.
        exclusive_classes_ (bool): Whether a document carries exactly one of them.
        label_counts_ (ndarray): How often each label was known to be present and absent, (2, L).
        n_features_in_ (int): The width d of the vectors.
        n_steps_ (int): How many steps the optimizer has taken.
    """

    n_epochs: int | None
    learning_rate: float
    batch_size: int
    weight_decay: float
    exclusive_classes: bool | None
    random_state: Any

    @abstractmethod
    def head_config(self) -> dict[str, Any]:
        """RETURNS (dict): The head as a section of a spaCy config, with @architectures."""

    @abstractmethod
    def loss_config(self) -> dict[str, Any]:
        """RETURNS (dict): The loss as a section of a spaCy config, with @losses."""

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Learn from the beginning, whatever was learned before.

        X (Any): Vectors, shape (n, d): array, list of rows, DataFrame.
        y (Any): What is known of their labels: one class each (None or NaN: not known), a matrix of
            one column a label (NaN: not known), or a list of cats as in `doc.cats`.
        sample_weight (Any): How much each row counts, shape (n,). A weight of 2 is the same as two
            equal rows, one of 0 the same as none.
        RETURNS (Self): The tuner.
        RAISES (ValueError): If X or y is invalid, or there is nothing to tell apart.
        """
        check_parameters(self)
        X, labels = self._read(X, y, sample_weight, reset=True, whole=True)
        base, targets = merge_equal_rows(X, labels.targets)
        if len(base) == 0:
            raise ValueError("All sample weights are 0: there is nothing to learn from.")
        require_contrast(targets, labels.classes)
        rng = check_random_state(self.random_state)
        self._begin(base, labels, targets, rng)
        n_epochs = count_epochs(len(base), self.batch_size, self._n_epochs())
        batches = label_batches(
            base,
            _without_even_weights(targets, self.label_counts_),
            batch_size=self.batch_size,
            n_epochs=n_epochs,
            rng=rng,
        )
        n_steps = n_epochs * count_batches(len(base), self.batch_size)
        self._train(batches, n_steps=n_steps)
        return self

    def partial_fit(self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None) -> Self:
        """Go on learning, with one pass over these rows: same weights, same state of the optimizer,
        a constant learning rate. Call it for each batch of a stream, several times over if there
        are few. The mean of the vectors is learned along the way. Ctrl-C leaves a tuner that can
        be used, and ends the caller's loop as well.

        X, y, sample_weight (Any): As for `fit`; rows of one class, or of none, are fine. In what a
            batch teaches, weights count relative to each other; in the mean, as they are.
        classes (Any): Names of classes. The first call learns them from y if they are not given;
            a later call adds those that are new, whatever their order.
        RETURNS (Self): The tuner.
        RAISES (ValueError): If X or y is invalid, or has classes that nobody named.
        """
        check_parameters(self)
        is_first = not hasattr(self, "head_")
        if not is_first:
            classes = add_classes(self.classes_, classes)
        X, labels = self._read(X, y, sample_weight, reset=is_first, classes=classes)
        base, targets = merge_equal_rows(X, labels.targets)
        if is_first:
            self._begin(base, labels, targets, check_random_state(self.random_state))
        else:
            self._extend(labels, base, targets)
            # What the parameters say now: a tuner that is loaded knows nothing else.
            self._loss = build_section(self.loss_config())
            self._optimizer.L2 = float(self.weight_decay)
        if len(base) == 0:
            return self
        batches = label_batches(
            base,
            _without_even_weights(targets, self.label_counts_),
            batch_size=self.batch_size,
            n_epochs=1,
            rng=self._random,
        )
        self._train(batches, n_steps=None)
        return self

    def transform(self, X: Any, y: Any = None) -> NDArray[Any]:
        """Tune vectors.

        X (Any): Vectors, shape (n, d).
        y (Any): Not used.
        RETURNS (ndarray): The tuned vectors, float32, shape (n, k). A row of zeros stays one.
        RAISES (NotFittedError): Before `fit`.
        """
        return self._predict(X)[0]

    def to_disk(self, path: str | Path) -> None:
        """Save the tuner, and all that `partial_fit` needs to go on, without pickle.

        path (str | Path): A directory; created if need be.
        RAISES (NotFittedError): Before `fit`.
        RAISES (ValueError): If there is a file in its place, or a parameter is no JSON.
        """
        check_is_fitted(self, "head_")
        description = {
            "class": type(self).__name__,
            "params": {k: storage.to_json(v) for k, v in self.get_params().items()},
            "head": self._head_config,
            "label_kind": self._label_kind,
            "classes": storage.classes_to_json(self.classes_),
            "exclusive_classes": self.exclusive_classes_,
            "label_counts": self.label_counts_.tolist(),
            "n_features_in": self.n_features_in_,
            "feature_names_in": getattr(self, "feature_names_in_", np.asarray([])).tolist(),
            "n_seen": self._n_seen,
            "n_steps": self.n_steps_,
        }
        arrays = storage.head_to_arrays(self.head_, self._optimizer)
        if self.random_state is not None:
            arrays.update(storage.random_to_arrays(self._random))
        storage.save(path, description, arrays)

    @classmethod
    def from_disk(cls, path: str | Path) -> Self:
        """Load a tuner that `to_disk` saved.

        path (str | Path): The directory.
        RETURNS (Self): The tuner.
        RAISES (ValueError): If it is not there, damaged, or of another class.
        """
        saved, arrays = storage.load(path, kind=cls.__name__)
        with storage.reading(path):
            tuner = cls(**{k: storage.from_json(v) for k, v in saved["params"].items()})
            tuner._set_labels(
                storage.classes_from_json(saved["classes"]),
                kind=saved["label_kind"],
                exclusive=saved["exclusive_classes"],
                counts=np.asarray(saved["label_counts"], dtype="float32"),
            )
            tuner._make_head(saved["n_features_in"], saved["head"])
            if saved["feature_names_in"]:
                tuner.feature_names_in_ = np.asarray(saved["feature_names_in"], dtype=object)
            tuner._n_seen = saved["n_seen"]
            tuner.n_steps_ = saved["n_steps"]
            storage.arrays_to_head(arrays, tuner.head_, tuner._optimizer)
            if tuner.random_state is None:
                tuner._random = check_random_state(None)
            else:
                tuner._random = storage.arrays_to_random(arrays)
        return tuner

    def __getstate__(self) -> dict[str, Any]:
        # Not thinc's objects: the optimizer knows parameters by numbers that are unique within
        # one process only.
        state: dict[str, Any] = dict(super().__getstate__())
        if "head_" in state:
            del state["head_"], state["_loss"], state["_optimizer"]
            state["_arrays"] = storage.head_to_arrays(self.head_, self._optimizer)
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        state = dict(state)
        arrays = state.pop("_arrays", None)
        super().__setstate__(state)
        if arrays is not None:
            self._make_head(self.n_features_in_, self._head_config)
            storage.arrays_to_head(arrays, self.head_, self._optimizer)

    def _n_epochs(self) -> int | None:
        return self.n_epochs

    def _read(
        self,
        X: Any,
        y: Any,
        sample_weight: Any,
        *,
        reset: bool,
        whole: bool = False,
        classes: Any = None,
    ) -> tuple[NDArray[Any], Labels]:
        """RETURNS (tuple): X and y, checked. reset: nothing was learned before; whole: nothing else
        will be learned."""
        require_vectors(X)
        X = validate_data(self, X, dtype="float32", reset=reset, order="C")
        weights = None
        if sample_weight is not None:
            weights = _check_sample_weight(
                sample_weight, X, dtype=np.float64, ensure_non_negative=True
            )
        labels = read_labels(
            y,
            classes=classes,
            exclusive=self.exclusive_classes if reset else self.exclusive_classes_,
            weights=weights,
        )
        check_consistent_length(X, labels.targets.values)
        return X, self._weigh(labels, whole=whole)

    def _weigh(self, labels: Labels, *, whole: bool) -> Labels:
        """RETURNS (Labels): The same, with what the parameters say of their weights."""
        return labels

    def _begin(self, base: NDArray[Any], labels: Labels, targets: Targets, rng: Any) -> None:
        self._random = rng
        self._set_labels(
            labels.classes,
            kind=labels.kind,
            exclusive=targets.exclusive,
            counts=np.asarray(count_labels(targets)),
        )
        self._make_head(self.n_features_in_, self.head_config(), rng)
        self._n_seen = 0.0
        self.n_steps_ = 0
        self._learn_mean(base, targets)

    def _set_labels(
        self, classes: NDArray[Any], *, kind: Kind, exclusive: bool, counts: NDArray[Any]
    ) -> None:
        self.classes_ = classes
        self._label_kind = kind
        self.exclusive_classes_ = exclusive
        self.label_counts_ = counts

    def _make_head(self, width: int, config: dict[str, Any], rng: Any = None) -> None:
        """Make a head with new weights, its loss and its optimizer.

        width (int): That of the vectors, d.
        config (dict): The head as a section of a config.
        rng (RandomState | None): For the weights; None if they are to be replaced anyway.
        """
        loss: Loss = build_section(self.loss_config())
        head: Head = build_section(config)
        ops = get_current_ops()
        with seeded(np.random.RandomState(0) if rng is None else rng):
            head.initialize(
                X=ops.alloc2f(1, width), Y=cast(Any, ops.alloc2f(1, len(self.classes_)))
            )
        self.n_features_in_ = width
        self._n_features_out = int(head.get_dim("nH"))
        self._optimizer = Adam(L2=float(self.weight_decay), grad_clip=1.0, use_averages=False)
        self._loss = loss
        self._head_config = config
        self.head_ = head

    def _learn_mean(self, base: NDArray[Any], targets: Targets) -> None:
        """Bring the mean that the head centres on up to date, as if all rows had come at once."""
        weights = targets.weights
        share = np.ones(len(base)) if weights is None else np.asarray(weights)
        share = share * has_vector(cast(Any, base))[:, 0]
        total = float(share.sum())
        if total == 0:
            return
        mean = share @ base.astype("float64") / total
        layer = self.head_.get_ref("standardize")
        ops: Any = layer.ops
        before = ops.to_numpy(layer.get_param("mean"))
        self._n_seen += total
        after = before + (mean - before) * (total / self._n_seen)
        layer.set_param("mean", ops.asarray(after.astype("float32")))

    def _extend(self, labels: Labels, base: NDArray[Any], targets: Targets) -> None:
        n_new = len(labels.classes) - len(self.classes_)
        if n_new:
            counts = np.zeros((2, n_new), dtype="float32")
            self.label_counts_ = np.concatenate([self.label_counts_, counts], axis=1)
            arrays = storage.head_to_arrays(self.head_, self._optimizer)
            self.head_.attrs["resize_output"](self.head_, len(labels.classes))
            storage.keep_moments(arrays, self.head_, self._optimizer)
            self.classes_ = labels.classes
        self.label_counts_ = self.label_counts_ + np.asarray(count_labels(targets))
        self._learn_mean(base, targets)

    def _train(self, batches: Iterable[RowBatch], *, n_steps: int | None) -> None:
        with seeded(self._random):
            self.n_steps_ += train_head(
                self.head_,
                self._loss,
                self._optimizer,
                batches,
                learning_rate=float(self.learning_rate),
                n_steps=n_steps,
            )

    def _predict(self, X: Any) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        """RETURNS (tuple): Tuned vectors (n, k), raw scores (n, L), and which rows hold a vector,
        shape (n, 1)."""
        check_is_fitted(self, "head_")
        require_vectors(X)
        X = validate_data(self, X, dtype="float32", reset=False, order="C")
        tuned, scores = apply_head(self.head_, X)
        return tuned, scores, has_vector(X)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        tags.target_tags.one_d_labels = True
        tags.target_tags.two_d_labels = True
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags


def _without_even_weights(targets: Targets, counts: NDArray[Any]) -> Targets:
    """RETURNS (Targets): What a loss is to know: weights that are all the same teach as none."""
    weights = None if targets.weights is None else np.asarray(targets.weights)
    if weights is not None and len(weights) and (weights == weights[0]).all():
        weights = None
    return targets._replace(weights=cast(Any, weights), counts=cast(Any, counts))
