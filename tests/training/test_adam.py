import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from thinc.api import Adam

from spacy_embtune.training import BlockAdam, adam

KEY = (0, "W")


def make_both(decay: float) -> tuple[BlockAdam, Adam]:
    thincs = Adam(0.01, L2=decay, grad_clip=1.0, use_averages=False)
    return BlockAdam(0.01, weight_decay=decay), thincs


@pytest.mark.parametrize("decay", [0.0, 2.0])
@pytest.mark.parametrize("block", [2**17, 64])
@pytest.mark.parametrize("shape", [(3,), (20, 8), (1, 1)])
def test_it_is_thincs_adam(
    shape: tuple[int, ...], block: int, decay: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adam, "BLOCK", block)
    rng = np.random.RandomState(0)
    both = make_both(decay)
    start = rng.normal(size=shape).astype("float32")
    weights = [start.copy(), start.copy()]
    # Below the length that is clipped, above it, and zero.
    for scale in (1e-3, 10.0, 0.0, 1e-6, 1.0) * 4:
        gradient = (scale * rng.normal(size=shape)).astype("float32")
        for i, optimizer in enumerate(both):
            optimizer.learn_rate = 0.01 + 0.001 * scale
            weights[i], left = optimizer(KEY, weights[i], gradient.copy())
            assert_array_equal(left, np.zeros(shape))
        assert_allclose(*weights, rtol=1e-5, atol=1e-6)
    ours, thincs = both
    assert ours.nr_update[KEY] == thincs.nr_update[KEY] == 20
    assert_allclose(ours.mom1[KEY], thincs.mom1[KEY], rtol=1e-4, atol=1e-9)
    assert_allclose(ours.mom2[KEY], thincs.mom2[KEY], rtol=1e-4, atol=1e-12)


def test_it_goes_on_with_the_state_of_thincs() -> None:
    rng = np.random.RandomState(1)
    ours, thincs = make_both(0.5)
    weights = rng.normal(size=(4, 4)).astype("float32")
    weights, _ = thincs(KEY, weights, rng.normal(size=(4, 4)).astype("float32"))
    for name in ("mom1", "mom2"):
        getattr(ours, name)[KEY] = getattr(thincs, name)[KEY].copy()
    ours.nr_update[KEY] = thincs.nr_update[KEY]
    gradient = rng.normal(size=(4, 4)).astype("float32")
    expected, _ = thincs(KEY, weights.copy(), gradient.copy())
    assert_allclose(ours(KEY, weights.copy(), gradient)[0], expected, rtol=1e-5, atol=1e-6)


def test_weights_are_changed_in_place() -> None:
    weights, gradient = np.ones((2, 3), dtype="float32"), np.ones((2, 3), dtype="float32")
    changed, zeroed = BlockAdam(0.1)(KEY, weights, gradient)
    assert changed is weights
    assert zeroed is gradient


@pytest.mark.parametrize("which", ["weights", "gradient"])
def test_arrays_that_are_not_contiguous_are_updated_too(which: str) -> None:
    rng = np.random.RandomState(2)
    arrays = {name: rng.normal(size=(4, 3)).astype("float32") for name in ("weights", "gradient")}
    expected = BlockAdam(0.1)(KEY, *(array.copy() for array in arrays.values()))[0]
    arrays[which] = np.asfortranarray(arrays[which])
    assert_allclose(BlockAdam(0.1)(KEY, *arrays.values())[0], expected, rtol=1e-5, atol=1e-6)
