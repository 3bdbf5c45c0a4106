"""An encoder without a sentence-transformers model: it pools what the pipeline already has."""

from collections.abc import Callable, Sequence
from typing import Any, Literal, cast, get_args

from spacy.tokens import Doc
from thinc.api import Model
from thinc.types import Floats2d

Source = Literal["auto", "vectors", "tensor"]
Pooling = Literal["mean", "max"]


def DocVectors(
    source: Source = "auto", pooling: Pooling = "mean"
) -> Model[Sequence[Doc], Floats2d]:
    """Base vectors of Docs, pooled over their tokens; white space and tokens without a vector do
    not count. Frozen: whatever makes the token vectors learns nothing from here.

    source (str): "vectors", the static vectors of the vocabulary; "tensor", `doc.tensor`, which an
        earlier tok2vec sets (during training only if it is one of `annotating_components`);
        "auto": "vectors" if the vocabulary has some, else "tensor".
    pooling (str): "mean" or "max".
    RETURNS (Model[Sequence[Doc], Floats2d]): The layer. A Doc without any token vector gets zeros.
    """
    for name, value, allowed in (("source", source, Source), ("pooling", pooling, Pooling)):
        if value not in get_args(allowed):
            raise ValueError(
                f"DocVectors: unknown {name} {value!r}. Choose one of: "
                f"{', '.join(get_args(allowed))}."
            )
    return Model(
        "doc_vectors",
        forward,
        init=init,
        dims={"nO": None},
        attrs={"source": source, "pooling": pooling, "reads_texts": False},
    )


def forward(
    model: Model[Sequence[Doc], Floats2d], X: Sequence[Doc], is_train: bool
) -> tuple[Floats2d, Callable[[Floats2d], list[Any]]]:
    tables = [_token_vectors(model, doc) for doc in X]
    width = model.maybe_get_dim("nO") or max((table.shape[1] for table in tables), default=0)
    if not width:
        raise ValueError(_missing(model))
    model.set_dim("nO", width)
    Y = model.ops.alloc2f(len(X), width)
    for row, doc, table in zip(Y, X, tables, strict=True):
        if len(table) and table.shape[1] != width:
            raise ValueError(
                f"DocVectors: a Doc has token vectors of width {table.shape[1]}, expected {width}. "
                f"The pipeline's vectors or its tok2vec are not those it was trained with."
            )
        if len(table) == 0 and any(not token.is_space for token in doc):
            _check_has_source(model, doc)
        if len(table):
            row[:] = table.mean(axis=0) if model.attrs["pooling"] == "mean" else table.max(axis=0)

    def backprop(dY: Floats2d) -> list[Any]:
        return []

    return Y, backprop


def init(
    model: Model[Sequence[Doc], Floats2d], X: Sequence[Doc] | None = None, Y: Any = None
) -> None:
    if X is not None:
        forward(model, X, is_train=False)


def _token_vectors(model: Model[Any, Any], doc: Doc) -> Floats2d:
    """RETURNS (Floats2d): The vectors of the tokens that have one, shape (m, width)."""
    words = [token.i for token in doc if not token.is_space]
    if choose_source(model, doc) == "tensor":
        if len(doc.tensor) != len(doc):
            return model.ops.alloc2f(0, 0)
        table = model.ops.asarray2f(cast(Any, doc.tensor))[words]
    else:
        vectors = doc.vocab.vectors
        if vectors.shape[1] == 0 or not words:
            return model.ops.alloc2f(0, vectors.shape[1])
        table = model.ops.asarray2f(vectors.get_batch([doc[i].orth for i in words]))
    return cast(Floats2d, table[table.any(axis=1)])


def choose_source(model: Model[Any, Any], doc: Doc) -> str:
    """RETURNS (str): Where the layer takes the token vectors of a Doc from."""
    if model.attrs["source"] != "auto":
        return str(model.attrs["source"])
    return "vectors" if doc.vocab.vectors.shape[1] else "tensor"


def _check_has_source(model: Model[Any, Any], doc: Doc) -> None:
    if choose_source(model, doc) == "vectors":
        has_source = doc.vocab.vectors.shape[1] > 0
    else:
        has_source = len(doc.tensor) == len(doc)
    if not has_source:
        raise ValueError(_missing(model))


def _missing(model: Model[Any, Any]) -> str:
    return (
        f"DocVectors (source = {model.attrs['source']!r}) found no token vectors: the vocabulary "
        f"has no static vectors, or no earlier component has set doc.tensor. Start from a pipeline "
        f"with vectors ([initialize] vectors = ...), or put a tok2vec before embtune and, for "
        f"training, into [training] annotating_components."
    )
