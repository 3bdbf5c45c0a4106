"""The whole model: an encoder, and a head on its vectors."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, cast

from numpy.typing import NDArray
from spacy.tokens import Doc
from thinc.api import Model, Ops
from thinc.types import Floats2d

from ..types import HeadOutput, Output

Encoder = Model[Sequence[Doc | str], Floats2d]
Head = Model[Floats2d, HeadOutput]


class Prediction(NamedTuple):
    """What the component makes of n documents, as numpy arrays.

    base (ndarray): Base vectors, float32, shape (n, d).
    tuned (ndarray | None): Tuned vectors, float32, shape (n, k); None before training.
    cats (ndarray | None): Probabilities of the labels, float32, shape (n, L); None before training.
    """

    base: NDArray[Any]
    tuned: NDArray[Any] | None
    cats: NDArray[Any] | None


def EmbTuneModel(encoder: Encoder, head: Head) -> Model[Sequence[Doc | str], Output]:
    """An encoder and a head as one layer.

    encoder (Model[Sequence[Doc | str], Floats2d]): Makes base vectors of documents. With
        attrs["reads_texts"] it takes plain strings as well.
    head (Model[Floats2d, HeadOutput]): Makes tuned vectors and raw label scores of base vectors.
        It has a dimension "nO", the number of labels, and a ref "output_layer".
    RETURNS (Model[Sequence[Doc | str], Output]): The layer, with the refs `encoder`, `head` and
        `output_layer`. Its backward pass takes a `HeadOutput` of gradients.
    """
    attrs = {"resize_output": resize_output} if "resize_output" in head.attrs else {}
    model: Model[Sequence[Doc | str], Output] = Model(
        "embtune",
        forward,
        init=init,
        layers=[encoder, head],
        dims={"nO": None},
        refs={"encoder": encoder, "head": head, "output_layer": None},
        attrs=attrs,
    )
    _refer_to_output_layer(model)
    return model


def forward(
    model: Model[Sequence[Doc | str], Output], X: Sequence[Doc | str], is_train: bool
) -> tuple[Output, Callable[[HeadOutput], Any]]:
    # By position: `Model.copy` keeps the layers, but not the refs.
    encoder, head = model.layers
    base, backprop_base = encoder(X, is_train=is_train)
    (tuned, scores), backprop_head = head(base, is_train=is_train)

    def backprop(gradient: HeadOutput) -> Any:
        return backprop_base(backprop_head(gradient))

    return Output(base, tuned, scores), backprop


def init(
    model: Model[Sequence[Doc | str], Output],
    X: Sequence[Doc | str] | None = None,
    Y: Floats2d | None = None,
) -> None:
    """X is the training corpus or a large sample of it, not ten documents: the head learns the
    mean of its base vectors, which with a cache costs nothing, as they are needed later anyway.
    """
    encoder = model.get_ref("encoder")
    head = model.get_ref("head")
    base = None
    if X is None:
        encoder.initialize()
    else:
        encoder.initialize(X=X[:10])
        base = encoder.predict(X)
    head.initialize(X=base, Y=cast(Any, Y))
    if head.has_dim("nO"):
        model.set_dim("nO", head.get_dim("nO"), force=True)
    _refer_to_output_layer(model)


def resize_output(model: Model[Any, Any], new_nO: int) -> Model[Any, Any]:
    """Give the head another number of labels; what it knows of the old ones stays."""
    head = model.get_ref("head")
    head.attrs["resize_output"](head, new_nO)
    model.set_dim("nO", new_nO, force=True)
    _refer_to_output_layer(model)
    return model


def _refer_to_output_layer(model: Model[Any, Any]) -> None:
    model.set_ref("output_layer", model.get_ref("head").maybe_get_ref("output_layer"))


def to_probabilities(ops: Ops, output: Output, *, exclusive: bool) -> Floats2d:
    """Turn raw scores into probabilities of the labels. A document without a vector says nothing of
    its label: with exclusive labels all are equally likely, else none is predicted.

    ops (Ops): Computes them.
    output (Output): What the model gave for n documents.
    exclusive (bool): Whether a document carries exactly one label.
    RETURNS (Floats2d): Probabilities, shape (n, L).
    """
    has_vector: Any = cast(Any, output.base).any(axis=1, keepdims=True)
    if exclusive:
        return ops.softmax(output.scores * has_vector)
    return ops.sigmoid(output.scores) * has_vector
