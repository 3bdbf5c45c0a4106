"""An encoder layer without a model of its own: it pools token vectors of the pipeline."""

from collections.abc import Callable, Sequence
from typing import Any, Literal, cast, get_args

import numpy as np
from spacy.tokens import Doc, Span
from thinc.api import Model
from thinc.types import Floats2d

Source = Literal["auto", "vectors", "tensor", "transformer"]
Pooling = Literal["mean", "max"]


def DocVectors(
    source: Source = "auto", pooling: Pooling = "mean"
) -> Model[Sequence[Doc], Floats2d]:
    """Make a layer that pools the token vectors of Docs to base vectors. White space and tokens
    without a vector are left out. The layer is frozen: it passes no gradient on to the component
    that makes the token vectors. Of a Span it pools the vectors that its tokens have in the Doc.

    source (str): "vectors": the static vectors of the vocabulary. "tensor": `doc.tensor`, which an
        earlier tok2vec sets. "transformer": `doc._.trf_data`, which an earlier `transformer` or
        `curated_transformer` sets: the vectors of all word pieces of a token. During training,
        tok2vec and transformer must be among the `annotating_components`. "auto": "vectors" if the
        vocabulary has vectors, else "tensor" if the Doc has one, else "transformer" if the Doc has
        its output, else "tensor".
    pooling (str): "mean" or "max".
    RETURNS (Model[Sequence[Doc], Floats2d]): The layer. A Doc without any token vector gets zeros.
    RAISES (ValueError): If a setting is unknown.

    >>> import numpy as np, spacy
    >>> nlp = spacy.blank("en")
    >>> _ = nlp.vocab.set_vector("bread", np.array([1.0, 0.0, 3.0]))
    >>> DocVectors().predict([nlp("bread"), nlp("")]).tolist()
    [[1.0, 0.0, 3.0], [0.0, 0.0, 0.0]]
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
        attrs={"source": source, "pooling": pooling, "reads_texts": False, "reads_spans": True},
    )


def forward(
    model: Model[Sequence[Doc], Floats2d], X: Sequence[Doc | Span], is_train: bool
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
                f"The pipeline was trained with other vectors, or another tok2vec."
            )
        if len(table) == 0 and any(not token.is_space for token in doc):
            _check_has_source(model, doc.doc)
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


def _token_vectors(model: Model[Any, Any], part: Doc | Span) -> Floats2d:
    """RETURNS (Floats2d): The vectors of the tokens of a Doc or Span that have one, shape (m,
    width)."""
    words = [token.i for token in part if not token.is_space]
    doc = part.doc
    source = choose_source(model, doc)
    if source == "transformer":
        table = model.ops.asarray2f(cast(Any, _piece_vectors(doc, words)))
    elif source == "tensor":
        if len(doc.tensor) != len(doc) or not words:
            return model.ops.alloc2f(0, 0)
        table = model.ops.asarray2f(cast(Any, doc.tensor))[words]
    else:
        vectors = doc.vocab.vectors
        if vectors.shape[1] == 0 or not words:
            return model.ops.alloc2f(0, vectors.shape[1])
        table = model.ops.asarray2f(vectors.get_batch([doc[i].orth for i in words]))
    return cast(Floats2d, table[table.any(axis=1)])


def choose_source(model: Model[Any, Any], doc: Doc) -> str:
    """Choose where the layer takes the token vectors of a Doc from.

    model (Model): The layer.
    doc (Doc): The document.
    RETURNS (str): "vectors" or "tensor".

    >>> import spacy
    >>> choose_source(DocVectors(), spacy.blank("en")("bread"))
    'tensor'
    """
    if model.attrs["source"] != "auto":
        return str(model.attrs["source"])
    if doc.vocab.vectors.shape[1]:
        return "vectors"
    has_tensor = len(doc.tensor) == len(doc)
    return "transformer" if not has_tensor and _trf_data(doc) is not None else "tensor"


def _trf_data(doc: Doc) -> Any:
    """RETURNS (Any): What a transformer component has stored for the Doc; None if there is none."""
    return doc._.trf_data if Doc.has_extension("trf_data") else None


def _piece_vectors(doc: Doc, words: Sequence[int]) -> Any:
    """RETURNS (ndarray): The vectors of the word pieces of some tokens, shape (m, width)."""
    data = _trf_data(doc)
    if data is None:
        return np.zeros((0, 0), dtype="float32")
    # curated_transformer keeps the pieces of each token, transformer an alignment with the pieces.
    if hasattr(data, "last_hidden_layer_state"):
        pieces, lengths = data.last_hidden_layer_state.dataXd, data.last_hidden_layer_state.lengths
        rows = np.arange(len(pieces))
    else:
        pieces = data.model_output.last_hidden_state
        pieces = pieces.reshape(-1, pieces.shape[-1])
        rows, lengths = data.align.dataXd.ravel(), data.align.lengths
    ends = np.cumsum(lengths)
    chosen = [rows[end - length : end] for end, length in zip(ends, lengths, strict=True)]
    wanted = [chosen[i] for i in words]
    return pieces[np.concatenate(wanted).astype(int)] if wanted else pieces[:0]


def _check_has_source(model: Model[Any, Any], doc: Doc) -> None:
    source = choose_source(model, doc)
    if source == "vectors":
        has_source = doc.vocab.vectors.shape[1] > 0
    elif source == "transformer":
        has_source = _trf_data(doc) is not None
    else:
        has_source = len(doc.tensor) == len(doc)
    if not has_source:
        raise ValueError(_missing(model))


def _missing(model: Model[Any, Any]) -> str:
    return (
        f"DocVectors (source = {model.attrs['source']!r}) found no token vectors: the vocabulary "
        f"has no static vectors, or no earlier component has set doc.tensor or doc._.trf_data. "
        f"Start from a pipeline with vectors ([initialize] vectors = ...), or put a tok2vec, "
        f"transformer or curated_transformer before embtune and, for training, into [training] "
        f"annotating_components."
    )
