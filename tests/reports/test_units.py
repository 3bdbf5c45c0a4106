"""Reports on sentences and labelled spans."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from spacy.tokens import Doc, Span
from spacy.training import Example

from spacy_embtune.data import Record
from spacy_embtune.reports import documents, report

from ..conftest import TOPICS, make_texts
from ..pipeline.test_spans import as_examples, make_span_docs, make_static, train


@pytest.fixture
def nlp():
    nlp = make_static(spans="sc", learn_spans=True)
    return train(nlp, as_examples(make_span_docs(nlp, 30)), n_steps=10)


def make_records(n, *, seed=5):
    """RETURNS (list[Record]): Documents of two sentences of one topic."""
    rows, others = make_texts(n, seed=seed), make_texts(n, seed=seed + 1)
    return [
        Record(f"{text} ! {other} !", {topic: 1.0}, str(i), {}, i)
        for i, ((text, topic), (other, _)) in enumerate(zip(rows, others, strict=True))
    ]


def test_rows_are_sentences(nlp):
    records = make_records(9)
    found = documents(nlp, None, records, unit="sents")
    assert len(found.texts) == 18
    assert found.texts[0] == records[0].text.split("! ")[0] + "!"
    assert found.ids[1] == f"0#{len(found.texts[0]) + 1}-{len(records[0].text)}"
    assert found.fields_of(1)["document"] == "0"
    assert found.sources()[1] == records[0].text
    assert len(found.locations) == 18
    # A sentence has the vector of its text, and the labels of its document.
    alone = documents(nlp, None, [Record(found.texts[1], {}, "0", {}, 1)])
    assert_allclose(found.tuned[1], alone.tuned[0], atol=1e-5)
    assert np.asarray(found.targets.values)[0, found.labels.index("SPORT")] == 1.0
    assert alone.sources() == alone.texts
    assert alone.locations == []


def test_rows_are_spans(nlp):
    docs = make_span_docs(nlp, 10)
    found = documents(nlp, None, docs, unit="spans:sc")
    assert found.texts[:2] == [span.text for span in docs[0].spans["sc"]]
    assert np.asarray(found.targets.values).sum() == 20
    assert (np.asarray(found.targets.known) == 1).all()
    # The component sets the same vectors.
    docs = [nlp(doc) for doc in docs]
    spans = [span for doc in docs for span in doc.spans["sc"]]
    assert_allclose(found.tuned, [span._.embtune for span in spans], atol=1e-5)


def test_labels_that_a_span_of_several_labels_lacks_are_absent(nlp):
    docs = make_span_docs(nlp, 10)
    first = docs[0].spans["sc"][0]
    docs[0].spans["sc"] = [*docs[0].spans["sc"], Span(docs[0], first.start, first.end, label="NEW")]
    found = documents(nlp, None, docs, unit="spans:sc")
    assert not found.targets.exclusive
    assert (np.asarray(found.targets.known) == 1).all()
    assert set(found.labels) == {*TOPICS, "NEW"}
    assert np.asarray(found.targets.values)[0].sum() == 2


@pytest.mark.slow
def test_a_report_counts_units_and_not_documents(nlp):
    found = report(nlp, make_span_docs(nlp, 20), unit="spans:sc", progress=False)
    assert found.n_documents == found.n_labelled == 40
    assert found.n_sources == found.to_dict()["n_sources"] == 20
    assert "40 units of 20 documents" in found.to_text()
    assert "among the units" in found.to_text()
    assert any("Intervals draw whole documents" in note for note in found.notes)
    assert found.primary[0].tuned is not None
    compared = report(
        nlp, make_records(9), train=make_records(12, seed=7), unit="sents", progress=False
    )
    assert (compared.n_documents, compared.n_train) == (18, 24)
    # Nine documents are too few, although they have 18 sentences.
    assert "only 9 documents" in compared.verdict.text
    assert report(nlp, make_records(9), progress=False).n_sources is None


def test_spans_that_were_trained_on_are_not_held_out(nlp):
    seen = report(nlp, make_span_docs(nlp, 30), unit="spans:sc", progress=False)
    assert seen.seen.n == 60
    assert not any("--unit" in note for note in seen.notes)
    # Their documents are not new, and not what the component learned from.
    whole = report(nlp, make_span_docs(nlp, 30), progress=False)
    assert whole.seen.n == 30
    assert any("--unit spans:sc" in note for note in whole.notes)


def test_sentences_of_documents_that_were_trained_on_are_not_held_out():
    nlp = make_static()
    records = make_records(12)
    docs = []
    for record in records:
        docs.append(nlp.make_doc(record.text))
        docs[-1].cats = dict(record.cats)
    train(nlp, [Example(doc.copy(), doc) for doc in docs], n_steps=2)
    found = report(nlp, records, unit="sents", progress=False)
    assert found.seen.n == found.seen.n_remembered == 24
    assert any("24 were in its training corpus" in warning for warning in found.warnings)
    assert report(nlp, make_records(6, seed=8), unit="sents", progress=False).seen.n == 0


def test_an_unknown_unit_and_missing_sentences_are_errors(nlp):
    with pytest.raises(ValueError, match="give doc, sents"):
        report(nlp, make_records(3), unit="paragraph")
    nlp.remove_pipe("sentencizer")
    with pytest.raises(ValueError, match="sentencizer"):
        documents(nlp, None, make_records(3), unit="sents")
    # A Doc with sentence boundaries of its own needs no component.
    doc = Doc(nlp.vocab, words=["ball", "soup"], sent_starts=[True, True])
    assert documents(nlp, None, [doc], unit="sents").texts == ["ball", "soup"]
