"""Sentiment of reviews: what 200 labelled ones do to the vectors of others.

python examples/review_sentiment.py DATA_DIR/imdb

The directory holds train.jsonl and test.jsonl, {"text": str, "cats": {label: 0 or 1}} a line, each
text with one label.
"""

import random
import time
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from comparison import make_encoder, read_rows, score, show
from wasabi import msg

from spacy_embtune.finetune import FeedForwardTuner


def main(
    data: Annotated[Path, typer.Argument(help="Directory of train.jsonl and test.jsonl")],
    n_train: Annotated[int, typer.Option("--texts", help="Labelled texts to learn from")] = 200,
    n_test: Annotated[int, typer.Option("--test", help="Held-out texts at most")] = 1000,
    encoder_name: Annotated[str, typer.Option("--encoder", help="Model name or directory")] = (
        "all-MiniLM-L6-v2"
    ),
    cache: Annotated[Path | None, typer.Option(help="Keep the encoder's vectors here")] = None,
    seed: Annotated[int, typer.Option(help="Draws the texts")] = 0,
) -> None:
    """Tune the vectors with a feed-forward head, and compare them with the encoder's own."""
    rng = random.Random(seed)
    train, test = (read_rows(data / f"{part}.jsonl") for part in ("train", "test"))
    train = rng.sample(train, min(n_train, len(train)))
    test = rng.sample(test, min(n_test, len(test)))

    encoder = make_encoder(encoder_name, cache)
    X, X_test = (encoder.transform([row["text"] for row in rows]) for rows in (train, test))

    # Cats are taken as they are; a list of strings would do as well.
    start = time.perf_counter()
    tuner = FeedForwardTuner(random_state=seed).fit(X, [row["cats"] for row in train])
    seconds = time.perf_counter() - start

    y, y_test = (
        np.asarray([[row["cats"].get(label, 0) for label in tuner.classes_] for row in rows])
        for rows in (train, test)
    )
    msg.info(f"{len(train)} texts to learn from, {len(test)} held out, tuned in {seconds:.1f} s")
    show(score(X, y, X_test, y_test), score(tuner.transform(X), y, tuner.transform(X_test), y_test))
    accuracy = tuner.score(X_test, [row["cats"] for row in test])
    msg.text(f"Accuracy of the tuner's own predictions: {accuracy:.3f}")


if __name__ == "__main__":
    typer.run(main)
