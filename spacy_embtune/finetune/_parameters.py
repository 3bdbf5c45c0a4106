"""Checks of parameters and inputs in `fit`, where scikit-learn expects them."""

import math
from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any

from ..training import count_batches

# Parameters that have to be integers above 0; some of them may be None.
_COUNTS = ("hidden_dim", "hidden_width", "shape_out", "n_epochs", "epochs", "batch_size")
_MAY_BE_NONE = ("n_epochs", "epochs", "hidden_dim", "shape_out")
_NUMBERS = (
    *("dropout", "label_smoothing", "temperature", "preserve", "n_neg", "warmup_steps"),
    *("memory_mb", "trainable_layers"),
)


# The length of a fit without a number of epochs: about so many steps, and at least so many epochs.
# Some estimators have a length of their own.
DEFAULT_STEPS = 250
MIN_EPOCHS = 10


def count_epochs(
    n: int,
    batch_size: int,
    n_epochs: int | None,
    *,
    default_steps: int = DEFAULT_STEPS,
    min_epochs: int = MIN_EPOCHS,
) -> int:
    """Count the epochs of a fit.

    n (int): The number of documents or pairs.
    batch_size (int): The size of a batch.
    n_epochs (int | None): The epochs that the user asked for; None: as many as make about
        `default_steps` steps, and at least `min_epochs`.
    default_steps, min_epochs (int): The length of a fit without a number of epochs.
    RETURNS (int): The number of epochs.
    """
    if n_epochs is not None:
        return n_epochs
    return max(min_epochs, math.ceil(default_steps / count_batches(n, batch_size)))


def check_parameters(estimator: Any) -> None:
    """Check the parameters that several estimators share.

    estimator (BaseEstimator): The estimator.
    RAISES (ValueError): If one is out of range; it names the parameter.
    """
    name = type(estimator).__name__
    parameters = estimator.get_params(deep=False)
    for key in _COUNTS:
        value = parameters.get(key, 1)
        if value is None and key in _MAY_BE_NONE:
            continue
        if isinstance(value, bool) or not isinstance(value, Integral) or value < 1:
            raise ValueError(f"{name}: {key} is {value!r}: give an integer above 0.")
    for key in _NUMBERS:
        value = parameters.get(key)
        if value is not None and (isinstance(value, bool) or not isinstance(value, Real)):
            raise ValueError(f"{name}: {key} is {value!r}: give a number.")
    rate = parameters.get("learning_rate", 1.0)
    if not isinstance(rate, Real) or not 0.0 < float(rate) < math.inf:
        raise ValueError(f"{name}: learning_rate is {rate!r}: give a number above 0.")
    threshold = parameters.get("threshold", 0.5)
    if (
        isinstance(threshold, bool)
        or not isinstance(threshold, Real)
        or not 0.0 <= float(threshold) <= 1.0
    ):
        raise ValueError(f"{name}: threshold is {threshold!r}: give a probability, 0 to 1.")
    decay = parameters.get("weight_decay", 0.0)
    if not isinstance(decay, Real) or not 0.0 <= float(decay) < math.inf:
        raise ValueError(f"{name}: weight_decay is {decay!r}: give a number of 0 or more.")


def require_vectors(X: Any, *, name: str = "X") -> None:
    """Check that X does not contain texts, because users may forget the encoder.

    X (Any): The input of an estimator.
    name (str): The name of the input in the error message.
    RAISES (ValueError): If X is a text, or its first element is a text.
    """
    if isinstance(X, str):
        first: Any = X
    elif getattr(X, "ndim", 0) == 2 and X.shape[1:] == (1,) and len(X):
        # A table of one column.
        first = (X.to_numpy() if hasattr(X, "to_numpy") else X)[0, 0]
    else:
        is_row = isinstance(X, Sequence) or getattr(X, "ndim", 0) == 1
        first = next(iter(X), None) if is_row else None
    if isinstance(first, str):
        raise ValueError(
            f"{name} contains texts: {str(first)!r:.40}. Give their vectors, such as "
            "SentenceEncoder().transform(texts), or put an encoder before the tuner: "
            "make_pipeline(SentenceEncoder(), tuner)."
        )
