"""The contrastive head: a residual network that starts as the identity, for losses on pairs."""

from collections.abc import Callable
from typing import Any, cast

from thinc.api import Gelu, Linear, Model
from thinc.types import Floats2d

from ..types import HeadOutput
from .feed_forward import check_width, make_dropout, resize_output, set_head_dims
from .standardize import Standardize, has_vector


def Contrastive(
    hidden_width: int = 384,
    output_width: int | None = None,
    dropout: float | None = 0.2,
    residual: bool = True,
    nO: int | None = None,
    nI: int | None = None,
) -> Model[Floats2d, HeadOutput]:
    """Build a head for losses that compare documents, such as
    `spacy-embtune.supervised_contrastive.v1`. All documents go through the same weights.

        base ─► Standardize ─┬─► hidden (GELU) ─► dropout ─► update ─┬─(+)─► tuned
                             └──────────── project ──────────────────┘         │
                                              scores ◄─ linear ◄─ unit length ◄┘

    The update starts at zero: before training, tuned vectors are standardised base vectors, and
    training moves them from there (He et al. 2016, "Deep Residual Learning"; zero-initialised as in
    Zhang et al. 2019, "Fixup"). With few labels, neighbours that nobody said anything about keep
    their places.

    The tuned vectors are not brought to unit length: only their direction has a meaning. The
    output layer sees them at one length, and starts at zero as well: unless a loss teaches it, all
    labels are equally likely.

    A row of base vectors that is all zero, a document without a vector, gives a tuned vector and
    scores of zero and takes no part in training.

    hidden_width (int): The width of the hidden layer.
    output_width (int | None): The width k of the tuned vectors. None: that of the base vectors.
        If it is another, `project` is a random matrix with orthonormal rows or columns that is not
        trained: it keeps cosines up to an error of about 1 / sqrt(k), or exactly if k is larger.
    dropout (float | None): The share of hidden activations dropped in training, in 0..1 without 1.
        None: the rate that spaCy's `training.dropout` sets.
    residual (bool): Whether to add the update to the (projected) input. If not, the update alone is
        the tuned vector, and starts at random.
    nO (int | None): The number of labels L. None: known from `initialize`.
    nI (int | None): The width d of the base vectors. None: known from `initialize`.
    RETURNS (Model[Floats2d, HeadOutput]): Base vectors (n, d) to tuned vectors (n, k) and raw
        scores (n, L). Refs: "standardize", "hidden", "update", "project", "output_layer". Dims:
        "nI" is d, "nH" is k, "nO" is L. attrs["resize_output"] is
        `spacy_embtune.heads.feed_forward.resize_output`.
    RAISES (ValueError): If an argument is out of range.
    """
    check_width("Contrastive", "hidden_width", hidden_width)
    if output_width is not None:
        check_width("Contrastive", "output_width", output_width)
    drop = make_dropout("Contrastive", dropout)
    standardize = Standardize(nI)
    hidden = Gelu(nO=hidden_width, nI=nI)
    update = Linear(nO=output_width, nI=hidden_width)
    project = Projection(nO=output_width, nI=nI)
    output_layer = Linear(nO=nO, nI=output_width)
    return Model(
        "contrastive",
        forward,
        init=init,
        layers=[standardize, hidden, drop, update, project, output_layer],
        dims={"nI": nI, "nH": output_width, "nO": nO},
        refs={
            "standardize": standardize,
            "hidden": hidden,
            "update": update,
            "project": project,
            "output_layer": output_layer,
        },
        attrs={"resize_output": resize_output, "residual": residual},
    )


def forward(
    model: Model[Floats2d, HeadOutput], X: Floats2d, is_train: bool
) -> tuple[HeadOutput, Callable[[HeadOutput], Floats2d]]:
    """Apply the head.

    X (Floats2d): Base vectors, shape (n, d).
    RETURNS (tuple): Tuned vectors (n, k) and scores (n, L), and the callback that takes the
        gradient with respect to both and returns the one with respect to X, shape (n, d).
    """
    # By position: `Model.copy` keeps the layers, but not the refs.
    standardize, hidden, drop, update, project, output_layer = model.layers
    present = has_vector(X)
    standardised, backprop_standardize = standardize(X, is_train)
    activations, backprop_hidden = hidden(standardised, is_train)
    dropped, backprop_drop = drop(activations, is_train)
    tuned, backprop_update = update(dropped, is_train)
    if model.attrs["residual"]:
        projected, backprop_project = project(standardised, is_train)
        tuned = tuned + projected
    tuned = tuned * present
    unit, backprop_unit = to_one_length(model, tuned)
    scores, backprop_output = output_layer(unit, is_train)

    def backprop(gradient: HeadOutput) -> Floats2d:
        d_tuned = backprop_unit(backprop_output(gradient.scores * present))
        d_tuned = (d_tuned + gradient.tuned) * present
        d_standardised = backprop_hidden(backprop_drop(backprop_update(d_tuned)))
        if model.attrs["residual"]:
            d_standardised = d_standardised + backprop_project(d_tuned)
        return backprop_standardize(d_standardised)

    return HeadOutput(tuned, scores * present), backprop


def init(
    model: Model[Floats2d, HeadOutput],
    X: Floats2d | None = None,
    Y: Floats2d | HeadOutput | None = None,
) -> None:
    """Draw new weights.

    X (Floats2d | None): The base vectors of the training corpus, shape (n, d), which
        `Standardize` takes its mean from.
    Y (Floats2d | HeadOutput | None): Targets' values or a head's output: one column a label.
    RAISES (ValueError): If a width is not known.
    """
    set_head_dims(model, X, Y)
    standardize, hidden, drop, update, project, output_layer = model.layers
    width = model.get_dim("nI")
    if not model.has_dim("nH"):
        model.set_dim("nH", width)
    tuned_width = model.get_dim("nH")
    standardize.set_dim("nI", width)
    standardize.initialize(X=X)
    hidden.set_dim("nI", width)
    hidden.initialize()
    drop.initialize()
    update.set_dim("nO", tuned_width)
    update.initialize()
    if model.attrs["residual"]:
        set_to_zero(update)
        project.set_dim("nI", width)
        project.set_dim("nO", tuned_width)
        project.initialize()
    output_layer.set_dim("nI", tuned_width)
    output_layer.set_dim("nO", model.get_dim("nO"))
    output_layer.initialize()
    set_to_zero(output_layer)


def Projection(nO: int | None = None, nI: int | None = None) -> Model[Floats2d, Floats2d]:
    """Build a layer that takes vectors to another width and is not trained: the identity if the
    width is the same, otherwise a random matrix with orthonormal rows (or columns, if it widens).

    nO (int | None): Output width.
    nI (int | None): Input width.
    RETURNS (Model[Floats2d, Floats2d]): Arrays (n, nI) to arrays (n, nO).
    """
    return Model(
        "projection",
        _forward_projection,
        init=_init_projection,
        dims={"nO": nO, "nI": nI},
        params={"W": None},
    )


def _forward_projection(
    model: Model[Floats2d, Floats2d], X: Floats2d, is_train: bool
) -> tuple[Floats2d, Callable[[Floats2d], Floats2d]]:
    if not model.has_param("W"):
        return X, _identity
    W = cast(Floats2d, model.get_param("W"))

    def backprop(dY: Floats2d) -> Floats2d:
        return model.ops.gemm(dY, W)

    return model.ops.gemm(X, W, trans2=True), backprop


def _init_projection(
    model: Model[Floats2d, Floats2d], X: Floats2d | None = None, Y: Floats2d | None = None
) -> None:
    xp: Any = model.ops.xp
    nO, nI = model.get_dim("nO"), model.get_dim("nI")
    if nO == nI:
        return
    # The columns of Q of a QR decomposition of normal random numbers are orthonormal.
    Q = xp.linalg.qr(xp.random.normal(size=(max(nO, nI), min(nO, nI))))[0]
    # Scaled for the length of the vectors to follow the square root of the width, as before.
    W = (Q if nO > nI else Q.T) * max(nO / nI, 1.0) ** 0.5
    model.set_param("W", W.astype("float32"))


def to_one_length(model: Any, X: Floats2d) -> tuple[Floats2d, Callable[[Floats2d], Floats2d]]:
    """Bring rows to the length sqrt(width), for a variance of about 1 per dimension."""
    xp: Any = model.ops.xp
    rows: Any = X
    length = xp.sqrt((rows * rows).sum(axis=1, keepdims=True))
    inverse = xp.where(length > 0, 1.0 / xp.where(length > 0, length, 1.0), 0.0)
    unit = rows * inverse
    size = rows.shape[1] ** 0.5

    def backprop(dY: Floats2d) -> Floats2d:
        along = (unit * dY).sum(axis=1, keepdims=True)
        return cast(Floats2d, (dY - unit * along) * (inverse * size))

    return cast(Floats2d, unit * size), backprop


def set_to_zero(layer: Model[Floats2d, Floats2d]) -> None:
    layer.set_param("W", cast(Any, layer.get_param("W")) * 0.0)


def _identity(dY: Floats2d) -> Floats2d:
    return dY
