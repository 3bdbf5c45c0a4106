"""Two sides in one space: a tower for each side against shared weights, on pairs without scores.

python benchmarks/towers.py DATA_DIR/ag_news --relations parts,spaces,bags
python benchmarks/towers.py DATA_DIR/goemotions --relations labels

DATA_DIR/SET holds train.jsonl and test.jsonl, {"text": str, "cats": {label: 0 or 1}} a line.

parts    the beginning of a text and its rest, both as sentence embeddings
spaces   the beginning as a sentence embedding, the rest as TF-IDF reduced to the same width (SVD)
bags     the beginning as a sentence embedding, the rest as TF-IDF: only towers fit
labels   a text and the name of each label that it carries, both as sentence embeddings

The test pairs are the same in all draws; each draw has other training pairs and another seed.
"""

import random
import time
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import typer
from common import Row, deviation, read_rows
from numpy.typing import NDArray
from wasabi import msg

from spacy_embtune import ContrastiveLearner, SentenceEncoder
from spacy_embtune.finetune import cached
from spacy_embtune.metrics import answer_scores

FEWEST_WORDS = 12
SHARE = 0.3
HEADER = ("recall@1", "recall@5", "recall@10", "MRR", "train, s")
TextPairs = list[tuple[str, str]]


class Sides(NamedTuple):
    """Training pairs, and test rows with the pairs that belong together."""

    X1: NDArray[Any]
    X2: NDArray[Any]
    new1: NDArray[Any]
    new2: NDArray[Any]
    pairs: NDArray[Any]


def main(
    data: Annotated[Path, typer.Argument(help="Directory of train.jsonl and test.jsonl")],
    relations: Annotated[str, typer.Option(help="Separated by commas")] = "parts,spaces,bags",
    n_train: Annotated[int, typer.Option("--pairs", help="Training pairs")] = 1000,
    pool: Annotated[int, typer.Option(help="Texts that training pairs are drawn from")] = 3000,
    n_test: Annotated[int, typer.Option("--test", help="Held-out texts")] = 1000,
    draws: Annotated[int, typer.Option(help="How many draws")] = 5,
    first_draw: Annotated[int, typer.Option(help="The first seed")] = 0,
    temperature: Annotated[float, typer.Option(help="Of the contrast")] = 0.05,
    batch_size: Annotated[int, typer.Option(help="Pairs in a step")] = 64,
    words: Annotated[int, typer.Option(help="Columns of TF-IDF")] = 2000,
    cache: Annotated[Path | None, typer.Option(help="Keep the encoder's vectors here")] = None,
) -> None:
    """Print recall@k and MRR from the left to the right side, mean±sd over draws."""
    encoder: Any = SentenceEncoder(show_progress=cache is None)
    if cache is not None:
        encoder = cached(encoder, cache)
    train, test = (read_rows(data / f"{part}.jsonl") for part in ("train", "test"))
    train = random.Random(0).sample(train, min(pool, len(train)))
    test = random.Random(0).sample(test, min(n_test, len(test)))
    for relation in relations.split(","):
        make = pair_labels if relation == "labels" else split_texts
        known, new = make(train), make(test)
        results: dict[str, list[list[float]]] = {}
        for draw in range(first_draw, first_draw + draws):
            chosen = random.Random(draw).sample(known, min(n_train, len(known)))
            sides = make_sides(encoder, relation, chosen, new, words)
            same_width = sides.X1.shape[1] == sides.X2.shape[1]
            if same_width:
                base = [*score(sides.new1, sides.new2, sides.pairs), 0.0]
                results.setdefault("base", []).append(base)
            for towers in ("shared", "separate") if same_width else ("separate",):
                learner = ContrastiveLearner(
                    towers=towers, temperature=temperature, batch_size=batch_size, random_state=draw
                )
                results.setdefault(towers, []).append(fit_and_score(learner, sides))
        msg.divider(f"{data.name}, {relation}: {len(chosen)} training pairs, {len(new)} test pairs")
        print(f"| | {' | '.join(HEADER)} |\n|{'---|' * (len(HEADER) + 1)}")
        for name, rows in results.items():
            cells = [deviation([row[i] for row in rows]) for i in range(4)]
            print(f"| {name} | {' | '.join(cells)} | {np.mean([row[4] for row in rows]):.1f} |")


def split_texts(rows: list[Row]) -> TextPairs:
    """RETURNS (list[tuple[str, str]]): The beginning and the rest of each text that is long
    enough."""
    pairs = []
    for row in rows:
        tokens = row["text"].split()
        if len(tokens) >= FEWEST_WORDS:
            cut = round(SHARE * len(tokens))
            pairs.append((" ".join(tokens[:cut]), " ".join(tokens[cut:])))
    return pairs


def pair_labels(rows: list[Row]) -> TextPairs:
    """RETURNS (list[tuple[str, str]]): Each text with the name of each label that it carries."""
    return [
        (row["text"], label) for row in rows for label, value in row["cats"].items() if value >= 0.5
    ]


def make_sides(encoder: Any, relation: str, train: TextPairs, test: TextPairs, words: int) -> Sides:
    """RETURNS (Sides): The vectors of both sides."""
    known, new = ([list(side) for side in zip(*pairs, strict=True)] for pairs in (train, test))
    new_left, new_right = (list(dict.fromkeys(side)) for side in new)
    places = [{text: i for i, text in enumerate(side)} for side in (new_left, new_right)]
    pairs = np.array([[places[0][a], places[1][b]] for a, b in test])
    X1, new1 = encoder.transform(known[0]), encoder.transform(new_left)
    if relation in ("parts", "labels"):
        X2, new2 = encoder.transform(known[1]), encoder.transform(new_right)
    else:
        X2, new2 = make_bags(known[1], new_right, words, X1.shape[1] if relation == "spaces" else 0)
    return Sides(X1, X2, new1, new2, pairs)


def make_bags(
    known: list[str], new: list[str], words: int, width: int
) -> tuple[NDArray[Any], NDArray[Any]]:
    """RETURNS (tuple): TF-IDF of both, reduced to a width by SVD if the width is not 0."""
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer

    bags = TfidfVectorizer(max_features=words, sublinear_tf=True, stop_words="english")
    found, of_new = bags.fit_transform(known), bags.transform(new)
    if not width:
        return found.toarray().astype("float32"), of_new.toarray().astype("float32")
    svd = TruncatedSVD(width, random_state=0)
    return svd.fit_transform(found).astype("float32"), svd.transform(of_new).astype("float32")


def fit_and_score(learner: ContrastiveLearner, sides: Sides) -> list[float]:
    """RETURNS (list[float]): The scores of a fit, and the seconds that it took."""
    start = time.perf_counter()
    learner.fit(sides.X1, sides.X2)
    seconds = time.perf_counter() - start
    left = learner.transform(sides.new1, side="left")
    return [*score(left, learner.transform(sides.new2, side="right"), sides.pairs), seconds]


def score(left: Any, right: Any, pairs: NDArray[Any]) -> list[float]:
    """RETURNS (list[float]): Recall@1, 5 and 10 and MRR of the left side as queries."""
    scores = answer_scores(left, right, pairs)
    return [float(x or 0.0) for x in (*scores.recall.values(), scores.mrr)]


if __name__ == "__main__":
    typer.run(main)
