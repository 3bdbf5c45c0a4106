"""The base class of the tuners: a scikit-learn estimator around a head."""

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, Self, cast

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import check_consistent_length, check_random_state
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data
from thinc.api import get_current_ops

from ..heads import has_vector
from ..labels import count_labels
from ..pipeline.model import Head
from ..training import (
    BlockAdam,
    RowBatch,
    build_section,
    count_batches,
    label_batches,
    seeded,
    train_head,
)
from ..types import Loss
from . import _estimator_files as storage
from ._apply import apply_head
from ._class_order import merge_classes, name_columns, order_output, sort_columns
from ._distinct_rows import merge_equal_rows
from ._label_documents import (
    add_label_documents,
    check_label_vectors,
    may_add_classes,
    new_classes,
)
from ._parameters import DEFAULT_STEPS, MIN_EPOCHS, check_parameters, count_epochs, require_vectors
from ._temperature import Temperature
from .labels import AnyTargets, Kind, Labels, n_documents, read_labels, require_contrast


class HeadTuner(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Tunes vectors to labels with a head. A subclass defines the head and the loss.

    Attributes of a fitted tuner:
        head_ (Model): The head, one of `spacy_embtune.heads`.
        classes_ (ndarray): The L classes or labels, sorted; if y is a matrix, in the order of its
            columns, with labels that came later at the end.
        exclusive_classes_ (bool): Whether a document has exactly one of them.
        label_counts_ (ndarray): How often each label is known to be present (first row) and absent
            (second row), shape (2, L).
        n_features_in_ (int): The width d of the vectors.
        n_steps_ (int): The number of steps of the optimizer.
        temperature_ (float): Raw scores of labels are divided by it before they become
            probabilities. 1.0: they are not calibrated.
    """

    n_epochs: int | None
    learning_rate: float
    batch_size: int
    weight_decay: float
    exclusive_classes: bool | None
    random_state: Any
    label_vectors: Mapping[Any, Any] | None = None
    _default_steps: ClassVar[int] = DEFAULT_STEPS
    _min_epochs: ClassVar[int] = MIN_EPOCHS

    @abstractmethod
    def head_config(self) -> dict[str, Any]:
        """Describe the head as a section of a spaCy config.

        RETURNS (dict): The section, with @architectures.
        """

    @abstractmethod
    def loss_config(self) -> dict[str, Any]:
        """Describe the loss as a section of a spaCy config.

        RETURNS (dict): The section, with @losses.
        """

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train a new head. What an earlier fit learned is lost.

        X (Any): Vectors, shape (n, d): an array, a list of rows or a DataFrame.
        y (Any): The labels of the rows: one class for each row (None or NaN: not known), a matrix
            with one column for each label (NaN: not known), or a list of cats as in `doc.cats`.
        sample_weight (Any): The weight of each row, shape (n,). A row with weight 2 counts like two
            copies of it, and a row with weight 0 like none.
        RETURNS (Self): The tuner.
        RAISES (ValueError): If X or y is invalid, or if all rows have the same labels.
        """
        check_parameters(self)
        X, labels = self._read(X, y, sample_weight, reset=True, whole=True)
        base, targets = merge_equal_rows(X, labels.targets)
        if len(base) == 0:
            raise ValueError("All sample weights are 0, so there is nothing to learn from.")
        if not self.label_vectors:
            require_contrast(targets, labels.classes)
        rng = check_random_state(self.random_state)
        batches, n_steps = self._begin_fit(base, labels, targets, rng)
        if self._train(batches, n_steps=n_steps):
            self._calibrate(base, labels, targets)
        return self

    def partial_fit(self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None) -> Self:
        """Continue the training with one pass over these rows, with a constant learning rate and
        the state of the optimizer from before. Call it for each batch of a stream, and repeat the
        stream if it is short. The mean of the vectors, which the head subtracts, is updated as
        well. After Ctrl-C the tuner can still be used, and KeyboardInterrupt is raised.

        X, y, sample_weight (Any): As for `fit`. All rows may be of one class, or without a known
            class. Weights are relative to each other in the loss, and absolute in the mean.
        classes (Any): The names of the classes, in any order. None in the first call: those of y.
            A later call adds classes that are new. A matrix without column names has its columns in
            the order of `classes` if all classes are named, and in that of `classes_` otherwise.
        RETURNS (Self): The tuner.
        RAISES (ValueError): If X or y is invalid, or y has a class that is not known.
        """
        check_parameters(self)
        is_first = not hasattr(self, "head_")
        X, labels = self._read(X, y, sample_weight, reset=is_first, classes=classes)
        base, targets = merge_equal_rows(X, labels.targets)
        if is_first:
            self._begin(base, labels, targets, check_random_state(self.random_state))
        else:
            self._extend(labels, base, targets)
            # Parameters may have changed since, and a loaded tuner has only its parameters.
            self._loss = build_section(self.loss_config())
            self._optimizer.L2 = float(self.weight_decay)
        if len(base) == 0:
            return self
        base, targets = self._add_label_documents(base, targets)
        batches = label_batches(
            base,
            _without_even_weights(targets, self.label_counts_),
            batch_size=self.batch_size,
            n_epochs=1,
            rng=self._random,
        )
        # The temperature was measured with other weights.
        self.temperature_ = 1.0
        self._train(batches, n_steps=None)
        return self

    def transform(self, X: Any, y: Any = None) -> NDArray[Any]:
        """Tune vectors.

        X (Any): Vectors, shape (n, d).
        y (Any): Not used.
        RETURNS (ndarray): The tuned vectors, float32, shape (n, k); zeros for a row of zeros.
        RAISES (NotFittedError): Before `fit`.
        """
        X = self._check_vectors(X)
        return apply_head(self.head_, X, scores=False)[0]

    def to_disk(self, path: str | Path) -> None:
        """Save the tuner, with the state that `partial_fit` needs, without pickle.

        path (str | Path): The directory. It is created if it does not exist.
        RAISES (NotFittedError): Before `fit`.
        RAISES (ValueError): If the path is a file, or a parameter cannot be written as JSON.
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
            "temperature": self.temperature_,
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
        RAISES (ValueError): If the directory is missing or damaged, or holds another class.
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
            # An older version saved no temperature.
            tuner.temperature_ = float(saved.get("temperature", 1.0))
            storage.arrays_to_head(arrays, tuner.head_, tuner._optimizer)
            # Earlier versions appended new classes.
            tuner._sort_classes()
            if tuner.random_state is None:
                tuner._random = check_random_state(None)
            else:
                tuner._random = storage.arrays_to_random(arrays)
        return tuner

    def __getstate__(self) -> dict[str, Any]:
        # Arrays instead of thinc's objects: the optimizer identifies parameters by numbers that are
        # unique only within one process.
        state: dict[str, Any] = dict(super().__getstate__())
        if "head_" in state:
            del state["head_"], state["_loss"], state["_optimizer"]
            state["_arrays"] = storage.head_to_arrays(self.head_, self._optimizer)
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        state = dict(state)
        arrays = state.pop("_arrays", None)
        # Earlier versions kept the temperature as a number, or had none.
        temperature = state.pop("temperature_", 1.0)
        if "_n_seen" in state:
            state.setdefault("_temperature", Temperature(temperature))
        super().__setstate__(state)
        if arrays is not None:
            self._make_head(self.n_features_in_, self._head_config)
            storage.arrays_to_head(arrays, self.head_, self._optimizer)
            self._sort_classes()

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
        """Check X and y.

        reset (bool): Whether this is the first training of the tuner.
        whole (bool): Whether these rows are all training data, and no stream.
        classes (Any): The names of the classes, or of new ones; None: those of y.
        RETURNS (tuple[ndarray, Labels]): The vectors, float32, shape (n, d), and the labels.
        """
        require_vectors(X)
        X = validate_data(self, X, dtype="float32", reset=reset, order="C")
        weights = None
        if sample_weight is not None:
            weights = _check_sample_weight(
                sample_weight, X, dtype=np.float64, ensure_non_negative=True
            )
        names = classes if reset else merge_classes(self.classes_, classes, self._label_kind)
        # y may lack classes that have vectors, or hold no class at all.
        adds_classes = reset and names is None and may_add_classes(self.label_vectors, y)
        labels = read_labels(
            y,
            classes=list(self.label_vectors or ()) if adds_classes else names,
            allow_new=adds_classes,
            exclusive=self.exclusive_classes if reset else self.exclusive_classes_,
            weights=weights,
        )
        check_consistent_length(X, range(n_documents(labels.targets)))
        if reset and self.label_vectors:
            check_label_vectors(self.label_vectors, labels, width=X.shape[1])
            more = new_classes(self.label_vectors, labels)
            if more:
                labels = read_labels(
                    y,
                    classes=[*labels.classes.tolist(), *more],
                    exclusive=self.exclusive_classes,
                    weights=weights,
                )
        labels = sort_columns(labels) if reset else name_columns(labels, y, classes)
        return X, self._weigh(labels, whole=whole)

    def _weigh(self, labels: Labels, *, whole: bool) -> Labels:
        """RETURNS (Labels): The labels, with weights that parameters of the tuner ask for."""
        return labels

    def _begin_fit(
        self, base: NDArray[Any], labels: Labels, targets: AnyTargets, rng: Any
    ) -> tuple[Iterable[RowBatch], int]:
        """Start a fit on distinct rows.

        RETURNS (tuple): The batches to train on, and the number of steps.
        """
        self._begin(base, labels, targets, rng)
        base, targets = self._add_label_documents(base, targets)
        n_epochs = count_epochs(
            len(base),
            self.batch_size,
            self._n_epochs(),
            default_steps=self._default_steps,
            min_epochs=self._min_epochs,
        )
        batches = label_batches(
            base,
            _without_even_weights(targets, self.label_counts_),
            batch_size=self.batch_size,
            n_epochs=n_epochs,
            rng=rng,
        )
        return batches, n_epochs * count_batches(len(base), self.batch_size)

    def _add_label_documents(
        self, base: NDArray[Any], targets: AnyTargets
    ) -> tuple[NDArray[Any], AnyTargets]:
        """RETURNS (tuple): The rows to train on: documents, then the vectors of labels. The mean of
        the documents and the counts of labels, which are known before, hold documents only."""
        if not self.label_vectors:
            return base, targets
        layer: Any = self.head_.maybe_get_ref("standardize")
        if layer is None:
            mean = base[has_vector(cast(Any, base))[:, 0] > 0].mean(axis=0)
        else:
            mean = layer.ops.to_numpy(layer.get_param("mean"))
        return add_label_documents(
            base,
            targets,
            self.label_vectors,
            classes=self.classes_.tolist(),
            counts=np.asarray(self.label_counts_)[0],
            mean=mean,
        )

    def _calibrate(self, base: NDArray[Any], labels: Labels, targets: AnyTargets) -> None:
        """Prepare `temperature_` after a fit, if the tuner predicts probabilities."""

    @property
    def temperature_(self) -> float:
        """RETURNS (float): What raw scores are divided by before they become probabilities."""
        check_is_fitted(self, "head_")
        return self._temperature.value

    @temperature_.setter
    def temperature_(self, value: float) -> None:
        self._temperature = Temperature(value)

    def _begin(self, base: NDArray[Any], labels: Labels, targets: AnyTargets, rng: Any) -> None:
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
        self.temperature_ = 1.0
        self._learn_mean(base, targets)

    def _set_labels(
        self, classes: NDArray[Any], *, kind: Kind, exclusive: bool, counts: NDArray[Any]
    ) -> None:
        self.classes_ = classes
        self._label_kind = kind
        self.exclusive_classes_ = exclusive
        self.label_counts_ = counts

    def _make_head(self, width: int, config: dict[str, Any], rng: Any = None) -> None:
        """Make a new head, its loss and its optimizer.

        width (int): The width d of the vectors.
        config (dict): The head as a section of a config.
        rng (RandomState | None): The generator for the initial weights; None if the caller replaces
            the weights.
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
        self._optimizer = BlockAdam(weight_decay=float(self.weight_decay))
        self._loss = loss
        self._head_config = config
        self.head_ = head

    def _learn_mean(self, base: NDArray[Any], targets: AnyTargets) -> None:
        """Update the mean that the head subtracts: the mean of all rows so far, by their
        weights."""
        weights = targets.weights
        share = np.ones(len(base)) if weights is None else np.asarray(weights)
        share = share * has_vector(cast(Any, base))[:, 0]
        total = float(share.sum())
        if total == 0:
            return
        mean = share @ base.astype("float64") / total
        layer = self.head_.maybe_get_ref("standardize")
        if layer is None:
            # A linear head subtracts no mean.
            return
        ops: Any = layer.ops
        before = ops.to_numpy(layer.get_param("mean"))
        self._n_seen += total
        after = before + (mean - before) * (total / self._n_seen)
        layer.set_param("mean", ops.asarray(after.astype("float32")))

    def _extend(self, labels: Labels, base: NDArray[Any], targets: AnyTargets) -> None:
        n_new = len(labels.classes) - len(self.classes_)
        if n_new:
            counts = np.zeros((2, n_new), dtype="float32")
            self.label_counts_ = np.concatenate([self.label_counts_, counts], axis=1)
            arrays = storage.head_to_arrays(self.head_, self._optimizer)
            self.head_.attrs["resize_output"](self.head_, len(labels.classes))
            storage.keep_moments(arrays, self.head_, self._optimizer)
            names = labels.classes.tolist()
            old = self.classes_.tolist()
            self.classes_ = np.asarray([*old, *(name for name in names if name not in set(old))])
            self._sort_classes()
        self.label_counts_ = self.label_counts_ + np.asarray(count_labels(targets))
        self._learn_mean(base, targets)

    def _sort_classes(self) -> None:
        """Sort the classes, with what was learned of each, unless the first y was a matrix."""
        order = np.argsort(self.classes_, kind="stable")
        if self._label_kind == "matrix" or (order == np.arange(len(order))).all():
            return
        self.classes_ = self.classes_[order]
        self.label_counts_ = self.label_counts_[:, order]
        order_output(self.head_, self._optimizer, order)

    def _train(self, batches: Iterable[RowBatch], *, n_steps: int | None) -> bool:
        """RETURNS (bool): Whether all batches were used. False after Ctrl-C."""
        is_complete = False

        def until_the_end() -> Iterator[RowBatch]:
            nonlocal is_complete
            yield from batches
            is_complete = True

        with seeded(self._random):
            self.n_steps_ += train_head(
                self.head_,
                self._loss,
                self._optimizer,
                until_the_end(),
                learning_rate=float(self.learning_rate),
                n_steps=n_steps,
            )
        return is_complete

    def _check_vectors(self, X: Any) -> NDArray[Any]:
        """RETURNS (ndarray): Vectors for a fitted tuner, float32, shape (n, d)."""
        check_is_fitted(self, "head_")
        require_vectors(X)
        checked: NDArray[Any] = validate_data(self, X, dtype="float32", reset=False, order="C")
        return checked

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        tags.target_tags.one_d_labels = True
        tags.target_tags.two_d_labels = True
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags


def _without_even_weights(targets: AnyTargets, counts: NDArray[Any]) -> AnyTargets:
    """RETURNS (Targets): The targets for a loss: with label counts, and without equal weights."""
    weights = None if targets.weights is None else np.asarray(targets.weights)
    if weights is not None and len(weights) and (weights == weights[0]).all():
        weights = None
    return targets._replace(weights=cast(Any, weights), counts=cast(Any, counts))
