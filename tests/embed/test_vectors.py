import numpy as np
import pytest
import spacy
from numpy.testing import assert_array_equal
from thinc.api import fix_random_seed

from spacy_embtune.embed._vectors import Embedder

from ..conftest import make_examples, make_texts

TEXTS = [text for text, _ in make_texts(50)]


def embed(nlp, texts, what=("base", "tuned", "scores"), batch_size=None, name="embtune"):
    done = []
    embedder = Embedder(nlp, nlp.get_pipe(name), what, batch_size)
    vectors = embedder.embed(texts, done.append)
    assert sum(done) == len(texts)
    return vectors


def make_static_pipeline():
    """A pipeline whose encoder pools static vectors, with a component before that changes the
    tokens, and one behind that must not run."""
    fix_random_seed(0)
    nlp = spacy.blank("en")
    rng = np.random.default_rng(0)
    for word in sorted({word for text in TEXTS for word in text.split()}):
        nlp.vocab.set_vector(word, rng.normal(size=8).astype("float32"))
    nlp.add_pipe("merge_entities")
    encoder = {"@architectures": "spacy-embtune.DocVectors.v1"}
    nlp.add_pipe("embtune", config={"model": {"encoder": encoder}})
    examples = make_examples(nlp, 30)
    optimizer = nlp.initialize(lambda: examples)
    for _ in range(5):
        nlp.update(examples, sgd=optimizer)
    return nlp


def test_vectors_are_those_of_the_component(nlp):
    vectors = embed(nlp, TEXTS)
    component = nlp.get_pipe("embtune")
    expected = component.predict([nlp.make_doc(text) for text in TEXTS])
    np.testing.assert_allclose(vectors["base"], expected.base, atol=0.02)
    np.testing.assert_allclose(vectors["tuned"], expected.tuned, atol=0.1)
    np.testing.assert_allclose(vectors["scores"].sum(axis=1), 1, atol=1e-5)
    assert_array_equal(vectors["scores"].argmax(axis=1), expected.cats.argmax(axis=1))
    assert {rows.dtype.str for rows in vectors.values()} == {"<f4"}


def test_only_what_is_asked_for_is_given_in_a_fixed_order(nlp):
    assert list(embed(nlp, TEXTS, what=["scores", "base"])) == ["base", "scores"]


def test_equal_texts_are_encoded_once(nlp):
    component = nlp.get_pipe("embtune")
    before = component.encoder.n_requested
    vectors = embed(nlp, ["a", "b", "a", "", "a"])
    assert component.encoder.n_requested - before == 3
    assert_array_equal(vectors["tuned"][0], vectors["tuned"][4])
    assert not np.array_equal(vectors["tuned"][0], vectors["tuned"][1])


def test_texts_without_words_have_zeros_and_scores_that_say_nothing(nlp):
    vectors = embed(nlp, ["", " \n", "ball"])
    for key in ("base", "tuned"):
        assert_array_equal(vectors[key][:2], 0)
        assert not np.signbit(vectors[key][:2]).any()
        assert vectors[key][2].any()
    np.testing.assert_allclose(vectors["scores"][:2], 1 / 3, rtol=1e-6)


def test_the_same_texts_give_the_same_bits_whatever_was_cached(nlp):
    first = embed(nlp, TEXTS)
    component = nlp.get_pipe("embtune")
    component.encoder.caching = True
    component.predict([nlp.make_doc(text) for text in TEXTS[:7]])
    n_cached = len(component.encoder.cache)
    again = embed(nlp, TEXTS)
    for key, rows in first.items():
        assert_array_equal(rows, again[key])
    assert component.encoder.caching
    assert len(component.encoder.cache) == n_cached


def test_the_batch_size_is_the_one_asked_for_and_forgotten_afterwards(nlp, monkeypatch):
    encoder = nlp.get_pipe("embtune").encoder.encoder
    budgets = []
    batches = encoder._batcher.batches

    def spy(texts, order, n_tokens, window):
        budgets.append(n_tokens)
        return batches(texts, order, n_tokens, window)

    monkeypatch.setattr(encoder._batcher, "batches", spy)
    embed(nlp, TEXTS, batch_size=20)
    # 32 tokens a text.
    assert set(budgets) == {20 * 32}
    assert encoder.settings.batch_size == 32
    budgets.clear()
    embed(nlp, TEXTS)
    assert set(budgets) == {32 * 32}


def test_an_encoder_that_reads_docs_gets_what_earlier_components_made():
    nlp = make_static_pipeline()
    expected = np.stack([doc._.embtune for doc in nlp.pipe(TEXTS)])

    @spacy.Language.component("must_not_run")
    def must_not_run(doc):
        raise AssertionError(doc)

    nlp.add_pipe("must_not_run")
    ran = []

    @spacy.Language.component("must_run")
    def must_run(doc):
        ran.append(doc.text)
        return doc

    nlp.add_pipe("must_run", first=True)
    vectors = embed(nlp, [*TEXTS, "", "unknown words"])
    assert set(ran) == {*TEXTS, "", "unknown words"}
    np.testing.assert_allclose(vectors["tuned"][: len(TEXTS)], expected, atol=1e-5)
    assert_array_equal(vectors["tuned"][len(TEXTS) :], 0)


# What cannot be given


def test_an_untrained_component_gives_base_vectors_only(make_nlp):
    nlp = make_nlp()
    assert embed(nlp, ["a"], what=["base"])["base"].shape == (1, 64)
    for key in ("tuned", "scores"):
        with pytest.raises(ValueError, match="is not trained"):
            embed(nlp, ["a"], what=["base", key])


def test_a_component_without_labels_gives_no_scores(train):
    nlp = train(n_steps=2)
    nlp.get_pipe("embtune").cfg["labels"] = []
    with pytest.raises(ValueError, match="no scores to give"):
        Embedder(nlp, nlp.get_pipe("embtune"), ["scores"], None)


@pytest.mark.parametrize(
    ("what", "batch_size", "cause"),
    [
        (["vectors"], None, "vectors is asked for: give one or more of base, tuned, scores"),
        ([], None, "nothing is asked for"),
        (["base", ""], None, "asked for"),
        (["base"], 0, "batch_size is 0"),
    ],
)
def test_settings_without_sense_are_errors(nlp, what, batch_size, cause):
    with pytest.raises(ValueError, match=cause):
        Embedder(nlp, nlp.get_pipe("embtune"), what, batch_size)


def test_vectors_that_are_no_numbers_are_an_error(nlp):
    head = nlp.get_pipe("embtune").model.get_ref("head")
    for node in head.walk():
        for name in node.param_names:
            node.set_param(name, node.get_param(name) * np.float32("nan"))
    with pytest.raises(ValueError, match="the tuned of 'ball' are not finite numbers"):
        embed(nlp, ["ball"], what=["tuned"])


# Who made them


def identify(nlp, what=("tuned",)):
    return Embedder(nlp, nlp.get_pipe("embtune"), what, None).identify()


@pytest.mark.slow
def test_the_same_pipeline_is_the_same_also_after_use(pipeline):
    nlp, other = spacy.load(pipeline), spacy.load(pipeline)
    before = identify(nlp)
    embed(nlp, TEXTS)
    assert before == identify(nlp) == identify(other)


@pytest.mark.slow
def test_another_pipeline_is_another(pipeline):
    nlp = spacy.load(pipeline)
    before, base = identify(nlp), identify(nlp, ["base"])
    nlp.update(make_examples(nlp, 6), sgd=nlp.resume_training())
    assert identify(nlp) != before
    # Its encoder is the same.
    assert identify(nlp, ["base"]) == base
    other = spacy.load(pipeline, config={"components.embtune.extension": "other"})
    assert identify(other) != before
    tokenizes = spacy.load(pipeline)
    tokenizes.tokenizer.add_special_case("ball", [{"ORTH": "b"}, {"ORTH": "all"}])
    assert identify(tokenizes) != before


@pytest.mark.slow
def test_static_vectors_and_earlier_components_belong_to_the_pipeline():
    nlp = make_static_pipeline()
    before = identify(nlp)
    assert identify(make_static_pipeline()) == before
    nlp.add_pipe("sentencizer")
    assert identify(nlp) == before
    nlp.vocab.set_vector("ball", np.ones(8, dtype="float32"))
    changed = identify(nlp)
    assert changed != before
    nlp.remove_pipe("merge_entities")
    assert identify(nlp) != changed


def test_the_environment_names_what_decides_on_the_last_bits(nlp):
    environment = Embedder(nlp, nlp.get_pipe("embtune"), ["base"], None).environment()
    assert environment["device"] == "cpu"
    assert environment["precision"] in ("float32", "bfloat16")
    assert environment["spacy"] == spacy.__version__
    assert environment.keys() >= {"torch", "transformers", "sentence-transformers"}
    nlp = make_static_pipeline()
    assert "torch" not in Embedder(nlp, nlp.get_pipe("embtune"), ["base"], None).environment()
