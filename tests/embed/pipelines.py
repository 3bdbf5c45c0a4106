"""A trained pipeline in a directory, and records for it."""

from pathlib import Path

import spacy
from thinc.api import fix_random_seed

from spacy_embtune.data import Record

from ..conftest import make_examples, make_texts


def make_pipeline(encoder: Path, folder: Path, *, n_steps: int = 30) -> Path:
    """RETURNS (Path): The directory of a pipeline on the tiny encoder, trained unless n_steps is
    0."""
    fix_random_seed(0)
    nlp = spacy.blank("en")
    nlp.add_pipe("embtune", config={"model": {"encoder": {"name": str(encoder)}}})
    examples = make_examples(nlp, 30)
    optimizer = nlp.initialize(lambda: examples)
    for _ in range(n_steps):
        nlp.update(examples, sgd=optimizer)
    nlp.to_disk(folder)
    return folder


def make_records(n: int) -> list[Record]:
    """RETURNS (list[Record]): Records, of which every seventh has no text and every fifth is like
    an earlier one, with labels on every third."""
    texts = [f"{text} w{i}" for i, (text, _) in enumerate(make_texts(n))]
    records = []
    for i in range(n):
        text = "" if i % 7 == 6 else texts[i - 3 if i % 5 == 4 else i]
        records.append(Record(text, {"SPORT": 1.0} if i % 3 == 0 else {}, f"id{i}", {}, i + 1))
    return records
