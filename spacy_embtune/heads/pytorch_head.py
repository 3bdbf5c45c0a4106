"""Build a head from a torch module of the user."""

from collections.abc import Callable
from typing import Any, cast

from thinc.api import Model
from thinc.types import Floats2d

from ..types import HeadOutput
from ._output_layer import set_head_dims
from ._standardize import Standardize, has_vector
from ._torch_shim import TorchHeadShim


def PyTorchHead(
    module: Callable[..., Any],
    nO: int | None = None,
    nI: int | None = None,
    standardize: bool = True,
) -> Model[Floats2d, HeadOutput]:
    """Build a head from a torch module of the user.

    The module needs two methods: `embed(x)` makes tuned vectors (n, k) from base vectors (n, n_in),
    and `forward(x)` makes raw scores (n, n_out), before any softmax or sigmoid. With a third method
    `resize_output(n_out)`, which returns the module or None, labels can be added later. The module
    gets only documents with a vector. All others get a tuned vector and scores of zero.

    >>> import numpy as np, torch
    >>> class OneLayer(torch.nn.Module):
    ...     def __init__(self, n_in, n_out):
    ...         super().__init__()
    ...         self.hidden = torch.nn.Linear(n_in, 4)
    ...         self.output = torch.nn.Linear(4, n_out)
    ...     def embed(self, x):
    ...         return torch.tanh(self.hidden(x))
    ...     def forward(self, x):
    ...         return self.output(self.embed(x))
    >>> head = PyTorchHead(OneLayer, nO=2, nI=3).initialize()
    >>> tuned, scores = head.predict(np.ones((5, 3), dtype="float32"))
    >>> tuned.shape, scores.shape
    ((5, 4), (5, 2))

    module (Callable[[int, int], torch.nn.Module] | torch.nn.Module): A class or function that makes
        the module from n_in and n_out, or a ready module. The head copies a ready module, so each
        initialization starts from the weights that were given.
    nO (int | None): The number of labels n_out. None: `initialize` sets it.
    nI (int | None): The width n_in of the base vectors. None: `initialize` sets it.
    standardize (bool): Whether `Standardize` comes before the module.
    RETURNS (Model[Floats2d, HeadOutput]): A head from base vectors (n, nI) to tuned vectors (n, nH)
        and raw scores (n, nO). Refs: "standardize", not set without that layer.
        attrs["resize_output"] adds labels; it is absent if the module or its class has no such
        method. For a function that makes the module, it is present and may raise an error.
    RAISES (ValueError): If `module` cannot be a head.
    """
    shim = TorchHeadShim(module)
    layer = Standardize(nI) if standardize else None
    return Model(
        "pytorch_head",
        forward,
        init=init,
        layers=[] if layer is None else [layer],
        shims=[shim],
        dims={"nI": nI, "nH": None, "nO": nO},
        refs={"standardize": layer},
        attrs={"resize_output": resize_output} if shim.may_resize else {},
    )


def forward(
    model: Model[Floats2d, HeadOutput], X: Floats2d, is_train: bool
) -> tuple[HeadOutput, Callable[[HeadOutput], Floats2d]]:
    """Apply the head.

    X (Floats2d): Base vectors, shape (n, d).
    RETURNS (tuple): Tuned vectors (n, k) and scores (n, L), and a callback that takes the gradient
        of both and returns the gradient of X, shape (n, d).
    """
    ops = model.ops
    shim = model.shims[0]
    # Documents without a vector are left out instead of masked. In a module that normalises, a row
    # of zeros becomes NaN, and NaN times a mask of 0 is NaN.
    present: Any = has_vector(X)[:, 0]
    standardised, backprop_standardize = X, None
    if model.layers:
        standardised, backprop_standardize = model.layers[0](X, is_train)
    tuned: Any = ops.alloc2f(len(X), model.get_dim("nH"))
    scores: Any = ops.alloc2f(len(X), model.get_dim("nO"))
    backprop_module = None
    if present.any():
        outputs, backprop_module = shim(standardised[present], is_train)
        tuned[present], scores[present] = outputs

    def backprop(gradient: HeadOutput) -> Floats2d:
        dX: Any = ops.alloc2f(*X.shape)
        if backprop_module is not None:
            dX[present] = backprop_module(gradient.tuned[present], gradient.scores[present])
        return dX if backprop_standardize is None else backprop_standardize(dX)

    return HeadOutput(tuned, scores), backprop


def init(
    model: Model[Floats2d, HeadOutput],
    X: Floats2d | None = None,
    Y: Floats2d | HeadOutput | None = None,
) -> None:
    """Build the module. Its weights come from torch's random numbers, which spaCy's
    `training.seed` sets.

    X (Floats2d | None): The base vectors of the training corpus, shape (n, d). `Standardize`
        subtracts their mean.
    Y (Floats2d | HeadOutput | None): The values of targets, or the output of a head, with one
        column per label.
    RAISES (ValueError): If a width is not known, or the module cannot be a head.
    """
    set_head_dims(model, X, Y)
    for layer in model.layers:
        layer.set_dim("nI", model.get_dim("nI"))
        layer.initialize(X=X)
    shim = cast(TorchHeadShim, model.shims[0])
    width = shim.build(model.get_dim("nI"), model.get_dim("nO"))
    model.set_dim("nH", width, force=True)


def resize_output(model: Model[Floats2d, HeadOutput], new_nO: int) -> Model[Floats2d, HeadOutput]:
    """Add labels to a head by the `resize_output` method of its module.

    model (Model): A head from `PyTorchHead`, initialized or not; it is changed in place.
    new_nO (int): The new number of labels.
    RETURNS (Model): The same head.
    RAISES (ValueError): If the module has no such method.
    """
    shim = cast(TorchHeadShim, model.shims[0])
    if shim.is_built and new_nO != model.get_dim("nO"):
        shim.resize(new_nO)
    model.set_dim("nO", new_nO, force=True)
    return model
