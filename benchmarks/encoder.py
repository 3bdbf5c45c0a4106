"""Encoder finetuning against SetFit: the same encoder, the same few texts, one run on one machine.

python benchmarks/encoder.py DATA_DIR --sets trec,ag_news,sst2 --per-class 8,16 --draws 3

DATA_DIR holds a directory a set with train.jsonl and test.jsonl, {"text", "cats"} a line. SetFit is
not among the project's dependencies: pip install setfit datasets. It runs with the setting of its
paper (num_iterations = 20, batches of 16 pairs, one epoch, a logistic regression on the vectors);
ours as configs/encoder.cfg says, all steps, without a dev set, with the same logistic regression.
Each run is a process of its own, so that memory is its own; the encoder is loaded before the clock
starts, and the encoding of the test texts is outside of it.
"""

import json
import random
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from common import ROOT, deviation, draw_per_class, read_rows, setfit_arguments
from wasabi import msg

Row = dict[str, Any]


def main(
    data: Annotated[Path, typer.Argument(help="Directory of the labelled sets")],
    sets: Annotated[str, typer.Option(help="Separated by commas")] = "trec,ag_news,sst2",
    per_class: Annotated[str, typer.Option(help="Training texts of a class")] = "8,16",
    draws: Annotated[int, typer.Option(help="How many draws")] = 3,
    first_draw: Annotated[int, typer.Option(help="Number of the first")] = 0,
    n_test: Annotated[int, typer.Option("--test", help="Test texts at most")] = 500,
    threads: Annotated[int, typer.Option(help="Threads of torch")] = 2,
    runs: Annotated[str, typer.Option(help="setfit, ours, base, and ours:KEY=VALUE;...")] = (
        "setfit,ours,base"
    ),
    json_path: Annotated[Path | None, typer.Option("--json", help="Save all figures")] = None,
    one: Annotated[str | None, typer.Option(hidden=True)] = None,
) -> None:
    """Print accuracy on held-out texts, seconds of training, texts encoded, and peak memory."""
    if one is not None:
        print("RESULT " + json.dumps(run_one(data, json.loads(one))))
        return
    figures = []
    for name in sets.split(","):
        for size in per_class.split(","):
            results: dict[str, list[Row]] = {run: [] for run in runs.split(",")}
            for draw in range(first_draw, first_draw + draws):
                for run in results:
                    task = {"set": name, "n": int(size), "draw": draw, "run": run}
                    task |= {"n_test": n_test, "threads": threads}
                    result = in_process(data, task)
                    figures.append({**task, **result})
                    results[run].append(result)
                    if json_path is not None:
                        json_path.write_text(json.dumps(figures))
            show(f"{name}, {size} per class, {draws} draws", results)


def in_process(data: Path, task: Row) -> Row:
    """RETURNS (dict): What a run in a process of its own says."""
    command = [sys.executable, __file__, str(data), "--one", json.dumps(task)]
    environment = {"OMP_NUM_THREADS": str(task["threads"]), "TOKENIZERS_PARALLELISM": "false"}
    import os

    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, **environment}
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    if not lines:
        msg.fail(f"{task} failed", done.stderr[-2000:], exits=1)
    result: Row = json.loads(lines[-1].removeprefix("RESULT "))
    return result


def run_one(data: Path, task: Row) -> Row:
    """RETURNS (dict): Accuracy, seconds, encodings and peak memory (MB) of one run."""
    import torch

    torch.set_num_threads(task["threads"])
    rng = random.Random(task["draw"])
    train = draw_per_class(read_rows(data / task["set"] / "train.jsonl"), task["n"], rng)
    test = read_rows(data / task["set"] / "test.jsonl")
    test = rng.sample(test, min(task["n_test"], len(test)))
    kind, _, options = task["run"].partition(":")
    runs: dict[str, Callable[..., Row]] = {"setfit": run_setfit, "ours": run_ours, "base": run_base}
    changes = dict(option.split("=") for option in options.split(";") if option)
    result = runs[kind](train, test, task["draw"], **changes)
    result["memory"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return result


def run_setfit(train: list[Row], test: list[Row], seed: int) -> Row:
    """SetFit, with the setting of its paper."""
    setfit, figures = train_setfit(train, seed)
    guesses = [str(guess) for guess in setfit.predict([row["text"] for row in test])]
    return {"accuracy": accuracy(guesses, test), **figures}


def train_setfit(train: list[Row], seed: int) -> tuple[Any, Row]:
    """RETURNS (tuple): The SetFitModel, and seconds and encodings of its training."""
    arguments = setfit_arguments(seed)
    from datasets import Dataset
    from setfit import SetFitModel, Trainer

    from spacy_embtune.encoder import EncoderSettings, TextEncoder

    model = TextEncoder.load(EncoderSettings(precision="float32")).model
    model.requires_grad_(True)
    labels = sorted({label_of(row) for row in train})
    setfit = SetFitModel(model_body=model, model_head=make_classifier(), labels=labels)
    texts = [row["text"] for row in train]
    rows = Dataset.from_dict({"text": texts, "label": [labels.index(label_of(r)) for r in train]})
    encoded = count_forward(model)
    trainer = Trainer(model=setfit, args=arguments, train_dataset=rows)
    begin = time.perf_counter()
    trainer.train()
    seconds = time.perf_counter() - begin
    return setfit, {"seconds": seconds, "encoded": encoded()}


def run_ours(train: list[Row], test: list[Row], seed: int, **changes: str) -> Row:
    """configs/encoder.cfg, for as many steps as it says."""
    import spacy
    from spacy.training import Example
    from spacy.util import load_config, registry
    from thinc.api import fix_random_seed

    from spacy_embtune.training import suitable_steps

    overrides = {key: json.loads(value) for key, value in changes.items()}
    overrides |= {"system.seed": seed, "paths.train": "-", "paths.dev": "-"}
    overrides.setdefault("training.max_steps", suitable_steps(len(train)))
    config = load_config(ROOT / "configs" / "encoder.cfg", overrides=overrides)
    fix_random_seed(seed)
    nlp = spacy.util.load_model_from_config(
        {**config, "corpora": {}, "training": {}, "initialize": {}}, auto_fill=True, validate=False
    )
    pipe = nlp.get_pipe("embtune")
    _ = pipe.encoder.encoder
    training = config.interpolate()["training"]
    optimizer = registry.resolve({"it": training["optimizer"]})["it"]
    batcher = registry.resolve({"it": training["batcher"]})["it"]
    examples = [Example.from_dict(nlp.make_doc(r["text"]), {"cats": r["cats"]}) for r in train]
    begin = time.perf_counter()
    nlp.initialize(lambda: examples)
    rng = random.Random(seed)
    step = 0
    while step < training["max_steps"]:
        rng.shuffle(examples)
        for batch in batcher(examples):
            nlp.update(batch, sgd=optimizer)
            optimizer.step_schedules()
            step += 1
            if step == training["max_steps"]:
                break
    texts = [row["text"] for row in train]
    vectors = np.stack([doc._.embtune for doc in nlp.pipe(texts)])
    classifier = make_classifier().fit(vectors, [label_of(row) for row in train])
    seconds = time.perf_counter() - begin
    n_encoded = pipe.encoder.n_encoded
    held_out = np.stack([doc._.embtune for doc in nlp.pipe([row["text"] for row in test])])
    guesses = classifier.predict(held_out).tolist()
    return {"accuracy": accuracy(guesses, test), "seconds": seconds, "encoded": n_encoded}


def run_base(train: list[Row], test: list[Row], seed: int) -> Row:
    """The logistic regression on the vectors of the frozen encoder."""
    from spacy_embtune.encoder import EncoderSettings, TextEncoder

    encoder = TextEncoder.load(EncoderSettings())
    begin = time.perf_counter()
    vectors = encoder.encode([row["text"] for row in train])
    classifier = make_classifier().fit(vectors, [label_of(row) for row in train])
    seconds = time.perf_counter() - begin
    guesses = classifier.predict(encoder.encode([row["text"] for row in test])).tolist()
    return {"accuracy": accuracy(guesses, test), "seconds": seconds, "encoded": len(train)}


def make_classifier() -> Any:
    """RETURNS (LogisticRegression): SetFit's default head."""
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(max_iter=1000)


def count_forward(model: Any) -> Callable[[], int]:
    """RETURNS (Callable): Tells how many texts have gone through a model from now on."""
    counted = [0]

    def count(module: Any, arguments: Any, output: Any) -> None:
        counted[0] += len(output["sentence_embedding"])

    model.register_forward_hook(count)
    return lambda: counted[0]


def label_of(row: Row) -> str:
    """RETURNS (str): The label that a row carries."""
    return max(row["cats"], key=row["cats"].get)


def accuracy(guesses: list[str], rows: list[Row]) -> float:
    """RETURNS (float): The share of rows whose label was guessed."""
    return statistics.mean(
        float(guess == label_of(row)) for guess, row in zip(guesses, rows, strict=True)
    )


def show(title: str, results: dict[str, list[Row]]) -> None:
    """Print a table, as Markdown, for the README."""
    msg.divider(title)
    print("| | accuracy | seconds | times as fast | texts encoded | peak memory, MB |")
    print("|---|---|---|---|---|---|")
    reference = next(iter(results.values()))
    for run, rows in results.items():
        ratios = [a["seconds"] / b["seconds"] for a, b in zip(reference, rows, strict=True)]
        mean = {key: statistics.mean(row[key] for row in rows) for key in rows[0]}
        print(
            f"| {run} | {deviation([row['accuracy'] for row in rows])} | {mean['seconds']:.1f} "
            f"| {statistics.mean(ratios):.1f} | {mean['encoded']:.0f} | {mean['memory']:.0f} |",
            flush=True,
        )


if __name__ == "__main__":
    typer.run(main)
