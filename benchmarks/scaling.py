"""Seconds per epoch against the number of texts, with a fixed batch and bank: is it linear?

python benchmarks/scaling.py

Base vectors are random, of the width of all-MiniLM-L6-v2: this measures the head, the loss, the
bank and spaCy, not the encoder. Of each size the fastest of several epochs is taken, and shown
relative to the first size.
"""

import random
import time
from typing import Annotated, Any

import numpy as np
import spacy
import typer
from common import TABLE, make_table  # noqa: F401 - registers the encoder
from spacy.training import Example
from spacy.util import minibatch
from thinc.api import Adam


def main(
    sizes: Annotated[str, typer.Option(help="Separated by commas")] = "1000,4000,16000,64000",
    batch: Annotated[int, typer.Option(help="Batch size")] = 32,
    bank: Annotated[int, typer.Option(help="Bank size")] = 256,
    epochs: Annotated[int, typer.Option(help="Epochs of each size")] = 2,
    n_labels: Annotated[int, typer.Option("--labels", help="Number of labels")] = 10,
) -> None:
    """Print the time of an epoch of the contrastive head for each number of texts."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(n_labels, 384))
    print("| texts | s per epoch | ms per text | per text, relative |")
    print("|---|---|---|---|")
    first = None
    for size in map(int, sizes.split(",")):
        nlp = spacy.blank("en")
        nlp.add_pipe("embtune", config=make_config(bank))
        examples: list[Example] = []
        for i in range(size):
            text = f"text {i}"
            TABLE[text] = (centres[i % n_labels] + rng.normal(size=384)).astype("float32")
            cats = {str(label): float(label == i % n_labels) for label in range(n_labels)}
            examples.append(Example.from_dict(nlp.make_doc(text), {"cats": cats}))
        nlp.initialize(lambda examples=examples: examples)
        optimizer = Adam(0.001, L2=2.0, L2_is_weight_decay=True)
        seconds = []
        for epoch in range(epochs):
            random.Random(epoch).shuffle(examples)
            begin = time.perf_counter()
            for part in minibatch(examples, batch):
                nlp.update(part, sgd=optimizer)
            seconds.append(time.perf_counter() - begin)
        per_text = min(seconds) / size
        first = first or per_text
        print(
            f"| {size} | {min(seconds):.2f} | {1000 * per_text:.3f} | {per_text / first:.2f} |",
            flush=True,
        )


def make_config(bank: int) -> dict[str, Any]:
    """RETURNS (dict): A component with the contrastive head on vectors from the table."""
    return {
        "bank_size": bank,
        "model": {
            "@architectures": "spacy-embtune.EmbTune.v1",
            "encoder": {"@architectures": "benchmarks.Table.v1"},
            "head": {"@architectures": "spacy-embtune.Contrastive.v1"},
        },
        "loss": {"@losses": "spacy-embtune.supervised_contrastive.v1"},
    }


if __name__ == "__main__":
    typer.run(main)
