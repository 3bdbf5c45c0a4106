"""Long documents cut at the window against the mean of their windows (pool_windows).

python benchmarks/long_documents.py DATA_DIR --texts 600 --test 600

DATA_DIR holds imdb/ with train.jsonl and test.jsonl, {"text", "cats"} a line: reviews, of which
nearly half are longer than the 256 tokens that all-MiniLM-L6-v2 reads. Each text is encoded once
cut and once pooled; each draw takes other training and test texts of these. "long" are the figures
of test texts beyond the window only.
"""

import random
import time
from pathlib import Path
from typing import Annotated, Any

import typer
from common import METRICS, TABLE, Row, compare, deviation, read_rows
from wasabi import msg

from spacy_embtune.encoder import EncoderSettings, TextEncoder

SHOWN = ("probe", "p@1, queries", "MAP@R, queries")


def main(
    data: Annotated[Path, typer.Argument(help="Directory of the labelled sets")],
    n_train: Annotated[int, typer.Option("--texts", help="Texts to draw training from")] = 600,
    n_test: Annotated[int, typer.Option("--test", help="Texts to draw test texts from")] = 600,
    draws: Annotated[int, typer.Option(help="How many draws")] = 8,
    encoder: Annotated[str, typer.Option(help="The encoder")] = EncoderSettings().name,
    seed: Annotated[int, typer.Option(help="Chooses the texts")] = 0,
) -> None:
    """Print probe accuracy, p@1 and MAP@R on held-out texts: mean±sd over the draws, and of the
    differences within each draw."""
    rng = random.Random(seed)
    pools = {
        part: rng.sample(read_rows(data / "imdb" / f"{part}.jsonl"), n)
        for part, n in (("train", n_train), ("test", n_test))
    }
    texts = list({row["text"]: None for rows in pools.values() for row in rows})
    vectors: dict[str, dict[str, Any]] = {}
    for name, pools_windows in (("cut", False), ("pooled", True)):
        loaded = TextEncoder.load(EncoderSettings(encoder, pool_windows=pools_windows))
        if not pools_windows:
            n_long = loaded.count_truncated(texts)
            is_long = {text: bool(loaded.count_truncated([text])) for text in texts}
        start = time.perf_counter()
        vectors[name] = dict(zip(texts, loaded.encode(texts), strict=True))
        seconds = time.perf_counter() - start
        print(f"{name}: {seconds:.0f} s, {loaded.n_encoded} passages of {len(texts)} texts")
    print(f"{n_long} of {len(texts)} texts are longer than the window\n")
    figures: dict[tuple[str, str], list[list[float]]] = {}
    for draw in range(draws):
        rng = random.Random(1000 + draw)
        train_rows = rng.sample(pools["train"], n_train // 2)
        test_rows = rng.sample(pools["test"], n_test * 2 // 3)
        subsets: dict[str, list[Row]] = {
            "all": test_rows,
            "long": [row for row in test_rows if is_long[row["text"]]],
        }
        for name, table in vectors.items():
            TABLE.clear()
            TABLE.update(table)
            for subset, rows in subsets.items():
                found = dict(zip(METRICS, compare(None, train_rows, rows), strict=True))
                figures.setdefault((subset, name), []).append([found[m] for m in SHOWN])
    body = []
    for subset in ("all", "long"):
        for name in vectors:
            columns = zip(*figures[subset, name], strict=True)
            body.append((f"{subset}, {name}", *map(deviation, columns)))
        differences = [
            [p - c for p, c in zip(pooled, cut, strict=True)]
            for pooled, cut in zip(figures[subset, "pooled"], figures[subset, "cut"], strict=True)
        ]
        columns = zip(*differences, strict=True)
        body.append((f"{subset}, difference", *map(deviation, columns)))
    msg.table(body, header=("", *SHOWN), divider=True)


if __name__ == "__main__":
    typer.run(main)
