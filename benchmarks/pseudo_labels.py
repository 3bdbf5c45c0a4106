"""What unlabelled texts are worth: their mean, and pseudo-labels in one and two rounds.

python benchmarks/pseudo_labels.py DATA_DIR --sets trec,ag_news,sst2 --draws 3

DATA_DIR holds a directory a set with train.jsonl and test.jsonl, {"text", "cats"} a line. A draw
has a few labelled texts of each class, a pile of other texts of train.jsonl without their labels,
and texts of test.jsonl. A round trains a new pipeline from scratch on the labelled texts and on the
pseudo-labels of the pipeline before. Accuracy of the output layer (configs/contrastive.cfg has
none: of the mean vectors of the classes), of the nearest labelled text, and of a linear probe; p@1
and MAP@R within the test texts. "right" is the share of pseudo-labels that are right.

--mean: heads of frozen vectors, with the mean of the labelled texts and with that of the pile.
--teachers: who gives the labels of the first round. pipeline: the pipeline of labels alone, where
its output layer and the nearest labelled text agree; neighbours: a classifier of base vectors and
of neighbours in the pile. "assortativity" is that of the neighbours' labels.
"""

import itertools
import json
import os
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import spacy
import typer
from common import ROOT, TABLE, draw_per_class, encode, read_rows
from numpy.typing import NDArray
from spacy.language import Language
from spacy.training import Example
from spacy.util import load_config, registry
from thinc.api import fix_random_seed
from wasabi import msg

from spacy_embtune.data import PseudoLabel, Record, make_unlabelled_reader, text_digest
from spacy_embtune.finetune import SentenceEncoder, encode_labels
from spacy_embtune.labels import make_targets
from spacy_embtune.metrics import knn_scores, probe_scores, retrieval_scores
from spacy_embtune.pipeline import pseudo_label
from spacy_embtune.semi_supervised import compare_with_means
from spacy_embtune.tuning._pile import NeighbourLabels, Pile

Row = dict[str, Any]
FIGURES = ("accuracy", "knn", "probe", "p@1", "MAP@R")


def main(
    data: Annotated[Path, typer.Argument(help="Directory of the labelled sets")],
    sets: Annotated[str, typer.Option(help="Separated by commas")] = "trec,ag_news,sst2",
    per_class: Annotated[int, typer.Option(help="Labelled texts of a class")] = 8,
    labelled: Annotated[int, typer.Option(help="Labelled texts in all, in place of these")] = 0,
    n_pile: Annotated[int, typer.Option("--pile", help="Unlabelled texts")] = 1500,
    draws: Annotated[int, typer.Option(help="How many draws")] = 3,
    first_draw: Annotated[int, typer.Option(help="Number of the first")] = 0,
    n_test: Annotated[int, typer.Option("--test", help="Test texts at most")] = 500,
    config: Annotated[str, typer.Option(help="encoder, contrastive or feedforward")] = "encoder",
    steps: Annotated[str, typer.Option(help="Steps: labels alone, with pseudo-labels")] = "20,40",
    shares: Annotated[str, typer.Option(help="Shares of each class")] = "0.3",
    weights: Annotated[str, typer.Option(help="Weights of pseudo-labels")] = "1",
    rounds: Annotated[int, typer.Option(help="How many rounds")] = 2,
    teachers: Annotated[str, typer.Option(help="pipeline, neighbours")] = "pipeline",
    control: Annotated[bool, typer.Option(help="Labels alone for as many steps as with")] = False,
    mean: Annotated[bool, typer.Option("--mean", help="Compare the means")] = False,
    json_path: Annotated[Path | None, typer.Option("--json", help="Append all figures")] = None,
) -> None:
    """Print the figures of each set, the mean of the draws."""
    runs: dict[tuple[str, str], list[Row]] = {}
    few, many = map(int, steps.split(","))

    def keep(name: str, draw: int, run: str, found: Row) -> None:
        runs.setdefault((name, run), []).append(found)
        told = " ".join(f"{key} {value:.3f}" for key, value in found.items())
        msg.info(f"{name} {draw} {run}: {told}")
        if json_path is not None:
            with json_path.open("a") as file:
                file.write(json.dumps({"set": name, "draw": draw, "run": run, **found}) + "\n")

    for name in sets.split(","):
        for draw in range(first_draw, first_draw + draws):
            drawn = draw_texts(data / name, per_class, labelled, n_pile, n_test, draw)
            train = Trainer(config, drawn, draw)
            nlp, found = train(few)
            keep(name, draw, f"labels alone, {few} steps", found)
            if mean:
                keep(name, draw, "mean from the pile", train(few, {})[1])
                continue
            if control and many != few:
                keep(name, draw, f"labels alone, {many} steps", train(many)[1])
            settings = itertools.product(
                map(float, shares.split(",")), map(float, weights.split(",")), teachers.split(",")
            )
            for share, weight, who in settings:
                teacher = nlp
                for i in range(rounds):
                    begin = time.perf_counter()
                    labels, right = train.teach(
                        teacher, share, weight, who=who if i == 0 else "pipeline"
                    )
                    seconds = time.perf_counter() - begin
                    teacher, found = train(many, labels)
                    found |= {"right": right, "n": len(labels), "labelling": seconds}
                    if who != "pipeline":
                        found["assortativity"] = train.neighbours[0].assortativity
                    run = f"share {share}, weight {weight}, by {who}, round {i + 1}"
                    keep(name, draw, run, found)
    show(runs)


def draw_texts(
    folder: Path, per_class: int, labelled: int, n_pile: int, n_test: int, draw: int
) -> tuple[list[Row], list[Row], list[Row]]:
    """RETURNS (tuple): Labelled rows, rows of the pile, test rows."""
    rng = random.Random(draw)
    rows, test = (read_rows(folder / f"{part}.jsonl") for part in ("train", "test"))
    known = rng.sample(rows, labelled) if labelled else draw_per_class(rows, per_class, rng)
    texts = {row["text"] for row in known}
    rest = [row for row in rows if row["text"] not in texts]
    pile = rng.sample(rest, min(n_pile, len(rest)))
    return known, pile, rng.sample(test, min(n_test, len(test)))


class Trainer:
    """Trains pipelines on the labelled texts of a draw, and measures them on its test texts."""

    def __init__(
        self, config: str, drawn: tuple[list[Row], list[Row], list[Row]], seed: int
    ) -> None:
        self.known, self.pile, self.test = drawn
        self.seed = seed
        self.labels = sorted({label for row in self.known for label in row["cats"]})
        everything = [*self.known, *self.pile, *self.test]
        self.exclusive = all(sum(row["cats"].values()) == 1 for row in everything)
        overrides = {"system.seed": seed, "paths.train": "-", "paths.dev": "-"}
        self.config = load_config(ROOT / "configs" / f"{config}.cfg", overrides=overrides)
        if config != "encoder":
            encode([row["text"] for row in everything])
            encoder = {"@architectures": "benchmarks.Table.v1"}
            self.config["components"]["embtune"]["model"]["encoder"] = encoder
        self.training = self.config.interpolate()["training"]

    def make_examples(self, nlp: Language) -> list[Example]:
        return [
            Example.from_dict(nlp.make_doc(row["text"]), {"cats": row["cats"]})
            for row in self.known
        ]

    def __call__(
        self, n_steps: int, pseudo_labels: Mapping[str, PseudoLabel] | None = None
    ) -> tuple[Language, Row]:
        """Train a pipeline from scratch.

        pseudo_labels (Mapping | None): The pseudo-labels; empty for the mean of the pile only.
        RETURNS (tuple): The pipeline and its figures.
        """
        fix_random_seed(self.seed)
        config = {**self.config, "corpora": {}, "training": {}, "initialize": {}}
        nlp = spacy.util.load_model_from_config(config, auto_fill=True, validate=False)
        pipe: Any = nlp.get_pipe("embtune")
        section = dict(self.training["optimizer"])
        if isinstance(section.get("learn_rate"), dict):
            section["learn_rate"] = {**section["learn_rate"], "total_steps": n_steps}
        optimizer = registry.resolve({"it": section})["it"]
        batcher = registry.resolve({"it": self.training["batcher"]})["it"]
        if "by_sequence" in str(self.training["batcher"]):
            batcher = batch_by_sequence(self.training["batcher"]["size"])
        examples = self.make_examples(nlp)
        unlabelled = None
        if pseudo_labels is not None:
            unlabelled = make_unlabelled_reader([r["text"] for r in self.pile], pseudo_labels)
        if pipe.encoder is not None:
            _ = pipe.encoder.encoder
        begin = time.perf_counter()
        pipe.initialize(lambda: examples, nlp=nlp, unlabelled=unlabelled)
        rng, step = random.Random(self.seed), 0
        while step < n_steps:
            rng.shuffle(examples)
            for batch in batcher(examples):
                nlp.update(batch, sgd=optimizer)
                optimizer.step_schedules()
                step += 1
                if step == n_steps:
                    break
        seconds = time.perf_counter() - begin
        return nlp, {**self.measure(pipe), "seconds": seconds}

    def measure(self, pipe: Any) -> Row:
        """RETURNS (dict): The figures of a pipeline on the test texts."""
        near, _ = predict(pipe, self.known)
        new, probabilities = predict(pipe, self.test)
        known, held_out = (
            make_targets([r["cats"] for r in rows], pipe.labels, exclusive=self.exclusive)
            for rows in (self.known, self.test)
        )
        if not pipe.predicts_labels:
            probabilities = compare_with_means(near, known, new)
        values = np.asarray(held_out.values)
        found = retrieval_scores(new, held_out.values, held_out.known)
        return {
            "accuracy": float(values[np.arange(len(new)), probabilities.argmax(axis=1)].mean()),
            "knn": knn_scores(near, known, new, held_out).accuracy,
            "probe": probe_scores(near, known, new, held_out).accuracy,
            "p@1": found.p_at_1,
            "MAP@R": found.map_at_r,
        }

    @cached_property
    def neighbours(self) -> NeighbourLabels:
        """RETURNS (NeighbourLabels): What neighbours in the pile say."""
        records = [
            Record(row["text"], row["cats"], str(i), {}, i) for i, row in enumerate(self.known)
        ]
        with tempfile.TemporaryDirectory() as folder:
            pile = Pile([row["text"] for row in self.pile], records, Path(folder))
            texts = [*(record.text for record in records), *pile.texts]
            encode(texts)
            vectors = np.stack([TABLE[text] for text in texts])
            n, m = len(records), len(pile.texts)
            names = encode_labels(self.labels, SentenceEncoder())
            return pile.ask_neighbours(
                np.arange(m), vectors[n:], records, vectors[:n], self.labels, names
            )

    def teach(
        self, nlp: Language, share: float, weight: float, *, who: str = "pipeline"
    ) -> tuple[dict[str, PseudoLabel], float]:
        """RETURNS (tuple): The pseudo-labels of a pipeline, and the share of them that are right:
        of all labels that are taken as known."""
        if who == "neighbours":
            labels = self.neighbours.surest
            cats = {text_digest(row["text"]): row["cats"] for row in self.pile}
            right = [cats[key].get(label, 0.0) for key, one in labels.items() for label in one.cats]
            return labels, statistics.mean(right or [0.0])
        texts = [row["text"] for row in self.pile]
        found = pseudo_label(
            nlp,
            self.make_examples(nlp),
            texts,
            share=share,
            weight=weight,
        )
        right = [
            float((self.pile[i]["cats"].get(label, 0.0) >= 0.5) == (value >= 0.5))
            for i, cats in zip(found.rows.tolist(), found.cats, strict=True)
            for label, value in cats.items()
        ]
        return found.by_digest(), statistics.mean(right or [0.0])


def predict(pipe: Any, rows: Sequence[Row]) -> tuple[NDArray[Any], NDArray[Any]]:
    """RETURNS (tuple): Tuned vectors and probabilities."""
    texts = [row["text"] for row in rows]
    parts = [pipe.predict(texts[i : i + 256]) for i in range(0, len(texts), 256)]
    return (
        np.concatenate([part.tuned for part in parts]),
        np.concatenate([part.cats for part in parts]),
    )


def batch_by_sequence(size: int) -> Callable[[list[Example]], Iterator[list[Example]]]:
    """spaCy's batcher of this name counts examples that have no length."""

    def batch(examples: list[Example]) -> Iterator[list[Example]]:
        for i in range(0, len(examples), size):
            yield examples[i : i + size]

    return batch


def show(runs: Mapping[tuple[str, str], list[Row]]) -> None:
    """Print a table, as Markdown, for the README."""
    print("| set | | " + " | ".join(FIGURES) + " | right | n | s |")
    print("|---" * (len(FIGURES) + 5) + "|")
    for (name, run), rows in runs.items():
        cells = [f"{statistics.mean(row[key] for row in rows):.3f}" for key in FIGURES]
        right = statistics.mean(row["right"] for row in rows) if "right" in rows[0] else None
        n = f"{statistics.mean(row.get('n', 0) for row in rows):.0f}"
        seconds = statistics.mean(row["seconds"] for row in rows)
        told = "" if right is None else f"{right:.2f}"
        print(f"| {name} | {run} | {' | '.join(cells)} | {told} | {n} | {seconds:.0f} |")


if __name__ == "__main__":
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    typer.run(main)
