"""Sentiment of reviews: 200 labelled reviews change the vectors of others.

python examples/review_sentiment.py DATA_DIR/imdb

The directory holds train.jsonl and test.jsonl, {"text": str, "cats": {label: 0 or 1}} a line, each
text with one label.
"""

import random
import time
from pathlib import Path
from typing import Annotated

import typer
from comparison import draw, make_encoder, name_labels, read_rows, score, show
from wasabi import msg

from spacy_embtune import FeedForwardTuner


def main(
    data: Annotated[Path, typer.Argument(help="Directory of train.jsonl and test.jsonl")],
    n_train: Annotated[int, typer.Option("--texts", help="Labelled texts to learn from")] = 200,
    n_test: Annotated[int, typer.Option("--test", help="Held-out texts at most")] = 1000,
    hidden_dim: Annotated[int, typer.Option(help="Width of the tuned vectors")] = 200,
    small: Annotated[int, typer.Option(help="Width of a second, small hidden layer")] = 10,
    encoder_name: Annotated[str, typer.Option("--encoder", help="Model name or directory")] = (
        "all-MiniLM-L6-v2"
    ),
    cache: Annotated[Path | None, typer.Option(help="Keep the encoder's vectors here")] = None,
    picture: Annotated[Path | None, typer.Option(help="Draw the held-out texts here")] = None,
    seed: Annotated[int, typer.Option(help="Draws the texts")] = 0,
) -> None:
    """Tune the vectors with a hidden layer, and compare them with the encoder's own."""
    rng = random.Random(seed)
    train, test = (read_rows(data / f"{part}.jsonl") for part in ("train", "test"))
    train = rng.sample(train, min(n_train, len(train)))
    test = rng.sample(test, min(n_test, len(test)))
    y, y_test = name_labels(train), name_labels(test)

    encoder = make_encoder(encoder_name, cache)
    X, X_test = (encoder.transform([row["text"] for row in rows]) for rows in (train, test))

    start = time.perf_counter()
    tuner = FeedForwardTuner(hidden_dim, random_state=seed).fit(X, y)
    seconds = time.perf_counter() - start
    narrow = FeedForwardTuner(small, random_state=seed).fit(X, y)

    msg.info(f"{len(train)} texts to learn from, {len(test)} held out, tuned in {seconds:.1f} s")
    base = score(X, y, X_test, y_test)
    for width, fitted in ((hidden_dim, tuner), (small, narrow)):
        msg.divider(f"A hidden layer of {width}")
        show(base, score(fitted.transform(X), y, fitted.transform(X_test), y_test))
        print(f"Accuracy of the tuner's own predictions: {fitted.score(X_test, y_test):.3f}")
    if picture is not None:
        panels = {
            "Base vectors": X_test,
            f"Tuned, {hidden_dim} wide": tuner.transform(X_test),
            f"Tuned, {small} wide": narrow.transform(X_test),
        }
        draw(picture, panels, y_test)


if __name__ == "__main__":
    typer.run(main)
