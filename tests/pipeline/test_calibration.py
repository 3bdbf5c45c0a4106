"""The temperature of a component: how it is found, kept and forgotten."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import spacy
from spacy.language import Language
from spacy.tokens import DocBin
from spacy.training import Example
from thinc.api import Adam

from spacy_embtune.labels import make_targets
from spacy_embtune.metrics import calibration_scores
from spacy_embtune.pipeline import make_calibrate

from ..conftest import TOPICS, make_examples

MakeNlp = Callable[..., Language]


def wrong_examples(nlp: Language, n: int = 120, *, seed: int = 1, share: int = 4) -> list[Example]:
    """RETURNS (list[Example]): Examples of which every `share`-th has a wrong label, so that
    nobody can be certain."""
    examples = make_examples(nlp, n, seed=seed)
    for example in examples[::share]:
        cats = example.reference.cats
        labels = sorted(cats)
        true = max(cats, key=cats.__getitem__)
        wrong = labels[(labels.index(true) + 1) % 3]
        example.reference.cats = {label: float(label == wrong) for label in labels}
    return examples


def error(nlp: Language, examples: list[Example]) -> float:
    pipe = nlp.get_pipe("embtune")
    cats = [example.reference.cats for example in examples]
    targets = make_targets(cats, pipe.labels, exclusive=pipe.cfg["exclusive_classes"])
    docs = [nlp.make_doc(example.text) for example in examples]
    found = calibration_scores(pipe.predict(docs).cats, targets)
    assert found.error is not None
    return found.error


@pytest.mark.slow
@pytest.mark.parametrize("exclusive", [True, False])
def test_calibration_lowers_the_error_on_other_documents_and_keeps_the_order(
    train: MakeNlp, exclusive: bool
) -> None:
    nlp = train(exclusive_classes=exclusive, set_cats=True)
    new = wrong_examples(nlp, seed=2)
    before, cats = error(nlp, new), [nlp(example.text).cats for example in new]
    vector = nlp("bread and soup")._.embtune
    temperature = nlp.get_pipe("embtune").calibrate(wrong_examples(nlp))
    assert temperature == nlp.get_pipe("embtune").temperature > 1.5
    assert error(nlp, new) < 0.8 * before
    for example, then in zip(new, cats, strict=True):
        now = nlp(example.text).cats
        assert max(now, key=now.__getitem__) == max(then, key=then.__getitem__)
        if not exclusive:
            assert {k for k, p in now.items() if p >= 0.5} == {
                k for k, p in then.items() if p >= 0.5
            }
    np.testing.assert_array_equal(nlp("bread and soup")._.embtune, vector)


@pytest.mark.slow
def test_the_temperature_is_saved_and_forgotten_when_the_weights_change(
    train: MakeNlp, tmp_path: Path
) -> None:
    nlp = train()
    temperature = nlp.get_pipe("embtune").calibrate(wrong_examples(nlp))
    nlp.to_disk(tmp_path / "p")
    loaded = spacy.load(tmp_path / "p")
    assert loaded.get_pipe("embtune").temperature == temperature
    loaded.update(make_examples(loaded), sgd=loaded.resume_training())
    assert loaded.get_pipe("embtune").temperature == 1.0
    nlp.initialize(lambda: make_examples(nlp))
    assert nlp.get_pipe("embtune").temperature == 1.0


@pytest.mark.slow
def test_training_documents_are_left_out(train: MakeNlp) -> None:
    nlp = train()
    known = make_examples(nlp, 60)
    with pytest.raises(
        ValueError, match=r"at least 20 .* there are 0; 60 others were in its train"
    ):
        nlp.get_pipe("embtune").calibrate(known)
    new = wrong_examples(nlp)
    alone = nlp.get_pipe("embtune").calibrate(new)
    assert nlp.get_pipe("embtune").calibrate(new + known) == pytest.approx(alone)


@pytest.mark.slow
def test_unlabelled_and_empty_documents_do_not_count(train: MakeNlp) -> None:
    nlp = train()
    new = wrong_examples(nlp)
    alone = nlp.get_pipe("embtune").calibrate(new)
    more = make_examples(nlp, 30, seed=5, cats=lambda topic: {})
    cats = {label: float(label == "FOOD") for label in TOPICS}
    empty = [Example.from_dict(nlp.make_doc(""), {"cats": cats}) for _ in range(10)]
    assert nlp.get_pipe("embtune").calibrate([*new, *more, *empty]) == pytest.approx(alone)


@pytest.mark.slow
def test_what_cannot_be_calibrated_is_an_error(train: MakeNlp, make_nlp: MakeNlp) -> None:
    nlp = make_nlp()
    with pytest.raises(ValueError, match="not trained yet"):
        nlp.get_pipe("embtune").calibrate(wrong_examples(nlp))
    nlp = train(loss={"@losses": "spacy-embtune.supervised_contrastive.v1"})
    with pytest.raises(ValueError, match="do not train the output layer"):
        nlp.get_pipe("embtune").calibrate(wrong_examples(nlp))
    with pytest.raises(ValueError, match=r"there are 0\."):
        train().get_pipe("embtune").calibrate([])


@pytest.mark.slow
def test_spacy_train_calibrates_each_time_it_saves(make_nlp: MakeNlp, tmp_path: Path) -> None:
    from spacy.training.initialize import init_nlp
    from spacy.training.loop import train as spacy_train
    from thinc.api import Config

    nlp = make_nlp(set_cats=True)
    for name, examples in (("train", make_examples(nlp, 60)), ("dev", wrong_examples(nlp))):
        DocBin(docs=[eg.reference for eg in examples]).to_disk(tmp_path / f"{name}.spacy")
    config = Config(nlp.config.copy())
    for name in ("train", "dev"):
        path = str(tmp_path / f"{name}.spacy")
        config["corpora"][name] = {"@readers": "spacy.Corpus.v1", "path": path}
    config["training"]["before_to_disk"] = {
        "@callbacks": "spacy-embtune.calibrate.v1",
        "corpus": "${corpora.dev}",
    }
    config["training"].update(max_steps=40, eval_frequency=20)
    config = Config().from_str(config.to_str(interpolate=False), interpolate=False)
    (tmp_path / "out").mkdir()
    spacy_train(init_nlp(config), tmp_path / "out")
    found = spacy.load(tmp_path / "out" / "model-best")
    assert found.get_pipe("embtune").temperature > 1.2
    assert "SPORT" in found.meta["performance"]["embtune_per_type"]


@pytest.mark.slow
def test_the_callback_only_warns_of_what_it_cannot_calibrate(
    train: MakeNlp, caplog: pytest.LogCaptureFixture
) -> None:
    nlp = train()
    assert make_calibrate(lambda nlp: make_examples(nlp, 60))(nlp) is nlp
    assert "saved without calibration" in caplog.text
    assert nlp.get_pipe("embtune").temperature == 1.0


def test_the_callback_says_nothing_of_an_output_layer_that_has_not_learned_yet(
    make_nlp: MakeNlp, tiny_encoder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """`spacy train` saves the pipeline of the first step, where a learning rate may still be 0."""
    head = {"@architectures": "spacy-embtune.Linear.v1"}
    nlp = make_nlp(model={"encoder": {"name": str(tiny_encoder)}, "head": head})
    examples = make_examples(nlp, 60)
    nlp.initialize(lambda: examples)
    nlp.update(examples, sgd=Adam(0.0))
    caplog.clear()
    make_calibrate(lambda nlp: make_examples(nlp, 60, seed=1))(nlp)
    assert not caplog.text
    assert nlp.get_pipe("embtune").temperature == 1.0
