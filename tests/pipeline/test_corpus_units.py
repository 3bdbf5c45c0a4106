"""Documents as records of their sentences and spans."""

import logging
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import spacy
import srsly
from spacy.language import Language
from spacy.tokens import Doc, DocBin, Span
from spacy.training import Example

from spacy_embtune.data import Record, make_doc, read_records
from spacy_embtune.pipeline import corpus_units, unit_records

TEXT = "Good soup. Old bread!\n\n New salt."
SPANS = [
    {"start": 5, "end": 9, "label": "FOOD"},
    {"start": 5, "end": 9, "label": "HOT"},
    {"start": 0, "end": 21, "label": "TWO"},
    {"start": 3, "end": 3, "label": "EMPTY"},
    {"start": 4, "end": 5, "label": "SPACE"},
]


@pytest.fixture
def nlp() -> Language:
    nlp = spacy.blank("en")
    nlp.add_pipe("sentencizer")
    return nlp


def make_record(number: int = 1, text: str = TEXT, **meta: Any) -> Record:
    return Record(text, {"A": 1.0}, f"d{number}", meta, number)


def test_sentences_of_records(nlp: Language) -> None:
    units = list(unit_records(nlp, [make_record(url="u"), make_record(2, "Salt")], "sents"))
    assert [unit.text for unit in units] == ["Good soup.", "Old bread!", "New salt.", "Salt"]
    assert [unit.id for unit in units] == ["d1#0-10", "d1#11-21", "d1#24-33", "d2#0-4"]
    assert all(unit.cats == {"A": 1.0} for unit in units)
    assert units[1].meta == {"document": "d1", "start": 11, "end": 21, "url": "u"}
    for unit in units:
        place = unit.location
        assert place is not None
        assert place.text[place.start : place.end] == unit.text
        assert (place.document, unit.line) in (("d1", 1), ("d2", 2))


def test_spans_of_records(nlp: Language) -> None:
    (food, two) = unit_records(nlp, [make_record(spans=SPANS, n=1)], "spans:sc")
    assert (food.text, food.cats, food.id) == ("soup", {"FOOD": 1.0, "HOT": 1.0}, "d1#5-9")
    assert two.text == "Good soup. Old bread!"
    # The spans of the whole document are not repeated for each of its spans.
    assert food.meta == {"document": "d1", "start": 5, "end": 9, "n": 1}


def test_documents_stay_as_they_are(nlp: Language) -> None:
    records = [make_record(spans=SPANS)]
    assert list(unit_records(nlp, records, "doc")) == records


def test_fields_with_the_names_of_a_unit_s_fields_are_kept(nlp: Language) -> None:
    unit = next(unit_records(nlp, [make_record(start="noon", document=7)], "sents"))
    assert unit.meta["start"] == 0
    assert unit.meta["start_in_data"] == "noon"
    assert unit.meta["document_in_data"] == 7


def test_empty_documents_have_no_sentences(nlp: Language) -> None:
    assert list(unit_records(nlp, [make_record(1, ""), make_record(2, " \n ")], "sents")) == []


@pytest.mark.parametrize("unit", ["sentence", "spans", "spans:", ""])
def test_an_unknown_unit_is_named(nlp: Language, unit: str) -> None:
    with pytest.raises(ValueError, match=r"give doc, sents .* or spans:KEY"):
        unit_records(nlp, [], unit)


def test_without_sentence_boundaries_the_component_to_add_is_named() -> None:
    with pytest.raises(ValueError, match=r'add_pipe\("sentencizer", before="embtune"\)'):
        list(unit_records(spacy.blank("en"), [make_record()], "sents"))


def test_boundaries_come_from_any_component_that_sets_them() -> None:
    nlp = spacy.blank("en")

    @Language.component("each_token")
    def each_token(doc: Doc) -> Doc:
        for token in doc:
            token.is_sent_start = True
        return doc

    @Language.component("fails")
    def fails(doc: Doc) -> Doc:
        raise AssertionError("It comes behind the sentences.")

    nlp.add_pipe("each_token")
    # Nothing says what `each_token` does, so that all before embtune run.
    nlp.add_pipe("embtune")
    nlp.add_pipe("fails")
    assert [unit.text for unit in unit_records(nlp, [make_record(1, "a b")], "sents")] == ["a", "b"]
    nlp.remove_pipe("each_token")
    nlp.add_pipe("senter", before="fails")
    nlp.get_pipe("senter").initialize(lambda: [Example(nlp.make_doc("a b"), nlp.make_doc("a b"))])
    assert list(unit_records(nlp, [make_record(1, "a b")], "sents"))
    assert nlp.pipe_names == ["embtune", "senter", "fails"]


def test_docs_keep_their_own_boundaries_and_spans(nlp: Language) -> None:
    doc = Doc(nlp.vocab, words=["Good", "soup", "Old", "bread"])
    for i, token in enumerate(doc):
        token.is_sent_start = i % 2 == 0
    doc.cats = {"A": 1.0}
    doc.spans["sc"] = [Span(doc, 1, 2, label="FOOD")]
    for given in (doc, Example(Doc(nlp.vocab, words=[t.text for t in doc]), doc)):
        units = list(unit_records(nlp, [make_record(), given], "sents"))
        assert [unit.text for unit in units[3:]] == ["Good soup", "Old bread"]
        assert units[3].id == "1#0-9"
        (span,) = unit_records(nlp, [given], "spans:sc")
        assert (span.text, span.cats) == ("soup", {"FOOD": 1.0})
    assert doc.has_annotation("SENT_START")


def test_another_type_is_refused(nlp: Language) -> None:
    with pytest.raises(ValueError, match="Document 0 is 'a text', a str"):
        list(unit_records(nlp, ["a text"], "sents"))  # type: ignore[list-item]


def test_documents_without_the_key_are_counted(
    nlp: Language, caplog: pytest.LogCaptureFixture
) -> None:
    records = [make_record(1, spans=SPANS), make_record(2), make_record(3, spans=[])]
    with caplog.at_level(logging.WARNING, logger="spacy_embtune"):
        assert len(list(unit_records(nlp, records, "spans:sc"))) == 2
    assert "2 of 3 documents have no spans under the key 'sc'" in caplog.text


def test_a_key_that_no_document_has_names_the_others(nlp: Language) -> None:
    with pytest.raises(ValueError, match="They have spans under 'sc': say spans:sc"):
        list(unit_records(nlp, [make_record(spans=SPANS)], "spans:topics"))
    with pytest.raises(ValueError, match="and from the field 'spans' of other files"):
        list(unit_records(nlp, [make_record()], "spans:topics"))


@pytest.mark.parametrize(
    ("spans", "message"),
    [
        ([{"start": 5, "end": 99}], "from 5 to 99, but the text has 33 characters"),
        ([{"start": 5, "end": 4}], "from 5 to 4"),
        ([{"start": -1, "end": 4}], "from -1 to 4"),
        ([{"start": 0.5, "end": 4}], "Give its first and last offset"),
        ([{"start": "0", "end": 4}], "Give its first and last offset"),
        ([{"label": "A"}], "Give its first and last offset"),
        (["A"], "Give its first and last offset"),
        ([[0, 4, "A"]], "Give its first and last offset"),
        (7, "holds 7, a int. Give a list"),
        ({"sc": "A"}, "holds 'A', a str. Give a list"),
    ],
)
def test_invalid_spans_name_the_document(nlp: Language, spans: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"Document 'd1': .*{message}"):
        list(unit_records(nlp, [make_record(spans=spans)], "spans:sc"))


# Files


def write(path: Path, spans: Any, **fields: Any) -> Path:
    srsly.write_jsonl(path, [{"text": TEXT, "id": "d1", "spans": spans, **fields}])
    return path


@pytest.mark.parametrize(
    ("spans", "key"),
    [(SPANS, "sc"), ({"topics": SPANS, "other": []}, "topics"), (srsly.json_dumps(SPANS), "sc")],
)
def test_spans_of_json_lines(nlp: Language, tmp_path: Path, spans: Any, key: str) -> None:
    records = read_records(write(tmp_path / "data.jsonl", spans, label="A"))
    assert next(unit.text for unit in unit_records(nlp, records, f"spans:{key}")) == "soup"


def test_spans_of_a_table(nlp: Language, tmp_path: Path) -> None:
    import pandas

    frame = pandas.DataFrame({"text": [TEXT, TEXT], "spans": [SPANS, None]})
    frame.to_parquet(tmp_path / "data.parquet")
    frame["spans"] = [srsly.json_dumps(SPANS), None]
    frame.to_csv(tmp_path / "data.csv", index=False)
    for name in ("data.parquet", "data.csv"):
        units = list(unit_records(nlp, read_records(tmp_path / name), "spans:sc"))
        assert next((unit.text, len(unit.cats)) for unit in units) == ("soup", 2), name


def test_spans_of_a_spacy_file(nlp: Language, tmp_path: Path) -> None:
    docs = [nlp.make_doc(TEXT), nlp.make_doc("No spans.")]
    docs[0].spans["topics"] = [docs[0].char_span(5, 9, label="FOOD")]
    docs[0].user_data["url"] = "u"
    DocBin(docs=docs, store_user_data=True).to_disk(tmp_path / "data.spacy")
    records = list(read_records(tmp_path / "data.spacy"))
    assert "spans" not in records[1].meta
    (unit,) = unit_records(nlp, records, "spans:topics")
    assert (unit.text, unit.cats, unit.meta["url"]) == ("soup", {"FOOD": 1.0}, "u")


@pytest.mark.parametrize("answer", ["reject", "ignore"])
def test_spans_that_were_not_accepted_are_no_labels(
    nlp: Language, tmp_path: Path, answer: str
) -> None:
    accepted = write(tmp_path / "yes.jsonl", SPANS, answer="accept")
    assert len(list(unit_records(nlp, read_records(accepted), "spans:sc"))) == 2
    refused = write(tmp_path / "no.jsonl", SPANS, answer=answer)
    assert "spans" not in next(iter(read_records(refused))).meta


def test_a_document_for_training_has_the_spans_of_its_record(nlp: Language) -> None:
    doc = make_doc(
        make_record(spans=[*SPANS, {"start": 5, "end": 7, "label": "CUT"}]), nlp.make_doc
    )
    found = [(span.text, span.label_) for span in doc.spans["sc"]]
    assert found[:2] == [("soup", "FOOD"), ("soup", "HOT")]
    # A span takes whole tokens.
    assert found[-1] == ("soup", "CUT")
    other = make_doc(make_record(spans=7), nlp.make_doc)
    assert "sc" not in other.spans
    assert other.user_data["spans"] == 7


# Memory


@pytest.mark.slow
def test_memory_stays_flat(nlp: Language, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corpus_units, "_MOST_DOCS", 20)

    def generate(n: int) -> Iterator[Record]:
        for i in range(n):
            yield make_record(i, " ".join(f"Word{j} soup." for j in range(10)))

    def peak(n: int) -> int:
        tracemalloc.start()
        assert sum(1 for _ in unit_records(nlp, generate(n), "sents")) == 10 * n
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    peak(60)
    few, many = peak(60), peak(240)
    assert many < 1.3 * few


def test_the_vocabulary_forgets_the_words_of_a_corpus(nlp: Language) -> None:
    n_strings = len(nlp.vocab.strings)
    records = [make_record(1, f"Word{i}. Other{i}.") for i in range(300)]
    assert len(list(unit_records(nlp, records, "sents"))) == 600
    assert len(nlp.vocab.strings) < n_strings + 20
