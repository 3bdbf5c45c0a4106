import shutil

import numpy as np
import pytest
import spacy
import srsly
from model2vec import StaticModel
from sentence_transformers import SentenceTransformer

from ..conftest import make_texts


@pytest.fixture(scope="module")
def pile(tmp_path_factory):
    """A file of texts without labels."""
    path = tmp_path_factory.mktemp("pile") / "pile.csv"
    path.write_text("text\n" + "".join(f"{text}\n" for text, _ in make_texts(300, seed=5)), "utf8")
    return path


@pytest.mark.slow
def test_a_student_is_written_and_measured(trained, embtune, pile, tmp_path):
    out, other, static = tmp_path / "fast", tmp_path / "st", tmp_path / "m2v"
    code, output, error = embtune(
        *("distill", trained.model, pile, out, "--export", other, "--export-model2vec", static),
        *("--labelled", trained.data, "--train", trained.train, "--dtype", "int8"),
    )
    assert code == 0, error
    assert f"Wrote {out}" in " ".join(output.split())
    assert "of the labels are the same" in output
    assert "int8: cosine with float32" in output
    lines = output.splitlines()
    header = next(i for i, line in enumerate(lines) if line.startswith("metric"))
    assert lines[header].split() == ["metric", "base", "tuned", "student", "kept"]
    assert any(line.startswith("linear probe accuracy") for line in lines[header:])
    assert "of the MAP@R of its teacher" in output
    assert max(map(len, lines)) <= 80
    texts = [text for text, _ in make_texts(40, seed=9)]
    own, theirs = (
        np.stack([doc._.embtune for doc in spacy.load(path).pipe(texts)])
        for path in (out, trained.model)
    )
    assert ((own * theirs).sum(axis=1) / np.linalg.norm(theirs, axis=1)).mean() > 0.85
    for found in (
        SentenceTransformer(str(other), device="cpu").encode(texts),
        StaticModel.from_pretrained(static).encode(texts),
    ):
        np.testing.assert_allclose(found, own, atol=5e-3)
    # Nothing else is left.
    assert {path.name for path in tmp_path.iterdir()} == {"fast", "st", "m2v"}


@pytest.mark.slow
@pytest.mark.parametrize("command", ["embed", "bulk", "plot", "neighbors"])
def test_commands_take_a_student_as_any_pipeline(trained, embtune, pile, tmp_path, command):
    out = tmp_path / "fast"
    assert (
        embtune("distill", trained.model, pile, out, "--student", "layers:1", "--seconds", 1)[0]
        == 0
    )
    given = {
        "embed": [trained.data, tmp_path / "v.npz"],
        "bulk": [trained.data, tmp_path / "b.csv"],
        "plot": [trained.data, tmp_path / "p.html"],
        "neighbors": [trained.data, "a new guitar"],
    }
    code, _, error = embtune(command, out, *given[command])
    assert code == 0, error


@pytest.mark.slow
def test_what_exists_is_replaced_only_if_asked(trained, embtune, pile, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "thesis.txt").write_text("mine")
    code, _, error = embtune("distill", trained.model, pile, out)
    assert (code, "exists already" in error) == (1, True)
    code, _, error = embtune("distill", trained.model, pile, out, "--force")
    assert (code, "something else than a pipeline" in error) == (1, True)
    assert (out / "thesis.txt").read_text() == "mine"
    model = tmp_path / "model"
    shutil.copytree(trained.model, model)
    code, _, error = embtune("distill", model, pile, model, "--force")
    assert (code, "MODEL is in it" in error) == (1, True)
    spacy.load(model)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--student", "fast"], 'give "static" or "layers:K"'),
        (["--student", "layers:2"], "has 2 layers. Give 1 to 1."),
        (["--student", "layers:1", "--dtype", "int8"], "need --student static"),
        (["--student", "layers:1", "--export-model2vec", "m"], "need --student static"),
        (["--text-field", "body"], "body"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_is_written(
    trained, embtune, pile, tmp_path, monkeypatch, options, reason
):
    monkeypatch.chdir(tmp_path)
    code, _, error = embtune("distill", trained.model, pile, "out", *options)
    assert code == 1
    assert reason in error
    assert "out" not in {path.name for path in tmp_path.iterdir()}


def test_too_few_texts_say_how_many_help(trained, embtune, tmp_path):
    few = tmp_path / "few.jsonl"
    srsly.write_jsonl(few, [{"text": f"text {i}"} for i in range(9)])
    code, _, error = embtune("distill", trained.model, few, tmp_path / "out")
    assert code == 1
    assert "There are 9 distinct texts" in error
    assert not (tmp_path / "out").exists()


def test_a_pipeline_without_the_component_is_an_error(embtune, pile, tmp_path):
    spacy.blank("en").to_disk(tmp_path / "blank")
    code, _, error = embtune("distill", tmp_path / "blank", pile, tmp_path / "out")
    assert code == 1
    assert "has no embtune component" in error
