import numpy as np
import pytest
from thinc.api import Config

from spacy_embtune.data import Record
from spacy_embtune.labels import make_targets
from spacy_embtune.tuning import Trial, make_folds, summarize, sweep, sweep_config, write_candidate
from spacy_embtune.tuning._candidates import Candidate, candidates, complete, read_candidate

from ..conftest import TOPICS, make_texts

HEAD = {"@architectures": "spacy-embtune.FeedForward.v1", "hidden_width": 16, "dropout": 0.1}
LOSS = {"@losses": "spacy-embtune.cross_entropy.v1"}
STEPS = (10, 40)
OWN = Candidate(HEAD, LOSS, 0.001, 0.01)


def made_up(n=60, seed=0):
    """Vectors whose first dimensions know the label, and whose others are louder."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 3
    vectors = rng.normal(size=(n, 12)) * 0.8
    vectors[np.arange(n), labels] += 1.5
    cats = [{"ABC"[label]: 1.0} for label in labels]
    return vectors.astype("float32"), make_targets(cats, ["A", "B", "C"], exclusive=True)


@pytest.mark.slow
def test_trials_are_sorted_and_the_own_settings_are_among_them():
    vectors, targets = made_up()
    found = sweep(vectors, targets, OWN, n_candidates=3, checkpoints=STEPS)
    means = [trial.mean for trial in found.trials]
    assert means == sorted(means, reverse=True)
    # All reach the first checkpoint, and a third of them, but for its own settings, the second.
    assert [trial.steps for trial in found.trials].count(STEPS[0]) == 3
    assert [trial.steps for trial in found.trials].count(STEPS[1]) == 2
    assert {trial.steps for trial in found.trials if trial.is_own} == set(STEPS)
    assert found.own.candidate is OWN
    # A head that learns is better than vectors full of noise.
    assert found.best.mean > sum(found.base) / len(found.base) + 0.05
    gain, error = found.gain()
    assert gain >= 0
    assert error >= 0
    assert "*" in [row[0] for row in summarize(found, 1)]


@pytest.mark.slow
def test_the_same_seed_gives_the_same_trials():
    vectors, targets = made_up()
    first, second = (
        sweep(vectors, targets, OWN, n_candidates=2, checkpoints=STEPS, seed=4) for _ in range(2)
    )
    assert first == second


def test_time_ends_a_search():
    vectors, targets = made_up()
    told = []
    found = sweep(
        vectors, targets, OWN, seconds=1e-9, checkpoints=STEPS, progress=lambda *n: told.append(n)
    )
    # Its own settings, and one more.
    assert [trial.steps for trial in found.trials if trial.is_own] != []
    assert len({id(trial.candidate) for trial in found.trials}) == 2
    assert len(told) == len(found.trials) == 2 * len(STEPS)
    assert found.n_left == len(candidates()) - 1


@pytest.mark.slow
def test_the_best_third_goes_on():
    vectors, targets = made_up()
    told = []
    found = sweep(
        vectors,
        targets,
        OWN,
        n_candidates=9,
        checkpoints=(2, 5, 20),
        progress=lambda *n: told.append(n),
    )
    by_steps = {
        steps: {id(t.candidate): t.mean for t in found.trials if t.steps == steps}
        for steps in (2, 5, 20)
    }
    assert [len(trials) for trials in by_steps.values()] == [9, 3, 2]
    own = id(OWN)
    for steps, later in ((2, 5), (5, 20)):
        gone_on = set(by_steps[later])
        assert own in gone_on
        left = set(by_steps[steps]) - gone_on
        worst = min(by_steps[steps][one] for one in gone_on - {own})
        assert all(by_steps[steps][one] <= worst for one in left)
    assert told[-1] == (14, 14)


def test_training_in_stretches_is_training_at_once():
    vectors, targets = made_up()
    config = Candidate({**HEAD, "dropout": 0.0}, LOSS, 0.001, 0.01)
    stretches = sweep(vectors, targets, config, checkpoints=(4, 10), n_candidates=1)
    at_once = sweep(vectors, targets, config, checkpoints=(10,), n_candidates=1)
    last = next(trial for trial in stretches.trials if trial.steps == 10)
    assert last.scores == at_once.best.scores


def test_folds_hold_out_each_labelled_document_once():
    cats = [{"A": 1.0} if i % 2 else {"B": 1.0} for i in range(40)] + [{}] * 5
    targets = make_targets(cats, ["A", "B"], exclusive=True)
    folds = list(make_folds(targets, 4, np.random.RandomState(0)))
    held = np.concatenate([h for _, h in folds])
    assert sorted(held.tolist()) == list(range(40))
    for known, held in folds:
        assert not set(known.tolist()) & set(held.tolist())
        assert sum(i % 2 for i in held.tolist()) == 5


def test_too_few_documents_are_an_error():
    vectors, targets = made_up(12)
    with pytest.raises(ValueError, match="12 labelled documents, too few for 4 folds"):
        sweep(vectors, targets, OWN)


@pytest.mark.slow
def test_multi_label_and_missing_labels():
    vectors, _ = made_up()
    cats = [{"A": float(i % 3 == 0), "B": float(i % 2)} for i in range(60)]
    for i in range(0, 60, 5):
        del cats[i]["A"]
    targets = make_targets(cats, ["A", "B"], exclusive=False)
    found = sweep(vectors, targets, OWN, n_candidates=2, checkpoints=STEPS)
    assert all(0 <= score <= 1 for trial in found.trials for score in trial.scores)


def test_every_candidate_can_be_trained_and_written(tiny_encoder):
    config = make_config(tiny_encoder)
    for candidate in candidates():
        description = candidate.describe()
        assert all(len(value) < 40 for value in description.values()), description
        found = sweep_once(candidate)
        changed = write_candidate(config, "embtune", found)
        again = read_candidate(Config().from_str(changed.to_str()).interpolate(), "embtune")
        assert again.head == candidate.head
        assert again.loss == candidate.loss
        assert again.learn_rate == candidate.learn_rate


def sweep_once(candidate):
    return Trial(candidate, 250, [0.5, 0.6], False)


def make_config(tiny_encoder):
    from spacy.util import load_config

    path = "configs/feedforward.cfg"
    overrides = {"components.embtune.model.encoder.name": str(tiny_encoder)}
    return load_config(path, overrides=overrides, interpolate=False)


def make_records(n=60):
    return [
        Record(text, {label: float(label == topic) for label in TOPICS}, str(i), {}, i)
        for i, (text, topic) in enumerate(make_texts(n))
    ]


@pytest.mark.slow
def test_a_config_is_searched_and_the_best_one_trains(tiny_encoder):
    config = make_config(tiny_encoder)
    name, found = sweep_config(config, make_records(), n_candidates=2, checkpoints=STEPS)
    assert name == "embtune"
    assert found.own.candidate.head["hidden_width"] == 200
    best = write_candidate(config, name, found.best)
    # Variables are kept.
    assert best["corpora"]["train"]["path"] == "${paths.train}"


def test_what_cannot_be_searched_is_said(tiny_encoder):
    config = make_config(tiny_encoder)
    with pytest.raises(ValueError, match="no embtune component 'other'"):
        sweep_config(config, make_records(), name="other")
    with pytest.raises(ValueError, match="has a label"):
        sweep_config(config, [record._replace(cats={}) for record in make_records()])
    config["components"]["embtune"]["model"]["encoder"]["trainable_layers"] = 1
    with pytest.raises(ValueError, match="the encoder learns"):
        sweep_config(config, make_records())
    del config["components"]["embtune"]
    with pytest.raises(ValueError, match="has 0 embtune components"):
        sweep_config(config, make_records())


def test_settings_that_were_not_searched_stay(tiny_encoder):
    config = make_config(tiny_encoder)
    config["training"]["optimizer"]["learn_rate"] = {
        "@schedules": "warmup_linear.v1",
        "warmup_steps": 10,
        "total_steps": 100,
        "initial_rate": 0.005,
    }
    own = read_candidate(config.interpolate(), "embtune")
    assert own.learn_rate == 0.005
    assert write_candidate(config, "embtune", Trial(own, 500, [0.5, 0.6], True)) == config
    other = write_candidate(config, "embtune", Trial(own, 500, [0.5, 0.6], False))
    assert other["training"]["optimizer"]["learn_rate"] == 0.005
    assert other["training"]["optimizer"]["L2_is_weight_decay"] is True
    config["training"]["optimizer"] = {"@optimizers": "SGD.v1", "learn_rate": 0.1}
    with pytest.raises(ValueError, match=r"trains with SGD\.v1, the search with Adam"):
        read_candidate(config.interpolate(), "embtune")


def test_a_dropout_that_spacy_gives_is_that_of_the_training(tiny_encoder):
    config = make_config(tiny_encoder)
    config["components"]["embtune"]["model"]["head"]["dropout"] = None
    config["training"]["dropout"] = 0.3
    assert read_candidate(config.interpolate(), "embtune").head["dropout"] == 0.3


def test_its_own_settings_are_tried_once():
    vectors, targets = made_up()
    named = next(one for one in candidates() if "class_weight" not in one.loss)
    said = named._replace(loss={**named.loss, "class_weight": None, "label_smoothing": 0.0})
    assert complete(said) == complete(named)
    found = sweep(vectors, targets, said, seconds=1e-9, checkpoints=(1,))
    # Itself and one more of those that are left.
    assert found.n_left == len(candidates()) - 1 - 1


@pytest.mark.slow
def test_each_setting_has_one_row_at_its_best():
    vectors, targets = made_up()
    found = sweep(vectors, targets, OWN, n_candidates=6, checkpoints=(2, 10, 40))
    table = summarize(found, 4)
    assert len(table) <= 5
    settings = [tuple(row[1:6]) for row in table]
    assert len(set(settings)) == len(settings)
    assert sum(row[0] == "*" for row in table) == 1
    assert table[0][6] == str(found.best.steps)
    assert [float(row[7].split()[0]) for row in table[:4]] == sorted(
        (float(row[7].split()[0]) for row in table[:4]), reverse=True
    )


def test_one_class_cannot_be_searched_by(tiny_encoder):
    config = make_config(tiny_encoder)
    alike = [record._replace(cats={"FOOD": 1.0}) for record in make_records()]
    with pytest.raises(ValueError, match=r"of one class.*cannot be compared"):
        sweep_config(config, alike)
