"""A head from a user's own torch module, with what Thinc's own shim for torch gets wrong put right.

Unlike `thinc.shims.PyTorchShim` this one averages parameters (`use_params`), leaves the module in
evaluation mode whenever it is not being updated, and stores weights as safetensors, not as pickle.
"""

import contextlib
import copy
import functools
import multiprocessing
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, cast

import srsly
from thinc.api import Model
from thinc.shims import Shim
from thinc.types import Floats2d
from thinc.util import get_torch_default_device, torch2xp, xp2torch

from ..types import HeadOutput
from .feed_forward import set_head_dims
from .standardize import Standardize, has_vector

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

_NEEDED = (
    "A head's module needs `embed(x)`, base vectors (n, n_in) to tuned vectors (n, k), and "
    "`forward(x)`, base vectors to raw scores (n, n_out)."
)


def PyTorchHead(
    module: Callable[..., Any],
    nO: int | None = None,
    nI: int | None = None,
    standardize: bool = True,
) -> Model[Floats2d, HeadOutput]:
    """Build a head from a torch module of the user's own.

    The module has two methods: `embed(x)` makes tuned vectors (n, k) of base vectors (n, n_in), and
    `forward(x)` makes raw scores (n, n_out), before any softmax or sigmoid. With a third,
    `resize_output(n_out)`, which returns the module or nothing, labels can be added later. The
    module sees only documents with a vector; the others get a tuned vector and scores of zero.

    module (Callable[[int, int], torch.nn.Module] | torch.nn.Module): What makes the module from
        n_in and n_out, a class for example, or a ready module, of which a copy is used, so that
        each initialization starts from the weights it came with.
    nO (int | None): The number of labels n_out. None: known from `initialize`.
    nI (int | None): The width n_in of the base vectors. None: known from `initialize`.
    standardize (bool): Whether the module gets its vectors through `Standardize`.
    RETURNS (Model[Floats2d, HeadOutput]): Base vectors (n, nI) to tuned vectors (n, nH) and raw
        scores (n, nO). Refs: "standardize", not set if there is none. attrs["resize_output"] is
        `resize_output`, if the module or its class can do it; of a plain function it is known only
        when it is asked to.
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
    RETURNS (tuple): Tuned vectors (n, k) and scores (n, L), and the callback that takes the
        gradient with respect to both and returns the one with respect to X, shape (n, d).
    """
    ops = model.ops
    shim = model.shims[0]
    # Documents without a vector are left out rather than masked: in a module that normalises, a
    # row of zeros makes NaN, and NaN times a mask of 0 is NaN.
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
    """Build the module anew, with torch's random numbers, which spaCy's `training.seed` sets.

    X (Floats2d | None): The base vectors of the training corpus, shape (n, d), which
        `Standardize` takes its mean from.
    Y (Floats2d | HeadOutput | None): Targets' values or a head's output: one column a label.
    RAISES (ValueError): If a width is not known, or the module does not fit.
    """
    set_head_dims(model, X, Y)
    for layer in model.layers:
        layer.set_dim("nI", model.get_dim("nI"))
        layer.initialize(X=X)
    shim = cast(TorchHeadShim, model.shims[0])
    width = shim.build(model.get_dim("nI"), model.get_dim("nO"))
    model.set_dim("nH", width, force=True)


def resize_output(model: Model[Floats2d, HeadOutput], new_nO: int) -> Model[Floats2d, HeadOutput]:
    """Make room for more labels, by the module's own `resize_output`.

    model (Model): A head from `PyTorchHead`, initialized or not; it is changed in place.
    new_nO (int): The new number of labels.
    RETURNS (Model): The same head.
    RAISES (ValueError): If the module cannot do it.
    """
    shim = cast(TorchHeadShim, model.shims[0])
    if shim.is_built and new_nO != model.get_dim("nO"):
        shim.resize(new_nO)
    model.set_dim("nO", new_nO, force=True)
    return model


class TorchHeadShim(Shim):
    """Holds the module of a `PyTorchHead`: builds, runs, updates, averages and stores it."""

    def __init__(self, source: Callable[..., Any]) -> None:
        """source (Callable[[int, int], Module] | Module): What to make the module from."""
        super().__init__(None)
        if not callable(source):
            raise ValueError(
                f"PyTorchHead: module is {source!r}. Give a torch.nn.Module, or what makes one "
                "from the number of inputs and of labels, such as its class."
            )
        ready = isinstance(source, _module_type())
        if ready:
            _check_methods(source)
        self._source: Any = copy.deepcopy(source) if ready else source

    @property
    def is_built(self) -> bool:
        """RETURNS (bool): Whether there is a module yet."""
        return self._model is not None

    @property
    def may_resize(self) -> bool:
        """RETURNS (bool): Whether there is a `resize_output`, or a function may still give one."""
        source = self._source
        while isinstance(source, functools.partial):
            source = source.func
        return hasattr(source, "resize_output") or not isinstance(source, type | _module_type())

    def build(self, n_in: int, n_out: int) -> int:
        """Make the module, and see that it does what a head must do.

        n_in (int): The width of the base vectors.
        n_out (int): The number of labels.
        RETURNS (int): The width of the tuned vectors.
        RAISES (ValueError): If it does not.
        """
        import torch

        ready = isinstance(self._source, torch.nn.Module)
        module = copy.deepcopy(self._source) if ready else self._source(n_in, n_out)
        _check_methods(module)
        module = _prepare(module)
        sample = torch.zeros((2, n_in), device=_device(module))
        try:
            with torch.no_grad():
                resizable = ready and hasattr(module, "resize_output")
                if resizable and module(sample).shape[1] != n_out:
                    module = _resize(module, n_out)
                tuned, _ = _run(module, sample, n_out)
        except RuntimeError as error:
            raise ValueError(
                f"PyTorchHead: {type(module).__name__} failed on base vectors of width {n_in}: "
                f"{error}. Make it for the encoder's width, or give its class as `module`, which "
                "is then called with the number of inputs and of labels."
            ) from error
        self._model, self.cfg = module, {"n_in": n_in, "n_out": n_out}
        return int(tuned.shape[1])

    def resize(self, n_out: int) -> None:
        """Let the module change its number of labels.

        n_out (int): The new number of labels.
        RAISES (ValueError): If the module has no `resize_output`, or it did something else.
        """
        import torch

        if not hasattr(self._model, "resize_output"):
            raise ValueError(
                f"PyTorchHead: {type(self._model).__name__} has no method resize_output(n_out), so "
                "it cannot get more labels. Write one, or initialize with all labels."
            )
        self._model = _resize(self._model, n_out)
        self.cfg["n_out"] = n_out
        with torch.no_grad():
            _run(
                self._model, torch.zeros((2, self.cfg["n_in"]), device=_device(self._model)), n_out
            )

    def __call__(
        self, inputs: Floats2d, is_train: bool
    ) -> tuple[tuple[Floats2d, Floats2d], Callable[..., Floats2d]]:
        """Run the module.

        inputs (Floats2d): The module's input, shape (n, n_in).
        RETURNS (tuple): Tuned vectors and scores, and the callback that takes the gradients with
            respect to both, adds to those of the parameters and returns the one of the inputs.
        """
        import torch

        # A forked worker inherits torch's threads as a number, not as threads, and waits for ever.
        if multiprocessing.parent_process() is not None and torch.get_num_threads() > 1:
            torch.set_num_threads(1)
        x = xp2torch(cast(Any, inputs), requires_grad=is_train, device=_device(self._model))
        if not is_train:
            with torch.no_grad():
                outputs = _run(self._model, x, self.cfg["n_out"])
            return _to_arrays(outputs), _no_backprop
        self._model.train()
        try:
            with torch.enable_grad():
                outputs = _run(self._model, x, self.cfg["n_out"])
        finally:
            self._model.eval()

        def backprop(d_tuned: Floats2d, d_scores: Floats2d) -> Floats2d:
            pairs = [
                (output, xp2torch(cast(Any, gradient), device=output.device))
                for output, gradient in zip(outputs, (d_tuned, d_scores), strict=True)
                if output.requires_grad
            ]
            torch.autograd.backward([pair[0] for pair in pairs], [pair[1] for pair in pairs])
            return cast(Floats2d, torch2xp(torch.zeros_like(x) if x.grad is None else x.grad))

        return _to_arrays(outputs), backprop

    def finish_update(self, optimizer: Any) -> None:
        """Let the optimizer change each parameter that has a gradient.

        optimizer (thinc.api.Optimizer): Is called with a key, the parameter and its gradient.
        """
        for key, parameter in self._parameters():
            if parameter.grad is None:
                continue
            # Thinc's optimizer asks for the length of what it gets, which a scalar has not.
            shape = tuple(parameter.shape) or (1,)
            weights = torch2xp(parameter.data.reshape(shape))
            gradient = torch2xp(parameter.grad.reshape(shape))
            updated = xp2torch(optimizer(key, weights, gradient)[0], device=parameter.device)
            parameter.data.copy_(updated.reshape(parameter.shape))
            parameter.grad = None

    @contextlib.contextmanager
    def use_params(self, params: dict[Any, Any]) -> Iterator[None]:
        """Put other values, such as the optimizer's averages, in the parameters' place.

        params (dict): Arrays by the keys that the optimizer got.
        """
        backup = []
        try:
            for key, parameter in self._parameters():
                if key in params:
                    backup.append((parameter, parameter.data))
                    value = xp2torch(params[key], device=parameter.device).clone()
                    parameter.data = value.reshape(parameter.shape)
            yield
        finally:
            for parameter, data in backup:
                parameter.data = data

    def copy(self) -> "TorchHeadShim":
        """RETURNS (TorchHeadShim): A copy with an id, and so with optimizer keys, of its own."""
        copied = copy.deepcopy(self)
        with Shim.global_id_lock:
            Shim.global_id += 1
            copied.id = Shim.global_id
        return copied

    def to_device(self, device_type: str, device_id: int) -> None:
        """Move the module.

        device_type (str): "cpu" or "gpu".
        device_id (int): Which of the GPUs.
        """
        if self.is_built:
            self._model.to("cpu" if device_type == "cpu" else f"cuda:{device_id}")

    def to_bytes(self) -> bytes:
        """RETURNS (bytes): The widths and the weights, these in safetensors' format."""
        from safetensors.torch import save

        weights = b""
        if self.is_built:
            state = self._model.state_dict()
            for name, value in state.items():
                if not hasattr(value, "detach"):
                    raise ValueError(
                        f"PyTorchHead: {name!r} in the state of {type(self._model).__name__} is a "
                        f"{type(value).__name__}, and only tensors are stored. Keep it in a buffer "
                        "(register_buffer)."
                    )
            # Cloned, since safetensors refuses tensors that share memory, as tied weights do.
            weights = save({k: v.detach().cpu().clone().contiguous() for k, v in state.items()})
        return srsly.msgpack_dumps({"cfg": self.cfg, "weights": weights})

    def from_bytes(self, bytes_data: bytes) -> "TorchHeadShim":
        """Build the module if it is not there in the stored widths, and fill in its weights.

        bytes_data (bytes): What `to_bytes` returned.
        RETURNS (TorchHeadShim): The shim itself.
        RAISES (ValueError): If the stored weights are those of another kind of module.
        """
        from safetensors.torch import load

        message = srsly.msgpack_loads(bytes_data)
        cfg = message["cfg"]
        if not cfg:
            self.cfg, self._model = {}, None
            return self
        if not self.is_built or cfg != self.cfg:
            self.build(cfg["n_in"], cfg["n_out"])
        try:
            self._model.load_state_dict(load(message["weights"]))
        except RuntimeError as error:
            raise ValueError(
                f"PyTorchHead: the stored weights do not fit {type(self._model).__name__}: "
                f"{error}. Give PyTorchHead the module that they were stored from."
            ) from error
        return self

    def _parameters(self) -> Iterator[tuple[tuple[int, str], Any]]:
        """Go through the parameters with their keys for the optimizer. The prefix keeps them apart
        from those of Thinc's layers, whose ids are counted separately; the shape in the key makes
        the optimizer start anew with a parameter that was resized."""
        if self.is_built:
            for name, parameter in self._model.named_parameters():
                yield (self.id, f"torch_head.{name}{tuple(parameter.shape)}"), parameter


def _run(module: "Module", x: "Tensor", n_out: int) -> "tuple[Tensor, Tensor]":
    """RETURNS (tuple[Tensor, Tensor]): Tuned vectors and scores, of the right shapes."""
    # Checked in this order, since `forward` usually calls `embed` and would fail in other words.
    tuned = _check_output(module, "embed", cast(Any, module).embed(x), x)
    scores = _check_output(module, "forward", module(x), x)
    if scores.shape[1] != n_out:
        raise ValueError(
            f"PyTorchHead: {type(module).__name__}.forward returned {scores.shape[1]} scores a "
            f"document, but there are {n_out} labels. Make the module with {n_out} outputs, or "
            "give its class as `module`, which is then called with the number of inputs and of "
            "labels."
        )
    return tuned, scores


def _check_output(module: "Module", method: str, output: Any, x: "Tensor") -> "Tensor":
    call = f"PyTorchHead: {type(module).__name__}.{method} returned"
    if not hasattr(output, "detach"):
        raise ValueError(f"{call} a {type(output).__name__}, not a tensor. {_NEEDED}")
    if output.ndim != 2 or len(output) != len(x):
        raise ValueError(
            f"{call} the shape {tuple(output.shape)} for input of shape {tuple(x.shape)}: expected "
            f"2 dimensions with {len(x)} rows. {_NEEDED}"
        )
    return cast("Tensor", output)


def _resize(module: "Module", n_out: int) -> "Module":
    resized = cast(Any, module).resize_output(n_out)
    return _prepare(module if resized is None else resized)


def _module_type() -> type:
    from torch.nn import Module

    return Module


def _check_methods(module: Any) -> None:
    """RAISES (ValueError): If something is not a module with the methods of a head."""
    from torch.nn import Module

    if not isinstance(module, Module):
        raise ValueError(
            f"PyTorchHead: module(n_in, n_out) returned a {type(module).__name__}, not a "
            f"torch.nn.Module. {_NEEDED}"
        )
    # Every torch module has a `forward`; the inherited one only raises.
    for method, inherited in (("embed", None), ("forward", Module.forward)):
        if getattr(type(module), method, None) is inherited and method not in vars(module):
            raise ValueError(f"PyTorchHead: {type(module).__name__} has no {method}. {_NEEDED}")


def _prepare(module: "Module") -> "Module":
    """RETURNS (Module): The module on Thinc's device, in float32, which Thinc's optimizer asks
    for, and in evaluation mode."""
    import torch

    return module.to(device=get_torch_default_device(), dtype=torch.float32).eval()


def _device(module: "Module") -> Any:
    """RETURNS (torch.device): Where a module is."""
    tensors = [*module.parameters(), *module.buffers()]
    return tensors[0].device if tensors else get_torch_default_device()


def _to_arrays(tensors: "tuple[Tensor, Tensor]") -> tuple[Floats2d, Floats2d]:
    tuned, scores = (torch2xp(tensor.float()) for tensor in tensors)
    return cast(Floats2d, tuned), cast(Floats2d, scores)


def _no_backprop(d_tuned: Floats2d, d_scores: Floats2d) -> Floats2d:
    raise ValueError("PyTorchHead: there is no gradient of a prediction. Use begin_update.")
