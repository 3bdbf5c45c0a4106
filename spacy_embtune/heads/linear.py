"""The head for an encoder that learns itself: vectors pass through, a linear layer teaches them."""

from collections.abc import Callable
from typing import Any, cast

from thinc.api import Linear as LinearLayer
from thinc.api import Model
from thinc.types import Floats2d

from ..types import HeadOutput
from .contrastive import set_to_zero, to_one_length
from .feed_forward import resize_output, set_head_dims
from .standardize import has_vector


def Linear(nO: int | None = None, nI: int | None = None) -> Model[Floats2d, HeadOutput]:
    """Build a head without a hidden layer, for an encoder with `trainable_layers`: the tuned vector
    is the base vector, and all learning happens below it.

        base ─┬──────────────────────────► tuned
              └► unit length ─► linear ─► scores

    With a frozen encoder it leaves the vectors as they are, and learns to predict the labels.

    nO (int | None): The number of labels L. None: known from `initialize`.
    nI (int | None): The width d of the base vectors. None: known from `initialize`.
    RETURNS (Model[Floats2d, HeadOutput]): Base vectors (n, d) to the same as tuned vectors, and raw
        scores (n, L). Refs: "output_layer". Dims: "nI" and "nH" are d, "nO" is L.
        attrs["resize_output"] is `spacy_embtune.heads.feed_forward.resize_output`.
    """
    output_layer = LinearLayer(nO=nO, nI=nI)
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
    RETURNS (tuple): Tuned vectors (n, d) and scores (n, L), and the callback that takes the
        gradient with respect to both and returns the one with respect to X, shape (n, d).
    """
    # By position: `Model.copy` keeps the layers, but not the refs.
    (output_layer,) = model.layers
    present = has_vector(X)
    unit, backprop_unit = to_one_length(model, X)
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
    """Start with an output layer of zeros: all labels are equally likely.

    X (Floats2d | None): Base vectors, shape (n, d), for their width.
    Y (Floats2d | HeadOutput | None): Targets' values or a head's output: one column a label.
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
