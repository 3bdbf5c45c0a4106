"""Texts and their base vectors on disk, so that memory does not grow with the number of texts."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from spacy.util import minibatch

from .._progress import progress_interval
from .._texts import digest_number
from ..pipeline import EmbTune
from ..pipeline.component import as_numpy

# Number of texts that are encoded, or read from disk, at a time.
BLOCK = 2048
# One text in TEN is held out to measure the student, another one to choose its settings. Each of
# both needs no more than MOST_HELD_OUT texts.
TEN = 10
MOST_HELD_OUT = 2000
FIT, VALIDATION, HELD_OUT = 0, 1, 2
# Copies of a text are left out. A table of N_SEEN bits tells them, so that memory does not grow. By
# chance it also leaves out 1 % of a million texts.
N_SEEN = 2**27


class Block(NamedTuple):
    """Some texts of a corpus and what the teacher makes of them.

    texts (list[str]): The texts.
    base (ndarray): Base vectors of the teacher, float32, shape (n, d).
    """

    texts: list[str]
    base: NDArray[Any]


class Corpus:
    """Texts, each with its part, and the base vectors that the teacher gives them, in a folder.

    folder (Path): An empty directory.
    """

    def __init__(self, folder: Path) -> None:
        self._texts, self._vectors = folder / "texts.jsonl", folder / "base.float32"
        self._n_in_part: Counter[int] = Counter()
        self._parts: list[NDArray[Any]] = []
        self.width = 0

    def add(self, texts: Sequence[str], base: NDArray[Any]) -> None:
        """Append texts and their base vectors."""
        self.width = base.shape[1]
        with self._texts.open("a", encoding="utf8") as lines, self._vectors.open("ab") as vectors:
            lines.writelines(json.dumps(text) + "\n" for text in texts)
            vectors.write(np.ascontiguousarray(base, dtype="float32").tobytes())
        self._parts.append(np.fromiter(map(self._choose_part, texts), dtype="uint8"))

    def _choose_part(self, text: str) -> int:
        # By a digest, so that the same texts in another order give the same student.
        part = {0: HELD_OUT, 1: VALIDATION}.get(digest_number(text) // N_SEEN % TEN, FIT)
        if part != FIT and self._n_in_part[part] >= MOST_HELD_OUT:
            part = FIT
        self._n_in_part[part] += 1
        return part

    def count(self, part: int) -> int:
        """RETURNS (int): Number of texts of a part."""
        return self._n_in_part[part]

    @property
    def n(self) -> int:
        """RETURNS (int): Number of texts."""
        return self._n_in_part.total()

    def blocks(self, *parts: int) -> Iterator[Block]:
        """YIELDS (Block): The texts of the parts, in blocks."""
        with self._texts.open(encoding="utf8") as lines, self._vectors.open("rb") as vectors:
            for choice in self._parts:
                n = len(choice)
                texts = [json.loads(next(lines)) for _ in range(n)]
                data = vectors.read(n * self.width * 4)
                base = np.frombuffer(data, dtype="float32").reshape(n, self.width)
                rows = np.flatnonzero(np.isin(choice, parts))
                if rows.size:
                    yield Block([texts[i] for i in rows.tolist()], base[rows])

    def first(self, n: int, *parts: int) -> Block:
        """RETURNS (Block): The first texts of the parts, n at most."""
        texts: list[str] = []
        rows: list[NDArray[Any]] = [np.zeros((0, self.width), dtype="float32")]
        for block in self.blocks(*parts):
            texts += block.texts
            rows.append(block.base)
            if len(texts) >= n:
                break
        return Block(texts[:n], np.concatenate(rows)[:n])


def collect(
    pipes: Sequence[EmbTune], texts: Iterable[str], folder: Path, *, progress: bool
) -> list[Corpus]:
    """Encode texts with each component, and keep texts and vectors in a folder. Empty texts
    and copies are left out.

    pipes (Sequence[EmbTune]): The components.
    texts (Iterable[str]): The texts; they are read once.
    folder (Path): An empty directory.
    progress (bool): Whether to show a progress bar.
    RETURNS (list[Corpus]): The corpus of each component.
    """
    from tqdm.auto import tqdm

    corpora = []
    for i in range(len(pipes)):
        (folder / str(i)).mkdir()
        corpora.append(Corpus(folder / str(i)))
    with tqdm(
        desc="Teacher", unit=" texts", disable=not progress, mininterval=progress_interval()
    ) as bar:
        for block in minibatch(_distinct(texts), BLOCK):  # type: ignore[no-untyped-call]
            for pipe, corpus in zip(pipes, corpora, strict=True):
                corpus.add(block, as_numpy(pipe.model.get_ref("encoder").predict(block)))
            bar.update(len(block))
    return corpora


def _distinct(texts: Iterable[str]) -> Iterator[str]:
    """YIELDS (str): The texts, without copies and without empty ones."""
    seen = np.zeros(N_SEEN // 8, dtype="uint8")
    for text in texts:
        if not text.strip():
            continue
        place, bit = divmod(digest_number(text) % N_SEEN, 8)
        if not seen[place] >> bit & 1:
            seen[place] |= 1 << bit
            yield text


def head_outputs(pipe: EmbTune, base: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """RETURNS (tuple[ndarray, ndarray]): The tuned vectors, shape (n, k), and raw scores, shape
    (n, L), of base vectors, float32."""
    head: Any = pipe.model.get_ref("head")
    tuned, scores = head.predict(head.ops.asarray2f(base))
    return as_numpy(tuned), as_numpy(scores)
