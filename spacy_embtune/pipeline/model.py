"""The model of the component: an encoder and a head."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray
from spacy.tokens import Doc
from thinc.api import Model, Ops
from thinc.types import Floats2d

from ..metrics import Rows, row_blocks
from ..types import HeadOutput, Output
from .doc_embedding import refuse_replacement

# The probabilities of an untrained output layer are all equal, but for rounding errors of this
# size.
_ROUNDING = 1e-6

Encoder = Model[Sequence[Doc | str], Floats2d]
Head = Model[Floats2d, HeadOutput]


class SpanVectors(NamedTuple):
    """The vectors of the spans of n documents.

    offsets (list[list[tuple[int, int]]]): For each document, the first and last offset of each of
        its m spans, in characters.
    base (list[ndarray]): For each document, the base vectors of its spans, float32, shape (m, d).
    tuned (list[ndarray] | None): The tuned vectors, shape (m, k) each; None before training.
    """

    offsets: list[list[tuple[int, int]]]
    base: list[NDArray[Any]]
    tuned: list[NDArray[Any]] | None


class Prediction(NamedTuple):
    """The vectors and label probabilities of n documents, as numpy arrays.

    base (ndarray): Base vectors, float32, shape (n, d).
    tuned (ndarray | None): Tuned vectors, float32, shape (n, k); None before training.
    cats (ndarray | None): Probabilities of the labels, float32, shape (n, L); None before training.
    spans (SpanVectors | None): The vectors of spans of the documents; None if the component embeds
        documents only.
    """

    base: NDArray[Any]
    tuned: NDArray[Any] | None
    cats: NDArray[Any] | None
    spans: SpanVectors | None = None


def EmbTuneModel(encoder: Encoder, head: Head) -> Model[Sequence[Doc | str], Output]:
    """Combine an encoder and a head into one layer, `spacy-embtune.EmbTune.v1`.

    >>> from spacy import registry
    >>> encoder = registry.architectures.get("spacy-embtune.DocVectors.v1")()
    >>> head = registry.architectures.get("spacy-embtune.FeedForward.v1")()
    >>> [layer.name for layer in EmbTuneModel(encoder, head).layers]
    ['doc_vectors', 'feed_forward']

    encoder (Model[Sequence[Doc | str], Floats2d]): Turns documents into base vectors. It takes
        strings as well if attrs["reads_texts"] is True.
    head (Model[Floats2d, HeadOutput]): Turns base vectors into tuned vectors and raw label scores.
        It has a dimension "nO", the number of labels, and a ref "output_layer".
    RETURNS (Model[Sequence[Doc | str], Output]): The layer, with the refs `encoder`, `head` and
        `output_layer`. Its backward pass takes the gradients as a `HeadOutput`.
    """
    attrs: dict[str, Any] = {"replace_listener": refuse_replacement}
    attrs["replace_listener_cfg"] = refuse_replacement
    if "resize_output" in head.attrs:
        attrs["resize_output"] = resize_output
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
    """Initialize the encoder and the head. X is the training corpus or a large sample of it,
    because the head learns the mean of its base vectors. A cache keeps them for the updates.
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
    """Change the number of labels of the head. The weights of the old labels are kept."""
    head = model.get_ref("head")
    head.attrs["resize_output"](head, new_nO)
    model.set_dim("nO", new_nO, force=True)
    _refer_to_output_layer(model)
    return model


def _refer_to_output_layer(model: Model[Any, Any]) -> None:
    model.set_ref("output_layer", model.get_ref("head").maybe_get_ref("output_layer"))


def to_probabilities(
    ops: Ops, output: Output, *, exclusive: bool, temperature: float = 1.0
) -> Floats2d:
    """Turn raw scores into probabilities of the labels. For a document without a vector, exclusive
    labels are equally likely, and other labels get the probability 0.

    ops (Ops): Computes them.
    output (Output): The output of the model for n documents.
    exclusive (bool): Whether a document carries exactly one label.
    temperature (float): Raw scores are divided by it. Above 1, probabilities are less certain.
    RETURNS (Floats2d): Probabilities, shape (n, L).
    """
    has_vector: Any = cast(Any, output.base).any(axis=1, keepdims=True)
    scores = output.scores if temperature == 1.0 else output.scores / temperature
    if exclusive:
        return ops.softmax(scores * has_vector)
    return ops.sigmoid(scores) * has_vector


def has_predictions(
    probabilities: Rows, *, exclusive: bool, has_vector: NDArray[np.bool_] | None = None
) -> bool:
    """Find out whether probabilities tell labels apart. They do not if no loss trained the output
    layer.

    >>> has_predictions(np.asarray([[0.5, 0.5]]), exclusive=True)
    False

    probabilities (Rows): Probabilities of documents, shape (n, L). They are read in blocks of rows.
    exclusive (bool): Whether a document carries exactly one label.
    has_vector (ndarray | None): Whether each document has a vector, bool, shape (n,); the others
        are left out. None: all have one.
    RETURNS (bool): Whether a probability differs from that of an untrained layer.
    """
    n, n_labels = probabilities.shape
    rows = np.arange(n) if has_vector is None else np.flatnonzero(has_vector)
    if not n_labels:
        return False
    neutral = 1 / n_labels if exclusive else 0.5
    return any(
        bool(np.abs(probabilities[rows[block]] - neutral).max() > _ROUNDING)
        for block in row_blocks(rows.size, n_labels)
    )
