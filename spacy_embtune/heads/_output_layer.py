"""Set the widths of a head, and start and resize its output layer, which scores the labels."""

from typing import Any, cast

from thinc.api import Model
from thinc.types import Floats2d

from ..types import HeadOutput
from ._dense import Dense

# The bias of a label that is added to a trained output layer. The label starts improbable
# (sigmoid(-3) is .05), but not so improbable that its gradient vanishes.
NEW_LABEL_BIAS = -3.0


def check_width(head: str, name: str, width: int) -> None:
    """Check a width that a head is made with.

    head (str): The name of the head, for the error message.
    name (str): The name of the argument, for the error message.
    width (int): The width.
    RAISES (ValueError): If the width is not an integer above 0.
    """
    if isinstance(width, bool) or not isinstance(width, int) or width < 1:
        raise ValueError(f"{head}: {name} is {width!r}: give an integer above 0.")


def set_head_dims(
    model: Model[Floats2d, HeadOutput], X: Floats2d | None, Y: Floats2d | HeadOutput | None
) -> None:
    """Set the widths "nI" and "nO" of a head from the data that it is initialized with.

    model (Model): The head.
    X (Floats2d | None): Base vectors, shape (n, d).
    Y (Floats2d | HeadOutput | None): The values of targets, or the output of a head, with one
        column per label.
    RAISES (ValueError): If a width is given neither by the data nor by the model.
    """
    if X is not None:
        model.set_dim("nI", X.shape[1])
    if Y is not None:
        labels = Y.scores if isinstance(Y, HeadOutput) else Y
        model.set_dim("nO", labels.shape[1])
    if not model.has_dim("nI"):
        raise ValueError(
            f"{model.name}: the width of the base vectors is not known. Give initialize() a sample "
            "of base vectors as X, or set nI."
        )
    if not model.has_dim("nO"):
        raise ValueError(
            f"{model.name}: the number of labels is not known. Give initialize() a sample of "
            "targets as Y, or set nO."
        )


def set_to_zero(layer: Model[Floats2d, Floats2d]) -> None:
    """Set the weights of a layer to zero.

    layer (Model[Floats2d, Floats2d]): A layer with the parameter "W"; it is changed in place.
    """
    layer.set_param("W", cast(Any, layer.get_param("W")) * 0.0)


def resize_output(model: Model[Floats2d, HeadOutput], new_nO: int) -> Model[Floats2d, HeadOutput]:
    """Add labels to a head. The scores of its present labels do not change.

    A larger output layer replaces the present one, as in spaCy's text classifiers, so that an
    optimizer does not meet moments of the wrong shape. The refs of this head point to the new
    layer; a larger model with a ref to the output layer has to set that ref again.

    model (Model): A head whose last layer is its output layer, initialized or not; it is changed in
        place.
    new_nO (int): The new number of labels. Once the layer has weights, not less than the present
        number.
    RETURNS (Model): The same head.
    RAISES (ValueError): If labels that have weights would be removed.
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
    larger = Dense("linear", nO=new_nO, nI=width)
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
