"""What 8-bit integers give and cost: texts a second and cosine with the exact vectors.

python benchmarks/quantize.py DATA_DIR --set ag_news --texts 500 --rounds 3 --threads 1

DATA_DIR holds a directory a set with train.jsonl, {"text"} a line. One process. The encoders take
turns, so that other work on the machine slows all of them down alike.
"""

import statistics
import time
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from common import read_rows, spread

from spacy_embtune.encoder import has_native_bfloat16
from spacy_embtune.finetune import SentenceEncoder


def main(
    data: Annotated[Path, typer.Argument(help="Directory of the sets")],
    name: Annotated[str, typer.Option("--set", help="Name of the set")] = "ag_news",
    n_texts: Annotated[int, typer.Option("--texts", help="Number of texts")] = 500,
    rounds: Annotated[int, typer.Option(help="How many turns each encoder takes")] = 3,
    threads: Annotated[int, typer.Option(help="Threads of torch")] = 1,
) -> None:
    """Print a table of texts a second and cosines."""
    texts = [row["text"] for row in read_rows(data / name / "train.jsonl")[:n_texts]]
    encoders = {
        "float32": SentenceEncoder(precision="float32", num_threads=threads),
        "bfloat16": SentenceEncoder(precision="bfloat16", num_threads=threads),
        "quantize=True": SentenceEncoder(quantize=True, num_threads=threads),
    }
    speeds: dict[str, list[float]] = {label: [] for label in encoders}
    vectors: dict[str, Any] = {}
    for encoder in encoders.values():
        encoder.transform(texts[:32])
    for _ in range(rounds):
        for label, encoder in encoders.items():
            begin = time.perf_counter()
            vectors[label] = encoder.transform(texts)
            speeds[label].append(len(texts) / (time.perf_counter() - begin))
    print(f"bfloat16 is native on this processor: {has_native_bfloat16('cpu')}")
    print("| | texts a second | times as fast | cosine with float32, mean | lowest |")
    print("|---|---|---|---|---|")
    for label, found in speeds.items():
        ratios = [a / b for a, b in zip(found, speeds["float32"], strict=True)]
        cosines = (vectors[label] * vectors["float32"]).sum(axis=1)
        cosines /= np.linalg.norm(vectors[label], axis=1)
        cosines /= np.linalg.norm(vectors["float32"], axis=1)
        print(
            f"| {label} | {spread(found, '.0f')} | {statistics.mean(ratios):.2f} "
            f"| {cosines.mean():.4f} | {cosines.min():.4f} |"
        )


if __name__ == "__main__":
    typer.run(main)
