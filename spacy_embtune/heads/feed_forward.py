"""Build the feed-forward head: the tuned vector is its hidden layer, a linear layer scores
labels."""

from collections.abc import Callable
from typing import Any, Literal, cast

from thinc.api import Model
from thinc.types import Floats2d

from ..types import HeadOutput
from ._dense import Dense
from ._layers import make_dropout
from ._output_layer import check_width, resize_output, set_head_dims
from ._standardize import Standardize, has_vector

# The first hidden weights are He's, multiplied by this. With weights of the usual size a wide layer
# hardly changes: the output layer learns to predict from the random hidden layer ("lazy training",
# Chizat et al. 2019). Here the hidden layer is the result, so it has to change.
HIDDEN_GAIN = 0.35

_ACTIVATIONS = ("gelu", "mish", "relu", "swish", "tanh")


def FeedForward(
    hidden_width: int = 200,
    dropout: float | None = 0.2,
    activation: Literal["gelu", "mish", "relu", "swish", "tanh"] = "gelu",
    nO: int | None = None,
    nI: int | None = None,
) -> Model[Floats2d, HeadOutput]:
    """Build a head with one hidden layer. Its activations are the tuned vectors.

        base ─► Standardize ─► hidden ─┬────────────────────► tuned
                                       └► dropout ─► linear ─► scores

    The idea comes from embetter's FeedForwardTuner. Input, activation and output layer differ,
    because these scored better. Dropout acts only between the hidden layer and the output layer, so
    a loss on tuned vectors sees them without dropout.

    A row of zeros is a document without a vector. It gets a tuned vector and scores of zero and
    does not take part in training.

    >>> import numpy as np
    >>> head = FeedForward(hidden_width=4, nO=2, nI=3).initialize()
    >>> tuned, scores = head.predict(np.ones((5, 3), dtype="float32"))
    >>> tuned.shape, scores.shape
    ((5, 4), (5, 2))

    hidden_width (int): The width k of the hidden layer and of the tuned vectors.
    dropout (float | None): The share of hidden activations dropped in training, in 0..1 without 1.
        None: spaCy's `training.dropout` sets the rate.
    activation (str): The activation of the hidden layer: "gelu", "mish", "relu", "swish" or "tanh".
    nO (int | None): The number of labels L. None: `initialize` sets it.
    nI (int | None): The width d of the base vectors. None: `initialize` sets it.
    RETURNS (Model[Floats2d, HeadOutput]): A head from base vectors (n, d) to tuned vectors (n, k)
        and raw scores (n, L). Refs: "standardize", "hidden", "output_layer". Dims: "nI" is d, "nH"
        is k, "nO" is L. attrs["resize_output"] adds labels.
    RAISES (ValueError): If an argument is out of range.
    """
    check_width("FeedForward", "hidden_width", hidden_width)
    drop = make_dropout("FeedForward", dropout)
    if activation not in _ACTIVATIONS:
        raise ValueError(
            f"FeedForward: activation is {activation!r}: give one of {list(_ACTIVATIONS)}."
        )
    standardize = Standardize(nI)
    hidden = Dense(activation, nO=hidden_width, nI=nI)
    output_layer = Dense("linear", nO=nO, nI=hidden_width)
    return Model(
        "feed_forward",
        forward,
        init=init,
        layers=[standardize, hidden, drop, output_layer],
        dims={"nI": nI, "nH": hidden_width, "nO": nO},
        refs={"standardize": standardize, "hidden": hidden, "output_layer": output_layer},
        attrs={"resize_output": resize_output},
    )


def forward(
    model: Model[Floats2d, HeadOutput], X: Floats2d, is_train: bool
) -> tuple[HeadOutput, Callable[[HeadOutput], Floats2d]]:
    """Apply the head.

    X (Floats2d): Base vectors, shape (n, d).
    RETURNS (tuple): Tuned vectors (n, k) and scores (n, L), and a callback that takes the gradient
        of both and returns the gradient of X, shape (n, d).
    """
    # By position, because `Model.copy` keeps the layers but not the refs.
    standardize, hidden, drop, output_layer = model.layers
    present = has_vector(X)
    standardised, backprop_standardize = standardize(X, is_train)
    activations, backprop_hidden = hidden(standardised, is_train)
    dropped, backprop_drop = drop(activations, is_train)
    scores, backprop_output = output_layer(dropped, is_train)

    def backprop(gradient: HeadOutput) -> Floats2d:
        d_hidden = backprop_drop(backprop_output(gradient.scores * present))
        d_hidden = d_hidden + gradient.tuned * present
        return backprop_standardize(backprop_hidden(d_hidden))

    return HeadOutput(activations * present, scores * present), backprop


def init(
    model: Model[Floats2d, HeadOutput],
    X: Floats2d | None = None,
    Y: Floats2d | HeadOutput | None = None,
) -> None:
    """Draw new weights.

    X (Floats2d | None): The base vectors of the training corpus, shape (n, d). `Standardize`
        subtracts their mean.
    Y (Floats2d | HeadOutput | None): The values of targets, or the output of a head, with one
        column per label.
    RAISES (ValueError): If a width is not known.
    """
    set_head_dims(model, X, Y)
    standardize, hidden, drop, output_layer = model.layers
    standardize.set_dim("nI", model.get_dim("nI"))
    standardize.initialize(X=X)
    hidden.set_dim("nI", model.get_dim("nI"))
    hidden.initialize()
    hidden.set_param("W", cast(Any, hidden.get_param("W")) * HIDDEN_GAIN)
    drop.initialize()
    output_layer.set_dim("nO", model.get_dim("nO"))
    output_layer.initialize()
