"""--unit: commands about sentences and spans."""

import csv
import json

import pytest
import spacy
import srsly
from spacy.tokens import DocBin, Span

from ..conftest import make_texts


@pytest.fixture(scope="module")
def model(trained, tmp_path_factory):
    """The trained pipeline with a component that finds sentences."""
    nlp = spacy.load(trained.model)
    nlp.add_pipe("sentencizer", before="embtune")
    path = tmp_path_factory.mktemp("units") / "model"
    nlp.to_disk(path)
    return path


@pytest.fixture
def data(tmp_path):
    """A file of 20 documents of two sentences, with a labelled span in each."""
    rows = []
    for i, (text, topic) in enumerate(make_texts(20, seed=4)):
        spans = [{"start": 0, "end": len(text), "label": topic}] * (i > 0)
        rows.append(
            {"id": f"d{i}", "text": f"{text} ! And {text} !", "label": topic, "spans": spans}
        )
    srsly.write_jsonl(tmp_path / "data.jsonl", rows)
    return tmp_path / "data.jsonl"


@pytest.mark.slow
@pytest.mark.parametrize(("unit", "n"), [("doc", 20), ("sents", 40), ("spans:sc", 19)])
def test_each_command_has_one_row_for_each_unit(embtune, model, data, tmp_path, unit, n):
    out = tmp_path / "report.json"
    code, printed, _ = embtune("evaluate", model, data, "--unit", unit, "--json", out)
    assert code == 0, printed
    assert json.loads(out.read_text())["n_documents"] == n
    code, _, said = embtune("bulk", model, data, tmp_path / "bulk.csv", "--unit", unit)
    assert code == 0, said
    with (tmp_path / "bulk.csv").open(encoding="utf8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len({row["id"] for row in rows}) == n
    if unit != "doc":
        assert rows[1]["document"] == ("d0" if unit == "sents" else "d2")
        assert "spans" not in rows[1]
    code, _, said = embtune("embed", model, data, tmp_path / "vectors.jsonl", "--unit", unit)
    assert code == 0, said
    written = list(srsly.read_jsonl(tmp_path / "vectors.jsonl"))
    assert [row["id"] for row in written] == [row["id"] for row in rows]
    code, _, said = embtune("plot", model, data, tmp_path / "page.html", "--unit", unit)
    assert code == 0, said
    assert ('"contexts":[' in (tmp_path / "page.html").read_text("utf8")) == (unit != "doc")
    code, printed, said = embtune("neighbors", model, data, "ball", "--unit", unit, "--json")
    assert code == 0, said
    assert json.loads(printed)["base"][0]["id"] in {row["id"] for row in rows}
    if unit == "spans:sc":
        assert "1 of 20 documents have no spans under the key 'sc'" in said


@pytest.mark.slow
def test_spans_of_a_spacy_file(embtune, model, tmp_path):
    nlp = spacy.blank("en")
    docs = []
    for text, topic in make_texts(20, seed=4):
        docs.append(nlp.make_doc(text))
        docs[-1].spans["topics"] = [Span(docs[-1], 0, 3, label=topic)]
    DocBin(docs=docs).to_disk(tmp_path / "data.spacy")
    out = tmp_path / "vectors.jsonl"
    code, _, said = embtune("embed", model, tmp_path / "data.spacy", out, "--unit", "spans:topics")
    assert code == 0, said
    first = next(iter(srsly.read_jsonl(out)))
    assert (first["text"], first["cats"]) == (docs[0][:3].text, {"SPORT": 1.0})
    code, _, said = embtune("evaluate", model, tmp_path / "data.spacy", "--unit", "spans:sc")
    assert code == 1
    assert "They have spans under 'topics': say spans:topics" in said


@pytest.mark.slow
def test_axes_are_fitted_on_units_too(embtune, model, data, tmp_path):
    out = tmp_path / "page.html"
    code, printed, said = embtune("plot", model, data, out, "--fit", data, "--unit", "sents")
    assert code == 0, said
    assert "40" in printed


def test_a_model_without_sentences_says_which_component_to_add(embtune, trained, data):
    code, _, said = embtune("evaluate", trained.model, data, "--unit", "sents")
    assert code == 1
    assert 'nlp.add_pipe("sentencizer", before="embtune")' in said


def test_an_unknown_unit_is_refused_before_anything_is_read(embtune):
    code, _, said = embtune("evaluate", "no-model", "no-data.csv", "--unit", "words")
    assert code == 2
    assert "sents" in said
    assert "spans:KEY" in said


@pytest.mark.slow
def test_documents_without_units_are_an_error(embtune, model, tmp_path):
    srsly.write_jsonl(tmp_path / "empty.jsonl", [{"text": " "}])
    code, _, said = embtune("evaluate", model, tmp_path / "empty.jsonl", "--unit", "sents")
    assert code == 1
    assert "The documents have no units (sents)" in said
    out = tmp_path / "out.spacy"
    code, _, said = embtune("embed", model, tmp_path / "empty.jsonl", out, "--unit", "sents")
    assert code == 1
    assert "a .spacy file has a Doc for each document" in said


@pytest.mark.slow
def test_invalid_spans_are_an_error_or_skipped(embtune, model, data, tmp_path):
    rows = list(srsly.read_jsonl(data))
    rows[3]["spans"] = [{"start": 0, "end": 999, "label": "FOOD"}]
    srsly.write_jsonl(data, rows)
    for command, *out in (("evaluate",), ("embed", tmp_path / "vectors.jsonl")):
        code, _, said = embtune(command, model, data, *out, "--unit", "spans:sc")
        assert code == 1
        assert "'d3'" in said
        skip = ("--unit", "spans:sc", "--on-error", "skip")
        code, _, said = embtune(command, model, data, *out, *skip)
        assert code == 0, said
        assert "Left out 1 record that is invalid" in said
    assert len(list(srsly.read_jsonl(tmp_path / "vectors.jsonl"))) == 18
    # Documents need no spans.
    assert embtune("evaluate", model, data)[0] == 0


def test_convert_tells_of_spans_beyond_their_text(embtune, data, tmp_path):
    rows = list(srsly.read_jsonl(data))
    rows[3]["spans"] = [{"start": 0, "end": 999, "label": "FOOD"}]
    srsly.write_jsonl(data, rows)
    code, printed, said = embtune("convert", data, tmp_path / "out")
    assert code == 0, said
    assert "Left out the spans of 1 documents" in printed + said
