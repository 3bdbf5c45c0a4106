"""A trained pipeline on disk, and documents to use it on."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
import spacy
import srsly
from typer.testing import CliRunner

from spacy_embtune.cli import app

from ..conftest import make_examples, make_texts


class Trained(NamedTuple):
    """Files of one training.

    model (Path): The directory of the pipeline.
    train (Path): The 60 documents that it was trained on, as JSON lines with labels.
    data (Path): 45 others.
    """

    model: Path
    train: Path
    data: Path


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, tiny_encoder: Path) -> Trained:
    from thinc.api import fix_random_seed

    fix_random_seed(0)
    folder = tmp_path_factory.mktemp("trained")
    nlp = spacy.blank("en")
    nlp.add_pipe("embtune", config={"model": {"encoder": {"name": str(tiny_encoder)}}})
    examples = make_examples(nlp, 60)
    optimizer = nlp.initialize(lambda: examples)
    for _ in range(30):
        nlp.update(examples, sgd=optimizer)
    nlp.to_disk(folder / "model")
    for name, n, seed in (("train", 60, 0), ("data", 45, 1)):
        rows = [{"text": text, "label": label} for text, label in make_texts(n, seed=seed)]
        srsly.write_jsonl(folder / f"{name}.jsonl", rows)
    return Trained(folder / "model", folder / "train.jsonl", folder / "data.jsonl")


@pytest.fixture
def embtune() -> Callable[..., tuple[int, str, str]]:
    """Runs a command: exit code, standard output, and standard error on one line."""

    def run(*args: object, stdin: str | None = None) -> tuple[int, str, str]:
        result = CliRunner().invoke(app, [str(arg) for arg in args], input=stdin)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result.exit_code, result.stdout, " ".join(result.stderr.split())

    return run
