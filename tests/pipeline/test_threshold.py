"""The setting `threshold`: where it comes from, how it is kept, and spaCy's own search for it."""

from collections.abc import Callable
from pathlib import Path

import pytest
import spacy
from spacy.cli._util import app
from spacy.cli.find_threshold import find_threshold
from spacy.language import Language
from spacy.tokens import DocBin
from typer.testing import CliRunner

from ..conftest import make_examples

MakeNlp = Callable[..., Language]


def save_rare(train: MakeNlp, folder: Path, name: str = "embtune") -> Path:
    """RETURNS (Path): A folder with a pipeline of labels that are not exclusive, trained so little
    that no probability is near 0.5, and dev.spacy."""
    nlp = train(n_steps=3, name=name, exclusive_classes=False, set_cats=True)
    nlp.to_disk(folder / "p")
    docs = [example.reference for example in make_examples(nlp, 60, seed=1)]
    DocBin(docs=docs).to_disk(folder / "dev.spacy")
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("name", ["embtune", "tuner"])
def test_find_threshold_of_spacy_finds_one(train: MakeNlp, tmp_path: Path, name: str) -> None:
    folder = save_rare(train, tmp_path, name)
    best, score, scores = find_threshold(
        str(folder / "p"), folder / "dev.spacy", name, "threshold", "cats_macro_f", n_trials=6
    )
    assert len(set(scores.values())) > 1
    assert score == max(scores.values()) > scores[1.0]
    nlp = spacy.load(folder / "p", config={"components": {name: {"threshold": float(best)}}})
    docs = DocBin().from_disk(folder / "dev.spacy").get_docs(nlp.vocab)
    examples = [spacy.training.Example(nlp.make_doc(doc.text), doc) for doc in docs]
    assert nlp.evaluate(examples)["cats_macro_f"] == pytest.approx(score)


@pytest.mark.slow
def test_find_threshold_as_a_command(train: MakeNlp, tmp_path: Path) -> None:
    folder = save_rare(train, tmp_path)
    args = (folder / "p", folder / "dev.spacy", "embtune", "threshold", "cats_macro_f", "-n", "3")
    result = CliRunner().invoke(app, ["find-threshold", *map(str, args)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert "Best threshold" in result.output


@pytest.mark.slow
def test_a_threshold_that_is_set_on_the_component_is_saved(train: MakeNlp, tmp_path: Path) -> None:
    folder = save_rare(train, tmp_path)
    nlp = spacy.load(folder / "p")
    assert nlp.get_pipe("embtune").threshold == 0.5
    nlp.get_pipe("embtune").threshold = 0.2
    nlp.to_disk(folder / "q")
    assert spacy.load(folder / "q").get_pipe("embtune").threshold == 0.2
    again = type(nlp).from_config(nlp.config)
    again.from_bytes(nlp.to_bytes())
    assert again.get_pipe("embtune").threshold == 0.2


@pytest.mark.slow
def test_a_change_of_the_config_comes_before_what_was_saved(train: MakeNlp, tmp_path: Path) -> None:
    folder = save_rare(train, tmp_path)
    nlp = spacy.load(folder / "p")
    nlp.get_pipe("embtune").threshold = 0.2
    nlp.to_disk(folder / "q")
    changed = {"components": {"embtune": {"threshold": 0.7}}}
    nlp = spacy.load(folder / "q", config=changed)
    assert nlp.get_pipe("embtune").threshold == 0.7
    nlp.to_disk(folder / "r")
    assert spacy.load(folder / "r").get_pipe("embtune").threshold == 0.7
    text = (folder / "p" / "config.cfg").read_text()
    (folder / "p" / "config.cfg").write_text(text.replace("threshold = 0.5", "threshold = 0.4"))
    assert spacy.load(folder / "p").get_pipe("embtune").threshold == 0.4


@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan")])
def test_a_threshold_that_is_no_probability_is_refused(make_nlp: MakeNlp, value: float) -> None:
    with pytest.raises(ValueError, match=r"\[embtune\] threshold is .*between 0 and 1"):
        make_nlp().get_pipe("embtune").threshold = value


@pytest.mark.slow
def test_exclusive_labels_have_no_threshold(train: MakeNlp) -> None:
    examples = None
    found = []
    for threshold in (0.0, 1.0):
        nlp = train(n_steps=5, set_cats=True, threshold=threshold)
        examples = make_examples(nlp, 30, seed=1)
        scores = nlp.evaluate(examples)
        found.append((scores["cats_macro_f"], scores["embtune_per_type"]))
    assert found[0] == found[1]
