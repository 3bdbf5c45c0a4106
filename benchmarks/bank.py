"""Compare sizes of the memory bank (bank_size), for the contrastive head with batches of 16.

python benchmarks/bank.py DATA_DIR --sets trec,goemotions --texts 1000
python scripts/make_docstring_corpus.py corpus && python benchmarks/bank.py . --sets corpus

Sets and draws are those of benchmarks/heads.py. In a draw, all bank sizes are trained on the same
texts in the same order.
"""

import random
import time
from pathlib import Path
from typing import Annotated

import typer
from common import ROOT, compare, encode, read_rows, train_head
from heads import show


def main(
    data: Annotated[Path, typer.Argument(help="Directory of the labelled sets")],
    sets: Annotated[str, typer.Option(help="Separated by commas")] = "trec,goemotions",
    banks: Annotated[
        str, typer.Option(help="Sizes of the memory bank, separated by commas")
    ] = "0,64,256,1024",
    batch: Annotated[int, typer.Option(help="Batch size")] = 16,
    steps: Annotated[int, typer.Option(help="Training steps at most")] = 600,
    n_train: Annotated[int, typer.Option("--texts", help="Training texts")] = 1000,
    draws: Annotated[int, typer.Option(help="How many draws")] = 5,
    first_draw: Annotated[int, typer.Option(help="Number of the first")] = 0,
    n_test: Annotated[int, typer.Option("--test", help="Test texts at most")] = 1000,
) -> None:
    """Print the metrics on held-out texts for each bank size: mean±sd over the draws."""
    for name in sets.split(","):
        train_rows = read_rows(data / name / "train.jsonl")
        test_rows = read_rows(data / name / "test.jsonl")
        names = ["base", *(f"bank {size}" for size in banks.split(","))]
        results: dict[str, list[list[float]]] = {key: [] for key in names}
        seconds = dict.fromkeys(results, 0.0)
        for draw in range(first_draw, first_draw + draws):
            rng = random.Random(draw)
            drawn = rng.sample(train_rows, n_train + 300)
            known, dev = drawn[:n_train], drawn[n_train:]
            new = rng.sample(test_rows, min(n_test, len(test_rows)))
            encode([row["text"] for row in (*drawn, *new)])
            for key in names:
                begin = time.perf_counter()
                nlp = None
                if key != "base":
                    changes = {
                        "components.embtune.bank_size": int(key.split()[1]),
                        "training.batcher.size": batch,
                        "training.max_steps": steps,
                        "training.eval_frequency": 100,
                        "system.seed": draw,
                    }
                    nlp = train_head(ROOT / "configs" / "contrastive.cfg", known, dev, changes)
                seconds[key] += time.perf_counter() - begin
                results[key].append(compare(nlp, known, new))
        show(f"{name}, {n_train} texts, batches of {batch}, {draws} draws", results, seconds)


if __name__ == "__main__":
    typer.run(main)
