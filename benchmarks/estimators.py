"""Our scikit-learn estimators against embetter's, both with their defaults, in one run.

pip install embetter && python benchmarks/estimators.py DATA_DIR --draws 10

DATA_DIR holds imdb/ and new-dataset/ with train.jsonl and test.jsonl, {"text", "cats"} a line, as
embetter's guide uses them: feed-forward on the sentiment of reviews, contrastive on sentences that
announce a data set or do not, as two classes; and trec/, ag_news/ and sst2/. Each draw takes other
training texts and other test texts. All estimators of a draw see the same vectors, encoded once,
and the same labels, and take turns (A B A B). Seconds are medians over the draws, and the ratios of
times are medians of the ratios within each draw, because the machine may do other work. "cpu" are
seconds of the processor: with one thread (OMP_NUM_THREADS=1) other work hardly changes them.
"""

import json
import random
import statistics
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from common import TABLE, Row, deviation, encode, read_rows
from numpy.typing import NDArray
from wasabi import msg

from spacy_embtune import finetune as ours
from spacy_embtune.metrics import knn_scores, probe_scores, retrieval_scores
from spacy_embtune.types import Targets

with warnings.catch_warnings():
    # It imports from places that sentence-transformers has moved things from.
    warnings.simplefilter("ignore")
    from embetter import finetune as embetter

METRICS = ("probe", "knn", "p@1", "MAP@R")

Make = Callable[[int], Any]
ESTIMATORS: dict[str, dict[str, Make]] = {
    "feed-forward": {
        "embetter": lambda seed: embetter.FeedForwardTuner(),
        "ours": lambda seed: ours.FeedForwardTuner(random_state=seed),
    },
    "contrastive": {
        "embetter": lambda seed: embetter.ContrastiveTuner(),
        "ours": lambda seed: ours.ContrastiveTuner(random_state=seed),
    },
}
# Estimator, set, the label that two classes are made of (None: the labels are the classes), and
# how many training texts (None: all).
DEMOS: tuple[tuple[str, str, str | None, int | None], ...] = (
    ("feed-forward", "imdb", None, 200),
    ("contrastive", "new-dataset", "new-dataset", 200),
    ("contrastive", "new-dataset", "new-dataset", None),
    ("contrastive", "trec", None, 200),
    ("contrastive", "ag_news", None, 200),
    ("contrastive", "sst2", None, 200),
)


def main(
    data: Annotated[Path, typer.Argument(help="Directory of the labelled sets")],
    draws: Annotated[int, typer.Option(help="How many draws")] = 10,
    first_draw: Annotated[int, typer.Option(help="Number of the first; each draws anew")] = 0,
    n_test: Annotated[int, typer.Option("--test", help="Test texts at most")] = 1000,
    only: Annotated[str, typer.Option("--only", help="Demos by number, from 0")] = "0,1,2,3,4,5",
    json_path: Annotated[Path | None, typer.Option("--json", help="Save all figures")] = None,
) -> None:
    """Print the accuracy of a linear probe and of the nearest neighbour, p@1 and MAP@R on held-out
    texts, and the seconds of a fit: mean±sd over the draws, and of their differences."""
    figures: dict[str, Any] = {}
    for kind, name, label, n_train in (DEMOS[int(i)] for i in only.split(",")):
        train_rows, test_rows = (
            read_known(data / name / f"{part}.jsonl", label) for part in ("train", "test")
        )
        runs: dict[str, list[list[float]]] = {"base": []}
        runs.update({who: [] for who in ESTIMATORS[kind]})
        for draw in range(first_draw, first_draw + draws):
            rng = random.Random(draw)
            known = rng.sample(train_rows, n_train or len(train_rows))
            new = rng.sample(test_rows, min(n_test, len(test_rows)))
            encode([row["text"] for row in (*known, *new)])
            X, X_new = (np.stack([TABLE[row["text"]] for row in rows]) for rows in (known, new))
            y, y_new = (read_labels(rows, label) for rows in (known, new))
            runs["base"].append([*compare(X, y, X_new, y_new), 0.0, 0.0])
            for who, make in ESTIMATORS[kind].items():
                estimator, *seconds = fit(make, X, y, draw)
                tuned = estimator.transform(X), estimator.transform(X_new)
                runs[who].append([*compare(tuned[0], y, tuned[1], y_new), *seconds])
        title = f"{kind}, {name}, {n_train or 'all ' + str(len(train_rows))} texts, {draws} draws"
        show(title, runs)
        figures[title] = runs
        if json_path is not None:
            json_path.write_text(json.dumps(figures))


def read_known(path: Path, label: str | None) -> list[Row]:
    """RETURNS (list[dict]): The rows of a file of which the label, if there is one, is known."""
    return [row for row in read_rows(path) if label is None or label in row["cats"]]


def read_labels(rows: Sequence[Row], label: str | None) -> NDArray[Any]:
    """RETURNS (ndarray): The class of each row: its label, or 1 or 0 for one that carries the label
    given, or does not."""
    if label is None:
        return np.asarray([max(row["cats"], key=row["cats"].get) for row in rows])
    return np.asarray([int(row["cats"][label]) for row in rows])


def fit(make: Make, X: NDArray[Any], y: NDArray[Any], seed: int) -> tuple[Any, float, float]:
    """RETURNS (tuple[Any, float, float]): A fitted estimator, and the seconds of its fit, by the
    clock and of the processor."""
    import torch

    # embetter has no random_state: it draws from all of these.
    torch.manual_seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    random.seed(seed)
    estimator = make(seed)
    start, start_cpu = time.perf_counter(), time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", category=DeprecationWarning)
        estimator.fit(X, y)
    return estimator, time.perf_counter() - start, time.process_time() - start_cpu


def compare(
    train: NDArray[Any], y_train: NDArray[Any], test: NDArray[Any], y_test: NDArray[Any]
) -> list[float]:
    """RETURNS (list[float]): The metrics, in the order of METRICS. Of two classes 0 and 1, only 1
    is a label: "not X" is none, whose neighbours would be expected to be alike."""
    labels = np.unique(y_train)
    labels = labels[1:] if labels.tolist() == [0, 1] else labels
    known, new = (
        Targets(
            (y[:, None] == labels).astype("float32"),
            np.ones((len(y), len(labels)), dtype="float32"),
            len(labels) > 1,
        )
        for y in (y_train, y_test)
    )
    neighbours = retrieval_scores(test, new.values, new.known)
    probe, knn = (f(train, known, test, new).accuracy for f in (probe_scores, knn_scores))
    return [x or 0.0 for x in (probe, knn, neighbours.p_at_1, neighbours.map_at_r)]


def show(title: str, runs: dict[str, list[list[float]]]) -> None:
    """Print a table, as Markdown, for the README."""
    msg.divider(title)
    print("| | " + " | ".join(METRICS) + " | fit, s | fit, cpu |")
    print("|---" * (len(METRICS) + 3) + "|")
    for who, rows in runs.items():
        seconds = [f"{statistics.median(row[i] for row in rows):.2f}" for i in (-2, -1)]
        print(f"| {who} | {' | '.join((*cells(rows), *seconds))} |")
    both = list(zip(runs["ours"], runs["embetter"], strict=True))
    differences = [[a - b for a, b in zip(our, their, strict=True)] for our, their in both]
    faster = [f"{statistics.median(b[i] / a[i] for a, b in both):.1f}x" for i in (-2, -1)]
    signed = [f"+{cell}" if not cell.startswith("-") else cell for cell in cells(differences)]
    print(f"| ours - embetter | {' | '.join((*signed, *faster))} |", flush=True)


def cells(rows: list[list[float]]) -> list[str]:
    """RETURNS (list[str]): Mean±sd of each metric."""
    return [deviation([row[i] for row in rows]) for i in range(len(METRICS))]


if __name__ == "__main__":
    typer.run(main)
