"""Build the linear head: the tuned vector is the base vector, and a linear layer scores labels."""

from collections.abc import Callable
from typing import Any, cast

from thinc.api import Model
from thinc.types import Floats2d

from ..types import HeadOutput
from ._dense import Dense
from ._layers import normalize_rows
from ._output_layer import resize_output, set_head_dims, set_to_zero
from ._standardize import has_vector


def Linear(nO: int | None = None, nI: int | None = None) -> Model[Floats2d, HeadOutput]:
    """Build a head without a hidden layer, for an encoder with `trainable_layers`. The tuned vector
    is the base vector, so the encoder has to learn.

        base ─┬──────────────────────────► tuned
              └► unit length ─► linear ─► scores

    With a frozen encoder, the head learns to predict the labels and does not change the vectors.

    >>> import numpy as np
    >>> head = Linear(nO=2, nI=3).initialize()
    >>> tuned, scores = head.predict(np.ones((5, 3), dtype="float32"))
    >>> tuned.shape, scores.shape
    ((5, 3), (5, 2))

    nO (int | None): The number of labels L. None: `initialize` sets it.
    nI (int | None): The width d of the base vectors. None: `initialize` sets it.
    RETURNS (Model[Floats2d, HeadOutput]): A head from base vectors (n, d) to the same vectors as
        tuned vectors, and raw scores (n, L). Refs: "output_layer". Dims: "nI" and "nH" are d, "nO"
        is L. attrs["resize_output"] adds labels.
    """
    output_layer = Dense("linear", nO=nO, nI=nI)
    return Model(
        "linear_head",
        forward,
        init=init,
        layers=[output_layer],
        dims={"nI": nI, "nH": nI, "nO": nO},
        refs={"output_layer": output_layer},
        attrs={"resize_output": resize_output},
    )


def forward(
    model: Model[Floats2d, HeadOutput], X: Floats2d, is_train: bool
) -> tuple[HeadOutput, Callable[[HeadOutput], Floats2d]]:
    """Apply the head.

    X (Floats2d): Base vectors, shape (n, d).
    RETURNS (tuple): Tuned vectors (n, d) and scores (n, L), and a callback that takes the gradient
        of both and returns the gradient of X, shape (n, d).
    """
    # By position, because `Model.copy` keeps the layers but not the refs.
    (output_layer,) = model.layers
    present = has_vector(X)
    unit, backprop_unit = normalize_rows(model, X)
    scores, backprop_output = output_layer(unit, is_train)

    def backprop(gradient: HeadOutput) -> Floats2d:
        d_base = backprop_unit(backprop_output(gradient.scores * present))
        return cast(Floats2d, (d_base + gradient.tuned) * present)

    return HeadOutput(X, scores * present), backprop


def init(
    model: Model[Floats2d, HeadOutput],
    X: Floats2d | None = None,
    Y: Floats2d | HeadOutput | None = None,
) -> None:
    """Set the output layer to zeros: all labels are equally probable.

    X (Floats2d | None): Base vectors, shape (n, d), which give the width.
    Y (Floats2d | HeadOutput | None): The values of targets, or the output of a head, with one
        column per label.
    RAISES (ValueError): If a width is not known.
    """
    set_head_dims(model, X, Y)
    width = model.get_dim("nI")
    model.set_dim("nH", width)
    (output_layer,) = model.layers
    output_layer.set_dim("nI", width)
    output_layer.set_dim("nO", model.get_dim("nO"))
    output_layer.initialize()
    set_to_zero(cast(Any, output_layer))
