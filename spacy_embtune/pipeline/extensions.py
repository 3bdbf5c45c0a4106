"""The `doc._` attributes that hold vectors, and hooks for `doc.vector` and `doc.similarity`.

An attribute is a getter and a setter over `doc.user_data`, with the key that spaCy uses for
attributes with a default value. So it is stored with the Doc like other attributes, and reading a
missing vector raises an error that names the cause.

A vector is an array that spaCy's JSON functions (srsly) write as a list, so that
`doc.to_json(underscore=[...])` works. A list that is set, also by `Doc.from_json`, becomes an array
again. The module json has no such hook: give it `default=np.ndarray.tolist`.
"""

import json
from functools import partial
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import NDArray
from spacy.tokens import Doc, Span

Role = Literal["base", "tuned"]


class MissingVectorError(AttributeError):
    """A Doc has no vector under this attribute. It is an AttributeError, so that
    `getattr(doc._, name, None)` gives None."""


class JsonVector(np.ndarray[Any, np.dtype[np.float32]]):
    """A vector that srsly writes to JSON as a list of numbers. It looks like a plain array, and is
    pickled and computed with as one."""

    def __json__(self) -> str:
        """RETURNS (str): The numbers as JSON. They are exact, so that float32 comes back equal."""
        return json.dumps(self.tolist())

    def __array_wrap__(self, array: Any, context: Any = None, return_scalar: bool = False) -> Any:
        plain = np.asarray(array)
        return plain[()] if plain.ndim == 0 else plain

    def __reduce__(self) -> Any:
        return np.asarray(self).__reduce__()

    def __repr__(self) -> str:
        return repr(np.asarray(self))


def register_extension(name: str, role: Role) -> None:
    """Make `doc._.name` a vector attribute, unless it is one already. Call this to read vectors
    from a DocBin without loading a pipeline.

    >>> register_extension("my_vector", "tuned")
    >>> Doc.has_extension("my_vector")
    True

    name (str): The attribute.
    role (str): "base" or "tuned": which vectors the error message of a missing vector names.
    RAISES (ValueError): When an attribute of this name exists that cannot be written or is
        computed, or the name is no Python name.
    """
    if check_extension(Doc, name, role, ours=_get):
        return
    Doc.set_extension(
        name, getter=partial(_get, name=name, role=role), setter=partial(_set, name=name)
    )


def check_extension(owner: Any, name: str, role: Role, *, ours: Any) -> bool:
    """Check that an attribute can hold vectors.

    owner (type): `Doc` or `Span`.
    name (str): The attribute.
    role (str): As for `register_extension`.
    ours (Callable): The getter of our vector attributes.
    RETURNS (bool): Whether the attribute exists and can hold vectors.
    RAISES (ValueError): As `register_extension`.
    """
    kind = owner.__name__
    if not name.isidentifier():
        raise ValueError(
            f"{name!r} cannot be the name of the {role} vectors, {kind.lower()}._.NAME: give a "
            f"Python name of letters, digits and underscores."
        )
    if not owner.has_extension(name):
        return False
    _default, method, getter, _setter = owner.get_extension(name)
    is_ours = isinstance(getter, partial) and getter.func is ours
    if is_ours or (method is None and getter is None):
        return True
    raise ValueError(
        f"{kind.lower()}._.{name} cannot hold the {role} vectors: the name is taken by a custom "
        f"attribute with a {'method' if method is not None else 'getter'}. Choose another name in "
        f"the component's settings ({'extension' if role == 'tuned' else 'base_extension'}), or "
        f"remove the attribute first: {kind}.remove_extension({name!r})."
    )


def get_vector(doc: Doc, name: str) -> NDArray[Any] | None:
    """Read a vector without an error when it is missing.

    >>> import spacy
    >>> get_vector(spacy.blank("en")("bread"), "embtune") is None
    True

    doc (Doc): The document.
    name (str): The attribute.
    RETURNS (ndarray | None): The vector under `doc._.name`, float32, shape (k,), or None.
    """
    return as_vector(doc.user_data.get(_key(name)))


def set_vector_hooks(doc: Doc, name: str) -> None:
    """Make `doc.vector`, `doc.vector_norm`, `doc.has_vector` and `doc.similarity` use `doc._.name`.
    spaCy drops hooks when it serializes a Doc, so Docs from `nlp.pipe(..., n_process=2)` or from a
    DocBin need this call again.

    >>> import spacy
    >>> doc = spacy.blank("en")("bread")
    >>> register_extension("embtune", "tuned")
    >>> doc._.embtune = np.asarray([3.0, 4.0], dtype="float32")
    >>> set_vector_hooks(doc, "embtune")
    >>> doc.vector_norm
    5.0

    doc (Doc): The document.
    name (str): The attribute.
    """
    doc.user_hooks["vector"] = partial(_hook_vector, name=name)
    doc.user_hooks["vector_norm"] = partial(_hook_vector_norm, name=name)
    doc.user_hooks["has_vector"] = partial(_hook_has_vector, name=name)
    doc.user_hooks["similarity"] = partial(_hook_similarity, name=name)


def _key(name: str) -> Any:
    # spaCy's key of a custom attribute. Its type hints say str, but it is a tuple.
    return ("._.", name, None, None)


def _set(doc: Doc, value: Any, *, name: str) -> None:
    doc.user_data[_key(name)] = as_vector(value)


def as_vector(value: Any) -> Any:
    """RETURNS (Any): The value; a list, as from JSON, as an array, float32."""
    return np.asarray(value, dtype="float32") if isinstance(value, list) else value


def _get(doc: Doc, *, name: str, role: Role) -> Any:
    key = _key(name)
    try:
        value = as_vector(doc.user_data[key])
    except KeyError:
        raise MissingVectorError(_missing(name, role)) from None
    if type(value) is np.ndarray:
        # `Doc.to_json` asks the attribute first. Then it looks at the stored values, also at those
        # of spans.
        value = doc.user_data[key] = value.view(JsonVector)
        for other, stored in list(doc.user_data.items()):
            if isinstance(other, tuple) and other[:2] == key[:2] and type(stored) is np.ndarray:
                doc.user_data[other] = stored.view(JsonVector)
    return value


def _missing(name: str, role: Role) -> str:
    processed = f"doc._.{name} is not set: no embtune component has processed this Doc"
    if role == "base":
        return f"{processed}."
    return (
        f"{processed}, or the component is not trained yet and gives no tuned vector. Train it "
        f"(`spacy train`, or nlp.initialize and nlp.update) on documents with doc.cats, or on "
        f"pairs. Base vectors are available before training."
    )


def explain_untrained() -> str:
    """RETURNS (str): Why a tuned vector of a span may be missing, and the cure."""
    return (
        "A component that is not trained yet gives base vectors only: train it (`spacy train`, or "
        "nlp.initialize and nlp.update)."
    )


def _hook_vector(doc: Doc, *, name: str) -> NDArray[Any]:
    return cast("NDArray[Any]", doc._.get(name))


def _hook_vector_norm(doc: Doc, *, name: str) -> float:
    return float(np.linalg.norm(doc._.get(name)))


def _hook_has_vector(doc: Doc, *, name: str) -> bool:
    vector = get_vector(doc, name)
    return vector is not None and bool(vector.any())


def _hook_similarity(doc: Doc, other: Any, *, name: str) -> float:
    """RETURNS (float): Cosine of the two vectors. 0.0 if one of them is all zeros."""
    return cosine(doc._.get(name), _vector_of(other, name))


def _vector_of(other: Any, name: str) -> NDArray[Any]:
    """RETURNS (ndarray): The vector to compare with. Of a span of a Doc whose spans are embedded,
    its tuned vector; an error if this span was not embedded."""
    if isinstance(other, Span) and "similarity" in other.doc.user_span_hooks:
        return cast("NDArray[Any]", other._.get(name))
    return cast("NDArray[Any]", other.vector)


def cosine(vector: NDArray[Any], other_vector: NDArray[Any]) -> float:
    """Compute the cosine of two vectors for a hook.

    vector (ndarray): The vector of this Doc or Span, shape (k,).
    other_vector (ndarray): The vector of the other object.
    RETURNS (float): The cosine; 0.0 if one of the vectors is all zeros.
    RAISES (ValueError): When the vectors have different lengths.
    """
    if vector.shape != other_vector.shape:
        raise ValueError(
            f"similarity compares tuned vectors here (vector_hooks = true). This object has a "
            f"vector of length {len(vector)}, the other object one of length {len(other_vector)}. "
            f"Compare Docs or embedded spans of the same pipeline, or set vector_hooks = false."
        )
    norms = float(np.linalg.norm(vector)) * float(np.linalg.norm(other_vector))
    return float(vector @ other_vector) / norms if norms else 0.0
