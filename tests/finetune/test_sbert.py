"""Finetuning the encoder on pairs of texts."""

import copy
import pickle

import numpy as np
import pandas
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sentence_transformers import SentenceTransformer
from sklearn.exceptions import NotFittedError

from spacy_embtune.encoder import EncoderTrainer
from spacy_embtune.finetune import SbertLearner
from spacy_embtune.finetune.pair_estimators import paired_cosines

from ..conftest import make_texts


@pytest.fixture
def model(tiny_encoder):
    return SentenceTransformer(str(tiny_encoder), device="cpu")


def make_pairs(n, seed=0):
    texts, topics = zip(*make_texts(2 * n, seed=seed), strict=True)
    sides = np.random.RandomState(seed).permutation(2 * n).reshape(2, n)
    first, second = ([texts[i] for i in side] for side in sides)
    return first, second, [float(topics[i] == topics[j]) for i, j in sides.T]


def weights(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()]).numpy().copy()


def learner(model, **settings):
    return SbertLearner(model, **{"learning_rate": 1e-3, "random_state": 0, **settings})


@pytest.mark.slow
def test_pairs_of_texts_are_learned(model):
    X1, X2, y = make_pairs(200)
    fitted = learner(model, epochs=4).fit(X1, X2, y)
    X1, X2, y = (np.asarray(side) for side in make_pairs(100, seed=1))
    cosines = fitted.predict(X1, X2)
    assert (cosines.shape, cosines.dtype) == ((100,), np.float32)
    vectors = fitted.transform(X1)
    assert (vectors.shape, vectors.dtype) == ((100, 64), np.float32)
    assert_allclose(cosines, paired_cosines(vectors, fitted.transform(X2)))
    assert cosines[y == 1].mean() > cosines[y == 0].mean() + 0.3
    assert fitted.get_feature_names_out()[:1].tolist() == ["sbertlearner0"]


def test_the_callers_model_stays_as_it_is_unless_asked(model):
    X1, X2, y = make_pairs(32)
    before = weights(model)
    fitted = learner(model).fit(X1, X2, y)
    assert_array_equal(weights(model), before)
    assert fitted.sent_tfm is model
    assert (weights(fitted.sent_tfm_) != before).any()
    assert all(parameter.requires_grad for parameter in model.parameters())
    changed = learner(model, in_place=True).fit(X1, X2, y)
    assert changed.sent_tfm_ is model
    assert_array_equal(weights(model), weights(fitted.sent_tfm_))
    assert_array_equal(changed.transform(X1), fitted.transform(X1))
    # It can learn on, with whatever the caller uses next.
    assert all(parameter.requires_grad for parameter in model.parameters())


@pytest.mark.slow
def test_fit_starts_afresh_from_the_callers_model(model):
    X1, X2, y = make_pairs(32)
    fitted = learner(model).fit(X1, X2, y)
    first = fitted.transform(X1)
    assert_array_equal(fitted.fit(X1, X2, y).transform(X1), first)
    assert_array_equal(learner(model).fit(X1, X2, y).transform(X1), first)
    assert (learner(model, random_state=1).fit(X1, X2, y).transform(X1) != first).any()


def test_frozen_parameters_stay_frozen(model):
    X1, X2, y = make_pairs(32)
    frozen = next(model.parameters()).requires_grad_(False)
    before = frozen.detach().clone()
    fitted = learner(model).fit(X1, X2, y)
    assert torch.equal(next(fitted.sent_tfm_.parameters()), before)
    assert (weights(fitted.sent_tfm_) != weights(model)).any()
    model.requires_grad_(False)
    with pytest.raises(ValueError, match=r"No parameter.*requires_grad_\(True\)"):
        learner(model).fit(X1, X2, y)


def test_torchs_random_numbers_are_left_alone(model):
    X1, X2, y = make_pairs(16)
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    learner(model).fit(X1, X2, y)
    assert torch.equal(torch.rand(2), expected)


@pytest.mark.slow
def test_a_model_may_be_named(model, tiny_encoder):
    X1, X2, y = make_pairs(32)
    for name in (str(tiny_encoder), tiny_encoder):
        fitted = learner(name).fit(X1, X2, y)
        assert_array_equal(fitted.transform(X1), learner(model).fit(X1, X2, y).transform(X1))


@pytest.mark.slow
def test_forms_of_texts(model):
    X1, X2, y = make_pairs(32)
    expected = learner(model).fit(X1, X2, y).transform(X1)
    for form in (tuple, np.array, pandas.Series):
        assert_array_equal(learner(model).fit(form(X1), form(X2), form(y)).transform(X1), expected)
    # Pairs that say nothing.
    more1, more2, more = [*X1, "a", "", None], [*X2, "a", "b", "c"], [*y, 1.0, 0.0, 0.0]
    assert_array_equal(learner(model).fit(more1, more2, more).transform(X1), expected)
    assert not learner(model).fit(X1, X2, y).transform([""]).any()


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda X1, X2, y: (X1, X2, [3.0] * 32), "y goes from 3 to 3: give scores"),
        (lambda X1, X2, y: (X1[:3], X2, y), "inconsistent numbers of samples"),
        (lambda X1, X2, y: ("a", X2, y), "X1 is a single text"),
        (lambda X1, X2, y: (X1, [3] * 32, y), r"X2\[0\] is 3"),
        (lambda X1, X2, y: (X1, X1, y), "nothing to learn"),
        (lambda X1, X2, y: (X1, [""] * 32, y), "nothing to learn.*empty"),
    ],
)
def test_what_are_no_pairs_is_an_error(change, match, model):
    with pytest.raises(ValueError, match=match):
        learner(model).fit(*change(*make_pairs(32)))


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"epochs": 0}, "epochs is 0"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"learning_rate": 0.0}, "learning_rate is 0.0"),
        ({"sent_tfm": 3}, "sent_tfm is 3: give a SentenceTransformer"),
        ({"sent_tfm": "/nothing/here"}, "is not a directory"),
    ],
)
def test_a_parameter_out_of_range_is_an_error(settings, match, model):
    with pytest.raises(ValueError, match=match):
        SbertLearner(**{"sent_tfm": model, **settings}).fit(*make_pairs(32))


@pytest.mark.slow
def test_it_is_saved_as_a_model_that_others_open(model, tmp_path):
    X1, X2, y = make_pairs(32)
    fitted = learner(model).fit(X1, X2, y)
    fitted.to_disk(tmp_path / "model")
    opened = SentenceTransformer(str(tmp_path / "model"), device="cpu")
    assert_array_equal(weights(opened), weights(fitted.sent_tfm_))
    loaded = SbertLearner.from_disk(tmp_path / "model")
    assert_array_equal(loaded.transform(X1), fitted.transform(X1))
    loaded.set_params(learning_rate=1e-3).fit(X1, X2, y)
    for way in (lambda one: pickle.loads(pickle.dumps(one)), copy.deepcopy):
        assert_array_equal(way(fitted).transform(X1), fitted.transform(X1))
    with pytest.raises(ValueError, match="not a directory"):
        SbertLearner.from_disk(tmp_path / "nothing")


def test_ctrl_c_keeps_what_was_learned(model, monkeypatch):
    X1, X2, y = make_pairs(64)
    forward, calls = EncoderTrainer.forward, []

    def interrupted(self, *arguments):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return forward(self, *arguments)

    monkeypatch.setattr(EncoderTrainer, "forward", interrupted)
    with pytest.warns(UserWarning, match="Interrupted after 2 of 4 steps"):
        fitted = learner(model).fit(X1, X2, y)
    assert (weights(fitted.sent_tfm_) != weights(model)).any()
    assert not fitted.sent_tfm_.training
    assert fitted.transform(X1).shape == (64, 64)


def changed(model, fitted):
    before = dict(model.named_parameters())
    after = fitted.sent_tfm_.named_parameters()
    return {name for name, parameter in after if not torch.equal(parameter, before[name])}


@pytest.mark.slow
def test_the_last_layers_may_learn_alone(model):
    X1, X2, y = make_pairs(100)
    names = {name for name, _ in model.named_parameters()}
    upper = {name for name in names if "layer.1." in name}
    assert changed(model, learner(model, trainable_layers=1).fit(X1, X2, y)) == upper
    whole = changed(model, learner(model).fit(X1, X2, y))
    assert whole == {name for name in names if "pooler" not in name}
    assert all(parameter.requires_grad for parameter in model.parameters())
    few = learner(model, trainable_layers=1, epochs=6).fit(X1, X2, y)
    X1, X2, y = (np.asarray(side) for side in make_pairs(100, seed=1))
    untuned = paired_cosines(model.encode(X1.tolist()), model.encode(X2.tolist()))
    gaps = [c[y == 1].mean() - c[y == 0].mean() for c in (untuned, few.predict(X1, X2))]
    assert gaps[1] > gaps[0] + 0.1


def test_frozen_layers_above_what_learns(model):
    X1, X2, y = make_pairs(32)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_("layer.0.attention" in name)
    expected = {name for name, p in model.named_parameters() if p.requires_grad}
    assert changed(model, learner(model).fit(X1, X2, y)) == expected
    with pytest.raises(ValueError, match="No parameter of sent_tfm can learn"):
        learner(model, trainable_layers=1).fit(X1, X2, y)


@pytest.mark.slow
def test_less_memory_gives_the_same(tiny_encoder):
    model = SentenceTransformer(str(tiny_encoder), device="cpu")
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    # 600 texts of 8 tokens are more than a megabyte.
    X1, X2, y = make_pairs(300)
    rows = [
        learner(model, memory_mb=memory, batch_size=300).fit(X1, X2, y).transform(X1)
        for memory in (1024, 1)
    ]
    assert_allclose(*rows, atol=2e-3)
    assert abs(rows[0] - learner(model).fit(X1, X2, y).transform(X1)).max() > 0.02


def test_a_text_of_many_pairs_is_encoded_once_a_step(model, monkeypatch):
    lengths, forward = [], EncoderTrainer.forward

    def counted(self, texts):
        lengths.append(len(texts))
        return forward(self, texts)

    monkeypatch.setattr(EncoderTrainer, "forward", counted)
    learner(model).fit(["bread"] * 3, ["soup", "guitar", "ball"], [1.0, 0.0, 0.0])
    assert lengths == [4]


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"trainable_layers": 0}, "trainable_layers is 0: give the number"),
        ({"trainable_layers": 3}, "trainable_layers is 3, but the encoder has 2"),
        ({"memory_mb": 0}, "memory_mb is 0: give 1 or more"),
    ],
)
def test_what_the_training_cannot_be_set_to(settings, match, model):
    with pytest.raises(ValueError, match=match):
        learner(model, **settings).fit(*make_pairs(32))
    assert all(parameter.requires_grad for parameter in model.parameters())


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"epochs": None}, "epochs is None"),
        ({"warmup_steps": -3}, "warmup_steps is -3"),
        ({"warmup_steps": "a"}, "warmup_steps is 'a': give a number"),
        ({"memory_mb": "a"}, "memory_mb is 'a': give a number"),
    ],
)
def test_settings_out_of_range_are_named(tiny_encoder, settings, match):
    with pytest.raises(ValueError, match=match):
        SbertLearner(str(tiny_encoder), **settings).fit(["a b"], ["c d"], [1.0])


def test_a_fit_that_fails_leaves_nothing_fitted(tiny_encoder):
    learner = SbertLearner(str(tiny_encoder), trainable_layers=9)
    with pytest.raises(ValueError, match="trainable_layers is 9"):
        learner.fit(["a b"], ["c d"], [1.0])
    with pytest.raises(NotFittedError):
        learner.transform(["a b"])
