import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from thinc.api import Adam

from spacy_embtune.heads.linear import Linear
from spacy_embtune.labels import make_targets
from spacy_embtune.losses import make_cosine_pairs, make_cross_entropy
from spacy_embtune.training import (
    head_forward,
    label_batches,
    run_steps,
    train_head,
    training_step,
)

BASE = np.random.RandomState(0).normal(size=(4, 6)).astype("float32")
TARGETS = make_targets([{"A": 1.0}, {"B": 1.0}] * 2, ["A", "B"], exclusive=True)
UNKNOWN = make_targets([{}] * 4, ["A", "B"], exclusive=True)
LOSS = make_cross_entropy()


def make_head():
    head = Linear().initialize(X=BASE, Y=TARGETS.values)
    head.get_ref("output_layer").set_param("b", np.asarray([0.5, -0.5], dtype="float32"))
    return head


def gradients(head):
    return [
        node.get_grad(name).copy()
        for node in head.walk()
        for name in node.param_names
        if node.has_grad(name)
    ]


def test_a_step_is_forward_loss_backward_and_optimizer():
    head, by_hand = make_head(), make_head()
    result = training_step(
        head_forward(head),
        BASE,
        TARGETS,
        LOSS,
        apply_gradients=lambda: head.finish_update(Adam(0.1)),
    )
    (tuned, scores), backprop = by_hand.begin_update(BASE)
    value, gradient = LOSS(head_forward(by_hand)(BASE)[0], TARGETS)
    backprop(gradient)
    by_hand.finish_update(Adam(0.1))
    assert result == (value, True)
    assert tuned.shape == BASE.shape
    assert scores.shape == (4, 2)
    assert_array_equal(head.predict(BASE).scores, by_hand.predict(BASE).scores)
    assert (head.predict(BASE).scores != make_head().predict(BASE).scores).any()


def test_without_an_optimizer_the_gradients_of_steps_add_up():
    head = make_head()
    training_step(head_forward(head), BASE, TARGETS, LOSS)
    once = gradients(head)
    training_step(head_forward(head), BASE, TARGETS, LOSS)
    assert any(array.any() for array in once)
    for array, both in zip(once, gradients(head), strict=True):
        assert_allclose(both, 2 * array, rtol=1e-6)
    assert_array_equal(head.predict(BASE).scores, make_head().predict(BASE).scores)


def test_a_batch_without_a_gradient_calls_neither_backward_pass_nor_optimizer():
    head, called = make_head(), []

    def forward(base):
        output, _ = head_forward(head)(base)
        return output, called.append

    for loss in (LOSS, make_cosine_pairs()):
        result = training_step(
            forward, BASE, UNKNOWN, loss, apply_gradients=lambda: called.append("optimizer")
        )
        assert result == (0.0, False)
    assert called == []


def test_losses_compare_with_other_base_vectors_if_given():
    output, _ = head_forward(make_head(), compared=2 * BASE)(BASE)
    assert_array_equal(output.base, 2 * BASE)
    assert_array_equal(output.tuned, make_head().predict(BASE).tuned)


def batches(n_epochs, targets=TARGETS):
    rng = np.random.RandomState(0)
    return label_batches(BASE, targets, batch_size=2, n_epochs=n_epochs, rng=rng)


def test_the_learning_rate_falls_to_0_if_the_number_of_steps_is_known():
    head, optimizer, rates = make_head(), Adam(), []

    def loss(output, targets):
        rates.append(optimizer.learn_rate)
        return LOSS(output, targets)

    train_head(head, loss, optimizer, batches(2), learning_rate=0.4, n_steps=4)
    train_head(head, loss, optimizer, batches(1), learning_rate=0.4)
    assert rates == pytest.approx([0.4, 0.3, 0.2, 0.1, 0.4, 0.4])


def test_only_steps_with_a_gradient_are_counted():
    n_steps = [
        train_head(make_head(), LOSS, Adam(), batches(3, targets), learning_rate=0.1)
        for targets in (TARGETS, UNKNOWN)
    ]
    assert n_steps == [6, 0]


@pytest.mark.parametrize("n_steps", [4, None])
def test_an_interrupted_training_discards_the_gradients_of_its_last_step(n_steps):
    head, optimizer = make_head(), Adam(0.1)

    calls = []

    def interrupted(output, targets):
        calls.append(1)
        value = LOSS(output, targets)
        if len(calls) == 2:
            head.get_ref("output_layer").inc_grad("b", np.ones(2, dtype="float32"))
            raise KeyboardInterrupt
        return value

    if n_steps is None:
        with pytest.raises(KeyboardInterrupt):
            train_head(head, interrupted, optimizer, batches(2), learning_rate=0.1)
    else:
        with pytest.warns(UserWarning, match="Interrupted after 1 of 4 steps"):
            n = train_head(
                head, interrupted, optimizer, batches(2), learning_rate=0.1, n_steps=n_steps
            )
        assert n == 1
    assert not any(array.any() for array in gradients(head))


def test_other_errors_go_to_the_caller():
    def fail(i, batch):
        raise RuntimeError(batch)

    with pytest.raises(RuntimeError, match="first"):
        run_steps(["first", "second"], fail, n_steps=2, discard_gradients=dict)
