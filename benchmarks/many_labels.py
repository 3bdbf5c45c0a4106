"""Time and memory with many labels: do they grow with what is known, or with documents x labels?

python benchmarks/many_labels.py
python benchmarks/many_labels.py --sizes 10000x14000 --steps report,report_train --kind classes

Of `tags`, each document carries three and is known to lack three others; nothing is known of the
rest. Of `classes`, each document carries exactly one. Frequencies differ widely. A vector is the
sum of a random centre for each tag, and noise, of the width of all-MiniLM-L6-v2: this measures
labels, not the encoder.

Each step of each size runs in a process of its own, which initializes a pipeline and makes one
update first. "more MB" is how much the peak of memory exceeds that of a process that has only
loaded the data. A step ends after --most-seconds, or when it asks for more than --most-mb.
"""

import multiprocessing
import os
import resource
import time
from collections.abc import Callable
from typing import Annotated, Any

import numpy as np
import spacy
import typer
from common import TABLE, make_table  # noqa: F401 - registers the encoder
from spacy.training import Example
from spacy.util import minibatch
from thinc.api import Adam

STEPS = (
    "initialize,update,evaluate,evaluate_cats,calibrate,predict,report,report_train,bulk,fit,proba"
)
WIDTH = 384


def main(
    sizes: Annotated[str, typer.Option(help="Documents x labels, separated by commas")] = (
        "1000x1400,4000x5000,10000x14000"
    ),
    steps: Annotated[str, typer.Option(help="Separated by commas")] = STEPS,
    kind: Annotated[str, typer.Option(help="tags or classes")] = "tags",
    batch: Annotated[int, typer.Option(help="Batch size")] = 32,
    n_updates: Annotated[int, typer.Option("--updates", help="Batches of `update`")] = 50,
    most_seconds: Annotated[int, typer.Option(help="End a step after this time")] = 600,
    most_mb: Annotated[int, typer.Option(help="Address space of a step in MB")] = 12_000,
) -> None:
    """Print seconds and memory of each step for each size."""
    print("| documents | labels | step | s | more MB |")
    print("|---|---|---|---|---|")
    context = multiprocessing.get_context("spawn")
    for size in sizes.split(","):
        n_docs, n_labels = map(int, size.split("x"))
        for step in steps.split(","):
            receiver, sender = context.Pipe(duplex=False)
            arguments = (sender, most_mb, step, kind, n_docs, n_labels, batch, n_updates)
            process = context.Process(target=run, args=arguments)
            process.start()
            sender.close()
            try:
                # The data take a few seconds, too.
                found = receiver.recv() if receiver.poll(most_seconds + 30) else None
            except EOFError:
                found = "failed"
            if found is None:
                process.kill()
            process.join()
            cells = f"over {most_seconds} | " if found is None else f"{found} | "
            if isinstance(found, tuple):
                cells = f"{found[0]:.1f} | {found[1]:.0f}"
            print(f"| {n_docs} | {n_labels} | {step} | {cells} |", flush=True)


def run(sender: Any, most_mb: int, *arguments: Any) -> None:
    """Measure a step, and send the result."""
    _, limit = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (most_mb * 2**20, limit))
    try:
        sender.send(measure(*arguments))
    except MemoryError:
        sender.send(f"over {most_mb} MB")
        # The memory of the step may be all there is.
        os._exit(0)


def make_examples(nlp: Any, kind: str, n_docs: int, n_labels: int, seed: int = 0) -> list[Example]:
    """RETURNS (list[Example]): Documents with three tags, and three that they lack; or with one
    class."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(99).normal(size=(n_labels, WIDTH)).astype("float32")
    # Some labels are far more frequent than others.
    chance = 1.0 / (10.0 + np.arange(n_labels))
    chance /= chance.sum()
    examples = []
    for i in range(n_docs):
        text = f"text {seed} {i}"
        tags = rng.choice(n_labels, size=6, replace=False, p=chance)
        if kind == "tags":
            cats = {f"tag {tag}": float(k < 3) for k, tag in enumerate(tags)}
        else:
            tags, cats = tags[:1], {f"tag {tags[0]}": 1.0}
        noise = 2.0 * rng.normal(size=WIDTH)
        TABLE[text] = (centres[tags[:3]].sum(axis=0) + noise).astype("float32")
        examples.append(Example.from_dict(nlp.make_doc(text), {"cats": cats}))
    return examples


def measure(
    step: str, kind: str, n_docs: int, n_labels: int, batch: int, n_updates: int
) -> tuple[float, float]:
    """RETURNS (tuple[float, float]): Seconds of a step, and megabytes of memory beyond the data."""
    nlp = spacy.blank("en")
    config = {
        "bank_size": 256,
        "set_cats": step in ("evaluate_cats", "predict"),
        "model": {
            "@architectures": "spacy-embtune.EmbTune.v1",
            "encoder": {"@architectures": "benchmarks.Table.v1"},
            "head": {"@architectures": "spacy-embtune.FeedForward.v1"},
        },
    }
    nlp.add_pipe("embtune", config=config)
    examples = make_examples(nlp, kind, n_docs, n_labels)
    fresh = make_examples(nlp, kind, max(n_docs // 4, 100), n_labels, seed=1)
    before = peak()
    begin = time.perf_counter()
    if step in ("fit", "proba"):
        begin = fit(step, examples, [TABLE[example.reference.text] for example in fresh])
        return time.perf_counter() - begin, peak() - before
    nlp.initialize(lambda: examples)
    optimizer = Adam(0.001)
    if step != "initialize":
        nlp.update(examples[:batch], sgd=optimizer)
        begin = time.perf_counter()
    if step == "update":
        for part in list(minibatch(examples, batch))[:n_updates]:
            nlp.update(part, sgd=optimizer)
    elif step in ("evaluate", "evaluate_cats"):
        nlp.evaluate(examples)
    elif step == "predict":
        # All documents are kept, as by `list(nlp.pipe(texts))`.
        list(nlp.pipe(example.reference.text for example in examples))
    elif step != "initialize":
        WAYS[step](nlp, examples, fresh)
    return time.perf_counter() - begin, peak() - before


def calibrate(nlp: Any, examples: list[Example], fresh: list[Example]) -> None:
    """Calibrate on all documents: the component must not remember them."""
    nlp.get_pipe("embtune").seen = None
    nlp.get_pipe("embtune").calibrate(examples)


def report(nlp: Any, examples: list[Example], fresh: list[Example]) -> None:
    """Compare base and tuned vectors, as `embtune evaluate DATA` does."""
    from spacy_embtune.reports import report

    report(nlp, examples).to_dict()


def report_train(nlp: Any, examples: list[Example], fresh: list[Example]) -> None:
    """As `embtune evaluate DATA --train TRAIN`; a quarter as many documents are held out."""
    from spacy_embtune.reports import report

    report(nlp, fresh, train=examples).to_dict()


def bulk(nlp: Any, examples: list[Example], fresh: list[Example]) -> None:
    """Make the table of `embtune bulk`."""
    from spacy_embtune.labelling import bulk_table
    from spacy_embtune.reports import documents

    bulk_table(documents(nlp, None, examples))


WAYS: dict[str, Callable[[Any, list[Example], list[Example]], None]] = {
    "calibrate": calibrate,
    "report": report,
    "report_train": report_train,
    "bulk": bulk,
}


def fit(step: str, examples: list[Example], fresh: list[Any]) -> float:
    """Fit a tuner on all documents, one epoch; `proba` is the first probabilities after it, which
    compute the temperature.

    RETURNS (float): When the step began.
    """
    from spacy_embtune.finetune import FeedForwardTuner

    X = np.stack([TABLE[example.reference.text] for example in examples])
    y = [example.reference.cats for example in examples]
    begin = time.perf_counter()
    tuner = FeedForwardTuner(n_epochs=1, random_state=0, calibrate=step == "proba").fit(X, y)
    if step == "proba":
        begin = time.perf_counter()
        tuner.predict_proba(np.stack(fresh[:100]))
    return begin


def peak() -> float:
    """RETURNS (float): The largest memory of this process so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    typer.run(main)
