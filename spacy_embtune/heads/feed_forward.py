"""The feed-forward head: its hidden layer is the tuned vector, its output layer the teacher."""

from collections.abc import Callable
from typing import Any, Literal, cast

from thinc.api import Dropout, Gelu, Linear, Mish, Model, Relu, Swish
from thinc.types import Floats2d

from ..types import HeadOutput
from .standardize import Standardize, has_vector

# The bias of a label added to a trained output layer: improbable as long as nothing is known of it
# (sigmoid(-3) is .05), and not so improbable that its gradient vanishes.
NEW_LABEL_BIAS = -3.0

# How much smaller than He's the first hidden weights are. With weights of the usual size a wide
# layer hardly moves: the output layer finds a solution on what random weights give ("lazy
# training", Chizat et al. 2019). The hidden layer is what is kept here, so it has to move.
HIDDEN_GAIN = 0.35


def Tanh(nO: int | None = None, nI: int | None = None) -> Model[Floats2d, Floats2d]:
    """Build a linear layer with tanh activation, which Thinc has not.

    nO (int | None): Output width.
    nI (int | None): Input width.
    RETURNS (Model[Floats2d, Floats2d]): Arrays (n, nI) to arrays (n, nO) in -1..1.
    """
    return Model(
        "tanh",
        _forward_tanh,
        init=Linear().init,
        dims={"nO": nO, "nI": nI},
        params={"W": None, "b": None},
    )


_HIDDEN: dict[str, Callable[..., Model[Floats2d, Floats2d]]] = {
    "gelu": Gelu,
    "mish": Mish,
    "relu": Relu,
    "swish": Swish,
    "tanh": Tanh,
}


def FeedForward(
    hidden_width: int = 200,
    dropout: float | None = 0.2,
    activation: Literal["gelu", "mish", "relu", "swish", "tanh"] = "gelu",
    nO: int | None = None,
    nI: int | None = None,
) -> Model[Floats2d, HeadOutput]:
    """Build a head of one hidden layer, whose activations are the tuned vectors.

        base ─► Standardize ─► hidden ─┬────────────────────► tuned
                                       └► dropout ─► linear ─► scores

    The idea is embetter's FeedForwardTuner's; input, activation and output layer are those that
    did better than its own. Dropout acts between hidden and output layer only: the tuned vector is
    never distorted, also not where a loss looks at it in training.

    A row of base vectors that is all zero, a document without a vector, gives a tuned vector and
    scores of zero and takes no part in training.

    hidden_width (int): The width k of the hidden layer and so of the tuned vectors.
    dropout (float | None): The share of hidden activations dropped in training, in 0..1 without 1.
        None: the rate that spaCy's `training.dropout` sets.
    activation (str): Of the hidden layer: "gelu", "mish", "relu", "swish" or "tanh".
    nO (int | None): The number of labels L. None: known from `initialize`.
    nI (int | None): The width d of the base vectors. None: known from `initialize`.
    RETURNS (Model[Floats2d, HeadOutput]): Base vectors (n, d) to tuned vectors (n, k) and raw
        scores (n, L). Refs: "standardize", "hidden", "output_layer". Dims: "nI" is d, "nH" is k,
        "nO" is L. attrs["resize_output"] is `resize_output`.
    RAISES (ValueError): If an argument is out of range.
    """
    check_width("FeedForward", "hidden_width", hidden_width)
    drop = make_dropout("FeedForward", dropout)
    if activation not in _HIDDEN:
        raise ValueError(f"FeedForward: activation is {activation!r}: give one of {list(_HIDDEN)}.")
    standardize = Standardize(nI)
    hidden = _HIDDEN[activation](nO=hidden_width, nI=nI)
    output_layer = Linear(nO=nO, nI=hidden_width)
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
    RETURNS (tuple): Tuned vectors (n, k) and scores (n, L), and the callback that takes the
        gradient with respect to both and returns the one with respect to X, shape (n, d).
    """
    # By position: `Model.copy` keeps the layers, but not the refs.
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

    X (Floats2d | None): The base vectors of the training corpus, shape (n, d), which
        `Standardize` takes its mean from.
    Y (Floats2d | HeadOutput | None): Targets' values or a head's output: one column a label.
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


def set_head_dims(
    model: Model[Floats2d, HeadOutput], X: Floats2d | None, Y: Floats2d | HeadOutput | None
) -> None:
    """Set the widths "nI" and "nO" of any head from the data it is initialized with.

    X (Floats2d | None): Base vectors, shape (n, d).
    Y (Floats2d | HeadOutput | None): Targets' values or a head's output: one column a label.
    RAISES (ValueError): If a width is not known, neither from the data nor from before.
    """
    if X is not None:
        model.set_dim("nI", X.shape[1])
    if Y is not None:
        labels = Y.scores if isinstance(Y, HeadOutput) else Y
        model.set_dim("nO", labels.shape[1])
    if not model.has_dim("nI"):
        raise ValueError(
            f"{model.name}: the width of the base vectors is not known. Give initialize() a sample "
            "of them as X, or set nI."
        )
    if not model.has_dim("nO"):
        raise ValueError(
            f"{model.name}: the number of labels is not known. Give initialize() a sample of "
            "targets as Y, or set nO."
        )


def resize_output(model: Model[Floats2d, HeadOutput], new_nO: int) -> Model[Floats2d, HeadOutput]:
    """Make room for more labels, without a change to the scores of those that are there.

    The output layer is replaced by a larger one, as in spaCy's text classifiers, so that an
    optimizer finds no moments of the wrong shape for it; refs of this head follow. Whoever holds
    the head inside a larger model sets a ref of their own to its output layer anew.

    model (Model): A feed-forward head, initialized or not; it is changed in place.
    new_nO (int): The new number of labels, not less than the old one once there are weights.
    RETURNS (Model): The same head.
    RAISES (ValueError): If trained labels would get lost.
    """
    output_layer = model.layers[-1]
    if not output_layer.has_param("W"):
        output_layer.set_dim("nO", new_nO, force=True)
        model.set_dim("nO", new_nO, force=True)
        return model
    W, b = cast(Any, output_layer.get_param("W")), cast(Any, output_layer.get_param("b"))
    old_nO, width = W.shape
    if new_nO < old_nO:
        raise ValueError(
            f"{model.name}: cannot resize the output layer from {old_nO} to {new_nO} labels: "
            "labels can be added, not removed. Start from a new head instead."
        )
    if new_nO == old_nO:
        return model
    larger = Linear(nO=new_nO, nI=width)
    larger.ops = output_layer.ops
    new_W: Any = larger.ops.alloc2f(new_nO, width)
    new_b: Any = larger.ops.alloc1f(new_nO)
    new_W[:old_nO] = W
    new_b[:old_nO] = b
    new_b[old_nO:] = NEW_LABEL_BIAS
    larger.set_param("W", new_W)
    larger.set_param("b", new_b)
    model.replace_node(output_layer, larger)
    model.set_dim("nO", new_nO, force=True)
    return model


def check_width(head: str, name: str, width: int) -> None:
    """Check a width that a head is made with.

    head, name (str): The head and its argument, for the error.
    width (int): The width.
    RAISES (ValueError): If it is not an integer above 0.
    """
    if isinstance(width, bool) or not isinstance(width, int) or width < 1:
        raise ValueError(f"{head}: {name} is {width!r}: give an integer above 0.")


def make_dropout(head: str, rate: float | None) -> Model[Floats2d, Floats2d]:
    """Build the dropout layer of a head.

    head (str): The head, for the error.
    rate (float | None): A rate of its own, in 0..1 without 1; None follows `set_dropout_rate`.
    RETURNS (Model[Floats2d, Floats2d]): Arrays to arrays of the same shape.
    RAISES (ValueError): If the rate is out of range.
    """
    if rate is None:
        return Dropout(0.0)
    if not 0.0 <= rate < 1.0:
        raise ValueError(
            f"{head}: dropout is {rate!r}: give a number from 0 to less than 1, or null (None) to "
            "follow spaCy's training.dropout."
        )
    return FixedDropout(rate)


def FixedDropout(rate: float) -> Model[Floats2d, Floats2d]:
    """Build a dropout layer whose rate is its own: `set_dropout_rate` does not find it.

    rate (float): The share of values dropped in training, in 0..1 without 1.
    RETURNS (Model[Floats2d, Floats2d]): Arrays to arrays of the same shape.
    """
    return Model("fixed_dropout", _forward_dropout, attrs={"fixed_dropout_rate": rate})


def _forward_dropout(
    model: Model[Floats2d, Floats2d], X: Floats2d, is_train: bool
) -> tuple[Floats2d, Callable[[Floats2d], Floats2d]]:
    rate = model.attrs["fixed_dropout_rate"]
    if not is_train or rate == 0.0:
        return X, _identity
    mask = cast(Floats2d, model.ops.get_dropout_mask(X.shape, rate))

    def backprop(dY: Floats2d) -> Floats2d:
        return dY * mask

    return X * mask, backprop


def _forward_tanh(
    model: Model[Floats2d, Floats2d], X: Floats2d, is_train: bool
) -> tuple[Floats2d, Callable[[Floats2d], Floats2d]]:
    W = cast(Floats2d, model.get_param("W"))
    Y: Any = model.ops.xp.tanh(model.ops.gemm(X, W, trans2=True) + model.get_param("b"))

    def backprop(dY: Floats2d) -> Floats2d:
        dY = dY * (1.0 - Y * Y)
        model.inc_grad("b", dY.sum(axis=0))
        model.inc_grad("W", model.ops.gemm(dY, X, trans1=True))
        return model.ops.gemm(dY, W)

    return Y, backprop


def _identity(dY: Floats2d) -> Floats2d:
    return dY
