import json
import logging
from collections import Counter
from itertools import islice
from typing import NamedTuple

import numpy as np
import pytest
import spacy
from hypothesis import given
from hypothesis import strategies as st
from spacy.tokens import DocBin
from spacy.training import Example
from thinc.api import Config

from spacy_embtune._texts import fold_text
from spacy_embtune.data import (
    PairsFromCorpus,
    _pair_sampling,
    get_group,
    get_partners,
    set_group,
    set_partners,
)

from ..conftest import make_examples

NLP = spacy.blank("en")


def corpus_of(texts, *, cats=None, groups=None, key="embtune_group"):
    """Create a reader that makes new Examples on each pass."""

    def read(nlp):
        for i, text in enumerate(texts):
            example = Example.from_dict(nlp.make_doc(text), {"cats": cats[i] if cats else {}})
            if groups is not None and groups[i] is not None:
                example.reference.user_data[key] = groups[i]
            yield example

    return read


class Scored(NamedTuple):
    """A partner without its group."""

    text: str
    score: float


def read(reader, nlp=NLP):
    """List (text, partners, group) of each example."""
    return [
        (
            e.reference.text,
            [Scored(*p[:2]) for p in get_partners(e.reference)],
            get_group(e.reference),
        )
        for e in reader(nlp)
    ]


def one_of(label, labels="ABC"):
    return {other: float(other == label) for other in labels}


# All sources of pairs


TEXTS = st.lists(st.sampled_from(["a", " a", "b", "b c", "b  c", "d", "e\n\nf", " "]), max_size=12)
CATS = st.sampled_from([{}, {"A": 1.0}, {"A": 0.0}, {"B": 1.0}, {"A": 0.3}, {"A": 1.0, "B": 1.0}])


@st.composite
def corpora(draw):
    texts = draw(TEXTS)
    n = len(texts)
    cats = draw(st.lists(CATS, min_size=n, max_size=n))
    groups = draw(st.lists(st.sampled_from([None, "g", "h"]), min_size=n, max_size=n))
    return corpus_of(texts, cats=cats, groups=groups)


@pytest.mark.slow
@given(
    corpora(),
    st.sampled_from(["cats", "group", "paragraphs", "sentences"]),
    st.integers(0, 3),
    st.integers(1, 3),
    st.sampled_from([2, 5, 100]),
)
def test_no_text_is_paired_with_itself_or_twice_and_n_pos_and_n_neg_are_limits(
    corpus, by, n_pos, n_neg, window
):
    reader = PairsFromCorpus(corpus, by, n_pos=n_pos, n_neg=n_neg, window=window)
    try:
        rows = read(reader)
    except ValueError as error:
        assert "found no pair" in str(error)  # noqa: PT017
        return
    texts = {fold_text(text) for text, _, _ in rows}
    for text, partners, _ in rows:
        for side, most in (([p for p in partners if p.score >= 0.5], n_pos), ([*partners], None)):
            partner_texts = [fold_text(p.text) for p in side]
            assert len(side) <= (n_pos + n_neg if most is None else most)
            assert fold_text(text) not in partner_texts
            assert "" not in partner_texts
            assert texts.issuperset(partner_texts)
            if most is not None:
                assert len(set(partner_texts)) == len(partner_texts)


@pytest.mark.parametrize("by", ["cats", "group", "paragraphs", "sentences"])
def test_runs_have_the_same_pairs_and_passes_have_different_ones(by):
    texts = [f"one {i}.\n\ntwo {i}.\n\nthree {i}." for i in range(40)]
    cats = [one_of("ABC"[i % 3]) for i in range(40)]
    corpus = corpus_of(texts, cats=cats, groups=[str(i % 5) for i in range(40)])
    runs = []
    for seed in (0, 0, 1):
        reader = PairsFromCorpus(corpus, by, n_neg=1, seed=seed)
        runs.append([read(reader), read(reader)])
    assert runs[0] == runs[1]
    assert runs[0][0] != runs[0][1]
    assert runs[0][0] != runs[2][0]
    fixed = PairsFromCorpus(corpus, by, n_neg=1, redraw=False)
    assert read(fixed) == read(fixed) == runs[0][0]


def test_all_possible_partners_are_sampled_over_many_passes():
    corpus = corpus_of(list("abcdef"), groups=["g"] * 6)
    reader = PairsFromCorpus(corpus, "group")
    counts = Counter(partners[0].text for _ in range(60) for _, partners, _ in read(reader))
    assert set(counts) == set("abcdef")
    assert min(counts.values()) > 30


def test_the_corpus_is_read_window_by_window_and_its_documents_are_not_changed():
    taken = []

    def endless(nlp):
        while True:
            taken.append(Example.from_dict(nlp.make_doc(f"text {len(taken)}"), {"cats": {"A": 1}}))
            set_group(taken[-1].reference, "g")
            yield taken[-1]

    reader = PairsFromCorpus(endless, "group", window=10, keep_cats=False)
    examples = list(islice(reader(NLP), 25))
    assert len(taken) == 30
    for given_, got in zip(taken, examples, strict=False):
        assert got.predicted is given_.predicted
        assert got.reference.cats == {}
        assert given_.reference.cats == {"A": 1}
        assert get_partners(given_.reference) == []


def test_partners_are_from_the_same_window():
    reader = PairsFromCorpus(corpus_of([str(i) for i in range(10)], groups=["g"] * 10), "group")
    reader.window = 5
    for text, (partner,), _ in read(reader):
        assert int(text) // 5 == int(partner.text) // 5


def test_the_block_size_does_not_change_the_sample(monkeypatch):
    corpus = corpus_of([str(i) for i in range(50)], groups=[str(i % 7) for i in range(50)])
    whole = read(PairsFromCorpus(corpus, "group", n_neg=2))
    monkeypatch.setattr(_pair_sampling, "BLOCK_ENTRIES", 100)
    assert read(PairsFromCorpus(corpus, "group", n_neg=2)) == whole


# Labels


def test_pairs_by_cats_have_the_similarity_of_the_labels_as_score():
    corpus = corpus_of(
        list("abcdef"),
        cats=[
            {"A": 1.0, "B": 1.0, "C": 0.0},
            {"A": 1.0, "B": 1.0, "C": 0.0},
            {"A": 1.0, "B": 0.0, "C": 0.0},
            {"A": 0.0, "B": 0.0, "C": 1.0},
            {"C": 1.0},
            {},
        ],
    )
    rows = {text: partners for text, partners, _ in read(PairsFromCorpus(corpus, "cats", n_pos=9))}
    assert sorted(rows["a"]) == [("b", 1.0), ("c", 0.5)]
    assert sorted(rows["c"]) == [("a", 0.5), ("b", 0.5)]
    assert sorted(rows["d"]) == [("e", 1.0)]
    assert rows["f"] == []
    negatives = PairsFromCorpus(corpus, "cats", n_pos=0, n_neg=9)
    rows = {text: partners for text, partners, _ in read(negatives)}
    # "e" has a known value for C only, so it differs from documents that are known not to be C.
    assert sorted(rows["e"]) == [("a", 0.0), ("b", 0.0), ("c", 0.0)]
    assert rows["f"] == []


def test_unknown_labels_make_no_negatives_unless_classes_are_exclusive():
    corpus = corpus_of(["a", "b", "c"], cats=[{"A": 1.0}, {"B": 1.0}, {"B": 1.0}])
    exclusive = PairsFromCorpus(corpus, "cats", n_pos=0, n_neg=1)
    assert [len(partners) for _, partners, _ in read(exclusive)] == [1, 1, 1]
    several = PairsFromCorpus(corpus, "cats", n_pos=0, n_neg=1, exclusive_classes=False)
    with pytest.raises(ValueError, match="found no pair"):
        read(several)


def test_cats_are_kept_unless_told_otherwise():
    corpus = corpus_of(list("abcd"), cats=[one_of(label) for label in "AABB"])
    for keep_cats in (True, False):
        examples = list(PairsFromCorpus(corpus, "cats", keep_cats=keep_cats)(NLP))
        assert [bool(example.reference.cats) for example in examples] == [keep_cats] * 4
        assert all(get_partners(example.reference) for example in examples)


def test_contradicting_labels_of_one_text_do_not_pair_it_with_itself():
    corpus = corpus_of(["a", "a", "b", "c"], cats=[one_of(x) for x in "ABAB"])
    for text, partners, _ in read(PairsFromCorpus(corpus, "cats", n_pos=3, n_neg=3)):
        assert text not in [partner.text for partner in partners]


def test_partners_that_a_document_has_are_kept():
    def corpus(nlp):
        for example in corpus_of(["a", "b"], cats=[one_of("A")] * 2)(nlp):
            set_partners(example.reference, [("x", 0.25)])
            yield example

    assert read(PairsFromCorpus(corpus, "cats"))[0][1] == [("x", 0.25), ("b", 1.0)]


@pytest.mark.parametrize("n_neg", [1, 3])
def test_hard_negatives_are_the_nearest_of_another_label(make_nlp, n_neg):
    nlp = make_nlp()
    examples = make_examples(nlp, 30)
    reader = PairsFromCorpus(lambda nlp: examples, "cats", n_neg=n_neg, hard_negatives=True)
    rows = read(reader, nlp)
    vectors = nlp.get_pipe("embtune").encoder.vectors([e.reference.text for e in examples])
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    label = np.asarray([max(e.reference.cats, key=e.reference.cats.get) for e in examples])
    for i, (_, partners, _) in enumerate(rows):
        cosine = np.where(label != label[i], unit @ unit[i], -2)
        nearest = np.argsort(-cosine, kind="stable")[:n_neg]
        expected = [examples[j].reference.text for j in nearest]
        assert [p.text for p in partners if p.score == 0.0] == expected


def test_hard_negatives_are_encoded_once(make_nlp):
    nlp = make_nlp()
    reader = PairsFromCorpus(
        lambda nlp: make_examples(nlp, 30), "cats", n_neg=1, hard_negatives=True
    )
    nlp.initialize(lambda: reader(nlp))
    list(reader(nlp))
    distinct = {example.reference.text for example in make_examples(nlp, 30)}
    assert nlp.get_pipe("embtune").encoder.n_encoded == len(distinct)


@pytest.mark.parametrize("component", ["embtune", "other"])
def test_hard_negatives_need_an_encoder(component):
    corpus = corpus_of(["a", "b"], cats=[one_of("A"), one_of("B")])
    reader = PairsFromCorpus(corpus, "cats", n_neg=1, hard_negatives=True, component=component)
    with pytest.raises(ValueError, match=f"needs a component '{component}' with an encoder"):
        read(reader)


# Groups


def test_pairs_by_group():
    groups = ["x", "x", "y", None, "y", "z"]
    corpus = corpus_of(list("abcdef"), groups=groups)
    rows = read(PairsFromCorpus(corpus, "group", n_pos=5, n_neg=5))
    assert [group for _, _, group in rows] == groups
    partners = {text: dict(partners) for text, partners, _ in rows}
    assert partners["a"] == {"b": 1.0, "c": 0.0, "e": 0.0, "f": 0.0}
    assert partners["d"] == {}
    assert partners["f"] == dict.fromkeys("abce", 0.0)


def test_the_group_may_be_under_another_key():
    corpus = corpus_of(list("abc"), groups=["x", "x", None], key="author")
    rows = read(PairsFromCorpus(corpus, "group", group_key="author"))
    assert rows == [("a", [("b", 1.0)], "x"), ("b", [("a", 1.0)], "x"), ("c", [], None)]


def test_groups_alone_are_pairs_within_a_batch():
    corpus = corpus_of(list("ab"), groups=["x", "y"])
    assert read(PairsFromCorpus(corpus, "group", n_pos=0)) == [("a", [], "x"), ("b", [], "y")]
    with pytest.raises(ValueError, match="no pair among the 2"):
        read(PairsFromCorpus(corpus_of(list("ab")), "group", n_pos=0))


# Parts of documents


def test_paragraphs_become_documents_in_the_group_of_theirs():
    texts = ["One a.\nOn.\n\nTwo a.\n \n\n\tThree a.\n", "Only this.", "\n\nOne c.\r\n\r\nTwo c."]
    cats = [one_of("A"), one_of("B"), {}]
    reader = PairsFromCorpus(corpus_of(texts, cats=cats, groups=[None, None, "c"]), "paragraphs")
    examples = list(reader(NLP))
    assert [e.predicted.text for e in examples] == [
        *("One a.\nOn.", "Two a.", "Three a.", "Only this.", "One c.", "Two c.")
    ]
    assert [e.reference.cats for e in examples] == [one_of("A")] * 3 + [one_of("B")] + [{}] * 2
    groups = [get_group(e.reference) for e in examples]
    assert groups == ["document 0"] * 3 + ["document 1"] + ["c"] * 2
    for example in examples:
        group = get_group(example.reference)
        same = {e.reference.text for e in examples if get_group(e.reference) == group}
        partners = get_partners(example.reference)
        assert len(partners) == (len(same) > 1)
        assert {p.text for p in partners} <= same - {example.reference.text}


def test_the_parts_of_a_document_are_in_one_window():
    texts = ["\n\n".join(f"{part} {i}" for part in ("one", "two", "three")) for i in range(5)]
    reader = PairsFromCorpus(corpus_of(texts), "paragraphs", window=2)
    assert [len(partners) for _, partners, _ in read(reader)] == [1] * 15


def test_sentences_are_those_of_the_document_if_it_has_any():
    def corpus(nlp):
        for text in ("one two three", "It is. Is it? Yes!"):
            example = Example.from_dict(nlp.make_doc(text), {})
            if text.startswith("one"):
                example.reference[0].is_sent_start = True
                example.reference[1].is_sent_start = True
                example.reference[2].is_sent_start = False
            yield example

    rows = read(PairsFromCorpus(corpus, "sentences"))
    assert [text for text, _, _ in rows] == ["one", "two three", "It is.", "Is it?", "Yes!"]
    assert [group for _, _, group in rows] == ["document 0"] * 2 + ["document 1"] * 3


# Corpora with few pairs or none


def test_documents_without_a_partner_are_kept_counted_and_reported_once(caplog):
    corpus = corpus_of(list("aabcde"), groups=["x", "x", "y", "y", "z", None])
    reader = PairsFromCorpus(corpus, "group")
    with caplog.at_level(logging.WARNING):
        assert len(read(reader)) == len(read(reader)) == 6
    (message,) = caplog.messages
    # The two texts "a" are one text.
    assert "for 4 of 6 documents there is no positive partner" in message


def test_documents_without_a_negative_partner_are_reported(caplog):
    corpus = corpus_of(list("abc"), cats=[one_of("A")] * 3)
    assert len(read(PairsFromCorpus(corpus, "cats", n_neg=1))) == 3
    (message,) = caplog.messages
    assert "for 3 of 3 documents there is no negative partner" in message


@pytest.mark.parametrize(
    ("by", "texts", "cats", "groups", "advice"),
    [
        ("cats", "abc", [one_of("A"), one_of("B"), {}], None, "labels that several"),
        ("cats", "aa", [one_of("A")] * 2, None, "labels that several"),
        ("group", "abc", None, ["x", "y", None], "store_user_data=True"),
        ("paragraphs", "abc", None, None, "blank lines"),
        ("sentences", "abc", None, None, "several sentences"),
        ("group", "", None, None, "0 documents"),
    ],
)
def test_a_corpus_without_pairs_is_an_error_with_the_cure(by, texts, cats, groups, advice):
    reader = PairsFromCorpus(corpus_of(list(texts), cats=cats, groups=groups), by)
    with pytest.raises(ValueError, match="found no pair") as error:
        read(reader)
    assert advice in str(error.value)


def test_invalid_cats_and_groups_are_errors_that_name_the_document():
    with pytest.raises(ValueError, match=r"document 'b': the label 'A' has the value 1\.5"):
        read(PairsFromCorpus(corpus_of(["a", "b"], cats=[{"A": 1.0}, {"A": 1.5}]), "cats"))
    with pytest.raises(ValueError, match="document 'b': the group is 7"):
        read(PairsFromCorpus(corpus_of(["a", "b"], groups=["x", 7]), "group"))


@pytest.mark.parametrize(
    "settings",
    [{"by": "author"}, {"n_pos": -1}, {"n_neg": -1}, {"n_pos": 0}, {"window": 1}, {"seed": -1}],
)
def test_settings_that_make_no_sense_are_errors(settings):
    with pytest.raises(ValueError, match=next(iter(settings))):
        PairsFromCorpus(corpus_of([]), **{"by": "cats", **settings})


# In a config


def test_a_config_nests_readers(tmp_path):
    docs = DocBin(store_user_data=True)
    for i in range(6):
        doc = NLP(f"text {i}")
        doc.user_data["thread"] = str(i % 2)
        docs.add(doc)
    docs.to_disk(tmp_path / "corpus.spacy")
    config = Config().from_str(f"""
        [train]
        @readers = "spacy-embtune.pairs_from_corpus.v1"
        by = "group"
        group_key = "thread"

        [train.corpus]
        @readers = "spacy.Corpus.v1"
        path = {json.dumps(str(tmp_path / "corpus.spacy"))}
        gold_preproc = false
    """)
    reader = spacy.registry.resolve(config)["train"]
    rows = read(reader)
    assert len(rows) == 6
    for text, (partner,), group in rows:
        assert partner.text != text
        assert int(partner.text[-1]) % 2 == int(text[-1]) % 2 == int(group)


def test_sentence_boundaries_are_not_left_on_the_corpus():
    example = Example.from_dict(NLP.make_doc("It is. It was."), {})
    read(PairsFromCorpus(lambda nlp: [example], "sentences"))
    assert not example.reference.has_annotation("SENT_START")
