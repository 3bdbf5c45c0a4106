"""The `span._` attributes that hold vectors, and hooks for `span.vector` and `span.similarity`.

As for Docs, an attribute is a getter and a setter over `doc.user_data`, with spaCy's own keys: the
name and the offsets of the span in characters. So the vectors are stored with the Doc, and spans
with the same offsets have the same vector.
"""

from functools import partial
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from spacy.tokens import Doc, Span

from .extensions import (
    JsonVector,
    MissingVectorError,
    Role,
    as_vector,
    check_extension,
    cosine,
    explain_untrained,
)


def register_span_extension(name: str, role: Role) -> None:
    """Make `span._.name` a vector attribute, unless it is one already. Call this to read vectors
    from a DocBin without loading a pipeline.

    >>> register_span_extension("my_vector", "tuned")
    >>> Span.has_extension("my_vector")
    True

    name (str): The attribute.
    role (str): "base" or "tuned": which vectors the error message of a missing vector names.
    RAISES (ValueError): When an attribute of this name exists that cannot be written or is
        computed, or the name is no Python name.
    """
    if check_extension(Span, name, role, ours=_get):
        return
    Span.set_extension(
        name, getter=partial(_get, name=name, role=role), setter=partial(_set, name=name)
    )


def get_span_vector(span: Span, name: str) -> NDArray[Any] | None:
    """Read a vector without an error when it is missing.

    >>> import spacy
    >>> get_span_vector(spacy.blank("en")("good bread")[1:2], "embtune") is None
    True

    span (Span): The span.
    name (str): The attribute.
    RETURNS (ndarray | None): The vector under `span._.name`, float32, shape (k,), or None.
    """
    return cast("NDArray[Any] | None", as_vector(span.doc.user_data.get(_key(span, name))))


def store_span_vectors(
    doc: Doc, offsets: list[tuple[int, int]], name: str, rows: NDArray[Any]
) -> None:
    """Set the vectors of spans of a Doc.

    doc (Doc): The document.
    offsets (list[tuple[int, int]]): The first and last offset of each of n spans, in characters.
    name (str): The attribute.
    rows (ndarray): The vectors, float32, shape (n, k). They are not copied.
    """
    for (start, end), row in zip(offsets, rows, strict=True):
        # Doc.to_json reads what is stored, without the getter.
        doc.user_data[cast(Any, ("._.", name, start, end))] = row.view(JsonVector)


def set_span_hooks(doc: Doc, name: str) -> None:
    """Make `span.vector`, `span.vector_norm`, `span.has_vector` and `span.similarity` use
    `span._.name`. A span that was not embedded keeps the vector that spaCy gives it, because other
    components read it (`span.as_doc()`); its similarity is an error.

    >>> import spacy
    >>> doc = spacy.blank("en")("good bread")
    >>> register_span_extension("embtune", "tuned")
    >>> doc[1:2]._.embtune = np.asarray([3.0, 4.0], dtype="float32")
    >>> set_span_hooks(doc, "embtune")
    >>> float(doc[1:2].vector_norm), doc[0:1].has_vector
    (5.0, False)

    doc (Doc): The document.
    name (str): The attribute.
    """
    # There is no hook for vector_norm: spaCy computes it from the hook for the vector, but with a
    # hook of its own it would return a vector (spaCy 3.8, Span.vector_norm).
    doc.user_span_hooks["vector"] = partial(_hook_vector, name=name)
    doc.user_span_hooks["has_vector"] = partial(_hook_has_vector, name=name)
    doc.user_span_hooks["similarity"] = partial(_hook_similarity, name=name)


def _key(span: Span, name: str) -> Any:
    return ("._.", name, span.start_char, span.end_char)


def _set(span: Span, value: Any, *, name: str) -> None:
    value = as_vector(value)
    is_plain = type(value) is np.ndarray
    span.doc.user_data[_key(span, name)] = value.view(JsonVector) if is_plain else value


def _get(span: Span, *, name: str, role: Role) -> Any:
    vector = get_span_vector(span, name)
    if vector is None:
        raise MissingVectorError(_missing(span, name, role))
    return vector


def _missing(span: Span, name: str, role: Role) -> str:
    cause = (
        f"span._.{name} is not set for the characters {span.start_char} to {span.end_char}: no "
        f'embtune component has embedded this span. With spans = "sents" in its settings a '
        f"component embeds the sentences of a Doc, and with the key of a group in doc.spans the "
        f"spans that this group has when the Doc is processed"
    )
    return f"{cause}." if role == "base" else f"{cause}. {explain_untrained()}"


def _hook_vector(span: Span, *, name: str) -> NDArray[Any]:
    vector = get_span_vector(span, name)
    if vector is not None:
        return vector
    width = span.vocab.vectors_length
    zeros: NDArray[Any] = np.zeros(width, dtype="float32")
    return zeros if not len(span) else cast(Any, sum(token.vector for token in span)) / len(span)


def _hook_has_vector(span: Span, *, name: str) -> bool:
    vector = get_span_vector(span, name)
    if vector is not None:
        return bool(vector.any())
    if span.vocab.vectors.size > 0:
        return any(token.has_vector for token in span)
    return bool(span.doc.tensor.size > 0)


def _hook_similarity(span: Span, other: Any, *, name: str) -> float:
    """RETURNS (float): Cosine of the two vectors. 0.0 if one of them is all zeros."""
    is_span = isinstance(other, Span) and Span.has_extension(name)
    return cosine(span._.get(name), other._.get(name) if is_span else other.vector)
