"""Training an encoder: each distinct text of a batch goes through it once, and what lies below the
first trainable layer is computed once for all steps."""

import contextlib
import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ._split import SplitModel
from ._tokens import Features, pad, prepare, separate
from .sentence_encoder import SentenceEncoder

if TYPE_CHECKING:
    import torch

# Bytes that the backward pass needs of a token, for each layer and dimension of its state.
_BYTES_PER_UNIT = 64
# Plain attention in bfloat16 needs as much again for so many tokens that each looks at.
_ATTENTION_UNIT = 512
# Tokens that go through the layers at once on a processor: more only leave its caches, and bring
# texts of other lengths together, which are padded.
TOKENS_AT_ONCE = 1024
# Up to so many tokens attention may be faster without the fused kernel, see `_is_plain`.
PLAIN_ATTENTION = 256


class _Prepared(NamedTuple):
    """A text, ready for the upper layers.

    text (str): The text.
    tokens (dict | None): What the model takes for it, see `tokens.separate`; None if it takes
        something else than tokens with a mask.
    hidden (Tensor | None): What comes out of the lower layers, shape (tokens, h); None if the model
        is not cut.
    """

    text: str
    tokens: Features | None = None
    hidden: "torch.Tensor | None" = None

    @property
    def length(self) -> int:
        """RETURNS (int): The number of tokens, or about that."""
        return len(self.text) // 4 + 1 if self.tokens is None else len(self.tokens["input_ids"])

    @property
    def size(self) -> int:
        """RETURNS (int): How many bytes it takes."""
        tensors = [*(self.tokens or {}).values(), self.hidden]
        return sum(t.numel() * t.element_size() for t in tensors if hasattr(t, "numel")) + 500


class EncoderTrainer:
    """Forward and backward passes through a sentence encoder, some of whose layers learn.

    encoder (SentenceEncoder): The encoder; its parameters change, and are float32 from now on.
    trainable_layers (int): How many of the last layers learn; -1: all, and the embeddings.
    dropout (float | None): The rate in the layers that learn; None: as the model was configured.
    memory (int): In bytes: how much kept activations may take, and how much the passes of a step
        may take. If a batch needs more, it is computed in parts, and these again in the backward
        pass (Gao et al. 2021, "Scaling Deep Contrastive Learning Batch Size under Memory Limited
        Setup": the gradient cache).
    RAISES (ValueError): If the encoder has no such layers.

    Attributes:
        parameters (dict[str, Parameter]): What learns, by name.
        n_passed (int): How many texts went through the upper layers, forward.
        n_lower (int): How many went through the lower layers.
    """

    def __init__(
        self,
        encoder: SentenceEncoder,
        *,
        trainable_layers: int,
        dropout: float | None = None,
        memory: int = 2**30,
    ) -> None:
        self.encoder = encoder
        self.memory = memory
        # Steps are too small for weights that are stored in bfloat16.
        self.split = SplitModel(encoder.model.float(), trainable_layers)
        self.parameters = self.split.trainable
        for parameter in self.parameters.values():
            parameter.requires_grad_(True)
            parameter.grad = None
        # What comes after the layers has no dropout of its own in any model known.
        layers = self.split.layers
        self._upper = list(layers[self.split.first :]) if layers is not None else [encoder.model]
        # Without dropout, training is nothing else than use.
        self._drops = dropout != 0.0
        if dropout:
            self._set_dropout(dropout)
        self._hidden_width = _hidden_width(encoder)
        self.n_passed = 0
        self.n_lower = 0
        self._prepared: dict[str, _Prepared] = {}
        self._kept = 0

    def forward(self, texts: Sequence[str]) -> tuple[NDArray[Any], Callable[[NDArray[Any]], None]]:
        """Encode the texts of a batch for training, each distinct one once.

        texts (Sequence[str]): The texts; one that is empty gets a row of zeros.
        RETURNS (tuple): Their vectors, float32, shape (n, d), and the callback that takes the
            gradient with respect to them and adds those of the parameters to `grad`.
        """
        import torch

        distinct = [text for text in dict.fromkeys(texts) if text.strip()]
        place = {text: i for i, text in enumerate(distinct)}
        ready = self._prepare(distinct)
        parts, keeps_graph = self._parts(ready)
        vectors = np.zeros((len(distinct) + 1, self.encoder.width), dtype="float32")
        graphs: list[Any] = []
        for rows in parts:
            states = [] if keeps_graph else self._random_states()
            with torch.set_grad_enabled(keeps_graph):
                output = self._run([ready[i] for i in rows])
            vectors[rows] = output.detach().cpu().numpy()
            graphs.append(output if keeps_graph else states)
        # The last row is for texts that are empty.
        where = np.asarray([place.get(text, len(distinct)) for text in texts], dtype=int)

        def backprop(gradient: NDArray[Any]) -> None:
            summed = np.zeros_like(vectors)
            np.add.at(summed, where, gradient)
            for rows, graph in zip(parts, graphs, strict=True):
                output = graph if keeps_graph else self._run_again([ready[i] for i in rows], graph)
                output.backward(torch.as_tensor(summed[rows], device=output.device))

        return vectors[where], backprop

    def forget(self) -> None:
        """Drop what was kept of texts."""
        self._prepared.clear()
        self._kept = 0

    def _prepare(self, texts: list[str]) -> list[_Prepared]:
        """RETURNS (list[_Prepared]): The texts, ready for the upper layers: as kept, or new."""
        new = [text for text in texts if text not in self._prepared]
        fresh: dict[str, _Prepared] = {}
        new.sort(key=len)
        size = self.encoder.settings.batch_size
        for start in range(0, len(new), size):
            batch = new[start : start + size]
            fresh.update(zip(batch, self._compute_lower(batch), strict=True))
        for text, ready in fresh.items():
            if self._kept + ready.size <= self.memory:
                self._prepared[text] = ready
                self._kept += ready.size
        return [fresh[text] if text in fresh else self._prepared[text] for text in texts]

    def _compute_lower(self, texts: list[str]) -> Iterator[_Prepared]:
        import torch

        separated = (
            separate(prepare(self.encoder.model, texts)) if self.split.reads_tokens else None
        )
        if separated is None:
            yield from map(_Prepared, texts)
            return
        if not self.split.is_cut:
            yield from map(_Prepared, texts, separated)
            return
        with torch.inference_mode(), self.encoder.autocast():
            hidden = self.split.lower(pad(self.encoder.model, separated))
            if self.encoder.precision_used == "bfloat16":
                hidden = hidden.to(torch.bfloat16)
        self.n_lower += len(texts)
        for text, tokens, states in zip(texts, separated, hidden, strict=True):
            # A copy, or it would keep the whole batch that it is a view of.
            yield _Prepared(text, tokens, states[: len(tokens["input_ids"])].clone())

    def _parts(self, ready: list[_Prepared]) -> tuple[list[list[int]], bool]:
        """Sort texts by length, and part them.

        RETURNS (tuple[list[list[int]], bool]): The texts of each part, by position, and whether all
            parts together fit the memory. Each alone does, unless it is a single text.
        """
        per_token = _BYTES_PER_UNIT * self._hidden_width * self.split.n_upper

        def cost(n_texts: int, length: int) -> float:
            attention = self._matrices(length) * length / _ATTENTION_UNIT
            return n_texts * length * per_token * (1.0 + attention)

        at_once = TOKENS_AT_ONCE if self._is_on_processor else math.inf
        parts: list[list[int]] = []
        for i in sorted(range(len(ready)), key=lambda i: ready[i].length):
            # Sorted: the newest is the longest, and all are padded to it.
            length, size = ready[i].length, len(parts[-1]) + 1 if parts else 0
            if not parts or size * length > at_once or cost(size, length) > self.memory:
                parts.append([])
            parts[-1].append(i)
        total = sum(cost(len(part), ready[part[-1]].length) for part in parts)
        return parts, total <= self.memory

    def _run(self, ready: list[_Prepared]) -> "torch.Tensor":
        """RETURNS (Tensor): The vectors of texts, float32, shape (n, d)."""
        import torch

        model = self.encoder.model
        tokens = [text.tokens for text in ready if text.tokens is not None]
        features = pad(model, tokens) if tokens else prepare(model, [text.text for text in ready])
        hidden = None
        if self.split.is_cut:
            hidden = torch.nn.utils.rnn.pad_sequence(
                [text.hidden for text in ready if text.hidden is not None], batch_first=True
            )
        for part in self._upper if self._drops else []:
            part.train()
        try:
            with self.encoder.autocast(), self._attention(max(text.length for text in ready)):
                vectors = self.split.upper(features, hidden)
        finally:
            model.eval()
        self.n_passed += len(ready)
        # As `SentenceEncoder.encode`: normalised in float32, and cut off if the model is so set.
        vectors = vectors.float()[:, : self.encoder.width]
        return torch.nn.functional.normalize(vectors) if self.encoder.normalizes else vectors

    def _set_dropout(self, rate: float) -> None:
        """Give all dropout in the layers that learn one rate. Some are modules, some are numbers
        that a layer gives to a function."""
        import torch

        for module in {module for part in self._upper for module in part.modules()}:
            if isinstance(module, torch.nn.Dropout):
                module.p = rate
            for name, value in vars(module).items():
                if "dropout" in name and isinstance(value, float):
                    setattr(module, name, rate)

    def _run_again(self, ready: list[_Prepared], states: list["torch.Tensor"]) -> "torch.Tensor":
        """RETURNS (Tensor): The same as in the forward pass, dropout included, with a graph."""
        import torch

        before = self._random_states()
        self._set_random_states(states)
        try:
            with torch.enable_grad():
                return self._run(ready)
        finally:
            self._set_random_states(before)

    def _random_states(self) -> list["torch.Tensor"]:
        """RETURNS (list[Tensor]): Where the generators are that dropout draws from."""
        return [get() for get, _ in self._generators()]

    def _set_random_states(self, states: list["torch.Tensor"]) -> None:
        for (_, set_state), state in zip(self._generators(), states, strict=True):
            set_state(state)

    def _generators(self) -> list[tuple[Callable[[], Any], Callable[[Any], None]]]:
        """RETURNS (list[tuple]): How to get and set the state of each generator of torch."""
        import torch

        device = self.encoder.model.device
        generators: list[Any] = [(torch.get_rng_state, torch.set_rng_state)]
        if device.type == "cuda":
            get = partial(torch.cuda.get_rng_state, device)
            generators.append((get, partial(torch.cuda.set_rng_state, device=device)))
        elif device.type == "mps":
            generators.append((torch.mps.get_rng_state, torch.mps.set_rng_state))
        return generators

    @property
    def _is_on_processor(self) -> bool:
        return self.encoder.model.device.type == "cpu"

    def _attention(self, n_tokens: int) -> Any:
        """RETURNS (ContextManager): The kernel for the attention over so many tokens."""
        from torch.nn.attention import SDPBackend, sdpa_kernel

        is_plain = self._is_plain(n_tokens)
        return sdpa_kernel(SDPBackend.MATH) if is_plain else contextlib.nullcontext()

    def _matrices(self, n_tokens: int) -> int:
        """RETURNS (int): How much is kept of what each of so many tokens makes of each other, as a
        multiple of what plain attention in bfloat16 keeps; 0 where a fused kernel is used. On a
        processor there is none with dropout."""
        drops = self._drops and self._is_on_processor
        if not (drops or self._is_plain(n_tokens)):
            return 0
        return (2 if drops else 1) * (1 if self.encoder.precision_used == "bfloat16" else 2)

    def _is_plain(self, n_tokens: int) -> bool:
        """RETURNS (bool): Whether attention is computed as matrix products. Over short texts, in
        bfloat16 on a processor, the backward pass of the fused kernel takes longer."""
        is_bfloat16 = self.encoder.precision_used == "bfloat16"
        return is_bfloat16 and n_tokens <= PLAIN_ATTENTION and self._is_on_processor


def _hidden_width(encoder: SentenceEncoder) -> int:
    """RETURNS (int): The width of the states within the model, if it tells: what comes out at the
    end may be less."""
    config = getattr(getattr(encoder.model[0], "auto_model", None), "config", None)
    width = getattr(config, "hidden_size", None)
    return width if isinstance(width, int) else encoder.width
