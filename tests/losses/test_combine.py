import math
import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose
from spacy import registry
from thinc.api import Config

from spacy_embtune.losses import (
    make_cosine_pairs,
    make_cross_entropy,
    make_preserve,
    make_sum,
    make_supervised_contrastive,
)

from .pairs_by_hand import BATCHES, EXCLUSIVE, assert_teaches_nothing, output, take

CONTRAST, LABELS = make_supervised_contrastive(0.3), make_cross_entropy(label_smoothing=0.1)

CONFIG = """
[loss]
@losses = "spacy-embtune.sum.v1"
weights = {"labels": 0.25}

[loss.losses]

[loss.losses.pairs]
@losses = "spacy-embtune.supervised_contrastive.v1"
temperature = 0.3

[loss.losses.labels]
@losses = "spacy-embtune.cross_entropy.v1"
label_smoothing = 0.1
"""


def test_values_and_gradients_are_added_by_weight():
    out = output()
    value, gradient = make_sum({"a": CONTRAST, "b": LABELS}, {"b": 0.25})(out, EXCLUSIVE)
    (first, d_first), (second, d_second) = CONTRAST(out, EXCLUSIVE), LABELS(out, EXCLUSIVE)
    assert isinstance(value, float)
    assert value == pytest.approx(first + 0.25 * second)
    assert_allclose(gradient.tuned, d_first.tuned)
    assert_allclose(gradient.scores, 0.25 * d_second.scores)
    assert gradient.tuned.any()
    assert gradient.scores.any()


@pytest.mark.parametrize("targets", BATCHES.values(), ids=BATCHES)
def test_losses_that_share_a_comparison_are_added_as_any_others(targets):
    """Losses on pairs with the same `negatives` share the comparison of the documents."""
    losses = {
        "contrast": CONTRAST,
        "preserve": make_preserve(),
        "class": make_cosine_pairs(negatives="class"),
        "ignore": make_cosine_pairs(),
        "labels": LABELS,
    }
    weights = {"preserve": 3.0, "class": 0.5, "ignore": 40.0}
    out = output()
    value, gradient = make_sum(losses, weights)(out, targets)
    alone = {name: loss(out, targets) for name, loss in losses.items()}
    weight_of = {name: weights.get(name, 1.0) for name in losses}
    assert value == pytest.approx(sum(weight_of[name] * alone[name][0] for name in losses))
    for field in ("tuned", "scores"):
        parts = [weight_of[name] * getattr(alone[name][1], field) for name in losses]
        assert_allclose(getattr(gradient, field), sum(parts), rtol=1e-9, atol=1e-12)


def test_the_dtype_is_that_of_the_output():
    gradient = make_sum({"a": CONTRAST, "b": LABELS})(output(dtype="float32"), EXCLUSIVE)[1]
    assert gradient.tuned.dtype == gradient.scores.dtype == np.float32


def test_a_weight_of_0_leaves_a_loss_out():
    def never(output, targets):
        raise AssertionError

    assert make_sum({"a": LABELS, "b": never}, {"b": 0.0})(output(), EXCLUSIVE)[0] > 0


def test_nothing_known_teaches_nothing():
    loss = make_sum({"a": CONTRAST, "b": LABELS})
    assert_teaches_nothing(loss, output(1), take(EXCLUSIVE, [7]))


def test_sums_of_sums_are_fine():
    inner = make_sum({"a": CONTRAST, "b": make_preserve()}, {"b": 2.0})
    out = output()
    value = make_sum({"inner": inner, "labels": LABELS}, {"inner": 0.5})(out, EXCLUSIVE)[0]
    assert value == pytest.approx(0.5 * inner(out, EXCLUSIVE)[0] + LABELS(out, EXCLUSIVE)[0])


def test_a_config_can_describe_it_and_survives_being_filled():
    expected = make_sum({"pairs": CONTRAST, "labels": LABELS}, {"labels": 0.25})
    config = Config().from_str(CONFIG)
    assert registry.resolve(config)["loss"] == expected
    filled = registry.fill(config).to_str()
    assert "balanced = true" in filled
    assert registry.resolve(Config().from_str(filled))["loss"] == expected


@pytest.mark.parametrize(
    "name",
    ["cosine_pairs", "cross_entropy", "preserve", "supervised_contrastive"],
)
def test_every_loss_is_registered_and_has_defaults(name):
    config = {"loss": {"@losses": f"spacy-embtune.{name}.v1"}}
    value, gradient = registry.resolve(config)["loss"](output(), EXCLUSIVE)
    assert value > 0
    assert gradient.tuned.any() or gradient.scores.any()


def test_it_pickles():
    loss = make_sum({"a": CONTRAST, "b": LABELS}, {"b": 0.25})
    assert pickle.loads(pickle.dumps(loss)) == loss


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"losses": {}}, "at least one loss"),
        ({"losses": [CONTRAST]}, "by name"),
        ({"losses": {"a": {"temperature": 0.1}}}, "'a'.*@losses"),
        ({"losses": {"a": CONTRAST}, "weights": {"b": 1.0}}, "no loss 'b', only a"),
        ({"losses": {"a": CONTRAST}, "weights": {"a": -1.0}}, "'a' is -1.0"),
        ({"losses": {"a": CONTRAST}, "weights": {"a": math.nan}}, "'a' is nan"),
    ],
)
def test_what_cannot_be_added_up_is_refused_by_name(arguments, match):
    with pytest.raises(ValueError, match=match):
        make_sum(**arguments)
