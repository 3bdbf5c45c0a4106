"""A layer that reads the vectors of an embtune component, for other components such as textcat."""

from collections.abc import Callable, Sequence
from typing import Any, Literal, Protocol, cast, get_args

import numpy as np
from numpy.typing import NDArray
from spacy.tokens import Doc
from thinc.api import Model, Shim
from thinc.types import Floats2d

from .extensions import get_vector

Which = Literal["tuned", "base"]
NAME = "doc_embedding"


class HasVectors(Protocol):
    """What the layer needs of a component: `EmbTune` has it."""

    name: str
    model: Any
    cfg: dict[str, Any]
    extension: str
    base_extension: str

    @property
    def encoder(self) -> Any: ...

    @property
    def is_trained(self) -> bool: ...

    def predict(self, docs: Sequence[Doc], *, with_spans: bool) -> Any: ...


def DocEmbedding(
    component: str = "*", which: Which = "tuned"
) -> Model[Sequence[Doc], list[Floats2d]]:
    """Make a layer that reads the vectors of an embtune component, `spacy-embtune.DocEmbedding.v1`:
    n Docs in, n matrices of shape (1, d) out, as spaCy's text classifiers take them from `tok2vec`.

    The layer reads the vectors that the component has set on the Docs, and asks the component for
    those of other Docs. No gradient goes back, so the classifier does not change the vectors.
    Components that label tokens cannot use the layer, because it gives one vector for each Doc.

    component (str): Name of the embtune component, which comes earlier in the pipeline. "*": the
        last one before the component that has this layer.
    which (str): "tuned", or "base" for the vectors of the encoder.
    RETURNS (Model): The layer. Its width, the dimension "nO", is found by `initialize`.
    RAISES (ValueError): If `which` is another word.

    >>> import spacy
    >>> nlp = spacy.blank("en")
    >>> _ = nlp.add_pipe("embtune")
    >>> layer = DocEmbedding(which="base")
    >>> nlp.get_pipe("embtune").link(layer)
    >>> [row.shape for row in layer.predict([nlp("bread and soup"), nlp.make_doc("a guitar")])]
    [(1, 384), (1, 384)]
    """
    if which not in get_args(Which):
        raise ValueError(f'DocEmbedding: which is {which!r}: give "tuned" or "base".')
    return Model(
        NAME,
        forward,
        init=init,
        dims={"nO": None},
        shims=[Link()],
        # The attribute that was read last serves Docs without the component, as from a DocBin.
        attrs={"component": component, "which": which, "attribute": None},
    )


class Link(Shim):
    """Holds the component whose vectors a layer reads. Copies of the layer read the same ones. It
    is not part of bytes and pickles: spaCy links the components of a pipeline when it is loaded."""

    def __init__(self) -> None:
        super().__init__(None)
        self.component: HasVectors | None = None
        # What `initialize` was called with last.
        self.sample: Sequence[Doc] | None = None

    def finish_update(self, optimizer: Any) -> None:
        """Do nothing, because there are no weights."""

    def to_device(self, device_type: str, device_id: int) -> None:
        """Do nothing, because there are no weights."""

    def to_bytes(self) -> bytes:
        """RETURNS (bytes): Nothing."""
        return b""

    def from_bytes(self, data: bytes) -> "Link":
        """RETURNS (Link): The link as it is."""
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> "Link":
        copied = Link()
        copied.component = self.component
        return copied

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "component": None, "sample": None}


def link(model: Model[Any, Any], component: HasVectors) -> None:
    """Let a layer read the vectors of a component.

    model (Model): The layer `DocEmbedding`.
    component (EmbTune): The component.
    """
    _link_of(model).component = component
    model.attrs["attribute"] = _attribute(model, component)


def _link_of(model: Model[Any, Any]) -> Link:
    (shim,) = model.shims
    return cast(Link, shim)


def _attribute(model: Model[Any, Any], component: HasVectors) -> str:
    is_tuned = model.attrs["which"] == "tuned"
    return component.extension if is_tuned else component.base_extension


def is_listener(model: Model[Any, Any], name: str) -> bool:
    """RETURNS (bool): Whether a layer reads the vectors of a component of this name."""
    return (
        bool(model.shims)
        and isinstance(model.shims[0], Link)
        and model.attrs["component"] in ("*", name)
    )


def forward(
    model: Model[Sequence[Doc], list[Floats2d]], docs: Sequence[Doc], is_train: bool
) -> tuple[list[Floats2d], Callable[[Any], list[Any]]]:
    linked = _link_of(model)
    if docs is linked.sample:
        rows: list[NDArray[Any]] = list(_rows_of_sample(model, docs))
    else:
        linked.sample = None
        rows = _read(model, docs, is_train=is_train)
    for doc, row in zip(docs, rows, strict=True):
        width = model.maybe_get_dim("nO")
        if width is not None and len(row) != width:
            raise ValueError(
                f"DocEmbedding: the vector in doc._.{model.attrs['attribute']} of the text "
                f"{doc.text!r:.40} has {len(row)} numbers, and this layer was initialized with "
                f"vectors of {width}. The embtune component is another one now: train the "
                f"component that reads its vectors again."
            )
    return [model.ops.asarray2f(cast(Any, row[None])) for row in rows], lambda gradient: []


def init(
    model: Model[Sequence[Doc], list[Floats2d]],
    X: Sequence[Doc] | None = None,
    Y: Any = None,
) -> None:
    if X is None:
        return
    linked = _link_of(model)
    if linked.component is None:
        raise _missing(model)
    encoder = linked.component.encoder
    if encoder is not None:
        # A training has begun, in which the same texts come again and again.
        encoder.caching = True
    linked.sample = X
    model.set_dim("nO", _compute(model, X[:1], may_be_untrained=True).shape[1], force=True)


def _rows_of_sample(model: Model[Any, Any], docs: Sequence[Doc]) -> NDArray[Any]:
    """RETURNS (ndarray): Vectors from which other layers learn their shapes. The component may not
    be trained yet, if it is trained in the same run."""
    return np.zeros((len(docs), model.get_dim("nO")), dtype="float32")


def _read(model: Model[Any, Any], docs: Sequence[Doc], *, is_train: bool) -> list[NDArray[Any]]:
    component = _link_of(model).component
    if component is not None:
        model.attrs["attribute"] = _attribute(model, component)
    name = model.attrs["attribute"]
    rows = [None if name is None else get_vector(doc, name) for doc in docs]
    missing = [i for i, row in enumerate(rows) if row is None]
    if missing:
        computed = _compute(model, [docs[i] for i in missing], may_be_untrained=is_train)
        for i, row in zip(missing, computed, strict=True):
            rows[i] = row
    return [row for row in rows if row is not None]


def _compute(
    model: Model[Any, Any], docs: Sequence[Doc], *, may_be_untrained: bool
) -> NDArray[Any]:
    """RETURNS (ndarray): The vectors of Docs on which none is set, float32, shape (n, d)."""
    component = _link_of(model).component
    if component is None:
        raise _missing(model)
    if model.attrs["which"] == "base":
        return cast("NDArray[Any]", component.predict(docs, with_spans=False).base)
    if component.is_trained:
        return cast("NDArray[Any]", component.predict(docs, with_spans=False).tuned)
    # In the first step of a training both components are untrained.
    if may_be_untrained and component.cfg["label_counts"] is not None:
        return np.asarray(component.model.predict(docs).tuned)
    raise ValueError(
        f"DocEmbedding: the component [{component.name}] is not trained, so it has no tuned "
        f"vectors. Train it first and source it from the trained pipeline ([components."
        f"{component.name}] source = ...), or train it in the same run: it must come before the "
        f'component that reads its vectors, and not be frozen. Or set which = "base".'
    )


def _missing(model: Model[Any, Any]) -> ValueError:
    name, attribute = model.attrs["component"], model.attrs["attribute"]
    wanted = "no embtune component" if name == "*" else f"no embtune component [{name}]"
    vector = "" if attribute is None else f", and this Doc has no vector in doc._.{attribute}"
    named = "" if name == "*" else ", under this name"
    return ValueError(
        f"DocEmbedding: {wanted} comes before the component that reads its vectors{vector}. Add "
        f"it to the pipeline, before that component{named}, or enable it."
    )


def refuse_replacement(*args: Any) -> Any:
    """Refuse `replace_listeners`.

    RAISES (ValueError): Always.
    """
    raise ValueError(
        "replace_listeners does not work for spacy-embtune.DocEmbedding.v1: the vectors are those "
        "of an embtune component, and a copy would encode each text a second time. Source the "
        "embtune component together with the component that reads its vectors, and freeze it "
        "([training] frozen_components): then the vectors stay the same."
    )
