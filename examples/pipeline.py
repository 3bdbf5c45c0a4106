"""A tuner between an encoder and a classifier, as a scikit-learn pipeline.

python examples/pipeline.py DATA_DIR/trec

The directory holds train.jsonl and test.jsonl, {"text": str, "cats": {label: 0 or 1}} a line, each
text with one label.
"""

import random
from pathlib import Path
from typing import Annotated

import typer
from comparison import make_encoder, name_labels, read_rows
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from wasabi import msg

from spacy_embtune import ContrastiveTuner, FeedForwardTuner


def main(
    data: Annotated[Path, typer.Argument(help="Directory of train.jsonl and test.jsonl")],
    n_train: Annotated[int, typer.Option("--texts", help="Labelled texts to learn from")] = 200,
    encoder_name: Annotated[str, typer.Option("--encoder", help="Model name or directory")] = (
        "all-MiniLM-L6-v2"
    ),
    cache: Annotated[Path, typer.Option(help="Keep the encoder's vectors here")] = Path("vectors"),
    seed: Annotated[int, typer.Option(help="Draws the texts")] = 0,
) -> None:
    """Compare classifiers on base and on tuned vectors, and search for the tuner's settings."""
    rng = random.Random(seed)
    train, test = (read_rows(data / f"{part}.jsonl") for part in ("train", "test"))
    train = rng.sample(train, min(n_train, len(train)))
    texts, texts_test = ([row["text"] for row in rows] for rows in (train, test))
    y, y_test = name_labels(train), name_labels(test)

    encoder = make_encoder(encoder_name, cache)
    tuners = (
        [],
        [FeedForwardTuner(random_state=seed)],
        [ContrastiveTuner(random_state=seed)],
    )
    classifiers = (KNeighborsClassifier(1, metric="cosine"), LogisticRegression(max_iter=1000))
    rows = []
    for steps in tuners:
        name = " + ".join(type(step).__name__ for step in steps) or "(no tuner)"
        pipelines = [make_pipeline(encoder, *steps, classifier) for classifier in classifiers]
        scores = [pipeline.fit(texts, y).score(texts_test, y_test) for pipeline in pipelines]
        rows.append((name, *(f"{value:.3f}" for value in scores)))
    msg.info(f"{len(train)} texts to learn from, {len(test)} held out")
    header = ("tuner", "nearest neighbour", "logistic regression")
    msg.table(rows, header=header, divider=True, aligns=("l", "r", "r"))

    pipeline = make_pipeline(encoder, FeedForwardTuner(random_state=seed), classifiers[1])
    settings = {
        "feedforwardtuner__hidden_dim": [50, 200],
        "logisticregression__C": [0.1, 1.0],
    }
    search = GridSearchCV(pipeline, settings, cv=4).fit(texts, y)
    best = {name.split("__")[1]: value for name, value in search.best_params_.items()}
    print(f"Best settings: {best}, held-out accuracy {search.score(texts_test, y_test):.3f}")


if __name__ == "__main__":
    typer.run(main)
