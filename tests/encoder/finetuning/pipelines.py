"""What the tests of encoders that learn look at, and heads for them."""

from typing import Any

import numpy as np
import spacy
import torch
from numpy.testing import assert_array_equal
from spacy.language import Language
from spacy.training import Example
from thinc.api import fix_random_seed

from spacy_embtune.encoder._learning_shim import LearningShim
from spacy_embtune.pipeline import EmbTune

from ...conftest import make_examples

BOTH = {
    "@losses": "spacy-embtune.sum.v1",
    "losses": {
        "labels": {"@losses": "spacy-embtune.cross_entropy.v1"},
        "pairs": {"@losses": "spacy-embtune.supervised_contrastive.v1"},
    },
    "weights": {"labels": 1.0, "pairs": 1.0},
}


@spacy.registry.misc("tests.encoder_head.v1")
def make_module() -> Any:
    class Module(torch.nn.Module):
        def __init__(self, n_in: int, n_out: int) -> None:
            super().__init__()
            self.hidden, self.output = torch.nn.Linear(n_in, 8), torch.nn.Linear(8, n_out)

        def embed(self, x: Any) -> Any:
            return self.hidden(x).tanh()

        def forward(self, x: Any) -> Any:
            return self.output(self.embed(x))

    return Module


HEADS: dict[str, dict[str, Any]] = {
    "Linear": {},
    "FeedForward": {"dropout": 0.0},
    "Contrastive": {"dropout": 0.0},
    "PyTorchHead": {"module": {"@misc": "tests.encoder_head.v1"}},
}


COMPONENT = ("extension", "base_extension", "bank_size", "set_cats", "exclusive_classes")


def start(nlp: Language, examples: list[Example] | None = None, rate: float = 0.003) -> Any:
    """Initialize a pipeline. RETURNS (tuple): Its examples and the optimizer."""
    examples = examples or make_examples(nlp, 60)
    fix_random_seed(0)
    optimizer = nlp.initialize(lambda: examples)
    optimizer.learn_rate = rate
    return examples, optimizer


def shim_of(nlp: Language, name: str = "embtune") -> LearningShim:
    pipe = nlp.get_pipe(name)
    assert isinstance(pipe, EmbTune)
    assert isinstance(pipe.encoder, LearningShim)
    return pipe.encoder


def weights(nlp: Language, name: str = "embtune") -> dict[str, Any]:
    model = shim_of(nlp, name).encoder.model
    return {key: p.detach().clone() for key, p in model.named_parameters()}


def changed(before: dict[str, Any], after: dict[str, Any]) -> set[str]:
    return {key for key, value in before.items() if not torch.equal(value, after[key])}


def vectors(nlp: Language, texts: list[str] | None = None) -> Any:
    docs = list(nlp.pipe(texts or ["bread and soup", "a guitar", "the referee"]))
    return [np.stack([doc._.get(name) for doc in docs]) for name in ("embedding", "embtune")]


def assert_same_vectors(first: Any, second: Any) -> None:
    for a, b in zip(first, second, strict=True):
        assert_array_equal(a, b)
