"""Forward and backward passes through an encoder that learns."""

import contextlib
import math
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ._split import SplitModel
from ._tokens import Features, pad, prepare, separate
from .text_encoder import TextEncoder

if TYPE_CHECKING:
    import torch

# Bytes that the backward pass needs for each token, layer and dimension of a hidden state.
_BYTES_PER_UNIT = 64
# Attention without a fused kernel needs the same memory again for each so many tokens of a text.
_ATTENTION_UNIT = 512
# Number of tokens in one pass on a processor. More tokens do not fit its caches, and bring texts of
# different lengths together, which are padded.
TOKENS_AT_ONCE = 1024
# Up to this number of tokens attention may be faster without the fused kernel, see `_is_plain`.
PLAIN_ATTENTION = 256


class EncoderTrainer:
    """Runs forward and backward passes through a text encoder of which some layers learn.

    Each distinct text of a batch goes through the encoder once. What the layers below the first
    learning one return is computed once for all training steps. The encoder computes without
    dropout, so that it returns the same vectors in training as in use.

    encoder (TextEncoder): The encoder. Its parameters change, and are float32 from now on.
    trainable_layers (int): Number of the last layers that learn; -1: all layers and the embeddings.
    memory (int): Bound in bytes for the kept activations, and also for the passes of one step. A
        batch that needs more is computed in parts, and again part by part in the backward pass
        (gradient cache: Gao et al. 2021, "Scaling Deep Contrastive Learning Batch Size under
        Memory Limited Setup").
    RAISES (ValueError): If the encoder has no such layers.

    Attributes:
        parameters (dict[str, Parameter]): The parameters that learn, by name.
        n_passed (int): Number of texts that went forward through the layers that learn.
        n_lower (int): Number of texts that went through the layers below.

    >>> from spacy_embtune.encoder import EncoderSettings
    >>> encoder = TextEncoder.load(EncoderSettings(precision="float32"))
    >>> trainer = EncoderTrainer(encoder, trainable_layers=1)
    >>> vectors, backprop = trainer.forward(["bread and soup", "a guitar", "a guitar"])
    >>> vectors.shape, trainer.n_passed
    ((3, 384), 2)
    >>> backprop(np.ones_like(vectors))
    >>> all(parameter.grad is not None for parameter in trainer.parameters.values())
    True
    """

    def __init__(self, encoder: TextEncoder, *, trainable_layers: int, memory: int = 2**30) -> None:
        self.encoder = encoder
        self.memory = memory
        # A step is too small to change weights that are stored in bfloat16.
        self.split = SplitModel(encoder.model.float(), trainable_layers)
        self.parameters = self.split.trainable
        for parameter in self.parameters.values():
            parameter.requires_grad_(True)
            parameter.grad = None
        self.n_passed = 0
        self.n_lower = 0
        self._hidden_width = _hidden_width(encoder)
        self._prepared: dict[str, _Prepared] = {}
        self._kept = 0

    def forward(self, texts: Sequence[str]) -> tuple[NDArray[Any], Callable[[NDArray[Any]], None]]:
        """Encode the texts of a batch for training, each distinct text once. If windows are pooled,
        the gradient of a long text goes to its pieces.

        texts (Sequence[str]): The n texts. An empty text gets a row of zeros.
        RETURNS (tuple): Their vectors, float32, shape (n, d), and the callback that takes the
            gradient with respect to them, shape (n, d), and adds the gradients of the parameters to
            their `grad`.
        """
        import torch

        distinct = [text for text in dict.fromkeys(texts) if text.strip()]
        place = {text: i for i, text in enumerate(distinct)}
        pieces = self.encoder.split(distinct)
        ready = self._prepare(distinct if pieces is None else pieces.texts)
        parts, fit_together = self._parts(ready)
        encoded = np.zeros((len(ready), self.encoder.width), dtype="float32")
        outputs: list[Any] = []
        for rows in parts:
            with torch.set_grad_enabled(fit_together):
                output = self._run([ready[i] for i in rows])
            encoded[rows] = output.detach().cpu().numpy()
            if fit_together:
                outputs.append(output)
        normalizes = self.encoder.normalizes
        pooled = encoded if pieces is None else pieces.pool(encoded, normalizes=normalizes)
        # The last row is for texts that are empty.
        vectors = np.concatenate([pooled, np.zeros_like(pooled, shape=(1, pooled.shape[1]))])
        where = np.asarray([place.get(text, len(distinct)) for text in texts], dtype=int)

        def backprop(gradient: NDArray[Any]) -> None:
            summed = np.zeros_like(vectors)
            np.add.at(summed, where, gradient)
            of_texts = summed[: len(distinct)]
            if pieces is not None:
                of_texts = pieces.distribute(of_texts, encoded, normalizes=normalizes)
            for i, rows in enumerate(parts):
                with torch.enable_grad():
                    output = outputs[i] if fit_together else self._run([ready[j] for j in rows])
                output.backward(torch.as_tensor(of_texts[rows], device=output.device))

        return vectors[where], backprop

    def forget(self) -> None:
        """Remove the activations that are kept."""
        self._prepared.clear()
        self._kept = 0

    def _prepare(self, texts: list[str]) -> "list[_Prepared]":
        """RETURNS (list[_Prepared]): The texts, ready for the layers that learn."""
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

    def _compute_lower(self, texts: list[str]) -> "Iterator[_Prepared]":
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
            # A copy, because a view would keep the whole batch in memory.
            yield _Prepared(text, tokens, states[: len(tokens["input_ids"])].clone())

    def _parts(self, ready: "list[_Prepared]") -> tuple[list[list[int]], bool]:
        """Sort texts by length and divide them into parts.

        RETURNS (tuple[list[list[int]], bool]): The positions of the texts of each part, and whether
            all parts together fit into the memory. Each part alone fits, unless it is a single
            text.
        """
        per_token = _BYTES_PER_UNIT * self._hidden_width * self.split.n_upper

        def cost(n_texts: int, length: int) -> float:
            attention = length / _ATTENTION_UNIT if self._is_plain(length) else 0.0
            return n_texts * length * per_token * (1.0 + attention)

        at_once = TOKENS_AT_ONCE if self._is_on_processor else math.inf
        parts: list[list[int]] = []
        for i in sorted(range(len(ready)), key=lambda i: ready[i].length):
            # The texts are sorted: this one is the longest so far, and all are padded to it.
            length, size = ready[i].length, len(parts[-1]) + 1 if parts else 0
            if not parts or size * length > at_once or cost(size, length) > self.memory:
                parts.append([])
            parts[-1].append(i)
        total = sum(cost(len(part), ready[part[-1]].length) for part in parts)
        return parts, total <= self.memory

    def _run(self, ready: "list[_Prepared]") -> "torch.Tensor":
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
        with self.encoder.autocast(), self._attention(max(text.length for text in ready)):
            vectors = self.split.upper(features, hidden)
        self.n_passed += len(ready)
        # As in `TextEncoder.encode`: normalised in float32, and cut off if the model is set so.
        vectors = vectors.float()[:, : self.encoder.width]
        return torch.nn.functional.normalize(vectors) if self.encoder.normalizes else vectors

    def _attention(self, n_tokens: int) -> Any:
        """RETURNS (ContextManager): Chooses how the attention over so many tokens is computed."""
        from torch.nn.attention import SDPBackend, sdpa_kernel

        is_plain = self._is_plain(n_tokens)
        return sdpa_kernel(SDPBackend.MATH) if is_plain else contextlib.nullcontext()

    def _is_plain(self, n_tokens: int) -> bool:
        """RETURNS (bool): Whether attention is computed as plain matrix products. For short texts
        in bfloat16 on a processor, the backward pass of the fused kernel takes longer."""
        is_bfloat16 = self.encoder.precision_used == "bfloat16"
        return is_bfloat16 and n_tokens <= PLAIN_ATTENTION and self._is_on_processor

    @property
    def _is_on_processor(self) -> bool:
        return self.encoder.model.device.type == "cpu"


class _Prepared(NamedTuple):
    """A text, ready for the layers that learn.

    text (str): The text.
    tokens (dict | None): The text as the model's input, see `_tokens.separate`; None if the input
        cannot be separated text by text.
    hidden (Tensor | None): Output of the layers below, shape (tokens, h); None if all layers learn.
    """

    text: str
    tokens: Features | None = None
    hidden: "torch.Tensor | None" = None

    @property
    def length(self) -> int:
        """RETURNS (int): The number of tokens. Without tokens, an estimate."""
        return len(self.text) // 4 + 1 if self.tokens is None else len(self.tokens["input_ids"])

    @property
    def size(self) -> int:
        """RETURNS (int): Its size in bytes."""
        tensors = [*(self.tokens or {}).values(), self.hidden]
        return sum(t.numel() * t.element_size() for t in tensors if hasattr(t, "numel")) + 500


def _hidden_width(encoder: TextEncoder) -> int:
    """RETURNS (int): Width of the hidden states if the model's configuration has it, else the width
    of the vectors, which may be less."""
    config = getattr(getattr(encoder.model[0], "auto_model", None), "config", None)
    width = getattr(config, "hidden_size", None)
    return width if isinstance(width, int) else encoder.width
