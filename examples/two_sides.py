"""Two kinds of objects in one space: sentence embeddings find bags of words, and back.

python examples/two_sides.py DATA_DIR/ag_news

The directory holds train.jsonl and test.jsonl, {"text": str} a line. The left side is the beginning
of a text, as a vector of a sentence encoder. The right side is the rest of the text, as a bag of
words (TF-IDF). The two have different widths, so that no cosine compares them before training.
"""

import random
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from comparison import make_encoder, read_rows
from wasabi import msg

from spacy_embtune import ContrastiveLearner
from spacy_embtune.reports import compare_sides


def main(
    data: Annotated[Path, typer.Argument(help="Directory of train.jsonl and test.jsonl")],
    n_train: Annotated[int, typer.Option("--texts", help="Training texts at most")] = 4000,
    n_test: Annotated[int, typer.Option("--test", help="Held-out texts at most")] = 1000,
    words: Annotated[int, typer.Option(help="Columns of the bags of words")] = 2000,
    share: Annotated[float, typer.Option(help="The part of a text that is its beginning")] = 0.4,
    fewest: Annotated[int, typer.Option(help="Texts with fewer words are left out")] = 12,
    encoder_name: Annotated[str, typer.Option("--encoder", help="Model name or directory")] = (
        "all-MiniLM-L6-v2"
    ),
    cache: Annotated[Path | None, typer.Option(help="Keep the encoder's vectors here")] = None,
    seed: Annotated[int, typer.Option(help="Draws the texts")] = 0,
) -> None:
    """Train a tower for each side, and show how early the two parts of a text find each other."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    rng = random.Random(seed)
    parts = []
    for name, n in (("train", n_train), ("test", n_test)):
        texts = [row["text"].split() for row in read_rows(data / f"{name}.jsonl")]
        pairs = [split(text, share) for text in texts if len(text) >= fewest]
        if not pairs:
            msg.fail(f"No text of {name}.jsonl has {fewest} words", "Lower --fewest.", exits=1)
        parts.append(rng.sample(pairs, min(n, len(pairs))))
    (train_left, train_right), (test_left, test_right) = (
        tuple(zip(*pairs, strict=True)) for pairs in parts
    )
    encoder = make_encoder(encoder_name, cache)
    bags = TfidfVectorizer(max_features=words, sublinear_tf=True, stop_words="english")
    X1 = encoder.transform(list(train_left))
    X2 = bags.fit_transform(train_right).toarray().astype("float32")
    new1 = encoder.transform(list(test_left))
    new2 = bags.transform(test_right).toarray().astype("float32")
    msg.info(f"{len(X1)} pairs to learn from, {len(new1)} held out")
    msg.text(f"Left: vectors of {X1.shape[1]} columns. Right: bags of {X2.shape[1]} words.")

    learner = ContrastiveLearner(random_state=seed).fit(X1, X2)
    tuned1 = np.asarray(learner.transform(new1, side="left"))
    tuned2 = np.asarray(learner.transform(new2, side="right"))
    print(compare_sides(new1, new2, tuned1, tuned2, names=("beginning", "rest")))


def split(words: list[str], share: float) -> tuple[str, str]:
    """RETURNS (tuple[str, str]): The beginning and the rest of a text of two words or more."""
    cut = max(1, min(len(words) - 1, round(share * len(words))))
    return " ".join(words[:cut]), " ".join(words[cut:])


if __name__ == "__main__":
    typer.run(main)
