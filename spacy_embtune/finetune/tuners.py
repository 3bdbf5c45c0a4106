"""Tuners for labelled vectors: `FeedForwardTuner` and `ContrastiveTuner`."""

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Literal, cast

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, softmax
from sklearn.base import ClassifierMixin, clone
from sklearn.utils import check_consistent_length

from ..heads import has_vector
from ..labels import CARRIES, MOST_DENSE, SparseTargets, known_rows
from ..training import select_rows
from ._apply import BLOCK, apply_head
from ._base import HeadTuner
from ._calibration import out_of_fold_temperature
from ._temperature import Temperature
from .labels import AnyTargets, Labels, n_documents, read_labels


class FeedForwardTuner(ClassifierMixin, HeadTuner):
    """Tunes vectors to labels with a network of a hidden layer and an output layer, which is
    trained as a classifier. The hidden layer is the tuned vector, and the output layer gives
    `predict` and `predict_proba`. The network is the component's `spacy-embtune.FeedForward.v1`.

        >>> import numpy as np
        >>> X = np.random.RandomState(0).normal(size=(20, 8))
        >>> y = np.where(X[:, 0] > 0, "A", "B")
        >>> tuner = FeedForwardTuner(hidden_dim=4, n_epochs=5, random_state=0).fit(X, y)
        >>> tuner.transform(X).shape, tuner.predict_proba(X).shape, tuner.classes_.tolist()
        ((20, 4), (20, 2), ['A', 'B'])

    hidden_dim (int): The width k of the tuned vectors. (embetter: 50.)
    n_epochs (int | None): The number of passes over the rows in `fit`. None: about 250 steps, and
        at least 10 passes. (embetter: 500.)
    learning_rate (float): The learning rate of Adam; in `fit` it falls linearly to 0. (embetter:
        0.01.)
    batch_size (int): The number of rows in a step.
    dropout (float): The dropout rate between hidden layer and output layer, 0..1.
    activation (str): The activation of the hidden layer: "gelu", "mish", "relu", "swish" or "tanh".
    weight_decay (float): The decoupled weight decay, as in AdamW.
    class_weight (str | dict | None): "balanced": rare classes have more weight. A dict: the weight
        of the documents of each class, 1 for classes without an entry; only with exclusive classes.
    label_smoothing (float): The part of each target that is spread evenly over the classes, 0..1.
    exclusive_classes (bool | None): Whether a document has exactly one label. None: decided by y.
    threshold (float): The probability from which a label is predicted, 0..1, if labels are not
        exclusive.
    calibrate (bool | None): Whether probabilities are divided by a temperature, so that they agree
        with how often they are right. It is learned when it is first needed (`predict_proba`,
        saving, pickling): by three more tuners on two thirds of the rows each, or by one from 3000
        rows on. None: if classes are exclusive; otherwise it hardly changes anything.
        `partial_fit` does not calibrate.
    label_vectors (Mapping | None): For a class, the vector of its name or of a text that describes
        it, shape (d,), or of several texts, shape (k, d); `encode_labels` makes it. Each class is
        then trained on its texts as well, with a weight that falls as labels grow, so that few
        labelled rows are enough. Classes that y does not have are learned from their texts alone.
        The texts are left out, with a warning, if they do not tell the rows of y apart.
    random_state (int | RandomState | None): The seed for reproducible results.
    """

    def __init__(
        self,
        hidden_dim: int = 200,
        n_epochs: int | None = None,
        learning_rate: float = 0.001,
        batch_size: int = 64,
        *,
        dropout: float = 0.2,
        activation: Literal["gelu", "mish", "relu", "swish", "tanh"] = "gelu",
        weight_decay: float = 0.01,
        class_weight: Literal["balanced"] | dict[Any, float] | None = None,
        label_smoothing: float = 0.0,
        exclusive_classes: bool | None = None,
        threshold: float = 0.5,
        calibrate: bool | None = None,
        label_vectors: Mapping[Any, Any] | None = None,
        random_state: Any = None,
    ) -> None:
        self.hidden_dim = hidden_dim
        self.n_epochs = n_epochs
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.dropout = dropout
        self.activation = activation
        self.weight_decay = weight_decay
        self.class_weight = class_weight
        self.label_smoothing = label_smoothing
        self.exclusive_classes = exclusive_classes
        self.threshold = threshold
        self.calibrate = calibrate
        self.label_vectors = label_vectors
        self.random_state = random_state

    def head_config(self) -> dict[str, Any]:
        return {
            "@architectures": "spacy-embtune.FeedForward.v1",
            "hidden_width": int(self.hidden_dim),
            "dropout": self.dropout,
            "activation": self.activation,
        }

    def loss_config(self) -> dict[str, Any]:
        return {
            "@losses": "spacy-embtune.cross_entropy.v1",
            "class_weight": None if isinstance(self.class_weight, dict) else self.class_weight,
            "label_smoothing": self.label_smoothing,
        }

    def _weigh(self, labels: Labels, *, whole: bool) -> Labels:
        if not isinstance(self.class_weight, dict):
            return labels
        targets = labels.targets
        if not targets.exclusive:
            raise ValueError(
                "class_weight is a dict, but documents may have several labels. Give "
                '"balanced", or sample_weight to fit.'
            )
        classes = labels.classes.tolist()
        unknown = [c for c in self.class_weight if c not in classes]
        if unknown and whole:
            raise ValueError(
                f"class_weight names {unknown[0]!r}, which is not among the classes: "
                f"{', '.join(map(repr, classes[:10]))}."
            )
        of_class = np.asarray([float(self.class_weight.get(c, 1.0)) for c in classes])
        if not ((of_class >= 0) & (of_class < np.inf)).all():
            raise ValueError("class_weight has a weight that is negative or not finite.")
        if isinstance(targets, SparseTargets):
            weighted, sums = targets.row_sums(of_class), targets.row_sums()
        else:
            values: Any = np.asarray(targets.values)
            weighted, sums = values @ of_class, values.sum(axis=1)
        # The part of 1 that known labels leave may belong to any class, and has weight 1.
        weights: Any = weighted + np.clip(1.0 - sums, 0.0, 1.0)
        if targets.weights is not None:
            weights = weights * np.asarray(targets.weights)
        return labels._replace(targets=targets._replace(weights=weights))

    def predict_proba(self, X: Any) -> NDArray[Any]:
        """Estimate the probabilities of the labels.

        X (Any): Vectors, shape (n, d).
        RETURNS (ndarray): The probabilities, float64, shape (n, L), in the order of `classes_`.
            With exclusive classes they sum to 1. For a row of zeros they are equal if classes are
            exclusive, and otherwise 0.
        RAISES (NotFittedError): Before `fit`.
        """
        X = self._check_vectors(X)
        probabilities = np.empty((len(X), len(self.classes_)))
        for block, found in self._probability_blocks(X):
            probabilities[block] = found
        return probabilities

    def _probability_blocks(self, X: NDArray[Any]) -> Iterator[tuple[slice, NDArray[Any]]]:
        """YIELDS (tuple): Some rows of X, and their probabilities, float64."""
        temperature = self.temperature_
        # Whole blocks of `apply_head`, so that a row has the same result in any block.
        size = BLOCK * max(1, MOST_DENSE // (BLOCK * len(self.classes_)))
        for start in range(0, len(X), size):
            block = slice(start, min(start + size, len(X)))
            scores = apply_head(self.head_, X[block])[1].astype("float64") / temperature
            if self.exclusive_classes_:
                yield block, softmax(scores, axis=1)
            else:
                yield block, expit(scores) * has_vector(cast(Any, X[block]))

    def predict(self, X: Any) -> NDArray[Any]:
        """Predict labels.

        X (Any): Vectors, shape (n, d).
        RETURNS (ndarray): The most probable class of each row, shape (n,), if classes are
            exclusive and the y of `fit` was not a matrix; otherwise 0 or 1 for each label, shape
            (n, L): 1 from the probability `threshold` on, if labels are not exclusive.
        RAISES (NotFittedError): Before `fit`.
        """
        X = self._check_vectors(X)
        if self.exclusive_classes_ and self._label_kind != "matrix":
            best = [found.argmax(axis=1) for _, found in self._probability_blocks(X)]
            return self.classes_[np.concatenate(best)]
        decided = np.empty((len(X), len(self.classes_)), dtype=int)
        for block, found in self._probability_blocks(X):
            decided[block] = self._decide(found)
        return decided

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Compute the accuracy: the share of rows whose known labels are all predicted correctly.
        Rows without a known label do not count. A class that the tuner does not know counts as
        predicted wrong.

        X, y, sample_weight (Any): As for `fit`.
        RETURNS (float): The accuracy, 0..1.
        RAISES (NotFittedError): Before `fit`.
        """
        X = self._check_vectors(X)
        targets = read_labels(
            y, classes=self.classes_, allow_new=True, exclusive=self.exclusive_classes_
        ).targets
        check_consistent_length(X, range(n_documents(targets)), sample_weight)
        counted = known_rows(targets)
        if not counted.any():
            raise ValueError("y has no known label, so there is nothing to compare with.")
        right = np.zeros(len(X), dtype=bool)
        for block, found in self._probability_blocks(X):
            some = select_rows(targets, np.arange(len(X))[block])
            values, known = np.asarray(some.values), np.asarray(some.known) > 0
            predicted = np.zeros(values.shape, dtype=bool)
            predicted[:, : len(self.classes_)] = self._decide(found)
            right[block] = (~known | (predicted == (values >= CARRIES))).all(axis=1)
        weights = None if sample_weight is None else np.asarray(sample_weight)[counted]
        return float(np.average(right[counted], weights=weights))

    def _calibrate(self, base: NDArray[Any], labels: Labels, targets: AnyTargets) -> None:
        wanted = targets.exclusive if self.calibrate is None else self.calibrate
        if wanted:
            # The parameters as they are now, not as they are when it is computed.
            template = clone(self)
            template.n_features_in_ = self.n_features_in_
            self._temperature = Temperature(
                compute=lambda: out_of_fold_temperature(template, base, labels, targets) or 1.0
            )

    def _decide(self, probabilities: NDArray[Any]) -> NDArray[Any]:
        """RETURNS (ndarray of bool): Whether each label is predicted for each row, shape (n, L)."""
        if not self.exclusive_classes_:
            return probabilities >= self.threshold
        best = probabilities.argmax(axis=1)
        return np.arange(len(self.classes_)) == best[:, None]

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags


# The weight of cosine_pairs in "mixed": its gradients are smaller by about this factor. Measured,
# see benchmarks/README.md.
COSINE_PAIRS_WEIGHT = 40.0

# The length of a fit without a number of epochs: about so many steps, and at least so many epochs.
# With a learning rate of .003 and a hidden width of 256, vectors are about as good as after 250
# steps with .001 and 384, see benchmarks/README.md.
CONTRASTIVE_STEPS = 100
CONTRASTIVE_EPOCHS = 5

# The name in older versions of embetter.
ForwardFinetuner = FeedForwardTuner


class ContrastiveTuner(HeadTuner):
    """Tunes vectors to labels by comparing all documents of a batch, so that documents with the
    same labels come closer. The network is residual and starts as the identity, so that with few
    labels it changes little. It is the component's `spacy-embtune.Contrastive.v1`.

        >>> import numpy as np
        >>> X = np.random.RandomState(0).normal(size=(20, 8))
        >>> y = np.where(X[:, 0] > 0, "A", "B")
        >>> tuner = ContrastiveTuner(epochs=5, random_state=0).fit(X, y)
        >>> tuner.transform(X).shape
        (20, 8)

    hidden_dim (int | None): The width k of the tuned vectors. None: the width of the vectors.
        (embetter: 50.)
    n_neg (int): Not used; it is there for scripts written for embetter, which samples this many
        negative pairs for each positive pair. Here all pairs of a batch are compared.
    epochs (int | None): The number of passes over the rows in `fit`. None: about 100 steps, and at
        least 5 passes. (embetter: 20.)
    learning_rate (float): The learning rate of Adam; in `fit` it falls linearly to 0. (embetter:
        0.001.)
    batch_size (int): The number of rows in a step.
    loss (str): "supervised_contrastive" (the component's), "cosine_pairs" (embetter's, over all
        pairs of a batch) or "mixed" (the sum of both, with a weight of 40 for "cosine_pairs").
    temperature (float): The temperature of "supervised_contrastive". With a lower one, the nearest
        documents of other classes have more influence.
    preserve (float | None): The weight of the loss that keeps the similarities of the vectors; 0
        leaves it out. None: 30 with "supervised_contrastive", 10 with "mixed", 3 with
        "cosine_pairs".
    negatives (str): "class": two documents that both lack a label are similar in that label.
        "ignore": they are not.
    hidden_width (int): The width of the hidden layer.
    dropout (float): The dropout rate of the hidden layer, 0..1.
    weight_decay (float): The decoupled weight decay, as in AdamW. It pulls the network back to the
        identity.
    exclusive_classes, label_vectors, random_state: As for `FeedForwardTuner`.
    """

    _default_steps: ClassVar[int] = CONTRASTIVE_STEPS
    _min_epochs: ClassVar[int] = CONTRASTIVE_EPOCHS

    def __init__(
        self,
        hidden_dim: int | None = None,
        n_neg: int = 3,
        epochs: int | None = None,
        learning_rate: float = 0.003,
        *,
        batch_size: int = 64,
        loss: Literal["mixed", "supervised_contrastive", "cosine_pairs"] = "mixed",
        temperature: float = 0.1,
        preserve: float | None = None,
        negatives: Literal["ignore", "class"] = "ignore",
        hidden_width: int = 256,
        dropout: float = 0.2,
        weight_decay: float = 2.0,
        exclusive_classes: bool | None = None,
        label_vectors: Mapping[Any, Any] | None = None,
        random_state: Any = None,
    ) -> None:
        self.hidden_dim = hidden_dim
        self.n_neg = n_neg
        self.epochs = epochs
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.loss = loss
        self.temperature = temperature
        self.preserve = preserve
        self.negatives = negatives
        self.hidden_width = hidden_width
        self.dropout = dropout
        self.weight_decay = weight_decay
        self.exclusive_classes = exclusive_classes
        self.label_vectors = label_vectors
        self.random_state = random_state

    def head_config(self) -> dict[str, Any]:
        return {
            "@architectures": "spacy-embtune.Contrastive.v1",
            "hidden_width": int(self.hidden_width),
            "output_width": None if self.hidden_dim is None else int(self.hidden_dim),
            "dropout": self.dropout,
        }

    def loss_config(self) -> dict[str, Any]:
        names = ("mixed", "supervised_contrastive", "cosine_pairs")
        if self.loss not in names:
            raise ValueError(f"loss is {self.loss!r}: give one of {', '.join(names)}.")
        if not self.temperature > 0:
            raise ValueError(f"temperature is {self.temperature!r}: give a number above 0.")
        by_order = self.loss in ("mixed", "supervised_contrastive")
        parts: dict[str, float] = {self.loss: 1.0}
        if self.loss == "mixed":
            parts = {"supervised_contrastive": 1.0, "cosine_pairs": COSINE_PAIRS_WEIGHT}
        default = {"supervised_contrastive": 30.0, "mixed": 10.0}.get(self.loss, 3.0)
        parts["preserve"] = default if self.preserve is None else self.preserve
        losses: dict[str, dict[str, Any]] = {
            name: {"@losses": f"spacy-embtune.{name}.v1", "negatives": self.negatives}
            for name in parts
        }
        if by_order:
            losses["supervised_contrastive"]["temperature"] = self.temperature
        return {"@losses": "spacy-embtune.sum.v1", "losses": losses, "weights": parts}

    def _n_epochs(self) -> int | None:
        return self.epochs
