"""A transformer cut in two at a layer."""

import contextlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from ._tokens import PROBES, Features, pad, prepare, separate

if TYPE_CHECKING:
    import torch
    from sentence_transformers import SentenceTransformer

_TOLERANCE = 1e-4


class _Reached(Exception):
    """The forward pass reached the layer whose input was asked for."""


class SplitModel:
    """Runs one part of a sentence-transformers model: the lower part from the tokens to a layer, or
    the upper part from that layer to the sentence vectors. Both parts run the model's own code, so
    that the model itself makes the attention masks and positions.

    model (SentenceTransformer): The model, in float32.
    n_upper (int): Number of its last layers that belong to the upper part, at least 1; -1: the
        model is not cut, and everything is the upper part.
    RAISES (ValueError): If it has no such layers, or returns other vectors when it is cut.

    Attributes:
        n_upper (int): Number of layers of the upper part.
        reads_tokens (bool): Whether texts can be separated and padded anew, see `_tokens`.
        trainable (dict[str, Parameter]): The parameters that only the upper part uses, by name.
    """

    def __init__(self, model: "SentenceTransformer", n_upper: int) -> None:
        if n_upper == 0 or n_upper < -1:
            raise ValueError(
                f"trainable_layers is {n_upper}: give the number of the last layers that learn, or "
                "-1 for all, and the embeddings."
            )
        self.model = model
        self.layers: Any = None
        self.first = 0
        stack = find_layers(model)
        self.n_upper = len(stack or [None])
        if n_upper > 0:
            if stack is None or n_upper > len(stack):
                found = "no stack of layers" if stack is None else f"{len(stack)}"
                raise ValueError(
                    f"trainable_layers is {n_upper}, but the encoder has {found}. Give "
                    f"{'' if stack is None else 'a smaller number, or '}-1 for all of it."
                )
            self.layers = stack
            self.n_upper = n_upper
            self.first = len(stack) - n_upper
        # The length of the tuple that a layer returns; 0 if it returns no tuple.
        self._n_returned = 0
        probe = prepare(model, PROBES)
        texts = separate(probe)
        self.reads_tokens = texts is not None and self._may_be_padded(texts)
        self.trainable = self._find_trainable(probe if texts is None else pad(model, texts))

    @property
    def is_cut(self) -> bool:
        """RETURNS (bool): Whether there is a lower part."""
        return self.layers is not None

    def lower(self, features: Mapping[str, Any]) -> "torch.Tensor":
        """Run the lower part.

        features (Mapping[str, Any]): The tokens, as for the whole model.
        RETURNS (Tensor): The input of the first layer of the upper part, shape (n, tokens, h).
        """
        reached: list[Any] = []

        def stop(layer: Any, args: Any, kwargs: Any) -> None:
            reached.append(args[0] if args else kwargs["hidden_states"])
            raise _Reached

        hook = self.layers[self.first].register_forward_pre_hook(stop, with_kwargs=True)
        try:
            self.model(dict(features))
        except _Reached:
            return reached[0]
        finally:
            hook.remove()
        raise ValueError("The encoder did not run through its layers.")

    def upper(self, features: Mapping[str, Any], hidden: "torch.Tensor | None") -> "torch.Tensor":
        """Run the upper part.

        features (Mapping[str, Any]): The tokens, as for the whole model.
        hidden (Tensor | None): What `lower` returned for them; None if the model is not cut.
        RETURNS (Tensor): Sentence vectors, shape (n, d).
        """
        if hidden is None:
            return self.model(dict(features))["sentence_embedding"]
        with self._skip_lower(hidden):
            return self.model(dict(features))["sentence_embedding"]

    @contextlib.contextmanager
    def _skip_lower(self, hidden: "torch.Tensor") -> Iterator[None]:
        """Make the lower layers return their input, and give the first upper layer `hidden`."""

        def substitute(layer: Any, args: Any, kwargs: Any) -> Any:
            if args:
                return (hidden, *args[1:]), kwargs
            return args, {**kwargs, "hidden_states": hidden}

        lower = list(self.layers[: self.first])
        hook = self.layers[self.first].register_forward_pre_hook(substitute, with_kwargs=True)
        try:
            for i, layer in enumerate(lower):
                self.layers[i] = _pass_through(layer, self._n_returned)
            yield
        finally:
            for i, layer in enumerate(lower):
                self.layers[i] = layer
            hook.remove()

    def _may_be_padded(self, texts: list[Features]) -> bool:
        """RETURNS (bool): Whether texts padded on the right get the same vectors as each of them
        alone. Some models need their tokens on the right, others ignore the mask."""
        import torch

        self.model.eval()
        with torch.no_grad():
            together = self.upper(pad(self.model, texts), None)
            alone = [self.upper(pad(self.model, [text]), None) for text in texts]
        return _are_equal(together, torch.cat(alone))

    def _find_trainable(self, probe: Features) -> dict[str, Any]:
        """Find the parameters that the upper part uses and the lower part does not: those of its
        layers and of the modules behind them. Parameters that both parts use cannot learn.

        RETURNS (dict[str, Parameter]): The parameters by their names.
        """
        import torch

        self.model.requires_grad_(True).eval()
        try:
            with torch.enable_grad():
                if not self.is_cut:
                    touched = self._touched(self.upper(probe, None))
                else:
                    touched = self._touched_by_upper(probe)
        finally:
            self.model.requires_grad_(False)
        if not touched:
            raise ValueError("The encoder has no parameters that could learn.")
        return {name: p for name, p in self.model.named_parameters() if name in touched}

    def _touched_by_upper(self, probe: Features) -> set[str]:
        """RETURNS (set[str]): The names of the parameters that only the upper part uses.
        RAISES (ValueError): If the two parts do not return what the whole model returns.
        """
        cause: Exception | None = None
        try:
            whole = self.upper(probe, None)
            self._n_returned = self._count_returned(probe)
            hidden = self.lower(probe)
            of_lower = self._touched(hidden)
            cut = self.upper(probe, hidden.detach())
            touched = self._touched(cut) - of_lower
            # The trainer keeps one hidden state for each token of a text.
            by_token = hidden.shape[:2] == probe["input_ids"].shape and self.reads_tokens
            if by_token and _are_equal(whole, cut):
                return touched
        except Exception as error:  # The model's own code may raise any error.
            cause = error
        raise ValueError(
            "The encoder does not return the same vectors when its lower layers are computed apart "
            "from the upper ones, so single layers of it cannot be trained. Use trainable_layers = "
            "-1."
        ) from cause

    def _count_returned(self, probe: Features) -> int:
        outputs: list[Any] = []
        hook = self.layers[0].register_forward_hook(
            lambda layer, args, output: outputs.append(output)
        )
        try:
            self.model(dict(probe))
        finally:
            hook.remove()
        return len(outputs[0]) if isinstance(outputs[0], tuple) else 0

    def _touched(self, output: "torch.Tensor") -> set[str]:
        """RETURNS (set[str]): The names of the parameters that an output depends on."""
        import torch

        if output.grad_fn is None:
            return set()
        names, parameters = zip(*self.model.named_parameters(), strict=True)
        gradients = torch.autograd.grad(output.float().sum(), parameters, allow_unused=True)
        return {name for name, g in zip(names, gradients, strict=True) if g is not None}


def find_layers(model: "SentenceTransformer") -> Any:
    """Find the stack of transformer layers of a model.

    model (SentenceTransformer): The model.
    RETURNS (ModuleList | None): The list of modules with the most parameters; None if there is no
        list.
    """
    import torch

    def size(module: Any) -> int:
        return sum(p.numel() for p in module.parameters())

    stacks = [m for m in model.modules() if isinstance(m, torch.nn.ModuleList) and len(m)]
    return max(stacks, key=size, default=None)


def _are_equal(first: "torch.Tensor", second: "torch.Tensor") -> bool:
    size = float(first.detach().abs().max())
    return float((first - second).detach().abs().max()) <= _TOLERANCE * max(size, _TOLERANCE)


def _pass_through(layer: Any, n_returned: int) -> Any:
    """RETURNS (Module): A module that returns its input and has the attributes of a layer."""
    import torch

    class PassThrough(torch.nn.Module):
        def __getattr__(self, name: str) -> Any:
            # Some models read the kind of attention from their layers.
            return getattr(layer, name)

        def forward(self, *args: Any, **kwargs: Any) -> Any:
            hidden = args[0] if args else kwargs["hidden_states"]
            return (hidden, *[None] * (n_returned - 1)) if n_returned else hidden

    return PassThrough()
