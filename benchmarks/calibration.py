"""Probabilities before and after calibration, on held-out texts.

python benchmarks/calibration.py DATA_DIR --draws 5

DATA_DIR holds trec/, ag_news/ and sst2/ (or the sets of --sets) with train.jsonl and test.jsonl,
{"text", "cats"} a line. Each draw takes other training texts; the test texts are the same.

The estimator is FeedForwardTuner with its defaults, whose temperature comes from predictions out of
fold. The component is that of configs/feedforward.cfg, trained on the same texts, and calibrated on
other texts that also chose its best model (as spacy-embtune.calibrate.v1 does with the dev corpus).
"""

import json
import random
import statistics
import time
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from common import ROOT, TABLE, Row, deviation, encode, read_rows, train_head
from numpy.typing import NDArray
from spacy.language import Language
from spacy.training import Example
from wasabi import msg

from spacy_embtune.finetune import FeedForwardTuner
from spacy_embtune.labels import is_exclusive, labels_in, make_targets
from spacy_embtune.metrics import calibration_scores
from spacy_embtune.types import Targets

SETS = ("trec", "ag_news", "sst2")
COLUMNS = ("ECE before", "ECE after", "log loss before", "log loss after", "temperature")
N_DEV = 100


def main(
    data: Annotated[Path, typer.Argument(help="Directory of the labelled sets")],
    sets: Annotated[str, typer.Option(help="Names of the sets, with commas")] = ",".join(SETS),
    n_train: Annotated[int, typer.Option("--train", help="Training texts")] = 200,
    draws: Annotated[int, typer.Option(help="How many draws")] = 5,
    n_test: Annotated[int, typer.Option("--test", help="Test texts at most")] = 1000,
    component: Annotated[bool, typer.Option(help="Train components, too")] = True,
    json_path: Annotated[Path | None, typer.Option("--json", help="Save all figures")] = None,
) -> None:
    """Print the expected calibration error (15 bins) and the log loss before and after calibration,
    mean±sd over the draws, and the seconds of a fit without and with calibration."""
    figures: dict[str, Any] = {}
    for name in sets.split(","):
        pool, rest = (read_rows(data / name / f"{part}.jsonl") for part in ("train", "test"))
        test = random.Random(0).sample(rest, min(n_test, len(rest)))
        labels = labels_in([row["cats"] for row in (*pool, *test)])
        exclusive = is_exclusive([row["cats"] for row in pool])
        targets = targets_of(test, labels, exclusive=exclusive)
        runs: dict[str, list[list[float]]] = {"FeedForwardTuner": []}
        seconds: list[list[float]] = []
        for draw in range(draws):
            rows = random.Random(draw).sample(pool, n_train + N_DEV)
            known, dev = rows[:n_train], rows[n_train:]
            encode([row["text"] for row in (*rows, *test)])
            figures_of, times = run_estimator(known, test, targets, labels, exclusive, draw)
            runs["FeedForwardTuner"].append(figures_of)
            seconds.append(times)
            if component:
                runs.setdefault("component", []).append(run_component(known, dev, test, labels))
        show(f"{name}, {n_train} texts, {draws} draws, {len(test)} test texts", runs)
        without, with_it = (statistics.mean(times) for times in zip(*seconds, strict=True))
        print(f"\nFit: {without:.2f} s without, {with_it:.2f} s with calibration", flush=True)
        figures[name] = {**runs, "seconds": seconds}
        if json_path is not None:
            json_path.write_text(json.dumps(figures))


def targets_of(rows: list[Row], labels: list[str], *, exclusive: bool) -> Targets:
    """RETURNS (Targets): What is known of the labels of the rows."""
    return make_targets([row["cats"] for row in rows], labels, exclusive=exclusive)


def run_estimator(
    known: list[Row],
    test: list[Row],
    targets: Targets,
    labels: list[str],
    exclusive: bool,
    draw: int,
) -> tuple[list[float], list[float]]:
    """RETURNS (tuple): The figures in the order of COLUMNS, and the seconds of a fit without and
    with calibration."""
    X, new = (np.stack([TABLE[row["text"]] for row in rows]) for rows in (known, test))
    y = [{label: row["cats"][label] for label in labels if label in row["cats"]} for row in known]
    times = []
    for calibrate in (False, True):
        tuner = FeedForwardTuner(
            exclusive_classes=exclusive, calibrate=calibrate, random_state=draw
        )
        start = time.perf_counter()
        tuner.fit(X, y)
        times.append(time.perf_counter() - start)
    columns = [tuner.classes_.tolist().index(label) for label in labels]
    temperature = tuner.temperature_
    after = tuner.predict_proba(new)[:, columns]
    tuner.temperature_ = 1.0
    before = tuner.predict_proba(new)[:, columns]
    return compare(before, after, targets, temperature), times


def run_component(
    known: list[Row], dev: list[Row], test: list[Row], labels: list[str]
) -> list[float]:
    """RETURNS (list[float]): The figures in the order of COLUMNS."""
    nlp = train_head(ROOT / "configs" / "feedforward.cfg", known, dev, {})
    pipe: Any = nlp.get_pipe("embtune")
    targets = targets_of(test, list(pipe.labels), exclusive=bool(pipe.cfg["exclusive_classes"]))
    before = probabilities(nlp, test)
    pipe.calibrate(
        Example.from_dict(nlp.make_doc(row["text"]), {"cats": row["cats"]}) for row in dev
    )
    return compare(before, probabilities(nlp, test), targets, pipe.temperature)


def probabilities(nlp: Language, rows: list[Row]) -> NDArray[Any]:
    """RETURNS (ndarray): The component's probabilities of the labels, shape (n, L)."""
    pipe: Any = nlp.get_pipe("embtune")
    found: NDArray[Any] = pipe.predict([nlp.make_doc(row["text"]) for row in rows]).cats
    return found


def compare(
    before: NDArray[Any], after: NDArray[Any], targets: Targets, temperature: float
) -> list[float]:
    """RETURNS (list[float]): The figures in the order of COLUMNS."""
    first, second = (calibration_scores(p, targets) for p in (before, after))
    values = (first.error, second.error, first.log_loss, second.log_loss, temperature)
    return [float(value or 0.0) for value in values]


def show(title: str, runs: dict[str, list[list[float]]]) -> None:
    """Print a table, as Markdown, for the README."""
    msg.divider(title)
    print("| | " + " | ".join(COLUMNS) + " |")
    print("|---" * (len(COLUMNS) + 1) + "|")
    for who, rows in runs.items():
        cells = [deviation([row[i] for row in rows]) for i in range(len(COLUMNS))]
        print(f"| {who} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    typer.run(main)
