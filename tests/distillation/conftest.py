"""A trained pipeline, and texts for its students."""

from pathlib import Path
from typing import Any

import pytest
import spacy
from spacy.language import Language
from thinc.api import fix_random_seed

from spacy_embtune.distillation import Distillation, distill

from ..conftest import make_examples, make_texts


def make_teacher(encoder: Path, *, n_steps: int = 40, **config: Any) -> Language:
    """RETURNS (Language): A trained pipeline, with a sentencizer in front."""
    fix_random_seed(0)
    nlp = spacy.blank("en")
    nlp.add_pipe("sentencizer")
    nlp.add_pipe("embtune", config={"model": {"encoder": {"name": str(encoder)}}, **config})
    examples = make_examples(nlp, 60)
    optimizer = nlp.initialize(lambda: examples)
    for _ in range(n_steps):
        nlp.update(examples, sgd=optimizer)
    return nlp


@pytest.fixture(scope="session")
def texts() -> list[str]:
    return [text for text, _ in make_texts(400, seed=7)]


@pytest.fixture(scope="session")
def teacher(tiny_encoder: Path) -> Language:
    return make_teacher(tiny_encoder, set_cats=True)


@pytest.fixture(scope="session")
def static(teacher: Language, texts: list[str]) -> Distillation:
    return distill(teacher, texts)


@pytest.fixture(scope="session")
def layers(teacher: Language, texts: list[str]) -> Distillation:
    return distill(teacher, texts, student="layers:1", seconds=3)
