"""The encoder layer when some of the encoder's layers learn."""

import copy
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from thinc.api import Adam, Model, Optimizer, RAdam, fix_random_seed

from spacy_embtune.encoder import LearningSettings, SentenceTransformer
from spacy_embtune.encoder._learning_shim import LearningShim

from ..tiny_models import make_model, make_static_model

TEXTS = ["bread and soup", "guitar", "", "the old stadium", "guitar"]
WIDTH = 64


def make_layer(path: Path, **settings: Any) -> Model[Any, Any]:
    defaults: dict[str, Any] = {"trainable_layers": 1, "precision": "float32"}
    return SentenceTransformer(str(path), **{**defaults, **settings})


def shim_of(layer: Model[Any, Any]) -> LearningShim:
    (shim,) = layer.shims
    assert isinstance(shim, LearningShim)
    return shim


def step(layer: Model[Any, Any], optimizer: Optimizer, *, seed: int = 0) -> None:
    """Learn from a gradient that is not zero."""
    rows, backprop = layer.begin_update(TEXTS)
    backprop(np.random.default_rng(seed).standard_normal(rows.shape).astype("float32"))
    layer.finish_update(optimizer)


def weights(layer: Model[Any, Any]) -> dict[str, Any]:
    model = shim_of(layer).encoder.model
    return {name: p.detach().clone() for name, p in model.named_parameters()}


def changed(layer: Model[Any, Any], before: dict[str, Any]) -> set[str]:
    after = weights(layer)
    return {name for name, value in before.items() if not torch.equal(value, after[name])}


@pytest.fixture
def layer(tiny_encoder: Path) -> Model[Any, Any]:
    layer = make_layer(tiny_encoder)
    layer.initialize(X=TEXTS)
    return layer


# Settings


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"trainable_layers": -2}, "trainable_layers is -2: give 0 "),
        ({"learn_rate_scale": 0.0}, "learn_rate_scale is 0.0: give a number above 0"),
        ({"memory_mb": 0}, "memory_mb must be at least 1, got 0"),
        ({"save_weights": False}, "save_weights is false.*Set save_weights = true"),
    ],
)
def test_settings_are_checked(settings: dict[str, Any], message: str, tiny_encoder: Path) -> None:
    with pytest.raises(ValueError, match=message):
        make_layer(tiny_encoder, **settings)


def test_defaults_are_those_of_the_layer() -> None:
    """They are written down twice."""
    import inspect

    arguments = inspect.signature(SentenceTransformer).parameters
    for name, field in inspect.signature(LearningSettings).parameters.items():
        if name != "trainable_layers":
            assert arguments[name].default == field.default, name


def test_too_many_layers_are_an_error_at_initialize(tiny_encoder: Path) -> None:
    layer = make_layer(tiny_encoder, trainable_layers=3)
    with pytest.raises(ValueError, match=r"is 3, but the encoder has 2\. Give a smaller number"):
        layer.initialize(X=TEXTS)


def test_a_model_without_layers(tmp_path: Path) -> None:
    path = make_static_model(tmp_path)
    with pytest.raises(ValueError, match=r"has no stack of layers\. Give -1"):
        make_layer(path).initialize(X=TEXTS)
    layer = make_layer(path, trainable_layers=-1)
    layer.initialize(X=TEXTS)
    before = layer.predict(TEXTS)
    step(layer, Adam(0.01))
    assert (layer.predict(TEXTS)[0] != before[0]).all()


# What learns


@pytest.mark.parametrize("trainable_layers", [1, 2, -1])
def test_what_learns_are_the_last_layers(trainable_layers: int, tiny_encoder: Path) -> None:
    layer = make_layer(tiny_encoder, trainable_layers=trainable_layers)
    layer.initialize(X=TEXTS)
    before = weights(layer)
    step(layer, Adam(0.01))
    layers = {1: {"layer.1."}, 2: {"layer.0.", "layer.1."}, -1: {"layer.", "embeddings."}}
    expected = {n for n in before if any(part in n for part in layers[trainable_layers])}
    assert changed(layer, before) == expected


def test_a_frozen_encoder_has_no_training(tiny_encoder: Path) -> None:
    layer = SentenceTransformer(str(tiny_encoder), trainable_layers=0)
    (shim,) = layer.shims
    assert not shim.is_trainable
    assert not isinstance(shim, LearningShim)


def test_no_gradient_changes_nothing(layer: Model[Any, Any]) -> None:
    before = weights(layer)
    layer.begin_update(TEXTS)
    layer.finish_update(Adam(0.01))
    layer.predict(TEXTS)
    layer.finish_update(Adam(0.01))
    assert not changed(layer, before)


def test_gradients_add_up_until_the_update(tiny_encoder: Path) -> None:
    """Two halves of a batch, as with accumulate_gradient, are the batch."""
    results = []
    for parts in ([TEXTS], [TEXTS[:2], TEXTS[2:]]):
        layer = make_layer(tiny_encoder)
        layer.initialize()
        done = 0
        for part in parts:
            rows, backprop = layer.begin_update(part)
            backprop(np.stack([np.sin(np.arange(WIDTH) + done + i) for i in range(len(rows))]))
            done += len(part)
        layer.finish_update(Optimizer(0.1, beta1=0.0, beta2=0.0, grad_clip=0.0))
        results.append(layer.predict(TEXTS))
    assert_allclose(*results, atol=1e-4)
    assert abs(results[0] - make_layer(tiny_encoder).predict(TEXTS)).max() > 0.01


@pytest.mark.slow
@pytest.mark.parametrize(
    "make", [Adam, RAdam, lambda rate, **kw: Optimizer(rate, beta1=0, beta2=0)]
)
def test_the_learning_rate_is_scaled(make: Any, tiny_encoder: Path) -> None:
    """In whatever optimizer: in the first step the change is in proportion to it."""
    sizes = []
    for scale in (1.0, 0.1):
        layer = make_layer(tiny_encoder, learn_rate_scale=scale)
        layer.initialize()
        before = weights(layer)
        optimizer = make(0.01, L2=0.0, grad_clip=0.0)
        step(layer, optimizer)
        assert optimizer.learn_rate == 0.01
        after = weights(layer)
        sizes.append(sum(float((after[n] - before[n]).abs().sum()) for n in before))
    assert sizes[0] / sizes[1] == pytest.approx(10, rel=0.01)


def test_weight_decay_is_scaled_as_well(tiny_encoder: Path) -> None:
    layer = make_layer(tiny_encoder, learn_rate_scale=0.5)
    layer.initialize()
    before = weights(layer)
    rows, backprop = layer.begin_update(TEXTS)
    backprop(rows * 0.0)
    layer.finish_update(Optimizer(0.1, beta1=0.0, beta2=0.0, L2=0.2, L2_is_weight_decay=True))
    for name in changed(layer, before):
        torch.testing.assert_close(weights(layer)[name], before[name] * (1 - 0.1 * 0.5 * 0.2))


def test_schedules_are_followed(tiny_encoder: Path) -> None:
    layer = make_layer(tiny_encoder)
    layer.initialize()
    optimizer = Optimizer([0.0, 0.1], beta1=0.0, beta2=0.0)
    before = weights(layer)
    step(layer, optimizer)
    assert not changed(layer, before)
    optimizer.step_schedules()
    step(layer, optimizer)
    assert changed(layer, before)


def test_gradients_are_clipped(tiny_encoder: Path) -> None:
    layer = make_layer(tiny_encoder, learn_rate_scale=1.0)
    layer.initialize()
    before = weights(layer)
    rows, backprop = layer.begin_update(TEXTS)
    backprop(rows * 1e4)
    layer.finish_update(Optimizer(1.0, beta1=0.0, beta2=0.0, grad_clip=0.5, L2=0.0))
    after = weights(layer)
    lengths = [float((after[name] - before[name]).norm()) for name in changed(layer, before)]
    assert max(lengths) == pytest.approx(0.5, rel=1e-3)


def test_a_parameter_that_is_a_single_number(tmp_path: Path) -> None:
    from sentence_transformers.sentence_transformer.modules import Dense

    from spacy_embtune.encoder import EncoderSettings, TextEncoder

    class Scale(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = torch.nn.Parameter(torch.tensor(2.0))

        def forward(self, values: Any) -> Any:
            return values * self.scale

    layer = make_layer(tmp_path)
    path = make_model(tmp_path, "bert", modules=[Dense(32, 8)])
    encoder = TextEncoder.load(EncoderSettings(str(path), precision="float32"))
    encoder.model[2].activation_function = Scale()
    shim_of(layer)._adopt(encoder)
    optimizer = Adam(0.01)
    optimizer.averages = {}
    step(layer, optimizer)
    scale = encoder.model[2].activation_function.scale
    assert scale.shape == ()
    assert scale.item() != 2.0
    with layer.use_params(optimizer.averages):
        assert scale.shape == ()


# Vectors are never stale


def test_vectors_follow_the_weights(layer: Model[Any, Any], tiny_encoder: Path) -> None:
    optimizer = Adam(0.01)
    seen = [layer.predict(TEXTS)]
    for seed in range(3):
        step(layer, optimizer, seed=seed)
        rows = layer.predict(TEXTS)
        assert all((rows[0] != before[0]).all() for before in seen)
        assert_array_equal(rows, shim_of(layer).encoder.encode(TEXTS))
        seen.append(rows)
    assert_array_equal(rows[2], np.zeros(WIDTH))
    # Until they change, each text is encoded once.
    n_encoded = shim_of(layer).n_encoded
    layer.predict(TEXTS)
    assert shim_of(layer).n_encoded == n_encoded


def test_what_is_learned_from_is_what_is_predicted(layer: Model[Any, Any]) -> None:
    for seed in range(3):
        assert_allclose(layer.begin_update(TEXTS)[0], layer.predict(TEXTS), atol=1e-5)
        step(layer, Adam(0.01), seed=seed)


def test_vectors_on_disk_are_those_of_no_weights_in_between(
    tiny_encoder: Path, tmp_path: Path
) -> None:
    layer = make_layer(tiny_encoder, cache_dir=str(tmp_path / "vectors"))
    layer.initialize(X=TEXTS)
    untuned = layer.predict(TEXTS)
    store = shim_of(layer).store
    assert store is not None

    def stored() -> int:
        return sum(path.stat().st_size for path in (tmp_path / "vectors").rglob("*"))

    size = stored()
    assert size
    for seed in range(3):
        step(layer, Adam(0.01), seed=seed)
        layer.predict([*TEXTS, f"another {seed}"])
        shim_of(layer).reference_vectors(["salt"])
    assert stored() == size
    tuned = layer.predict(TEXTS)
    again = make_layer(tiny_encoder, cache_dir=str(tmp_path / "vectors"))
    assert_allclose(again.predict(TEXTS), untuned, atol=1e-6)
    assert shim_of(again).n_encoded == 0
    # Loaded as it is, it is an encoder as any other.
    files = shim_of(layer).to_files()
    for n_encoded in (4, 0):
        loaded = make_layer(tiny_encoder, cache_dir=str(tmp_path / "vectors"))
        shim_of(loaded).from_files(files)
        assert_allclose(loaded.predict(TEXTS), tuned, atol=1e-6)
        assert shim_of(loaded).n_encoded == n_encoded


def test_reference_vectors(layer: Model[Any, Any]) -> None:
    shim, optimizer = shim_of(layer), Adam(0.01)
    assert shim.reference_vectors(TEXTS) is None
    untuned = layer.predict(TEXTS)
    for seed in range(2):
        step(layer, optimizer, seed=seed)
        before = weights(layer)
        rows = shim.reference_vectors(TEXTS)
        assert rows is not None
        assert_allclose(rows, untuned, atol=1e-6)
        assert not changed(layer, before)
    n_encoded = shim.n_encoded
    shim.reference_vectors(TEXTS)
    assert shim.n_encoded == n_encoded


def test_the_reference_encoder_has_its_own_copy_of_what_learns_only(
    layer: Model[Any, Any],
) -> None:
    step(layer, Adam(0.01))
    shim = shim_of(layer)
    reference = dict(shim._find_reference().model.named_parameters())
    for name, parameter in shim.encoder.model.named_parameters():
        is_shared = parameter.data_ptr() == reference[name].data_ptr()
        assert is_shared == (name not in shim.trainer.parameters), name
        assert not reference[name].requires_grad


# Averages


def test_averages_are_swapped_in_and_out(layer: Model[Any, Any]) -> None:
    shim = shim_of(layer)
    optimizer = Adam(0.01, use_averages=True)
    for seed in range(3):
        step(layer, optimizer, seed=seed)
    learned, before = layer.predict(TEXTS), weights(layer)
    fingerprint = shim.identify()
    averages = optimizer.averages
    assert averages is not None
    for error in (None, RuntimeError, KeyboardInterrupt):
        try:
            with layer.use_params(averages):
                rows = layer.predict(TEXTS)
                assert (rows[0] != learned[0]).any()
                assert shim.identify() != fingerprint
                inside = weights(layer)
                for name in changed(layer, before):
                    average = torch.as_tensor(averages[(shim.id, name)]).reshape(inside[name].shape)
                    torch.testing.assert_close(inside[name], average)
                if error is not None:
                    raise error
        except (RuntimeError, KeyboardInterrupt):
            pass
        assert_array_equal(layer.predict(TEXTS), learned)
        assert not changed(layer, before)
        assert shim.identify() == fingerprint
    step(layer, optimizer)


def test_averages_of_others_are_passed_by(layer: Model[Any, Any]) -> None:
    step(layer, Adam(0.01))
    before = layer.predict(TEXTS)
    n_encoded = shim_of(layer).n_encoded
    with layer.use_params({(12345, "W"): np.zeros(3)}):
        assert_array_equal(layer.predict(TEXTS), before)
    assert shim_of(layer).n_encoded == n_encoded


# Starting afresh, copies, bytes


def test_initialize_starts_from_the_untuned_encoder(tiny_encoder: Path) -> None:
    layer = make_layer(tiny_encoder)
    results = []
    for _ in range(2):
        fix_random_seed(0)
        layer.initialize(X=TEXTS)
        untuned = layer.predict(TEXTS)
        assert shim_of(layer).reference_vectors(TEXTS) is None
        optimizer = Adam(0.01)
        for seed in range(3):
            step(layer, optimizer, seed=seed)
        results.append((untuned, layer.predict(TEXTS), shim_of(layer).identify()))
    (first, tuned, fingerprint), (again, tuned_again, fingerprint_again) = results
    assert_array_equal(first, again)
    assert_array_equal(tuned, tuned_again)
    assert fingerprint == fingerprint_again
    assert (first[0] != tuned[0]).any()


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_copies_have_the_weights_and_share_none(copied: Any, tiny_encoder: Path) -> None:
    shim = shim_of(make_layer(tiny_encoder))
    layer = make_layer(tiny_encoder)
    layer.shims[0] = shim
    layer.initialize(X=TEXTS)
    step(layer, Adam(0.01))
    rows = layer.predict(TEXTS)
    for prepare in (lambda: None, lambda: layer.begin_update(TEXTS)):
        prepare()
        other = copied(shim)
        assert isinstance(other, LearningShim)
        assert other.learning == shim.learning
        assert_array_equal(other.vectors(TEXTS), rows)
        assert_array_equal(layer.predict(TEXTS), rows)
    twin = make_layer(tiny_encoder)
    twin.shims[0] = other
    step(twin, Adam(0.01))
    assert (twin.predict(TEXTS)[0] != rows[0]).any()
    assert_array_equal(layer.predict(TEXTS), rows)
    step(layer, Adam(0.01))


def test_bytes_of_another_encoder_end_the_training(layer: Model[Any, Any]) -> None:
    shim = shim_of(layer)
    shim.identify()
    untuned, rows = shim.to_bytes(), layer.predict(TEXTS)
    step(layer, Adam(0.01))
    shim.from_bytes(untuned)
    assert shim.reference_vectors(TEXTS) is None
    # Found by its name.
    assert_array_equal(layer.predict(TEXTS), rows)
    step(layer, Adam(0.01))
    assert (layer.predict(TEXTS)[0] != rows[0]).any()


def test_it_moves_with_what_it_keeps(
    layer: Model[Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    step(layer, Adam(0.01))
    rows, shim = layer.predict(TEXTS), shim_of(layer)
    reference = shim._find_reference().model
    assert reference is not shim.encoder.model
    moved = []
    for model in (shim.encoder.model, reference):
        to = model.to
        monkeypatch.setattr(model, "to", lambda device, to=to: moved.append(to(device)))
    layer.to_cpu()
    assert {id(model) for model in moved} == {id(shim.encoder.model), id(reference)}
    # What was computed on another device is computed anew.
    assert not shim.trainer._prepared
    assert_array_equal(layer.predict(TEXTS), rows)
    step(layer, Adam(0.01))


def test_an_encoder_in_bfloat16_is_stored_in_float32(tmp_path: Path) -> None:
    path = make_model(tmp_path, "qwen3", side="left", dtype=torch.bfloat16)
    layer = make_layer(path)
    layer.initialize(X=TEXTS)
    untuned = layer.predict(TEXTS)
    step(layer, Adam(0.001))
    rows = shim_of(layer).reference_vectors(TEXTS)
    assert rows is not None
    assert_array_equal(rows, untuned)
    tuned = layer.predict(TEXTS)
    fingerprint = shim_of(layer).identify()
    loaded = make_layer(path)
    shim_of(loaded).from_files(shim_of(layer).to_files())
    assert shim_of(loaded).encoder.fingerprint == fingerprint
    assert_array_equal(loaded.predict(TEXTS), tuned)
