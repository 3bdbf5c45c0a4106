"""Pipelines whose encoder learns."""

from pathlib import Path
from typing import Any

import pytest
from thinc.api import fix_random_seed

from ...pipeline.test_component import MakeNlp
from .pipelines import BOTH, COMPONENT, HEADS


@pytest.fixture
def make(make_nlp: MakeNlp, tiny_encoder: Path) -> MakeNlp:
    """Makes a pipeline whose encoder learns."""

    def make(
        head: str = "Linear",
        *,
        loss: Any = None,
        name: str = "embtune",
        path: Path = tiny_encoder,
        **encoder: Any,
    ) -> Any:
        fix_random_seed(0)
        settings = {
            "name": str(path),
            "precision": "float32",
            "trainable_layers": 1,
            "learn_rate_scale": 1.0,
            **encoder,
        }
        component = {k: settings.pop(k) for k in list(settings) if k in COMPONENT}
        return make_nlp(
            name,
            model={
                "encoder": {"@architectures": "spacy-embtune.SentenceTransformer.v1", **settings},
                "head": {"@architectures": f"spacy-embtune.{head}.v1", **HEADS[head]},
            },
            loss=loss or BOTH,
            **component,
        )

    return make
