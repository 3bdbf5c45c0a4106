"""Which sentences of abstracts announce a new data set? Compare labelled sentences with each other,
so that the others can be searched and labelled in bulk.

python examples/new_dataset.py DATA_DIR/new-dataset

The directory holds train.jsonl and test.jsonl, {"text": str, "cats": {label: 0 or 1}} a line. A
label that is missing from the cats of a text is unknown there.
"""

import time
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from comparison import Row, draw, make_encoder, read_rows, score, show
from sklearn.pipeline import make_pipeline
from wasabi import msg

from spacy_embtune import ContrastiveTuner
from spacy_embtune.finetune import calc_distances


def main(
    data: Annotated[Path, typer.Argument(help="Directory of train.jsonl and test.jsonl")],
    label: Annotated[str, typer.Option(help="The label")] = "new-dataset",
    encoder_name: Annotated[str, typer.Option("--encoder", help="Model name or directory")] = (
        "all-MiniLM-L6-v2"
    ),
    cache: Annotated[Path | None, typer.Option(help="Keep the encoder's vectors here")] = None,
    n_found: Annotated[int, typer.Option("--found", help="How many sentences to show")] = 8,
    picture: Annotated[Path | None, typer.Option(help="Draw the held-out texts here")] = None,
    seed: Annotated[int, typer.Option(help="For the tuner")] = 0,
) -> None:
    """Tune the vectors with a contrastive head, compare them with the encoder's own, and show the
    held-out sentences that are closest to the labelled ones."""
    train, test = (read_known(data / f"{part}.jsonl", label) for part in ("train", "test"))
    texts, texts_test = ([row["text"] for row in rows] for rows in (train, test))
    y, y_test = (np.asarray([row["cats"][label] for row in rows]) for rows in (train, test))

    encoder = make_encoder(encoder_name, cache)
    X, X_test = encoder.transform(texts), encoder.transform(texts_test)
    start = time.perf_counter()
    tuner = ContrastiveTuner(random_state=seed).fit(X, y)
    seconds = time.perf_counter() - start

    msg.info(
        f"{len(y)} sentences to learn from, {int(y.sum())} of them {label}; {len(y_test)} held "
        f"out, {int(y_test.sum())} of them; tuned in {seconds:.1f} s"
    )
    tuned, tuned_test = tuner.transform(X), tuner.transform(X_test)
    show(score(X, y, X_test, y_test), score(tuned, y, tuned_test, y_test))

    anchors = [text for text, known in zip(texts, y, strict=True) if known]
    for name, pipeline in (("base", encoder), ("tuned", make_pipeline(encoder, tuner))):
        order = calc_distances(texts_test, anchors, pipeline, aggregate=np.mean).argsort()
        hits = int(y_test[order[: int(y_test.sum())]].sum())
        msg.text(f"Of the {int(y_test.sum())} nearest to labelled ones, {name}: {hits} are {label}")
    msg.divider("Nearest, tuned")
    for i in order[:n_found]:
        print(f"{'+' if y_test[i] else '-'} {texts_test[i][:76]}")
    if picture is not None:
        names = np.where(y_test == 1, label, f"not {label}")
        draw(picture, {"Base vectors": X_test, "Tuned vectors": tuned_test}, names)


def read_known(path: Path, label: str) -> list[Row]:
    """RETURNS (list[dict]): The texts whose label is known."""
    rows = [row for row in read_rows(path) if label in row["cats"]]
    if len({row["cats"][label] for row in rows}) < 2:
        msg.fail(f"{path} needs texts with and without the label {label!r}", exits=1)
    return rows


if __name__ == "__main__":
    typer.run(main)
