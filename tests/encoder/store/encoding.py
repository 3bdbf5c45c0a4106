"""An encoder whose calls can be counted, and other processes."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

TEXTS = ["", " ", "a", "bb", "ä", "日本", "\ud800", "\ud801", "?", "a\x00b", "a" * 10_000]


class Encode:
    """Stands in for an encoder: rows that tell the text; calls are noted."""

    def __init__(self, width: int = 4, dtype: str = "float32", plus: float = 0.0) -> None:
        self.width, self.dtype, self.plus = width, dtype, plus
        self.calls: list[list[str]] = []

    def __call__(self, texts: list[str]) -> Any:
        self.calls.append(texts)
        return self.rows(texts)

    def rows(self, texts: list[str]) -> Any:
        rows = np.zeros((len(texts), self.width), dtype=self.dtype)
        for row, text in zip(rows, texts, strict=True):
            data = text.encode("utf8", "surrogatepass")
            row[:2] = len(data) % 100, sum(data) % 100 + self.plus
        return rows

    @property
    def seen(self) -> list[str]:
        return [text for call in self.calls for text in call]


def run(code: str, *args: object) -> "subprocess.Popen[str]":
    """RETURNS (Popen): Another Python that runs the code, both streams open."""
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, args)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: "subprocess.Popen[str]") -> str:
    """RETURNS (str): What it printed; it must not fail."""
    try:
        output, errors = process.communicate(timeout=200)
    finally:
        process.kill()
    assert process.returncode == 0, errors
    return output


def size_of(path: Path) -> int:
    return sum(file.stat().st_size for file in path.iterdir())


# Stores texts of its own, again and again.
MANY = """
import sys, numpy
from spacy_embtune.encoder import VectorStore
path, seed, max_bytes, width = sys.argv[1], *map(int, sys.argv[2:])
rng = numpy.random.default_rng(seed)
store = VectorStore(path, max_bytes)
def encode(texts):
    return numpy.array([[float(text)] * width for text in texts], dtype="float32")
for _ in range(60):
    numbers = rng.integers(0, 3000, size=200)
    rows = store.lookup([str(number) for number in numbers], encode, width, fingerprint="f")
    assert (rows == numbers[:, None]).all()
print("done")
"""
