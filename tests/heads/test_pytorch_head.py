import copy
import functools
import multiprocessing
import pickle

import numpy as np
import pytest
import srsly
import torch
from numpy.testing import assert_allclose, assert_array_equal
from safetensors.torch import load
from thinc.api import Adam, fix_random_seed

from spacy_embtune.heads import PyTorchHead
from spacy_embtune.labels import make_targets
from spacy_embtune.losses import make_cross_entropy
from spacy_embtune.types import HeadOutput, Output

TARGETS = make_targets([{"A": 1.0}, {"B": 1.0}, {"C": 1.0}] * 2, ["A", "B", "C"], exclusive=True)
LOSS = make_cross_entropy()


class Perceptron(torch.nn.Module):
    def __init__(self, n_in, n_out, dropout=0.0):
        super().__init__()
        self.hidden = torch.nn.Linear(n_in, 7)
        self.output = torch.nn.Linear(7, n_out)
        self.temperature = torch.nn.Parameter(torch.tensor(1.0))
        self.dropout = torch.nn.Dropout(dropout)
        self.register_buffer("seen", torch.tensor(3))

    def embed(self, x):
        return torch.tanh(self.hidden(x)) * self.temperature

    def forward(self, x):
        return self.output(self.dropout(self.embed(x)))


class Resizable(Perceptron):
    def resize_output(self, n_out):
        old, self.output = self.output, torch.nn.Linear(7, n_out)
        with torch.no_grad():
            self.output.weight[: len(old.weight)] = old.weight
            self.output.bias[: len(old.bias)] = old.bias


class Normalizing(Perceptron):
    """Makes NaN of a row of zeros."""

    def embed(self, x):
        return self.hidden(x / x.norm(dim=1, keepdim=True))


def perceptron(n_in, n_out):
    return Perceptron(n_in, n_out)


dropping = functools.partial(Perceptron, dropout=0.5)


@pytest.fixture(autouse=True)
def _seed():
    fix_random_seed(0)


def base_vectors(n=6, d=5):
    return np.random.RandomState(0).normal(0.5, 1, (n, d)).astype("float32")


def initialized(module=Perceptron, **settings):
    return PyTorchHead(module, **settings).initialize(X=base_vectors(), Y=TARGETS.values)


def step(model, X, optimizer, targets=TARGETS):
    output, backprop = model.begin_update(X)
    value, gradient = LOSS(Output(X, *output), targets)
    backprop(gradient)
    model.finish_update(optimizer)
    return value


def module_of(model):
    return model.shims[0]._model


def assert_same_output(one, other, X):
    for ours, theirs in zip(one.predict(X), other.predict(X), strict=True):
        assert_array_equal(ours, theirs)


@pytest.mark.parametrize("module", [Perceptron, perceptron, dropping, Perceptron(5, 3)])
def test_widths_are_learned_from_the_data_and_can_be_read(module):
    model = initialized(module)
    assert {name: model.get_dim(name) for name in ("nI", "nH", "nO")} == {"nI": 5, "nH": 7, "nO": 3}
    output = model.predict(base_vectors())
    assert isinstance(output, HeadOutput)
    assert output.tuned.shape == (6, 7)
    assert output.scores.shape == (6, 3)
    assert output.tuned.dtype == output.scores.dtype == np.float32


@pytest.mark.parametrize("standardize", [True, False])
def test_output_and_gradients_are_the_modules(standardize):
    model = initialized(standardize=standardize)
    X = base_vectors()
    X.setflags(write=False)
    module = copy.deepcopy(module_of(model))
    x = torch.tensor(X, requires_grad=True)
    z = x
    if standardize:
        centred = x - torch.tensor(model.get_ref("standardize").get_param("mean"))
        z = centred / centred.norm(dim=1, keepdim=True) * 5**0.5
    tuned, scores = module.embed(z), module(z)
    output, backprop = model.begin_update(X)
    assert_allclose(output.tuned, tuned.detach(), rtol=1e-4, atol=1e-5)
    assert_allclose(output.scores, scores.detach(), rtol=1e-4, atol=1e-5)
    rng = np.random.RandomState(1)
    gradient = HeadOutput(
        rng.normal(size=(6, 7)).astype("float32"), rng.normal(size=(6, 3)).astype("float32")
    )
    torch.autograd.backward([tuned, scores], [torch.tensor(g) for g in gradient])
    assert_allclose(backprop(gradient), x.grad, rtol=1e-3, atol=1e-4)
    for ours, theirs in zip(module_of(model).parameters(), module.parameters(), strict=True):
        assert_allclose(ours.grad, theirs.grad, rtol=1e-3, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("standardize", [True, False])
def test_it_overfits_a_tiny_problem(standardize):
    model = initialized(standardize=standardize)
    optimizer = Adam(0.02)
    values = [step(model, base_vectors(), optimizer) for _ in range(250)]
    assert values[-1] < 0.01 < values[0]


@pytest.mark.parametrize("standardize", [True, False])
def test_documents_without_a_vector_never_reach_the_module(standardize):
    model = initialized(Normalizing, standardize=standardize)
    X = base_vectors()
    X[2] = 0.0
    output, backprop = model.begin_update(X)
    assert not output.tuned[2].any()
    assert not output.scores[2].any()
    dX = backprop(HeadOutput(np.ones_like(output.tuned), np.ones_like(output.scores)))
    assert not dX[2].any()
    assert np.isfinite(dX).all()
    assert all(torch.isfinite(p.grad).all() for _, p in module_of(model).hidden.named_parameters())


@pytest.mark.parametrize("X", [np.zeros((0, 5), "float32"), np.zeros((2, 5), "float32")])
def test_a_batch_without_any_vector_is_fine(X):
    model = initialized()
    output, backprop = model.begin_update(X)
    assert output.tuned.shape == (len(X), 7)
    assert output.scores.shape == (len(X), 3)
    assert_array_equal(backprop(output), X)
    model.finish_update(Adam(0.1))


def test_the_module_is_in_training_mode_during_an_update_only():
    model = initialized(dropping)
    plain = model.predict(base_vectors())
    assert not any(m.training for m in module_of(model).modules())
    output, _ = model.begin_update(base_vectors())
    assert not any(m.training for m in module_of(model).modules())
    assert not np.array_equal(output.scores, plain.scores)
    assert_array_equal(model.predict(base_vectors()).scores, plain.scores)


def test_the_optimizers_averages_are_used_and_put_back_even_after_an_error():
    model = initialized()
    optimizer = Adam(0.1)
    for _ in range(5):
        step(model, base_vectors(), optimizer)
    before = model.predict(base_vectors())
    state = copy.deepcopy(module_of(model).state_dict())
    with model.use_params(optimizer.averages):
        averaged = model.predict(base_vectors())
        for name, parameter in module_of(model).named_parameters():
            (average,) = (v for k, v in optimizer.averages.items() if name in k[1])
            assert_array_equal(parameter.detach().reshape(-1), average.reshape(-1))
    assert not np.allclose(averaged.scores, before.scores)
    assert_array_equal(model.predict(base_vectors()).scores, before.scores)
    with pytest.raises(KeyError), model.shims[0].use_params(optimizer.averages):
        raise KeyError
    for name, value in module_of(model).state_dict().items():
        assert torch.equal(value, state[name])


def test_a_frozen_parameter_is_not_updated():
    model = initialized()
    module_of(model).hidden.weight.requires_grad_(False)
    before = module_of(model).hidden.weight.clone()
    step(model, base_vectors(), Adam(0.1))
    assert torch.equal(module_of(model).hidden.weight, before)


def test_initializing_again_starts_anew():
    ready = Perceptron(5, 3)
    state = copy.deepcopy(ready.state_dict())
    model = initialized(ready)
    first = model.predict(base_vectors())
    step(model, base_vectors(), Adam(0.1))
    model.initialize(X=base_vectors(), Y=TARGETS.values)
    assert_array_equal(model.predict(base_vectors()).scores, first.scores)
    assert all(torch.equal(value, state[name]) for name, value in ready.state_dict().items())


def test_the_seed_decides_the_weights():
    fix_random_seed(5)
    one = initialized()
    fix_random_seed(5)
    assert_same_output(one, initialized(), base_vectors())


def test_a_worker_process_computes_in_one_thread_since_a_forked_one_would_hang(monkeypatch):
    model = initialized()
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        model.predict(base_vectors())
        assert torch.get_num_threads() == 2
        monkeypatch.setattr(multiprocessing, "parent_process", multiprocessing.current_process)
        model.predict(base_vectors())
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(threads)


# Resizing


@pytest.mark.parametrize("module", [Resizable, Resizable(5, 3), lambda i, o: Resizable(i, o)])
def test_a_module_that_can_be_resized_keeps_its_labels_and_learns_with_the_same_optimizer(module):
    model = initialized(module)
    optimizer = Adam(0.02)
    step(model, base_vectors(), optimizer)
    before = model.predict(base_vectors())
    assert model.attrs["resize_output"](model, 4) is model
    assert model.get_dim("nO") == 4
    after = model.predict(base_vectors())
    assert_array_equal(after.tuned, before.tuned)
    assert_allclose(after.scores[:, :3], before.scores, rtol=1e-5, atol=1e-6)
    targets = make_targets(
        [{"A": 1.0}, {"B": 1.0}, {"C": 1.0}, {"D": 1.0}, {"B": 1.0}, {"C": 1.0}],
        ["A", "B", "C", "D"],
        exclusive=True,
    )
    for _ in range(150):
        value = step(model, base_vectors(), optimizer, targets)
    assert value < 0.05
    fresh = PyTorchHead(module).from_bytes(model.to_bytes())
    assert_same_output(fresh, model, base_vectors())


def test_an_uninitialized_head_can_be_resized():
    model = PyTorchHead(Resizable)
    model.attrs["resize_output"](model, 4)
    assert model.initialize(X=base_vectors()).predict(base_vectors()).scores.shape == (6, 4)


def test_a_ready_module_is_resized_to_the_labels_there_are():
    assert initialized(Resizable(5, 2)).get_dim("nO") == 3


@pytest.mark.parametrize("module", [Perceptron, Perceptron(5, 3), dropping])
def test_a_module_that_cannot_be_resized_does_not_claim_it(module):
    assert "resize_output" not in PyTorchHead(module).attrs


def test_a_functions_module_that_cannot_be_resized_says_so_when_asked():
    model = initialized(perceptron)
    with pytest.raises(ValueError, match=r"Perceptron has no method resize_output"):
        model.attrs["resize_output"](model, 4)
    assert model.get_dim("nO") == 3


# Bytes and copies


@pytest.mark.parametrize("module", [Perceptron, perceptron, dropping, Perceptron(5, 3)])
@pytest.mark.parametrize("standardize", [True, False])
def test_bytes_of_a_trained_head_load_into_a_fresh_one(module, standardize):
    model = initialized(module, standardize=standardize)
    step(model, base_vectors(), Adam(0.1))
    fresh = PyTorchHead(module, standardize=standardize).from_bytes(model.to_bytes())
    assert_same_output(fresh, model, base_vectors())
    assert fresh.to_bytes() == model.to_bytes()
    step(fresh, base_vectors(), Adam(0.1))
    assert_same_output(fresh.from_bytes(model.to_bytes()), model, base_vectors())


def test_an_uninitialized_head_has_bytes_too():
    fresh = PyTorchHead(Perceptron).from_bytes(PyTorchHead(Perceptron).to_bytes())
    fresh.initialize(X=base_vectors(), Y=TARGETS.values)


def test_tied_weights_can_be_stored():
    def tied(n_in, n_out):
        module = Perceptron(n_in, n_out)
        module.again = module.hidden
        return module

    model = initialized(tied)
    step(model, base_vectors(), Adam(0.1))
    assert_same_output(PyTorchHead(tied).from_bytes(model.to_bytes()), model, base_vectors())


def test_weights_are_stored_as_safetensors():
    shim = initialized().shims[0]
    weights = load(srsly.msgpack_loads(shim.to_bytes())["weights"])
    assert set(weights) == set(shim._model.state_dict())


def test_the_weights_of_another_module_are_refused():
    class Other(Perceptron):
        def __init__(self, n_in, n_out):
            super().__init__(n_in, n_out)
            self.more = torch.nn.Linear(2, 2)

    with pytest.raises(ValueError, match=r"(?s)do not fit Other.*more"):
        PyTorchHead(Other).from_bytes(initialized().to_bytes())


@pytest.mark.parametrize("module", [Perceptron, perceptron, dropping, Perceptron(5, 3)])
@pytest.mark.parametrize(
    "clone", [lambda m: pickle.loads(pickle.dumps(m)), copy.deepcopy, lambda m: m.copy()]
)
def test_a_clone_does_the_same_and_is_independent(clone, module):
    model = initialized(module)
    step(model, base_vectors(), Adam(0.1))
    cloned = clone(model)
    assert_same_output(cloned, model, base_vectors())
    step(cloned, base_vectors(), Adam(0.1))
    assert not np.array_equal(
        cloned.predict(base_vectors()).scores, model.predict(base_vectors()).scores
    )


def test_a_copy_does_not_share_the_optimizers_memory():
    model = initialized()
    assert model.copy().shims[0].id != model.shims[0].id


# Errors


def returning(embed=None, forward=None):
    class Broken(Perceptron):
        pass

    if embed is not None:
        Broken.embed = lambda self, x: embed(x)
    if forward is not None:
        Broken.forward = lambda self, x: forward(x)
    return Broken


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (returning(embed=lambda x: x[0]), r"Broken\.embed returned the shape \(5,\)"),
        (returning(embed=lambda x: x[:1]), r"Broken\.embed returned the shape \(1, 5\)"),
        (returning(embed=lambda x: (x, x)), r"Broken\.embed returned a tuple"),
        (returning(forward=lambda x: x.sum(1)), r"Broken\.forward returned the shape \(2,\)"),
        (returning(forward=lambda x: x), r"returned 5 scores.* 3 labels.* 3 outputs"),
        (Perceptron(5, 4), r"returned 4 scores.* 3 labels"),
        (Perceptron(6, 3), r"failed on base vectors of width 5"),
        (lambda i, o: torch.nn.Linear(i, o), r"Linear has no embed.*embed\(x\)"),
        (lambda i, o: "module", r"returned a str, not a torch\.nn\.Module"),
    ],
)
def test_a_module_that_is_no_head_is_refused_at_initialization(module, message):
    model = PyTorchHead(module)
    with pytest.raises(ValueError, match=message):
        model.initialize(X=base_vectors(), Y=TARGETS.values)
    assert not model.shims[0].is_built


class NoForward(torch.nn.Module):
    def embed(self, x):
        return x


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (3, "module is 3"),
        (torch.nn.Linear(2, 2), "Linear has no embed"),
        (NoForward(), "NoForward has no forward"),
    ],
)
def test_a_ready_module_that_is_no_head_is_refused_at_once(module, message):
    with pytest.raises(ValueError, match=message):
        PyTorchHead(module)
