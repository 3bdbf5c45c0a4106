"""Texts as batches of tokens: made once, ahead of the model, sorted by length, of bounded size."""

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ._properties import prompt_of
from ._tokens import PROBES, Features, prepare

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

# Number of texts that are made into tokens at once, while the model reads the chunk before. With
# larger chunks the first vector comes later, with smaller ones more batches are not full.
CHUNK = 1024


class Batch(NamedTuple):
    """The tokens of some texts.

    rows (ndarray): Positions of the texts, int64, shape (m,).
    features (dict): The model's input.
    n_truncated (int): Number of texts that were cut at the window.
    """

    rows: NDArray[Any]
    features: Features
    n_truncated: int


class Batcher:
    """Makes batches of the texts that a model reads. Threads may share it.

    model (SentenceTransformer): The model. Its tokens must be separable, see `can_batch`.
    """

    def __init__(self, model: "SentenceTransformer") -> None:
        self.model = model
        # A tokenizer sets up its truncation anew in each call, so calls must not overlap.
        self.lock = threading.RLock()
        self._constants: Features | None = None
        self._probed = False

    def can_batch(self) -> bool:
        """Check whether the model's tokenizer alone gives what the model reads, one number for
        each token. Static models, bags of words and models with chat templates do not.

        RETURNS (bool): Whether it does.
        """
        if not self._probed:
            with self.lock:
                self._constants = self._find_constants()
            self._probed = True
        return self._constants is not None

    def _find_constants(self) -> Features | None:
        """RETURNS (dict | None): What the model reads besides the tokens, equal for all batches."""
        tokenizer: Any = self.model.tokenizer
        if not getattr(tokenizer, "is_fast", False):
            return None
        expected = prepare(self.model, PROBES)
        made = self._tokenize(PROBES)
        tensors = {key: value for key, value in expected.items() if hasattr(value, "shape")}
        if set(tensors) != set(made) or "attention_mask" not in tensors:
            return None
        for key, value in tensors.items():
            if value.shape != made[key].shape or not bool((value.cpu() == made[key]).all()):
                return None
        return {key: value for key, value in expected.items() if key not in tensors}

    def _tokenize(self, texts: Sequence[str]) -> Any:
        prompt = prompt_of(self.model) or ""
        tokenizer: Any = self.model.tokenizer
        return tokenizer(
            [prompt + text for text in texts] if prompt else list(texts),
            padding=True,
            truncation="longest_first",
            return_tensors="pt",
        )

    def batches(
        self, texts: Sequence[str], order: Sequence[int], n_tokens: int, window: int | None
    ) -> Iterator[Batch]:
        """Make batches, with a thread that is one chunk ahead.

        texts (Sequence[str]): The texts.
        order (Sequence[int]): The positions of those that are wanted, long texts first.
        n_tokens (int): Number of tokens of a batch at most, padding included. A text that has more
            is a batch of its own.
        window (int | None): Number of tokens that the model reads; None: all of them.
        RETURNS (Iterator[Batch]): The batches.
        """
        chunks = [order[start : start + CHUNK] for start in range(0, len(order), CHUNK)]
        if len(chunks) == 1:
            yield from self._cut(texts, chunks[0], n_tokens, window)
            return
        with ThreadPoolExecutor(1, "embtune-tokens") as pool:
            ahead = None
            for chunk in [*chunks, None]:
                ready = ahead
                if chunk is not None:
                    ahead = pool.submit(self._chunk, texts, chunk, n_tokens, window)
                if ready is not None:
                    yield from ready.result()

    def _chunk(self, *args: Any) -> list[Batch]:
        return list(self._cut(*args))

    def _cut(
        self, texts: Sequence[str], order: Sequence[int], n_tokens: int, window: int | None
    ) -> Iterator[Batch]:
        with self.lock:
            made = self._tokenize([texts[i] for i in order])
        mask = made["attention_mask"]
        lengths = mask.sum(dim=1).numpy()
        is_cut = np.zeros(len(order), dtype=bool)
        for i in np.flatnonzero(lengths >= (window or np.inf)):
            is_cut[i] = bool(made.encodings[i].overflowing)
        tokenizer: Any = self.model.tokenizer
        is_left = tokenizer.padding_side == "left"
        positions = np.asarray(order)
        by_length = np.argsort(-lengths, kind="stable")
        start = 0
        while start < len(by_length):
            longest = int(lengths[by_length[start]])
            rows = by_length[start : start + max(1, n_tokens // max(longest, 1))]
            start += len(rows)
            features = {
                key: value[rows, -longest:] if is_left else value[rows, :longest]
                for key, value in made.items()
            }
            yield Batch(
                positions[rows], {**features, **(self._constants or {})}, int(is_cut[rows].sum())
            )

    def find_truncated(self, texts: Sequence[str], window: int) -> set[int]:
        """Find the texts that are longer than the window.

        texts (Sequence[str]): The texts.
        window (int): Number of tokens that the model reads, those of the prompt included.
        RETURNS (set[int]): The positions of these texts.
        """
        prompt = prompt_of(self.model) or ""
        # A token has at least one character, so shorter texts fit. Most texts are shorter.
        places = [i for i, text in enumerate(texts) if len(prompt) + len(text) + 2 > window]
        tokenizer: Any = self.model.tokenizer
        if not places or not callable(tokenizer):
            return set()
        candidates = [prompt + texts[i] for i in places]
        with self.lock:
            if getattr(tokenizer, "is_fast", False):
                made = tokenizer(candidates, truncation="longest_first", max_length=window)
                is_long = [bool(encoding.overflowing) for encoding in made.encodings]
            else:
                ids = tokenizer(candidates, truncation=False, verbose=False)["input_ids"]
                is_long = [len(row) > window for row in ids]
        return {i for i, found in zip(places, is_long, strict=True) if found}
