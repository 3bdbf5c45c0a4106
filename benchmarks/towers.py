"""Two sides in one space: a tower for each side against shared weights, on pairs without scores.

python benchmarks/towers.py DATA_DIR --sets ag_news,sst2

A set is a folder with train.jsonl and test.jsonl, {"text": str} a line. The beginning of a text
(the left side) and its rest (the right side) are a pair, an asymmetric relation: nothing in a vector
says which side it is on. *mixed widths*: the right side is a bag of words, so that only towers fit.
The test pairs are the same in all draws; each draw has other training pairs and another seed.
"""

import random
import time
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from common import deviation, read_rows
from wasabi import msg

from spacy_embtune import ContrastiveLearner, SentenceEncoder
from spacy_embtune.finetune import cached
from spacy_embtune.metrics import answer_scores

FEWEST_WORDS = 12
HEADER = ("recall@1", "recall@5", "recall@10", "MRR", "train, s")


def main(
    data: Annotated[Path, typer.Argument(help="Directory of the sets")],
    sets: Annotated[str, typer.Option(help="Separated by commas")] = "ag_news,sst2",
    sizes: Annotated[str, typer.Option(help="Numbers of training pairs")] = "1000,3000",
    n_test: Annotated[int, typer.Option("--test", help="Held-out pairs")] = 1000,
    draws: Annotated[int, typer.Option(help="How many draws")] = 5,
    first_draw: Annotated[int, typer.Option(help="The first seed")] = 0,
    temperatures: Annotated[str, typer.Option(help="Separated by commas")] = "0.05",
    share: Annotated[float, typer.Option(help="The part of a text that is its beginning")] = 0.3,
    words: Annotated[int, typer.Option(help="Columns of the bags of words; 0: no mixed widths")] = (
        2000
    ),
    cache: Annotated[Path | None, typer.Option(help="Keep the encoder's vectors here")] = None,
) -> None:
    """Print recall@k and MRR of the test pairs, mean of both directions, mean±sd over draws."""
    encoder: Any = SentenceEncoder(show_progress=cache is None)
    if cache is not None:
        encoder = cached(encoder, cache)
    for name in sets.split(","):
        train, test = (
            read_pairs(data / name / f"{part}.jsonl", share) for part in ("train", "test")
        )
        test = random.Random(0).sample(test, min(n_test, len(test)))
        for size in map(int, sizes.split(",")):
            results: dict[str, list[list[float]]] = {}
            for draw in range(first_draw, first_draw + draws):
                chosen = random.Random(draw).sample(train, min(size, len(train)))
                runs = compare(encoder, chosen, test, draw, temperatures, words)
                for run, scores in runs.items():
                    results.setdefault(run, []).append(scores)
            msg.divider(f"{name}: {min(size, len(train))} training pairs, {len(test)} test pairs")
            print(f"| | {' | '.join(HEADER)} |\n|{'---|' * (len(HEADER) + 1)}")
            for run, rows in results.items():
                cells = [deviation([row[i] for row in rows]) for i in range(4)]
                print(f"| {run} | {' | '.join(cells)} | {np.mean([r[4] for r in rows]):.1f} |")


def read_pairs(path: Path, share: float) -> list[tuple[str, str]]:
    """RETURNS (list[tuple[str, str]]): The beginning and the rest of each text that is long
    enough."""
    pairs = []
    for row in read_rows(path):
        tokens = row["text"].split()
        if len(tokens) >= FEWEST_WORDS:
            cut = round(share * len(tokens))
            pairs.append((" ".join(tokens[:cut]), " ".join(tokens[cut:])))
    return pairs


def compare(
    encoder: Any,
    train: list[tuple[str, str]],
    test: list[tuple[str, str]],
    seed: int,
    temperatures: str,
    words: int,
) -> dict[str, list[float]]:
    """RETURNS (dict[str, list[float]]): The scores of each way to train, in the order of HEADER."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    (left, right), (new_left, new_right) = (
        [list(side) for side in zip(*pairs, strict=True)] for pairs in (train, test)
    )
    X1, X2, new1, new2 = (encoder.transform(texts) for texts in (left, right, new_left, new_right))
    runs = {"base": [*score(new1, new2), 0.0]}
    for temperature in map(float, temperatures.split(",")):
        suffix = f", temperature {temperature:g}" if "," in temperatures else ""
        for towers in ("shared", "separate"):
            learner = ContrastiveLearner(towers=towers, temperature=temperature, random_state=seed)
            runs[f"{towers}{suffix}"] = fit_and_score(learner, X1, X2, new1, new2)
        if words:
            bags = TfidfVectorizer(max_features=words, sublinear_tf=True, stop_words="english")
            B2 = bags.fit_transform(right).toarray().astype("float32")
            new_bags = bags.transform(new_right).toarray().astype("float32")
            learner = ContrastiveLearner(temperature=temperature, random_state=seed)
            runs[f"mixed widths{suffix}"] = fit_and_score(learner, X1, B2, new1, new_bags)
    return runs


def fit_and_score(
    learner: ContrastiveLearner, X1: Any, X2: Any, new1: Any, new2: Any
) -> list[float]:
    """RETURNS (list[float]): The scores of a fit, and the seconds that it took."""
    start = time.perf_counter()
    learner.fit(X1, X2)
    seconds = time.perf_counter() - start
    tuned = learner.transform(new1, side="left"), learner.transform(new2, side="right")
    return [*score(*tuned), seconds]


def score(left: Any, right: Any) -> list[float]:
    """RETURNS (list[float]): Recall@1, 5 and 10 and MRR, the mean of both directions."""
    both = [answer_scores(left, right), answer_scores(right, left)]
    rows = [[*scores.recall.values(), scores.mrr] for scores in both]
    return [float(x) for x in np.mean(rows, axis=0)]


if __name__ == "__main__":
    typer.run(main)
