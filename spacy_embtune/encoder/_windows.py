"""Splits texts that are longer than the window, and averages the vectors of their pieces."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ._properties import input_module_of, prompt_of

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from ._batches import Batcher

# How far a cut moves to the left, as a share of the window, so that it does not divide a word.
_LEEWAY = 0.25
# From this window on a model counts as one that reads all of a text.
ENDLESS = 100_000


@dataclass(frozen=True)
class Pieces:
    """n texts as m pieces, none of which is longer than the window. A text that fits is one piece.

    texts (list[str]): The m pieces.
    owners (ndarray): Position of the text of each piece, ascending, int64, shape (m,).
    weights (ndarray): The share of each piece in the tokens of its text, float32, shape (m,).
    is_split (ndarray): Whether each text has several pieces, bool, shape (n,).
    """

    texts: list[str]
    owners: NDArray[Any]
    weights: NDArray[Any]
    is_split: NDArray[Any]

    def pool(self, rows: NDArray[Any], *, normalizes: bool) -> NDArray[Any]:
        """Average the vectors of pieces, by number of tokens.

        rows (ndarray): Vectors of the pieces, float32, shape (m, d).
        normalizes (bool): Whether the vector of a split text gets unit length.
        RETURNS (ndarray): Vectors of the texts, float32, shape (n, d). That of a text with one
            piece is the vector of the piece.
        """
        if not self.is_split.any():
            return rows
        pooled = self._sum(rows)
        whole = ~self.is_split[self.owners]
        pooled[self.owners[whole]] = rows[whole]
        if normalizes:
            lengths = self._lengths(pooled)
            np.divide(pooled, lengths, out=pooled, where=lengths > 0)
        return pooled

    def distribute(
        self, gradient: NDArray[Any], rows: NDArray[Any], *, normalizes: bool
    ) -> NDArray[Any]:
        """Turn a gradient with respect to the vectors of texts into one with respect to those of
        their pieces.

        gradient (ndarray): float32, shape (n, d).
        rows (ndarray): Vectors of the pieces, float32, shape (m, d).
        normalizes (bool): As for `pool`.
        RETURNS (ndarray): float32, shape (m, d).
        """
        if not self.is_split.any():
            return gradient
        if normalizes:
            mean = self._sum(rows)
            lengths = self._lengths(mean)
            lengths[lengths == 0] = 1.0
            unit = mean / lengths
            along = (unit * gradient).sum(axis=1, keepdims=True)
            turned = (gradient - unit * along) / lengths
            gradient = np.where(self.is_split[:, None], turned, gradient)
        return np.asarray(gradient[self.owners] * self.weights[:, None], dtype="float32")

    def _sum(self, rows: NDArray[Any]) -> NDArray[Any]:
        summed = np.zeros((len(self.is_split), rows.shape[1]), dtype="float32")
        np.add.at(summed, self.owners, rows * self.weights[:, None])
        return summed

    def _lengths(self, rows: NDArray[Any]) -> NDArray[Any]:
        """RETURNS (ndarray): Length of each vector of a split text, 1 for others, shape (n, 1)."""
        lengths = np.linalg.norm(rows, axis=1, keepdims=True)
        lengths[~self.is_split] = 1.0
        return lengths


def can_split(model: "SentenceTransformer", window: int | None) -> bool:
    """Check that texts can be split for a model.

    model (SentenceTransformer): The model.
    window (int | None): Number of tokens that it reads of a text; None: all of them.
    RETURNS (bool): Whether there is anything to split: False for a model that reads all of a text.
    RAISES (ValueError): If the model's tokenizer does not say where its tokens are.
    """
    tokenizer = getattr(input_module_of(model), "tokenizer", None)
    if getattr(tokenizer, "is_fast", False) and tokenizer is model.tokenizer:
        return window is not None
    # Word vectors have a bound that no text reaches.
    if window is None or window >= ENDLESS:
        return False
    raise ValueError(
        f"pool_windows is true, but the tokenizer of this encoder ({type(tokenizer).__name__}) "
        f"does not say where in a text its tokens are, so texts cannot be split. Set pool_windows "
        f"= false, or use an encoder with a fast tokenizer."
    )


def split_texts(batcher: "Batcher", texts: Sequence[str], window: int) -> Pieces:
    """Split the texts that are longer than the window of a model.

    batcher (Batcher): Makes the model's tokens.
    texts (Sequence[str]): The n texts.
    window (int): Number of tokens that the model reads, those of the prompt and special ones
        included.
    RETURNS (Pieces): The pieces. Their number of tokens is similar within a text, and words are
        whole as far as that is possible.
    """
    long = batcher.find_truncated(texts, window)
    room = window - _overhead(batcher) if long else 0
    pieces: list[str] = []
    owners: list[int] = []
    weights: list[float] = []
    for i, text in enumerate(texts):
        parts = _split(batcher, text, room, window) if i in long else [(text, 1)]
        total = sum(n for _, n in parts)
        for piece, n in parts:
            pieces.append(piece)
            owners.append(i)
            weights.append(n / total)
    is_split = np.zeros(len(texts), dtype=bool)
    is_split[list(long)] = True
    return Pieces(pieces, np.asarray(owners, int), np.asarray(weights, "float32"), is_split)


def _overhead(batcher: "Batcher") -> int:
    """RETURNS (int): Number of tokens of the prompt, and of special tokens."""
    tokenizer: Any = batcher.model.tokenizer
    prompt = prompt_of(batcher.model) or ""
    with batcher.lock:
        return len(tokenizer(prompt, truncation=False, verbose=False)["input_ids"])


def _split(batcher: "Batcher", text: str, room: int, window: int) -> list[tuple[str, int]]:
    """RETURNS (list[tuple[str, int]]): The pieces of a long text, with their numbers of tokens."""
    tokenizer: Any = batcher.model.tokenizer
    with batcher.lock:
        made = tokenizer(text, truncation=False, add_special_tokens=False, verbose=False)
    (encoding,) = made.encodings
    starts = [start for start, _ in encoding.offsets]
    cuts = _cuts(encoding.word_ids, max(room, 1))
    parts = []
    for start, end in pairwise(cuts):
        # The first piece begins where the text does, and white space belongs to the piece before.
        first = 0 if start == 0 else starts[start]
        piece = text[first : starts[end] if end < len(starts) else len(text)].strip()
        if piece:
            parts.append((piece, end - start))
    # A piece alone may have other tokens than within the text.
    still_long = batcher.find_truncated([piece for piece, _ in parts], window)
    if not still_long or room <= 1:
        return parts
    shorter = []
    for i, part in enumerate(parts):
        shorter += _split(batcher, part[0], room // 2, window) if i in still_long else [part]
    return shorter


def _cuts(words: Sequence[int | None], room: int) -> list[int]:
    """Choose the tokens at which pieces begin.

    words (Sequence[int | None]): The word of each of n tokens.
    room (int): Number of tokens of a piece at most.
    RETURNS (list[int]): Positions, ascending, from 0 to n.
    """
    cuts = [0]
    while len(words) - cuts[-1] > room:
        rest = len(words) - cuts[-1]
        # Pieces of similar length, so that the last one is not a few words.
        size = -(-rest // -(-rest // room))
        cut = cuts[-1] + size
        lowest = cut - int(_LEEWAY * size)
        moved = cut
        while moved > lowest and words[moved] is not None and words[moved] == words[moved - 1]:
            moved -= 1
        cuts.append(moved if moved > lowest else cut)
    return [*cuts, len(words)]
