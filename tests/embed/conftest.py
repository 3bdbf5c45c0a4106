from pathlib import Path

import pytest
import spacy
from spacy.language import Language

from .pipelines import make_pipeline


@pytest.fixture(scope="package")
def pipeline(tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a trained pipeline."""
    return make_pipeline(tiny_encoder, tmp_path_factory.mktemp("pipeline"))


@pytest.fixture
def nlp(pipeline: Path) -> Language:
    """A trained pipeline, as if loaded in another process."""
    return spacy.load(pipeline)
