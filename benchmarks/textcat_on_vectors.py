"""spaCy's text classifier on our vectors against the same component with a tok2vec of its own.

python benchmarks/textcat_on_vectors.py DATA_DIR --sets trec,ag_news --texts 200 --draws 3

DATA_DIR holds a directory a set with train.jsonl and test.jsonl, {"text", "cats"} a line. Each draw
takes other training texts, as many again for dev, which choose the best model as in `spacy train`,
and other test texts. All pipelines of a draw see the same ones. Base vectors are computed once.
"""

import contextlib
import io
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import spacy
import typer
from common import CORPORA, ROOT, Row, deviation, encode, read_rows, train_head
from spacy.language import Language
from spacy.training.initialize import init_nlp
from spacy.training.loop import train
from spacy.util import load_config
from wasabi import msg

CONFIG = ROOT / "configs" / "textcat.cfg"
WHICH = "components.textcat.model.tok2vec.which"


def train_own(train_rows: Sequence[Row], dev_rows: Sequence[Row]) -> Language:
    """RETURNS (Language): A pipeline of textcat alone, with spaCy's default model."""
    CORPORA.update(train=list(train_rows), dev=list(dev_rows))
    filled = load_config(CONFIG, overrides={"paths.train": "-", "paths.dev": "-"})
    filled["nlp"]["pipeline"] = ["textcat"]
    filled["components"] = {"textcat": {"factory": "textcat"}}
    for name in ("train", "dev"):
        filled["corpora"][name] = {"@readers": "benchmarks.rows.v1", "name": name}
    filled["training"]["annotating_components"] = []
    filled["training"]["before_to_disk"] = None
    filled["training"]["logger"] = {"@loggers": "spacy.ConsoleLogger.v1", "progress_bar": False}
    filled["training"]["score_weights"] = {"cats_score": 1.0}
    nlp = init_nlp(filled)
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stderr(io.StringIO()):
        train(nlp, Path(folder), stdout=io.StringIO(), stderr=io.StringIO())
        return spacy.load(Path(folder) / "model-best")


Train = Callable[[Sequence[Row], Sequence[Row]], Language]
PIPELINES: dict[str, Train] = {
    "textcat, its own tok2vec": train_own,
    "textcat on tuned vectors": lambda *rows: train_head(CONFIG, *rows, {}),
    "textcat on base vectors": lambda *rows: train_head(CONFIG, *rows, {WHICH: "base"}),
}


def accuracy(cats: Sequence[Any], rows: Sequence[Row]) -> float:
    """RETURNS (float): The share of rows whose most probable label is right."""
    return statistics.mean(
        float(max(found, key=found.get) == max(row["cats"], key=row["cats"].get))
        for found, row in zip(cats, rows, strict=True)
    )


def main(
    data: Annotated[Path, typer.Argument(help="Directory of the labelled sets")],
    sets: Annotated[str, typer.Option(help="Separated by commas")] = "trec,ag_news",
    draws: Annotated[int, typer.Option(help="How many draws")] = 3,
    n_train: Annotated[int, typer.Option("--texts", help="Training texts in all")] = 200,
    n_test: Annotated[int, typer.Option("--test", help="Test texts at most")] = 400,
) -> None:
    """Print the accuracy on held-out texts and the seconds of a training: mean±sd over the
    draws."""
    for name in sets.split(","):
        train_pool, test_pool = (
            read_rows(data / name / f"{part}.jsonl") for part in ("train", "test")
        )
        figures: dict[str, list[float]] = {}
        seconds: dict[str, list[float]] = {}
        for draw in range(draws):
            rng = random.Random(draw)
            drawn = rng.sample(train_pool, 2 * n_train)
            rows, dev_rows = drawn[:n_train], drawn[n_train:]
            test_rows = rng.sample(test_pool, min(n_test, len(test_pool)))
            texts = [row["text"] for row in test_rows]
            encode([row["text"] for row in (*drawn, *test_rows)])
            for pipeline, make in PIPELINES.items():
                start = time.perf_counter()
                nlp = make(rows, dev_rows)
                seconds.setdefault(pipeline, []).append(time.perf_counter() - start)
                docs = list(nlp.pipe(texts))
                figures.setdefault(pipeline, []).append(
                    accuracy([doc.cats for doc in docs], test_rows)
                )
                if pipeline == "textcat on tuned vectors":
                    pipe: Any = nlp.get_pipe("embtune")
                    predicted = pipe.predict(docs).cats
                    own = [dict(zip(pipe.labels, row, strict=True)) for row in predicted]
                    figures.setdefault("embtune's own output layer", []).append(
                        accuracy(own, test_rows)
                    )
        print(f"\n**{name}, {n_train} texts, {draws} draws**")
        body = [
            (
                pipeline,
                deviation(values),
                f"{statistics.mean(seconds[pipeline]):.0f}" if pipeline in seconds else "",
            )
            for pipeline, values in figures.items()
        ]
        msg.table(body, header=("", "accuracy", "train, s"), divider=True)


if __name__ == "__main__":
    typer.run(main)
