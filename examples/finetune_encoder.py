"""The encoder itself learns: eight labelled questions of each type.

python examples/finetune_encoder.py DATA_DIR/trec

The directory holds train.jsonl and test.jsonl, {"text": str, "cats": {label: 0 or 1}} a line, each
text with one label.
"""

import time
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from comparison import Row, draw, draw_per_label, name_labels, read_rows, score, show
from spacy.training import Example
from spacy.util import load_config, load_model_from_config, registry
from wasabi import msg

from spacy_embtune.training import suitable_steps

CONFIG = Path(__file__).parent.parent / "configs" / "encoder.cfg"


def main(
    data: Annotated[Path, typer.Argument(help="Directory of train.jsonl and test.jsonl")],
    per_label: Annotated[int, typer.Option(help="Labelled texts of each label")] = 8,
    n_test: Annotated[int, typer.Option("--test", help="Held-out texts at most")] = 500,
    encoder_name: Annotated[str, typer.Option("--encoder", help="Model name or directory")] = (
        "sentence-transformers/all-MiniLM-L6-v2"
    ),
    layers: Annotated[int, typer.Option(help="How many of the last layers learn")] = 4,
    picture: Annotated[Path | None, typer.Option(help="Draw the held-out texts here")] = None,
    seed: Annotated[int, typer.Option(help="Draws the texts")] = 0,
) -> None:
    """Train with configs/encoder.cfg, and compare the encoder before and after."""
    train = draw_per_label(read_rows(data / "train.jsonl"), per_label, seed)
    test = read_rows(data / "test.jsonl")[:n_test]
    y, y_test = name_labels(train), name_labels(test)

    encoder = {"name": encoder_name, "trainable_layers": layers}
    nlp, config = make_pipeline(encoder, seed, suitable_steps(len(train)))
    before, before_test = (encode(nlp, rows) for rows in (train, test))
    start = time.perf_counter()
    fit(nlp, config, train)
    seconds = time.perf_counter() - start
    after, after_test = (encode(nlp, rows) for rows in (train, test))

    msg.info(f"{len(train)} texts to learn from, {len(test)} held out, trained in {seconds:.1f} s")
    show(score(before, y, before_test, y_test), score(after, y, after_test, y_test))
    if picture is not None:
        panels = {"Base vectors": before_test, "Vectors of the finetuned encoder": after_test}
        draw(picture, panels, y_test)


def make_pipeline(encoder: dict[str, Any], seed: int, n_steps: int) -> tuple[Any, Any]:
    """RETURNS (tuple[Language, Config]): The pipeline of configs/encoder.cfg, and its config."""
    changes = {f"components.embtune.model.encoder.{key}": value for key, value in encoder.items()}
    changes |= {"system.seed": seed, "training.max_steps": n_steps}
    config = load_config(CONFIG, overrides=changes, interpolate=True)
    # It counts the texts of a file.
    del config["initialize"]["after_init"]
    return load_model_from_config(config, auto_fill=True), config


def encode(nlp: Any, rows: list[Row]) -> np.ndarray:
    """RETURNS (ndarray): The encoder's vectors, shape (n, d)."""
    return np.asarray([doc._.embedding for doc in nlp.pipe(row["text"] for row in rows)])


def fit(nlp: Any, config: Any, rows: list[Row]) -> None:
    """Train as `spacy train` does, all steps, without a dev set."""
    training = config["training"]
    # The rest of the section reads corpora.
    parts = registry.resolve({key: training[key] for key in ("batcher", "optimizer")})
    examples = [Example.from_dict(nlp.make_doc(row["text"]), {"cats": row["cats"]}) for row in rows]
    nlp.initialize(lambda: examples)
    optimizer, step = parts["optimizer"], 0
    while step < training["max_steps"]:
        for batch in parts["batcher"](examples):
            nlp.update(list(batch), sgd=optimizer)
            optimizer.step_schedules()
            step += 1
            if step == training["max_steps"]:
                break


if __name__ == "__main__":
    typer.run(main)
