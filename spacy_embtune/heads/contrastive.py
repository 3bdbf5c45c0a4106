"""Build the contrastive head: a residual network that starts as the identity, for pair losses."""

from collections.abc import Callable

from thinc.api import Model
from thinc.types import Floats2d

from ..types import HeadOutput
from ._dense import Dense
from ._layers import Projection, make_dropout, normalize_rows
from ._output_layer import check_width, resize_output, set_head_dims, set_to_zero
from ._standardize import Standardize, has_vector


def Contrastive(
    hidden_width: int = 384,
    output_width: int | None = None,
    dropout: float | None = 0.2,
    residual: bool = True,
    nO: int | None = None,
    nI: int | None = None,
) -> Model[Floats2d, HeadOutput]:
    """Build a head for losses that compare documents, such as
    `spacy-embtune.supervised_contrastive.v1`. All documents pass through the same weights.

        base ─► Standardize ─┬─► hidden (GELU) ─► dropout ─► update ─┬─(+)─► tuned
                             └──────────── project ──────────────────┘         │
                                              scores ◄─ linear ◄─ unit length ◄┘

    The update starts at zero, so before training the tuned vectors are the standardised base
    vectors (He et al. 2016, "Deep Residual Learning"; zero initialisation as in Zhang et al. 2019,
    "Fixup"). With few labels, documents that have no label keep their neighbours.

    The tuned vectors do not have unit length: only their direction has a meaning. The output layer
    sees them at one length. It starts at zero as well, so all labels are equally probable until a
    loss trains it.

    A row of zeros is a document without a vector. It gets a tuned vector and scores of zero and
    does not take part in training.

    >>> import numpy as np
    >>> head = Contrastive(hidden_width=4, nO=2).initialize(X=np.eye(5, 3, dtype="float32"))
    >>> tuned, scores = head.predict(np.ones((5, 3), dtype="float32"))
    >>> tuned.shape, scores.shape
    ((5, 3), (5, 2))

    hidden_width (int): The width of the hidden layer.
    output_width (int | None): The width k of the tuned vectors. None: the width of the base
        vectors. If the two widths differ, `project` is a random matrix with orthonormal rows or
        columns that is not trained. It changes cosines by about 1 / sqrt(k), or not at all if k is
        larger.
    dropout (float | None): The share of hidden activations dropped in training, in 0..1 without 1.
        None: spaCy's `training.dropout` sets the rate.
    residual (bool): Whether to add the update to the (projected) input. If not, the tuned vector is
        the update, which then starts with random weights.
    nO (int | None): The number of labels L. None: `initialize` sets it.
    nI (int | None): The width d of the base vectors. None: `initialize` sets it.
    RETURNS (Model[Floats2d, HeadOutput]): A head from base vectors (n, d) to tuned vectors (n, k)
        and raw scores (n, L). Refs: "standardize", "hidden", "update", "project", "output_layer".
        Dims: "nI" is d, "nH" is k, "nO" is L. attrs["resize_output"] adds labels.
    RAISES (ValueError): If an argument is out of range.
    """
    check_width("Contrastive", "hidden_width", hidden_width)
    if output_width is not None:
        check_width("Contrastive", "output_width", output_width)
    drop = make_dropout("Contrastive", dropout)
    standardize = Standardize(nI)
    hidden = Dense("gelu", nO=hidden_width, nI=nI)
    update = Dense("linear", nO=output_width, nI=hidden_width)
    project = Projection(nO=output_width, nI=nI)
    output_layer = Dense("linear", nO=nO, nI=output_width)
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
    RETURNS (tuple): Tuned vectors (n, k) and scores (n, L), and a callback that takes the gradient
        of both and returns the gradient of X, shape (n, d).
    """
    # By position, because `Model.copy` keeps the layers but not the refs.
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
    unit, backprop_unit = normalize_rows(model, tuned)
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

    X (Floats2d | None): The base vectors of the training corpus, shape (n, d). `Standardize`
        subtracts their mean.
    Y (Floats2d | HeadOutput | None): The values of targets, or the output of a head, with one
        column per label.
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
