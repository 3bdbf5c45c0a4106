"""Between scikit-learn and spaCy: a tuner becomes a component, and back."""

import numpy as np
import pytest
import spacy
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from spacy.training import Example

from spacy_embtune.finetune import (
    ContrastiveLearner,
    ContrastiveTuner,
    FeedForwardTuner,
    SentenceEncoder,
    cached,
)
from spacy_embtune.pipeline import EmbTune

from ..conftest import TOPICS, make_examples, make_texts

TEXTS, LABELS = (list(column) for column in zip(*make_texts(60), strict=True))
NEW = [text for text, _ in make_texts(20, seed=1)]
each_tuner = pytest.mark.parametrize("Tuner", [FeedForwardTuner, ContrastiveTuner])


@pytest.fixture
def encoder(tiny_encoder):
    return SentenceEncoder(str(tiny_encoder))


@pytest.fixture
def nlp():
    return spacy.blank("en")


def fitted(Tuner, encoder, y=None, **settings):
    return Tuner(random_state=0, **settings).fit(encoder.transform(TEXTS), y or LABELS)


def embed(nlp, texts, extension="embtune"):
    return np.stack([doc._.get(extension) for doc in nlp.pipe(texts)])


@pytest.mark.slow
@each_tuner
@pytest.mark.parametrize("width", [13, 64])
def test_a_tuner_becomes_a_component_with_the_same_vectors(Tuner, width, encoder, nlp, tmp_path):
    tuner = fitted(Tuner, encoder, hidden_dim=width)
    pipe = EmbTune.from_estimator(tuner, nlp, encoder=encoder)
    assert pipe is nlp.get_pipe("embtune")
    assert pipe.is_trained
    assert pipe.labels == tuple(sorted(TOPICS))
    found = embed(nlp, NEW)
    base = embed(nlp, NEW, "embedding")
    assert_array_equal(base, encoder.transform(NEW))
    assert_allclose(found, tuner.transform(base), rtol=1e-4, atol=1e-5)
    nlp.to_disk(tmp_path / "pipeline")
    loaded = spacy.load(tmp_path / "pipeline")
    assert_array_equal(embed(loaded, NEW), found)
    back = loaded.get_pipe("embtune").to_estimator()
    assert type(back) is Tuner
    assert_array_equal(back.transform(base), tuner.transform(base))
    assert back.classes_.tolist() == tuner.classes_.tolist()
    assert_array_equal(back.label_counts_, tuner.label_counts_)
    ours, theirs = back.get_params(), tuner.get_params()
    for name in ("hidden_dim", "dropout", "activation", "hidden_width", "temperature"):
        if ours.get(name) != theirs.get(name):
            # As wide as the vectors is what None says.
            assert (name, ours[name], theirs[name]) == ("hidden_dim", None, 64)
    assert back.loss_config() == tuner.loss_config()
    again = EmbTune.from_estimator(back, spacy.blank("en"), encoder=encoder)
    assert_array_equal(np.stack([d._.embtune for d in map(again, map(nlp.make_doc, NEW))]), found)


@pytest.mark.slow
def test_probabilities_are_the_same(encoder, nlp):
    tuner = fitted(FeedForwardTuner, encoder)
    EmbTune.from_estimator(tuner, nlp, encoder=encoder, config={"set_cats": True})
    cats = [doc.cats for doc in nlp.pipe(NEW)]
    found = [[row[str(label)] for label in tuner.classes_] for row in cats]
    assert_allclose(found, tuner.predict_proba(encoder.transform(NEW)), rtol=1e-3, atol=1e-5)


@pytest.mark.slow
def test_several_labels_at_once_cross_over(encoder, nlp, tmp_path):
    y = [{"FOOD": float(label == "FOOD"), "LOUD": float(label != "FOOD")} for label in LABELS]
    y[0] = {"FOOD": 1.0, "LOUD": 1.0}
    y[1] = {"FOOD": 0.0}
    tuner = fitted(FeedForwardTuner, encoder, y)
    config = {"set_cats": True, "extension": "mine"}
    pipe = EmbTune.from_estimator(tuner, nlp, encoder=encoder, name="mine", config=config)
    assert pipe.cfg["exclusive_classes"] is False
    assert_array_equal(pipe.cfg["label_counts"], tuner.label_counts_)
    nlp.to_disk(tmp_path / "pipeline")
    docs = list(spacy.load(tmp_path / "pipeline").pipe(NEW))
    found = [[doc.cats[label] for label in ("FOOD", "LOUD")] for doc in docs]
    assert_allclose(found, tuner.predict_proba(encoder.transform(NEW)), rtol=1e-3, atol=1e-5)
    back = pipe.to_estimator()
    assert_array_equal(back.predict(encoder.transform(NEW)), tuner.predict(encoder.transform(NEW)))
    assert back.exclusive_classes_ is False


@pytest.mark.slow
@pytest.mark.parametrize(
    ("y", "labels"),
    [
        ([LABELS.index(label) for label in LABELS], ("0", "1", "2")),
        ([label == "FOOD" for label in LABELS], ("false", "true")),
    ],
)
def test_classes_become_strings_or_what_they_are_called(y, labels, encoder, nlp):
    tuner = fitted(FeedForwardTuner, encoder, y)
    pipe = EmbTune.from_estimator(tuner, nlp, encoder=encoder)
    assert pipe.labels == labels
    names = [f"LABEL {i}" for i in range(len(labels))]
    named = EmbTune.from_estimator(tuner, nlp, encoder=encoder, name="other", labels=names)
    assert named.labels == tuple(names)
    assert named.to_estimator().predict(encoder.transform(NEW)).tolist() == [
        names[tuner.classes_.tolist().index(label)]
        for label in tuner.predict(encoder.transform(NEW)).tolist()
    ]


def test_a_pipeline_of_encoder_and_tuner_becomes_a_component(encoder, nlp):
    pipeline = make_pipeline(encoder, ContrastiveTuner(random_state=0)).fit(TEXTS, LABELS)
    EmbTune.from_estimator(pipeline, nlp)
    assert_allclose(embed(nlp, NEW), pipeline.transform(NEW), rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_the_config_tells_what_the_component_is(encoder, nlp, tiny_encoder, tmp_path):
    settings = {"hidden_dim": 13, "dropout": 0.1, "activation": "tanh", "label_smoothing": 0.1}
    tuner = fitted(FeedForwardTuner, encoder, **settings)
    tuner.set_params(hidden_dim=99)
    EmbTune.from_estimator(tuner, nlp, encoder=encoder)
    section = nlp.config["components"]["embtune"]
    assert section["factory"] == "embtune"
    assert section["exclusive_classes"] is True
    assert section["model"]["encoder"]["name"] == str(tiny_encoder)
    expected = {"hidden_width": 13, "dropout": 0.1, "activation": "tanh"}
    assert section["model"]["head"].items() >= expected.items()
    assert section["model"]["head"]["@architectures"] == "spacy-embtune.FeedForward.v1"
    assert section["loss"]["@losses"] == "spacy-embtune.cross_entropy.v1"
    assert section["loss"]["label_smoothing"] == 0.1
    nlp.config.to_disk(tmp_path / "config.cfg")
    again = spacy.util.load_model_from_config(spacy.util.load_config(tmp_path / "config.cfg"))
    assert again.pipe_names == ["embtune"]


@pytest.mark.slow
@each_tuner
def test_training_goes_on_from_it(Tuner, encoder, nlp, tmp_path):
    tuner = fitted(Tuner, encoder)
    pipe = EmbTune.from_estimator(tuner, nlp, encoder=encoder)
    before, weights = embed(nlp, NEW), tuner.transform(encoder.transform(NEW))
    examples = make_examples(nlp)
    optimizer = nlp.resume_training()
    losses = nlp.update(examples, sgd=optimizer)
    assert np.isfinite(losses["embtune"])
    after = embed(nlp, NEW)
    change = abs(after - before).max()
    assert 0 < change < 0.5 * abs(before).max()
    # The tuner is another thing.
    assert_array_equal(tuner.transform(encoder.transform(NEW)), weights)
    scores = nlp.evaluate(make_examples(nlp, seed=2))
    assert scores["embtune_p1"] > 0.8
    pipe.add_label("NEW")
    cats = {"NEW": 1.0, "FOOD": 0.0, "MUSIC": 0.0, "SPORT": 0.0}
    more = [Example.from_dict(nlp.make_doc(text), {"cats": cats}) for text in NEW]
    for _ in range(3):
        nlp.update(more, sgd=optimizer)
    nlp.to_disk(tmp_path / "pipeline")
    assert_array_equal(embed(spacy.load(tmp_path / "pipeline"), NEW), embed(nlp, NEW))


@pytest.mark.slow
@each_tuner
def test_an_estimator_goes_on_from_a_component(Tuner, encoder, nlp):
    tuner = fitted(Tuner, encoder)
    pipe = EmbTune.from_estimator(tuner, nlp, encoder=encoder)
    back = pipe.to_estimator()
    before = embed(nlp, NEW)
    X = encoder.transform(TEXTS)
    cats = [{label: 1.0} for label in LABELS]
    back.partial_fit(X, LABELS).partial_fit(X, cats).partial_fit(X, LABELS, classes=["NEW"])
    assert back.classes_.tolist() == ["FOOD", "MUSIC", "NEW", "SPORT"]
    assert back.n_steps_ == 3
    assert (back.transform(X) != tuner.transform(X)).any()
    # The component is another thing.
    assert_array_equal(embed(nlp, NEW), before)
    refitted = clone(back).fit(X, LABELS)
    assert refitted.transform(X).shape == tuner.transform(X).shape


@pytest.mark.slow
def test_a_component_that_spacy_trained_becomes_an_estimator(train, tiny_encoder):
    nlp = train()
    back = nlp.get_pipe("embtune").to_estimator()
    base = embed(nlp, NEW, "embedding")
    assert_allclose(back.transform(base), embed(nlp, NEW), rtol=1e-4, atol=1e-5)
    assert back.score(base, [topic for _, topic in make_texts(20, seed=1)]) > 0.8
    pipeline = make_pipeline(SentenceEncoder(str(tiny_encoder)), back)
    assert pipeline.predict(["bread and soup"]).tolist() == ["FOOD"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        (
            {"@losses": "spacy-embtune.supervised_contrastive.v1", "temperature": 0.3},
            {"loss": "supervised_contrastive", "temperature": 0.3, "preserve": 0.0},
        ),
        (
            {
                "@losses": "spacy-embtune.sum.v1",
                "losses": {
                    "a": {"@losses": "spacy-embtune.preserve.v1"},
                    "b": {"@losses": "spacy-embtune.cosine_pairs.v1", "negatives": "class"},
                },
                "weights": {"a": 30.0, "b": 2.0},
            },
            {"loss": "cosine_pairs", "negatives": "class", "preserve": 15.0},
        ),
        (
            {
                "@losses": "spacy-embtune.sum.v1",
                "losses": {
                    "a": {"@losses": "spacy-embtune.cosine_pairs.v1"},
                    "b": {
                        "@losses": "spacy-embtune.supervised_contrastive.v1",
                        "temperature": 0.3,
                    },
                    "c": {"@losses": "spacy-embtune.preserve.v1"},
                },
                "weights": {"a": 40.0, "b": 2.0, "c": 20.0},
            },
            {"loss": "mixed", "temperature": 0.3, "preserve": 10.0},
        ),
        ({"@losses": "spacy-embtune.cosine_pairs.v1"}, {"loss": "cosine_pairs", "preserve": 0.0}),
        ({"@losses": "spacy-embtune.preserve.v1"}, {}),
    ],
)
def test_the_loss_of_a_component_crosses_over(loss, expected, tiny_encoder, nlp):
    model = {
        "encoder": {"name": str(tiny_encoder)},
        "head": {"@architectures": "spacy-embtune.Contrastive.v1", "hidden_width": 12},
    }
    nlp.add_pipe("embtune", config={"model": model, "loss": loss})
    examples = make_examples(nlp)
    optimizer = nlp.initialize(lambda: examples)
    nlp.update(examples, sgd=optimizer)
    back = nlp.get_pipe("embtune").to_estimator()
    assert back.get_params().items() >= {"hidden_width": 12, "hidden_dim": None, **expected}.items()
    names = {"mixed": {"supervised_contrastive", "cosine_pairs"}}.get(back.loss, {back.loss})
    assert set(back.loss_config()["losses"]) == {*names, "preserve"}


# what does not work


def test_a_tuner_that_is_not_fitted_is_an_error(encoder, nlp):
    for tuner in (FeedForwardTuner(), make_pipeline(encoder, ContrastiveTuner())):
        with pytest.raises(NotFittedError):
            EmbTune.from_estimator(tuner, nlp, encoder=encoder)
    assert nlp.pipe_names == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("make", "settings", "match"),
    [
        (lambda tuner: tuner, {"labels": ["a", "b"]}, "knows 3 classes, but the labels are"),
        (lambda tuner: tuner, {"labels": ["a", "b", "b"]}, "one different label for each"),
        (lambda tuner: tuner, {"encoder": 3}, "int is no encoder"),
        (lambda tuner: tuner, {"encoder": "/nothing/here"}, "is not a directory"),
        (lambda tuner: LogisticRegression(), {}, "LogisticRegression is no tuner"),
        (lambda tuner: ContrastiveLearner(), {}, "ContrastiveLearner is no tuner"),
        (lambda tuner: make_pipeline(StandardScaler(), tuner), {}, "StandardScaler is no encoder"),
        (
            lambda tuner: make_pipeline(SentenceEncoder("x"), StandardScaler(), tuner),
            {},
            "has StandardScaler between the encoder and the tuner",
        ),
        (
            lambda tuner: make_pipeline(SentenceEncoder("x", quantize=True), tuner),
            {},
            "cannot be quantized",
        ),
    ],
)
def test_what_cannot_be_a_component_leaves_the_pipeline_as_it_was(
    make, settings, match, encoder, nlp
):
    tuner = fitted(FeedForwardTuner, encoder)
    nlp.add_pipe("sentencizer")
    config = nlp.config.copy()
    if isinstance(make(tuner), FeedForwardTuner):
        settings = {"encoder": encoder, **settings}
    with pytest.raises(ValueError, match=match):
        EmbTune.from_estimator(make(tuner), nlp, **settings)
    assert nlp.pipe_names == ["sentencizer"]
    assert nlp.config == config


@pytest.mark.slow
def test_an_encoder_of_another_width_leaves_the_pipeline_as_it_was(encoder, nlp):
    tuner = FeedForwardTuner(random_state=0).fit(encoder.transform(TEXTS)[:, :10], LABELS)
    config = nlp.config.copy()
    with pytest.raises(
        ValueError, match=r"width 10, but the encoder gives vectors of width 64.*encoder="
    ):
        EmbTune.from_estimator(tuner, nlp, encoder=encoder)
    assert nlp.pipe_names == []
    assert nlp.config == config
    EmbTune.from_estimator(fitted(FeedForwardTuner, encoder), nlp, encoder=encoder)
    with pytest.raises(ValueError, match="embtune"):
        EmbTune.from_estimator(fitted(FeedForwardTuner, encoder), nlp, encoder=encoder)
    assert nlp.pipe_names == ["embtune"]
    assert embed(nlp, NEW).shape == (20, 200)


def test_a_component_that_cannot_be_an_estimator_says_why(make_nlp, tiny_encoder, nlp):
    untrained = make_nlp()
    with pytest.raises(ValueError, match="not trained yet"):
        untrained.get_pipe("embtune").to_estimator()
    head = {"@architectures": "spacy-embtune.Contrastive.v1", "residual": False}
    nlp.add_pipe(
        "embtune", config={"model": {"encoder": {"name": str(tiny_encoder)}, "head": head}}
    )
    examples = make_examples(nlp)
    nlp.update(examples, sgd=nlp.initialize(lambda: examples))
    with pytest.raises(ValueError, match=r"has the head 'contrastive'.*\(residual\)"):
        nlp.get_pipe("embtune").to_estimator()


@pytest.mark.slow
def test_config_sets_what_the_tuner_does_not(encoder, nlp, tmp_path):
    tuner = fitted(FeedForwardTuner, encoder)
    more = {"model": {"encoder": {"cache_dir": str(tmp_path / "v"), "save_weights": False}}}
    pipe = EmbTune.from_estimator(tuner, nlp, encoder=encoder, config={"set_cats": True, **more})
    settings = nlp.get_pipe_config("embtune")["model"]["encoder"]
    assert settings["cache_dir"] == str(tmp_path / "v")
    assert settings["save_weights"] is False
    assert settings["name"] == str(encoder.name)
    assert pipe.set_cats
    for config in (
        {"loss": {"@losses": "spacy-embtune.cross_entropy.v1"}},
        {"exclusive_classes": False},
        {"model": {"head": {"@architectures": "spacy-embtune.Linear.v1"}}},
    ):
        with pytest.raises(ValueError, match="which the tuner defines"):
            EmbTune.from_estimator(tuner, spacy.blank("en"), encoder=encoder, config=config)


def test_the_directory_of_a_cached_encoder_crosses_over(encoder, nlp, tmp_path):
    kept = cached(encoder, tmp_path / "vectors")
    pipeline = make_pipeline(kept, FeedForwardTuner(n_epochs=1)).fit(TEXTS, LABELS)
    n_encoded = kept.n_encoded
    pipe = EmbTune.from_estimator(pipeline, nlp)
    embed(nlp, TEXTS)
    assert n_encoded > 0
    assert pipe.encoder.n_encoded == 0


def test_a_component_has_the_settings_of_the_encoder(tiny_encoder):
    encoder = SentenceEncoder(str(tiny_encoder), prompt="soup ", pool_windows=True)
    texts, labels = zip(*make_texts(30), strict=True)
    tuner = FeedForwardTuner(n_epochs=2, random_state=0).fit(encoder.transform(texts), labels)
    nlp = spacy.blank("en")
    pipe = EmbTune.from_estimator(tuner, nlp, encoder=encoder)
    assert pipe.encoder.settings.prompt == "soup "
    assert pipe.encoder.settings.pool_windows
    long = " ".join(texts[:9])
    assert_allclose(nlp(long)._.embedding, encoder.transform([long])[0], atol=1e-6)
