"""Run, update, average and store the torch module of a `PyTorchHead`.

This shim differs from `thinc.shims.PyTorchShim` in three ways: it averages parameters
(`use_params`), it keeps the module in evaluation mode except during an update, and it stores
weights as safetensors instead of pickle.
"""

import contextlib
import copy
import functools
import multiprocessing
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, cast

import srsly
from thinc.shims import Shim
from thinc.types import Floats2d
from thinc.util import get_torch_default_device, torch2xp, xp2torch

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

_NEEDED_METHODS = (
    "The module of a head needs `embed(x)`, base vectors (n, n_in) to tuned vectors (n, k), and "
    "`forward(x)`, base vectors to raw scores (n, n_out)."
)


class TorchHeadShim(Shim):
    """Build, run, update, average and store the module of a `PyTorchHead`."""

    def __init__(self, source: Callable[..., Any]) -> None:
        """Keep the source of the module. `build` makes the module.

        source (Callable[[int, int], Module] | Module): A class or function that makes the module,
            or a ready module.
        RAISES (ValueError): If the source is neither.
        """
        super().__init__(None)
        if not callable(source):
            raise ValueError(
                f"PyTorchHead: module is {source!r}. Give a torch.nn.Module, or a class or "
                "function that makes one from the number of inputs and of labels."
            )
        ready = isinstance(source, _module_type())
        if ready:
            _check_methods(source)
        self._source: Any = copy.deepcopy(source) if ready else source

    @property
    def is_built(self) -> bool:
        """RETURNS (bool): Whether `build` has made the module."""
        return self._model is not None

    @property
    def may_resize(self) -> bool:
        """RETURNS (bool): Whether the module may have a `resize_output`. False if it surely has
        none."""
        source = self._source
        while isinstance(source, functools.partial):
            source = source.func
        return hasattr(source, "resize_output") or not isinstance(source, type | _module_type())

    def build(self, n_in: int, n_out: int) -> int:
        """Make the module and check that it can be a head.

        n_in (int): The width of the base vectors.
        n_out (int): The number of labels.
        RETURNS (int): The width of the tuned vectors.
        RAISES (ValueError): If the module cannot be a head.
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
                f"{error}. Make it for the encoder's width, or give its class as `module`: the "
                "head then calls the class with the number of inputs and of labels."
            ) from error
        self._model, self.cfg = module, {"n_in": n_in, "n_out": n_out}
        return int(tuned.shape[1])

    def resize(self, n_out: int) -> None:
        """Change the number of labels by the module's own method.

        n_out (int): The new number of labels.
        RAISES (ValueError): If the module has no `resize_output`, or the resized module does not
            return `n_out` scores.
        """
        import torch

        if not hasattr(self._model, "resize_output"):
            raise ValueError(
                f"PyTorchHead: {type(self._model).__name__} has no method resize_output(n_out), so "
                "it cannot get more labels. Write that method, or initialize with all labels."
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

        inputs (Floats2d): The input of the module, shape (n, n_in).
        is_train (bool): Whether a backward pass follows.
        RETURNS (tuple): Tuned vectors and scores, and a callback. The callback takes the gradients
            of both, adds to the gradients of the parameters and returns the gradient of the inputs.
        """
        import torch

        # A forked worker inherits the number of torch's threads without the threads, and would
        # hang.
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
        """Update each parameter that has a gradient.

        optimizer (thinc.api.Optimizer): A callable that takes a key, a parameter and its gradient.
        """
        for key, parameter in self._parameters():
            if parameter.grad is None:
                continue
            # Thinc's optimizer asks for the length of its arrays, and a scalar has no length.
            shape = tuple(parameter.shape) or (1,)
            weights = torch2xp(parameter.data.reshape(shape))
            gradient = torch2xp(parameter.grad.reshape(shape))
            updated = xp2torch(optimizer(key, weights, gradient)[0], device=parameter.device)
            parameter.data.copy_(updated.reshape(parameter.shape))
            parameter.grad = None

    @contextlib.contextmanager
    def use_params(self, params: dict[Any, Any]) -> Iterator[None]:
        """Replace the parameters inside a `with` block, for example by the optimizer's averages.

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
        """RETURNS (TorchHeadShim): A copy with an id of its own, and so with optimizer keys of its
        own."""
        copied = copy.deepcopy(self)
        with Shim.global_id_lock:
            Shim.global_id += 1
            copied.id = Shim.global_id
        return copied

    def to_device(self, device_type: str, device_id: int) -> None:
        """Move the module to another device.

        device_type (str): "cpu" or "gpu".
        device_id (int): The number of the GPU, from 0.
        """
        if self.is_built:
            self._model.to("cpu" if device_type == "cpu" else f"cuda:{device_id}")

    def to_bytes(self) -> bytes:
        """Write the widths and the weights, the latter in the format of safetensors.

        RETURNS (bytes): The bytes.
        RAISES (ValueError): If the state of the module holds something other than tensors.
        """
        from safetensors.torch import save

        weights = b""
        if self.is_built:
            state = self._model.state_dict()
            for name, value in state.items():
                if not hasattr(value, "detach"):
                    raise ValueError(
                        f"PyTorchHead: {name!r} in the state of {type(self._model).__name__} is a "
                        f"{type(value).__name__}, but only tensors can be stored. Keep it in a "
                        "buffer (register_buffer)."
                    )
            # Cloned, because safetensors refuses tensors that share memory, for example tied
            # weights.
            weights = save({k: v.detach().cpu().clone().contiguous() for k, v in state.items()})
        return srsly.msgpack_dumps({"cfg": self.cfg, "weights": weights})

    def from_bytes(self, bytes_data: bytes) -> "TorchHeadShim":
        """Load the weights. Build the module first if it has other widths or does not exist.

        bytes_data (bytes): The bytes that `to_bytes` returned.
        RETURNS (TorchHeadShim): The shim itself.
        RAISES (ValueError): If the weights were stored from another kind of module.
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
                f"{error}. Give PyTorchHead the module that the weights were stored from."
            ) from error
        return self

    def _parameters(self) -> Iterator[tuple[tuple[int, str], Any]]:
        """Yield each parameter with its key for the optimizer.

        The prefix "torch_head" separates the keys from those of Thinc's layers, whose ids are
        counted separately. The shape in the key makes the optimizer start with new moments after a
        parameter was resized.
        """
        if self.is_built:
            for name, parameter in self._model.named_parameters():
                yield (self.id, f"torch_head.{name}{tuple(parameter.shape)}"), parameter


def _run(module: "Module", x: "Tensor", n_out: int) -> "tuple[Tensor, Tensor]":
    """RETURNS (tuple[Tensor, Tensor]): Tuned vectors and scores. Their shapes are checked."""
    # `embed` is checked first, because `forward` usually calls it and its error would be less
    # clear.
    tuned = _check_output(module, "embed", cast(Any, module).embed(x), x)
    scores = _check_output(module, "forward", module(x), x)
    if scores.shape[1] != n_out:
        raise ValueError(
            f"PyTorchHead: {type(module).__name__}.forward returned {scores.shape[1]} scores per "
            f"document, but there are {n_out} labels. Make the module with {n_out} outputs, or "
            "give its class as `module`: the head then calls the class with the number of inputs "
            "and of labels."
        )
    return tuned, scores


def _check_output(module: "Module", method: str, output: Any, x: "Tensor") -> "Tensor":
    call = f"PyTorchHead: {type(module).__name__}.{method} returned"
    if not hasattr(output, "detach"):
        raise ValueError(f"{call} a {type(output).__name__}, not a tensor. {_NEEDED_METHODS}")
    if output.ndim != 2 or len(output) != len(x):
        raise ValueError(
            f"{call} the shape {tuple(output.shape)} for input of shape {tuple(x.shape)}: expected "
            f"2 dimensions with {len(x)} rows. {_NEEDED_METHODS}"
        )
    return cast("Tensor", output)


def _resize(module: "Module", n_out: int) -> "Module":
    resized = cast(Any, module).resize_output(n_out)
    return _prepare(module if resized is None else resized)


def _module_type() -> type:
    from torch.nn import Module

    return Module


def _check_methods(module: Any) -> None:
    """RAISES (ValueError): If `module` is not a torch module, or has not the methods of a head."""
    from torch.nn import Module

    if not isinstance(module, Module):
        raise ValueError(
            f"PyTorchHead: module(n_in, n_out) returned a {type(module).__name__}, not a "
            f"torch.nn.Module. {_NEEDED_METHODS}"
        )
    # Every torch module inherits a `forward`, which only raises an error.
    for method, inherited in (("embed", None), ("forward", Module.forward)):
        if getattr(type(module), method, None) is inherited and method not in vars(module):
            raise ValueError(
                f"PyTorchHead: {type(module).__name__} has no {method}. {_NEEDED_METHODS}"
            )


def _prepare(module: "Module") -> "Module":
    """RETURNS (Module): The module on Thinc's device, in evaluation mode and in float32, which
    Thinc's optimizer needs."""
    import torch

    return module.to(device=get_torch_default_device(), dtype=torch.float32).eval()


def _device(module: "Module") -> Any:
    """RETURNS (torch.device): The device of a module."""
    tensors = [*module.parameters(), *module.buffers()]
    return tensors[0].device if tensors else get_torch_default_device()


def _to_arrays(tensors: "tuple[Tensor, Tensor]") -> tuple[Floats2d, Floats2d]:
    tuned, scores = (torch2xp(tensor.float()) for tensor in tensors)
    return cast(Floats2d, tuned), cast(Floats2d, scores)


def _no_backprop(d_tuned: Floats2d, d_scores: Floats2d) -> Floats2d:
    raise ValueError(
        "PyTorchHead: a prediction has no gradient. Call begin_update instead of predict."
    )
