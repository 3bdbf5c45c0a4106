"""What one `spacy train` gives and costs: quality, seconds by kind of work, encodings, disk.

python benchmarks/spacy_train.py DATA_DIR --sets trec,ag_news --draws 3

DATA_DIR holds a directory a set with train.jsonl and test.jsonl, {"text", "cats"} a line. Each draw
takes new training and dev texts from train.jsonl; test.jsonl is only scored. Every training runs in
a process of its own, from the start of Python.
"""

import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import spacy
import typer
from common import ROOT, read_rows, spread
from spacy.tokens import Doc, DocBin
from wasabi import msg

from spacy_embtune.reports import report
from spacy_embtune.reports.types import TITLES

METRICS = ("p_at_1", "map_at_r", "knn_accuracy", "probe_accuracy")


def main(
    data: Annotated[Path, typer.Argument(help="Directory of the labelled sets")],
    sets: Annotated[str, typer.Option(help="Which of them, separated by commas")] = "trec,ag_news",
    n_train: Annotated[int, typer.Option("--texts", help="Training texts")] = 200,
    n_dev: Annotated[int, typer.Option("--dev", help="Dev texts, which choose model-best")] = 200,
    n_test: Annotated[int, typer.Option("--test", help="Test texts at most")] = 1000,
    draws: Annotated[int, typer.Option(help="Draws of training texts")] = 3,
    config: Annotated[Path, typer.Option(help="Training config")] = ROOT
    / "configs"
    / "feedforward.cfg",
) -> None:
    """Train with spaCy on draws of each set, and print quality and costs."""
    for name in sets.split(","):
        runs = [run(data / name, n_train, n_dev, n_test, draw, config) for draw in range(draws)]
        show(f"{name}: {n_train} training texts, {draws} draws", runs)


def run(
    data: Path, n_train: int, n_dev: int, n_test: int, draw: int, config: Path
) -> dict[str, Any]:
    """RETURNS (dict[str, Any]): Figures of one training on one draw."""
    rows = read_rows(data / "train.jsonl")
    random.Random(draw).shuffle(rows)
    train, dev = rows[:n_train], rows[n_train : n_train + n_dev]
    test = read_rows(data / "test.jsonl")[:n_test]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        DocBin(docs=make_docs(train)).to_disk(path / "train.spacy")
        DocBin(docs=make_docs(dev)).to_disk(path / "dev.spacy")
        figures = {"costs": train_in_process(path, config)}
        nlp = spacy.load(path / "out" / "model-best")
        quality: dict[str, Any] = compare(nlp, train, test)
        figures.update(quality)
        figures["disk"] = weigh(nlp, path)
    return figures


def make_docs(rows: Sequence[dict[str, Any]]) -> list[Doc]:
    """RETURNS (list[Doc]): Texts with cats as documents."""
    nlp = spacy.blank("en")
    docs = [nlp.make_doc(row["text"]) for row in rows]
    for doc, row in zip(docs, rows, strict=True):
        doc.cats = row["cats"]
    return docs


# Times what it calls by kind of work; loading the encoder belongs to the start.
TRAINER = """
import time
started = float({started!r})
import json, sys
from spacy.cli.train import train
from spacy_embtune.encoder import EncoderShim, TextEncoder
from spacy_embtune.pipeline.component import EmbTune
spent = dict(loading=0.0, encoding=0.0, saving=0.0)
shims = []

def timed(owner, name, kind, static=False):
    function = getattr(owner, name)
    def wrapper(*args, **kwargs):
        begin = time.perf_counter()
        try:
            return function(*args, **kwargs)
        finally:
            spent[kind] += time.perf_counter() - begin
    setattr(owner, name, staticmethod(wrapper) if static else wrapper)

timed(TextEncoder, "load", "loading", static=True)
timed(TextEncoder, "encode", "encoding")
timed(EmbTune, "to_disk", "saving")
make = EncoderShim.__init__
def noted(self, *args, **kwargs):
    make(self, *args, **kwargs)
    shims.append(self)
EncoderShim.__init__ = noted
imported = time.time() - started
folder = {folder!r}
train({config!r}, folder + "/out", overrides={{
    "paths.train": folder + "/train.spacy", "paths.dev": folder + "/dev.spacy"}})
total = time.time() - started
start = imported + spent["loading"]
print("FIGURES" + json.dumps(dict(
    total=total, start=start, encoding=spent["encoding"], saving=spent["saving"],
    training=total - start - spent["encoding"] - spent["saving"],
    n_encoded=sum(shim.n_encoded for shim in shims),
    n_requested=sum(shim.n_requested for shim in shims))))
"""


def train_in_process(folder: Path, config: Path) -> dict[str, Any]:
    """RETURNS (dict[str, Any]): Seconds by kind of work, and encodings for each distinct text."""
    code = TRAINER.format(started=str(time.time()), folder=str(folder), config=str(config))
    result = subprocess.run(
        [sys.executable, "-c", code], text=True, capture_output=True, env=dict(os.environ)
    )
    if result.returncode:
        raise RuntimeError(result.stdout + result.stderr)
    figures: dict[str, Any] = json.loads(result.stdout.split("FIGURES")[1])
    vocab = spacy.blank("en").vocab
    texts = {
        doc.text
        for part in ("train", "dev")
        for doc in DocBin().from_disk(folder / f"{part}.spacy").get_docs(vocab)
        if doc.text.strip()
    }
    figures["per_text"] = figures["n_encoded"] / len(texts)
    return figures


def compare(
    nlp: spacy.language.Language, train: list[dict[str, Any]], test: list[dict[str, Any]]
) -> dict[str, Any]:
    """RETURNS (dict[str, Any]): The metrics of base and tuned vectors, in the order of METRICS."""
    found = report(nlp, make_docs(test), train=make_docs(train), progress=False)
    rows = {row.key: row for row in (*found.primary, *found.secondary)}
    return {kind: [getattr(rows[key], kind) for key in METRICS] for kind in ("base", "tuned")}


def weigh(nlp: spacy.language.Language, folder: Path) -> dict[str, float]:
    """RETURNS (dict[str, float]): Megabytes of the pipeline with and without the encoder's weights,
    and of what a second checkpoint into the same directory writes."""
    figures = {}
    shim = nlp.get_pipe("embtune").encoder
    for key, save_weights in (("with weights", True), ("without weights", False)):
        shim.save_weights = save_weights
        path = folder / key
        nlp.to_disk(path)
        figures[key] = size(path)
        if save_weights:
            before = time.time_ns()
            nlp.to_disk(path)
            figures["one checkpoint"] = size(path, since=before)
    return figures


def size(folder: Path, since: int = 0) -> float:
    """RETURNS (float): Megabytes of the files in a folder that changed since a time, in ns."""
    stats = [path.stat() for path in folder.rglob("*") if path.is_file()]
    return sum(stat.st_size for stat in stats if stat.st_mtime_ns >= since) / 1e6


def show(title: str, runs: list[dict[str, Any]]) -> None:
    """Print means over the draws, and the spread."""
    msg.divider(title)
    table = []
    for i, metric in enumerate(METRICS):
        base = [run["base"][i] for run in runs]
        tuned = [run["tuned"][i] for run in runs]
        gains = [t - b for t, b in zip(tuned, base, strict=True)]
        table.append((TITLES[metric], spread(base), spread(tuned), spread(gains, "+.3f")))
    msg.table(table, header=("metric", "base", "tuned", "difference"), divider=True)
    costs = {key: [run["costs"][key] for run in runs] for key in runs[0]["costs"]}
    kinds = ("start", "encoding", "training", "saving", "total")
    msg.table([(kind, spread(costs[kind], ".1f")) for kind in kinds], header=("", "seconds"))
    print(f"encodings of each distinct text: {spread(costs['per_text'])}")
    for key in runs[0]["disk"]:
        print(f"{key}: {spread([run['disk'][key] for run in runs], '.2f')} MB")


if __name__ == "__main__":
    typer.run(main)
