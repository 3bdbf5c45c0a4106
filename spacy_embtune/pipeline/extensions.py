"""Where the vectors are kept on a Doc: `doc._` attributes, and hooks for `doc.vector` & co.

An attribute is a getter and a setter over `doc.user_data`, under the key that spaCy itself uses for
attributes with a default. So it is stored with the Doc like any other, and can say why it is empty.
"""

from functools import partial
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import NDArray
from spacy.tokens import Doc

Role = Literal["base", "tuned"]


class MissingVectorError(AttributeError):
    """A Doc has no such vector. As an AttributeError it lets `getattr(doc._, name, None)` answer
    None."""


def register_extension(name: str, role: Role) -> None:
    """Make `doc._.name` a vector attribute, unless it is one already.

    name (str): The attribute.
    role (str): "base" or "tuned": what its error says when it is read too early.
    RAISES (ValueError): If the name belongs to an attribute that cannot be written, or is computed.
    """
    if not name.isidentifier():
        raise ValueError(
            f"{name!r} cannot be the name of the {role} vectors, doc._.NAME: give a Python name, "
            f"of letters, digits and underscores."
        )
    if Doc.has_extension(name):
        _default, method, getter, _setter = Doc.get_extension(name)
        is_ours = isinstance(getter, partial) and getter.func is _get
        if is_ours or (method is None and getter is None):
            return
        raise ValueError(
            f"doc._.{name} cannot hold the {role} vectors: the name is taken by a custom attribute "
            f"with a {'method' if method is not None else 'getter'}. Choose another name in the "
            f"component's settings ({'extension' if role == 'tuned' else 'base_extension'}), or "
            f"remove the attribute first: Doc.remove_extension({name!r})."
        )
    Doc.set_extension(
        name, getter=partial(_get, name=name, role=role), setter=partial(_set, name=name)
    )


def get_vector(doc: Doc, name: str) -> NDArray[Any] | None:
    """RETURNS (ndarray | None): The vector under `doc._.name`, float32 of shape (k,), or None."""
    return cast("NDArray[Any] | None", doc.user_data.get(_key(name)))


def set_vector_hooks(doc: Doc, name: str) -> None:
    """Let `doc.vector`, `doc.vector_norm`, `doc.has_vector` and `doc.similarity` answer from
    `doc._.name`. spaCy drops hooks when a Doc is turned into bytes, so Docs that come from
    `nlp.pipe(..., n_process=2)` or a DocBin need this call again.

    name (str): The attribute.
    """
    doc.user_hooks["vector"] = partial(_hook_vector, name=name)
    doc.user_hooks["vector_norm"] = partial(_hook_vector_norm, name=name)
    doc.user_hooks["has_vector"] = partial(_hook_has_vector, name=name)
    doc.user_hooks["similarity"] = partial(_hook_similarity, name=name)


def _key(name: str) -> Any:
    # spaCy's own key of a Doc's custom attribute; its types say str, which is not so.
    return ("._.", name, None, None)


def _set(doc: Doc, value: Any, *, name: str) -> None:
    doc.user_data[_key(name)] = value


def _get(doc: Doc, *, name: str, role: Role) -> Any:
    try:
        return doc.user_data[_key(name)]
    except KeyError:
        raise MissingVectorError(_missing(name, role)) from None


def _missing(name: str, role: Role) -> str:
    processed = f"doc._.{name} is not set: no embtune component has processed this Doc"
    if role == "base":
        return f"{processed}."
    return (
        f"{processed}, or it is not trained yet and has no tuned vector to give. Train it "
        f"(`spacy train`, or nlp.initialize and nlp.update) on documents with doc.cats, or on "
        f"pairs. The encoder's own vector is there before training."
    )


def _hook_vector(doc: Doc, *, name: str) -> NDArray[Any]:
    return cast("NDArray[Any]", doc._.get(name))


def _hook_vector_norm(doc: Doc, *, name: str) -> float:
    return float(np.linalg.norm(doc._.get(name)))


def _hook_has_vector(doc: Doc, *, name: str) -> bool:
    vector = get_vector(doc, name)
    return vector is not None and bool(vector.any())


def _hook_similarity(doc: Doc, other: Any, *, name: str) -> float:
    """RETURNS (float): Cosine of the two vectors; 0.0 if one of them is all zeros."""
    vector, other_vector = doc._.get(name), other.vector
    if vector.shape != other_vector.shape:
        raise ValueError(
            f"doc.similarity compares tuned vectors here (vector_hooks = true), of length "
            f"{len(vector)}; the other object has a vector of length {len(other_vector)}. Compare "
            f"two Docs that went through the same pipeline, or switch vector_hooks off."
        )
    norms = float(np.linalg.norm(vector)) * float(np.linalg.norm(other_vector))
    return float(vector @ other_vector) / norms if norms else 0.0
