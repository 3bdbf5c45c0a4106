"""Labels that arrive in small batches: partial_fit on a stream.

python examples/stream.py DATA_DIR/ag_news

The directory holds train.jsonl and test.jsonl, {"text": str, "cats": {label: 0 or 1}} a line, each
text with one label.
"""

import random
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from comparison import make_encoder, name_labels, read_rows
from wasabi import msg

from spacy_embtune import FeedForwardTuner
from spacy_embtune.finetune import batched
from spacy_embtune.metrics import retrieval_scores


def main(
    data: Annotated[Path, typer.Argument(help="Directory of train.jsonl and test.jsonl")],
    n_train: Annotated[int, typer.Option("--texts", help="Length of the stream")] = 1000,
    n_test: Annotated[int, typer.Option("--test", help="Held-out texts at most")] = 500,
    batch: Annotated[int, typer.Option(help="Texts in a batch")] = 50,
    passes: Annotated[int, typer.Option(help="Steps with each batch")] = 3,
    encoder_name: Annotated[str, typer.Option("--encoder", help="Model name or directory")] = (
        "all-MiniLM-L6-v2"
    ),
    cache: Annotated[Path | None, typer.Option(help="Keep the encoder's vectors here")] = None,
    picture: Annotated[Path | None, typer.Option(help="Draw the scores here")] = None,
    seed: Annotated[int, typer.Option(help="Draws the texts")] = 0,
) -> None:
    """Learn from one batch after the other, and score the held-out texts after each."""
    rng = random.Random(seed)
    train, test = (read_rows(data / f"{part}.jsonl") for part in ("train", "test"))
    train = rng.sample(train, min(n_train, len(train)))
    test = rng.sample(test, min(n_test, len(test)))
    y_test = name_labels(test)
    classes = np.unique(name_labels([*train, *test]))
    carried = (y_test[:, None] == classes).astype("float32")

    encoder = make_encoder(encoder_name, cache)
    X_test = encoder.transform([row["text"] for row in test])
    tuner = FeedForwardTuner(random_state=seed)
    counts, scores = [0], [retrieval_scores(X_test, carried).map_at_r]
    accuracies = [float("nan")]
    for rows in batched(train, batch):
        X, y = encoder.transform([row["text"] for row in rows]), name_labels(rows)
        for _ in range(passes):
            tuner.partial_fit(X, y, classes=classes)
        counts.append(counts[-1] + len(rows))
        scores.append(retrieval_scores(tuner.transform(X_test), carried).map_at_r)
        accuracies.append(tuner.score(X_test, y_test))

    shown = sorted({0, 1, 2, 4, 8, len(counts) - 1} & set(range(len(counts))))
    lines = [(str(counts[i]), f"{scores[i]:.3f}", f"{accuracies[i]:.3f}") for i in shown]
    lines[0] = (*lines[0][:2], "-")
    header = ("texts so far", "MAP@R", "accuracy")
    msg.table(lines, header=header, divider=True, aligns=("r", "r", "r"))
    if picture is not None:
        draw_curve(picture, counts, scores, accuracies)


def draw_curve(path: Path, counts: list[int], scores: list[float], accuracies: list[float]) -> None:
    """Draw the scores of the held-out texts against the number of texts learned from."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 3.4), layout="constrained")
    ax = figure.subplots()
    ax.plot(counts, accuracies, color="#e07b39", marker="o", ms=3, label="accuracy")
    ax.plot(counts, scores, color="#2a6fbb", marker="o", ms=3, label="MAP@R")
    ax.axhline(scores[0], color="#2a6fbb", ls=":", label="MAP@R of the base vectors")
    ax.set(xlabel="labelled texts so far", ylabel="on held-out texts", ylim=(0, 1))
    ax.legend(frameon=False)
    ax.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=90)
    msg.good(f"Picture in {path}")


if __name__ == "__main__":
    typer.run(main)
