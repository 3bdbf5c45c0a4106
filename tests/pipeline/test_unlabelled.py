"""Unlabelled texts that a component learns from: the mean of the vectors, and pseudo-labels."""

import copy
import logging
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import spacy
from numpy.testing import assert_allclose, assert_array_equal
from spacy.language import Language
from spacy.training import Example
from spacy.training.initialize import init_nlp
from spacy.util import load_config
from thinc.api import fix_random_seed

from spacy_embtune.data import make_unlabelled_reader, write_pseudo_labels
from spacy_embtune.metrics import retrieval_scores
from spacy_embtune.pipeline import PseudoLabels, pseudo_label

from ..conftest import TOPICS, make_examples, make_texts

MakeNlp = Callable[..., Language]
Corpus = Callable[[Language], Iterator[Example]]
ROOT = Path(__file__).parent.parent.parent
CONTRASTIVE = {
    "model": {"head": {"@architectures": "spacy-embtune.Contrastive.v1"}},
    "loss": {"@losses": "spacy-embtune.supervised_contrastive.v1"},
}


def make_pile(n: int, *, seed: int = 1, labelled: bool = True, weight: float = 1.0) -> Corpus:
    """RETURNS (Callable): A corpus of texts whose pseudo-labels are all right."""

    def read(nlp: Language) -> Iterator[Example]:
        for text, topic in make_texts(n, seed=seed):
            example = Example.from_dict(
                nlp.make_doc(text), {"cats": {topic: 1.0} if labelled else {}}
            )
            example.reference.user_data["weight"] = weight
            yield example

    return read


def initialize(nlp: Language, examples: list[Example], unlabelled: Any, **settings: Any) -> Any:
    fix_random_seed(0)
    pipe: Any = nlp.get_pipe("embtune")
    pipe.initialize(lambda: examples, nlp=nlp, unlabelled=unlabelled, **settings)
    return pipe


def fit(
    nlp: Language, examples: list[Example], unlabelled: Any, n_steps: int = 30, **settings: Any
) -> Any:
    pipe = initialize(nlp, examples, unlabelled, **settings)
    optimizer = nlp.create_optimizer()
    for _ in range(n_steps):
        pipe.update(examples, sgd=optimizer)
    return pipe


def map_at_r(pipe: Any) -> float:
    """RETURNS (float): MAP@R of the tuned vectors of held-out texts."""
    texts, topics = zip(*make_texts(150, seed=5), strict=True)
    values = np.asarray([[float(topic == label) for label in TOPICS] for topic in topics])
    found = retrieval_scores(pipe.predict(texts).tuned, values).map_at_r
    assert found is not None
    return found


def mean_of(pipe: Any) -> Any:
    return pipe.model.get_ref("head").get_ref("standardize").get_param("mean")


@pytest.mark.slow
@pytest.mark.parametrize("learns", [False, True])
def test_right_pseudo_labels_make_the_space_better(make_nlp: MakeNlp, learns: bool) -> None:
    settings = {"encoder": {"trainable_layers": int(learns)}}
    plain, helped = make_nlp(**settings), make_nlp(**settings)
    one = fit(plain, make_examples(plain, 6), make_pile(120, labelled=False))
    two = fit(helped, make_examples(helped, 6), make_pile(120))
    assert map_at_r(two) > map_at_r(one) + 0.05


@pytest.mark.slow
def test_a_pipeline_teaches_another_through_a_file(make_nlp: MakeNlp, tmp_path: Path) -> None:
    teacher = make_nlp()
    examples = make_examples(teacher, 30)
    fit(teacher, examples, None)
    texts = [text for text, _ in make_texts(200, seed=1)]
    found = pseudo_label(teacher, examples, texts, share=0.5)
    topics = [topic for _, topic in make_texts(200, seed=1)]
    right = [topics[i] in cats for i, cats in zip(found.rows, found.cats, strict=True)]
    assert 30 < len(right) <= 101
    assert np.mean(right) > 0.8
    write_pseudo_labels(tmp_path / "labels.jsonl", found.by_digest())
    nlp = make_nlp()
    unlabelled = make_unlabelled_reader(texts, tmp_path / "labels.jsonl")
    pipe = initialize(nlp, make_examples(nlp, 30), unlabelled)
    assert len(pipe._pseudo_labelled.inputs) == len(found.by_digest())
    again = pseudo_label(teacher, examples, texts, share=0.5)
    assert_array_equal(again.rows, found.rows)


@pytest.mark.slow
def test_nothing_counts_documents_with_pseudo_labels(
    make_nlp: MakeNlp, caplog: pytest.LogCaptureFixture
) -> None:
    plain, helped = make_nlp(), make_nlp()
    one = fit(plain, make_examples(plain, 12), None, n_steps=2)
    with caplog.at_level(logging.INFO, "spacy_embtune"):
        two = fit(helped, make_examples(helped, 12), make_pile(60), n_steps=2)
    assert "3 labels, 12 documents" in caplog.text
    assert "unlabelled: 60 texts, 60 of them with a pseudo-label" in caplog.text
    assert two.cfg == {**one.cfg}
    assert len(two.seen) == len(one.seen)
    assert not two.seen.recognize([text for text, _ in make_texts(60, seed=1)]).any()
    weights = [pipe.model.get_ref("output_layer").get_param("W") for pipe in (one, two)]
    assert (weights[0] != weights[1]).any()


@pytest.mark.slow
def test_the_mean_is_that_of_all_texts_whatever_their_order(
    make_nlp: MakeNlp, monkeypatch: pytest.MonkeyPatch
) -> None:
    nlp = make_nlp()
    examples = make_examples(nlp, 6)
    pipe = initialize(nlp, examples, make_pile(60, labelled=False))
    texts = [text for text, _ in (*make_texts(6), *make_texts(60, seed=1))]
    base = pipe.model.get_ref("encoder").predict(list(dict.fromkeys(texts)))
    assert_allclose(mean_of(pipe), base.mean(axis=0), atol=1e-6)
    assert pipe._pseudo_labelled is None
    monkeypatch.setattr("spacy_embtune.pipeline._unlabelled.MOST_AVERAGED", 16)
    pile = list(make_pile(60, labelled=False)(nlp))
    means = [
        mean_of(initialize(make_nlp(), examples, lambda nlp, part=part: iter(part)))
        for part in (pile, pile[::-1])
    ]
    assert_array_equal(*means)
    assert (means[0] != mean_of(pipe)).any()
    # A larger corpus has its own mean.
    many = make_examples(nlp, 24)
    own, both = (initialize(make_nlp(), many, pile) for pile in (None, make_pile(60)))
    assert_array_equal(mean_of(own), mean_of(both))


@pytest.mark.slow
def test_heads_without_a_mean_encode_no_text_of_the_pile(
    make_nlp: MakeNlp, tiny_encoder: Path
) -> None:
    counts = []
    for architecture in ("Linear", "FeedForward"):
        head = {"@architectures": f"spacy-embtune.{architecture}.v1"}
        nlp = make_nlp(model={"encoder": {"name": str(tiny_encoder)}, "head": head})
        pipe = initialize(nlp, make_examples(nlp, 6), make_pile(60, labelled=False))
        counts.append(pipe.encoder.n_encoded)
    assert counts[0] <= 6 < counts[1]


@pytest.mark.slow
def test_a_batch_gets_as_many_as_it_has_labelled_documents(make_nlp: MakeNlp) -> None:
    nlp = make_nlp()
    pipe = initialize(nlp, make_examples(nlp, 24), make_pile(60, weight=0.25))
    added = pipe._pseudo_labelled.select(6)
    assert_array_equal(np.bincount(added.targets.columns), [2, 2, 2])
    assert_array_equal(added.targets.weights, 0.25)
    assert len(set(added.inputs)) == 6
    assert pipe._pseudo_labelled.select(0) is None
    used = [text for _ in range(9) for text in pipe._pseudo_labelled.select(6).inputs]
    assert len({*used, *added.inputs}) == 60


@pytest.mark.slow
def test_texts_of_labelled_documents_and_foreign_labels_are_left_out(
    make_nlp: MakeNlp, caplog: pytest.LogCaptureFixture
) -> None:
    nlp = make_nlp()
    examples = make_examples(nlp, 12)

    def read(nlp: Language) -> Iterator[Example]:
        yield Example.from_dict(nlp.make_doc(examples[0].text.upper()), {"cats": {"FOOD": 1.0}})
        yield Example.from_dict(nlp.make_doc("a new guitar"), {"cats": {"ART": 1.0}})
        yield Example.from_dict(nlp.make_doc("a new drum"), {"cats": {"MUSIC": 1.0}})
        yield Example.from_dict(nlp.make_doc(" "), {"cats": {"MUSIC": 1.0}})

    with caplog.at_level(logging.INFO, "spacy_embtune"):
        pipe = initialize(nlp, examples, read)
    assert pipe._pseudo_labelled.inputs == ["a new drum"]
    assert "1 pseudo-labels are left out, because the training corpus has" in caplog.text
    assert "1 pseudo-labels have none of the labels" in caplog.text


@pytest.mark.slow
@pytest.mark.parametrize("way", ["bank", "several labels", "no labels", "label texts"])
def test_pseudo_labels_are_learned_beside(way: str, make_nlp: MakeNlp) -> None:
    config: dict[str, Any] = {}
    if way == "bank":
        config = {"loss": CONTRASTIVE["loss"], "bank_size": 50}
    nlp = make_nlp(**config)
    to_cats: Any = None
    settings: dict[str, Any] = {}
    if way == "several labels":
        to_cats = lambda topic: {t: float(t in (topic, "FOOD")) for t in TOPICS}  # noqa: E731
    if way == "no labels":
        to_cats = lambda topic: {}  # noqa: E731
        settings["labels"] = list(TOPICS)
        config["exclusive_classes"] = True
        nlp = make_nlp(exclusive_classes=True)
    if way == "label texts":
        settings["label_texts"] = dict(TOPICS)
    examples = make_examples(nlp, 12, cats=to_cats)
    pipe = fit(nlp, examples, make_pile(60), n_steps=4, **settings)
    assert pipe.is_trained
    assert len(pipe.bank) == (12 if way == "bank" else 0)
    assert pipe._pseudo_labelled is not None
    pipe.add_label("ART")
    pipe.update(examples, sgd=nlp.create_optimizer())
    assert np.isfinite(pipe.predict(["the ball"]).tuned).all()


@pytest.mark.slow
def test_texts_are_never_saved_or_copied(make_nlp: MakeNlp) -> None:
    nlp = make_nlp()
    examples = make_examples(nlp, 12)
    pipe = fit(nlp, examples, make_pile(60), n_steps=2)
    text = pipe._pseudo_labelled.inputs[0].encode()
    saved = nlp.to_bytes()
    assert text not in saved
    assert text not in pickle.dumps(pipe._pseudo_labelled)
    assert copy.deepcopy(pipe._pseudo_labelled) is None
    other = make_nlp().from_bytes(saved)
    loaded: Any = other.get_pipe("embtune")
    assert loaded._pseudo_labelled is None
    loaded.update(make_examples(other, 12), sgd=other.resume_training())


@pytest.mark.slow
def test_encoders_that_read_docs_learn_from_unlabelled_texts() -> None:
    nlp = spacy.blank("en")
    rng = np.random.default_rng(0)
    for words in TOPICS.values():
        topic = rng.normal(size=16)
        for word in words.split():
            nlp.vocab.set_vector(word, (topic + rng.normal(size=16)).astype("float32"))
    encoder = {"@architectures": "spacy-embtune.DocVectors.v1"}
    nlp.add_pipe("embtune", config={"model": {"encoder": encoder}})
    examples = make_examples(nlp, 12)
    fit(nlp, examples, make_pile(30))
    texts, topics = zip(*make_texts(60, seed=7), strict=True)
    found = pseudo_label(nlp, examples, texts)
    assert [topics[i] for i in found.rows] == [next(iter(cats)) for cats in found.cats]


@pytest.mark.slow
def test_bad_settings_are_an_error(make_nlp: MakeNlp) -> None:
    nlp = make_nlp()
    examples = make_examples(nlp, 12)
    pipe: Any = nlp.get_pipe("embtune")
    with pytest.raises(ValueError, match="without a pipeline"):
        pipe.initialize(lambda: examples, unlabelled=make_pile(3))
    with pytest.raises(ValueError, match="the weight is -1"):
        initialize(nlp, examples, make_pile(3, weight=-1))
    with pytest.raises(ValueError, match="is not trained"):
        pseudo_label(nlp, examples, ["ball"])
    fit(nlp, examples, None, n_steps=1)
    with pytest.raises(ValueError, match="none of the documents has one of its labels"):
        pseudo_label(nlp, make_examples(nlp, 3, cats=lambda topic: {"ART": 1.0}), ["ball"])
    with pytest.raises(ValueError, match="share is 2"):
        pseudo_label(nlp, examples, ["ball"], share=2)


@pytest.mark.slow
def test_piles_may_be_empty_small_or_the_labelled_texts(make_nlp: MakeNlp) -> None:
    nlp = make_nlp()
    examples = make_examples(nlp, 12)
    fit(nlp, examples, None)
    for texts in ([], ["", " "], [f"{examples[0].text.upper()}!"]):
        found = pseudo_label(nlp, examples, texts)
        assert isinstance(found, PseudoLabels)
        assert found.by_digest() == {}
    assert found.n_known == 1
    one = pseudo_label(nlp, examples, ["goal coach goal team", "goal coach  goal TEAM"])
    assert len(one.by_digest()) <= 1


@pytest.mark.slow
def test_losses_that_train_no_output_layer_give_labels_by_means(make_nlp: MakeNlp) -> None:
    nlp = make_nlp(loss=CONTRASTIVE["loss"])
    examples = make_examples(nlp, 30)
    pipe = fit(nlp, examples, None)
    assert not pipe.predicts_labels
    texts, topics = zip(*make_texts(90, seed=1), strict=True)
    found = pseudo_label(nlp, examples, texts)
    assert np.mean([topics[i] in c for i, c in zip(found.rows, found.cats, strict=True)]) > 0.8


@pytest.mark.slow
def test_a_config_names_the_pile(tiny_encoder: Path, tmp_path: Path) -> None:
    rows = [f'{{"text": "{text}", "label": "{topic}"}}\n' for text, topic in make_texts(30)]
    (tmp_path / "train.jsonl").write_text("".join(rows))
    (tmp_path / "pile.txt").write_text("".join(f"{text}\n" for text, _ in make_texts(30, seed=1)))
    config = load_config(
        ROOT / "configs" / "feedforward.cfg",
        overrides={
            "paths.train": str(tmp_path / "train.jsonl"),
            "components.embtune.model.encoder.name": str(tiny_encoder),
        },
    )
    config["corpora"]["unlabelled"] = {
        "@readers": "spacy-embtune.unlabelled.v1",
        "path": str(tmp_path / "pile.txt"),
    }
    config["initialize"]["components"]["embtune"]["unlabelled"] = "${corpora.unlabelled}"
    pipe: Any = init_nlp(config).get_pipe("embtune")
    # The mean is that of 24 or so labelled texts and 30 others.
    assert pipe.encoder.n_requested > 50
