"""Time and memory with many labels: do they grow with what is known, or with documents x labels?

python benchmarks/many_labels.py
python benchmarks/many_labels.py --sizes 10000x14000 --steps initialize,update,evaluate,fit,report

Each document carries three tags and is known to lack three others; nothing is known of the rest.
Base vectors are random, of the width of all-MiniLM-L6-v2: this measures labels, not the encoder.
Each step of each size runs in a process of its own, which initializes a pipeline first. "more MB"
is how much the peak of memory exceeds that of a process that has only loaded the data.
"""

import multiprocessing
import resource
import time
from typing import Annotated, Any

import numpy as np
import spacy
import typer
from common import TABLE, make_table  # noqa: F401 - registers the encoder
from spacy.training import Example
from spacy.util import minibatch
from thinc.api import Adam

STEPS = "initialize,update,evaluate,fit"


def main(
    sizes: Annotated[str, typer.Option(help="Documents x labels, separated by commas")] = (
        "1000x1400,3000x4200,10000x14000"
    ),
    steps: Annotated[str, typer.Option(help="Separated by commas; also: report")] = STEPS,
    batch: Annotated[int, typer.Option(help="Batch size")] = 32,
    n_updates: Annotated[int, typer.Option("--updates", help="Batches of `update`")] = 50,
) -> None:
    """Print seconds and memory of each step for each size."""
    print("| documents | labels | step | s | more MB |")
    print("|---|---|---|---|---|")
    context = multiprocessing.get_context("spawn")
    for size in sizes.split(","):
        n_docs, n_labels = map(int, size.split("x"))
        for step in steps.split(","):
            with context.Pool(1) as pool:
                arguments = (step, n_docs, n_labels, batch, n_updates)
                seconds, megabytes = pool.apply(measure, arguments)
            print(
                f"| {n_docs} | {n_labels} | {step} | {seconds:.1f} | {megabytes:.0f} |", flush=True
            )


def make_examples(nlp: Any, n_docs: int, n_labels: int) -> list[Example]:
    """RETURNS (list[Example]): Documents with three tags, and three that they lack."""
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(n_docs, 384)).astype("float32")
    # Some tags are far more frequent than others.
    chance = 1.0 / (10.0 + np.arange(n_labels))
    chance /= chance.sum()
    examples = []
    for i in range(n_docs):
        text = f"text {i}"
        TABLE[text] = vectors[i]
        tags = rng.choice(n_labels, size=6, replace=False, p=chance)
        cats = {f"tag {tag}": float(k < 3) for k, tag in enumerate(tags)}
        examples.append(Example.from_dict(nlp.make_doc(text), {"cats": cats}))
    return examples


def measure(
    step: str, n_docs: int, n_labels: int, batch: int, n_updates: int
) -> tuple[float, float]:
    """RETURNS (tuple[float, float]): Seconds of a step, and megabytes of memory beyond the data."""
    nlp = spacy.blank("en")
    config = {
        "bank_size": 256,
        "model": {
            "@architectures": "spacy-embtune.EmbTune.v1",
            "encoder": {"@architectures": "benchmarks.Table.v1"},
            "head": {"@architectures": "spacy-embtune.FeedForward.v1"},
        },
    }
    nlp.add_pipe("embtune", config=config)
    examples = make_examples(nlp, n_docs, n_labels)
    before = peak()
    begin = time.perf_counter()
    if step == "fit":
        fit(examples)
        return time.perf_counter() - begin, peak() - before
    nlp.initialize(lambda: examples)
    optimizer = Adam(0.001)
    if step != "initialize":
        nlp.update(examples[:batch], sgd=optimizer)
        begin = time.perf_counter()
    if step == "update":
        for part in list(minibatch(examples, batch))[:n_updates]:
            nlp.update(part, sgd=optimizer)
    elif step == "evaluate":
        nlp.evaluate(examples)
    elif step == "report":
        from spacy_embtune.reports import report

        report(nlp, examples)
    return time.perf_counter() - begin, peak() - before


def fit(examples: list[Example]) -> None:
    """Fit a tuner on all documents, one epoch."""
    from spacy_embtune.finetune import FeedForwardTuner

    X = np.stack([TABLE[example.reference.text] for example in examples])
    y = [example.reference.cats for example in examples]
    FeedForwardTuner(n_epochs=1, random_state=0).fit(X, y)


def peak() -> float:
    """RETURNS (float): The largest memory of this process so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    typer.run(main)
