"""A tiny sentence-transformers model, a pipeline around it, and three topics to tell apart."""

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import spacy
from hypothesis import settings
from spacy.language import Language
from spacy.tokens.underscore import Underscore
from spacy.training import Example

from spacy_embtune.encoder._sharing import forget_loaded

# Machines are shared: how long an example takes says nothing of the code.
settings.register_profile("embtune", deadline=None)
settings.load_profile("embtune")

TOPICS = {
    "SPORT": "ball goal team match player score league coach stadium referee",
    "FOOD": "bread soup salt oven cheese pepper butter recipe kitchen spoon",
    "MUSIC": "guitar drum melody song violin concert rhythm chord piano singer",
}
COMMON = "the a with and of new old good"


@pytest.fixture(scope="session")
def tiny_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a real sentence-transformers model: BERT of two layers, 64 wide, with random
    weights, a vocabulary of a few words, and a window of 16 tokens."""
    return make_tiny_encoder(tmp_path_factory.mktemp("encoder"), seed=0)


@pytest.fixture(scope="session")
def other_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same architecture with other weights."""
    return make_tiny_encoder(tmp_path_factory.mktemp("other"), seed=1)


def make_tiny_encoder(folder: Path, *, seed: int) -> Path:
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
    from transformers import BertConfig, BertModel, BertTokenizerFast

    words = sorted({word for topic in (*TOPICS.values(), COMMON) for word in topic.split()})
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words]
    bert = folder / "bert"
    bert.mkdir()
    tokenizer = BertTokenizerFast(vocab={word: i for i, word in enumerate(vocabulary)})
    tokenizer.save_pretrained(bert)
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=128,
        max_position_embeddings=32,
        initializer_range=0.02,
    )
    BertModel(config).save_pretrained(bert)
    transformer = Transformer(str(bert), max_seq_length=16)
    model = SentenceTransformer(
        modules=[transformer, Pooling(64, pooling_mode="mean")], device="cpu"
    )
    model.save_pretrained(str(folder / "model"), create_model_card=False)
    return folder / "model"


@pytest.fixture(autouse=True)
def own_encoders() -> None:
    """Pipelines of earlier tests may still be in memory: do not share their encoders."""
    forget_loaded()


@pytest.fixture(autouse=True)
def clean_extensions() -> Iterator[None]:
    """Custom attributes are global: give each test those that it found."""
    kept = dict(Underscore.doc_extensions), dict(Underscore.span_extensions)
    yield
    extensions = Underscore.doc_extensions, Underscore.span_extensions
    for current, earlier in zip(extensions, kept, strict=True):
        current.clear()
        current.update(earlier)


def make_texts(n: int, *, seed: int = 0) -> list[tuple[str, str]]:
    """RETURNS (list[tuple[str, str]]): Texts with their topics, n in all, in turn."""
    rng = random.Random(seed)
    rows = []
    for i in range(n):
        topic = list(TOPICS)[i % len(TOPICS)]
        words = rng.sample(TOPICS[topic].split(), 3) + rng.sample(COMMON.split(), 3)
        rng.shuffle(words)
        rows.append((" ".join(words), topic))
    return rows


def make_examples(
    nlp: Language,
    n: int = 30,
    *,
    seed: int = 0,
    cats: Callable[[str], dict[str, Any]] | None = None,
) -> list[Example]:
    """RETURNS (list[Example]): Labelled examples; all labels known unless `cats` says otherwise."""
    to_cats = cats or (lambda topic: {label: float(label == topic) for label in TOPICS})
    return [
        Example.from_dict(nlp.make_doc(text), {"cats": to_cats(topic)})
        for text, topic in make_texts(n, seed=seed)
    ]


@pytest.fixture
def make_nlp(tiny_encoder: Path) -> Callable[..., Language]:
    """Makes a blank pipeline with the component on the tiny encoder."""

    def make(
        name: str = "embtune", *, encoder: dict[str, Any] | None = None, **config: Any
    ) -> Language:
        nlp = spacy.blank("en")
        nlp.add_pipe(
            "embtune",
            name=name,
            config={"model": {"encoder": {"name": str(tiny_encoder), **(encoder or {})}}, **config},
        )
        return nlp

    return make


@pytest.fixture
def train(make_nlp: Callable[..., Language]) -> Callable[..., Language]:
    """Makes a trained pipeline."""

    def make(n_steps: int = 60, n_examples: int = 60, **config: Any) -> Language:
        from thinc.api import fix_random_seed

        fix_random_seed(0)
        nlp = make_nlp(**config)
        examples = make_examples(nlp, n_examples)
        optimizer = nlp.initialize(lambda: examples)
        for _ in range(n_steps):
            nlp.update(examples, sgd=optimizer)
        return nlp

    return make
