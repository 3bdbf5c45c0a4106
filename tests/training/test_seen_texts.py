import hashlib

import pytest
import spacy
from hypothesis import given
from hypothesis import strategies as st

from spacy_embtune.data import pairs_to_examples
from spacy_embtune.training.seen_texts import SeenTexts

from ..conftest import make_examples


def fold(text):
    return " ".join(text.split()).casefold()


@given(st.lists(st.text(max_size=8), max_size=12), st.lists(st.text(max_size=8), max_size=12))
def test_texts_are_recognized_up_to_case_and_whitespace_also_once_stored(known, others):
    seen = SeenTexts(known)
    folded = {fold(text) for text in known} - {""}
    assert len(seen) == len(folded)
    stored = SeenTexts.from_bytes(seen.to_bytes())
    assert stored.to_bytes() == seen.to_bytes() == SeenTexts(reversed(known)).to_bytes()
    for memory in (seen, stored):
        expected = [fold(text) in folded for text in (*known, *others)]
        assert memory.recognize([*known, *others]).tolist() == expected


def test_the_file_is_the_same_on_any_machine():
    digests = sorted(
        hashlib.blake2b(text.encode(), digest_size=8).digest() for text in ("strasse 7", "x")
    )
    assert SeenTexts(["Straße\t 7 ", "X"]).to_bytes() == b"".join(digests)
    assert SeenTexts([" ", ""]).to_bytes() == b""


def test_lone_surrogates_are_texts():
    assert SeenTexts(["\ud800"]).recognize(["\ud800", "\udfff"]).tolist() == [True, False]


@pytest.mark.parametrize("most", [0, 2, 3, 4])
def test_a_memory_takes_no_more_than_it_has_room_for(most):
    seen = SeenTexts(["a", "A ", "b", "c"], max_texts=most)
    assert seen.recognize(["a", "b", "c"]).tolist() == [i < most for i in range(3)]
    assert seen.is_full == (most <= 3)
    seen.add(["d", "e"])
    assert len(seen) == max(most, min(most, 5))


# In a component


def texts_of(examples):
    return [example.reference.text for example in examples]


@pytest.mark.slow
def test_a_component_remembers_its_training_texts_wherever_it_goes(train, make_nlp, tmp_path):
    nlp = train(n_steps=1)
    texts = texts_of(make_examples(nlp, 60))
    expected = SeenTexts(texts).to_bytes()
    nlp.to_disk(tmp_path / "model")
    assert (tmp_path / "model" / "embtune" / "seen").read_bytes() == expected
    assert len(expected) == 8 * len(set(texts))
    from_bytes = make_nlp()
    from_bytes.from_bytes(nlp.to_bytes())
    for pipeline in (nlp, spacy.load(tmp_path / "model"), from_bytes):
        assert pipeline.get_pipe("embtune").seen.to_bytes() == expected
    # Initialized anew, it has seen the new texts only.
    examples = make_examples(nlp, 6, seed=5)
    nlp.initialize(lambda: examples)
    assert nlp.get_pipe("embtune").seen.to_bytes() == SeenTexts(texts_of(examples)).to_bytes()


def test_texts_that_come_after_initialize_are_remembered(make_nlp):
    nlp = make_nlp()
    first, later = make_examples(nlp, 6), make_examples(nlp, 6, seed=5)
    optimizer = nlp.initialize(lambda: first)
    seen = nlp.get_pipe("embtune").seen
    assert not seen.recognize(texts_of(later)).any()
    nlp.update(later, sgd=optimizer)
    assert seen.recognize(texts_of([*first, *later])).all()
    nlp.evaluate(make_examples(nlp, 6, seed=6))
    assert len(seen) == 12


@pytest.mark.slow
def test_what_is_not_remembered_is_none_and_stays_none(make_nlp, train, tmp_path):
    assert make_nlp().get_pipe("embtune").seen is None
    nlp = train(n_steps=1)
    pipe = nlp.get_pipe("embtune")
    pipe.to_disk(tmp_path / "pipe", exclude=["seen"])
    assert not (tmp_path / "pipe" / "seen").exists()
    other = make_nlp().get_pipe("embtune")
    other.from_disk(tmp_path / "pipe")
    assert other.seen is None
    # A pipeline that was stored before texts were remembered, over one that remembers some.
    pipe.from_disk(tmp_path / "pipe")
    assert pipe.seen is None
    assert make_nlp().get_pipe("embtune").from_bytes(pipe.to_bytes()).seen is None
    # It does not know all of them any more.
    nlp.update(make_examples(nlp, 6), sgd=nlp.resume_training())
    assert pipe.seen is None


def test_texts_of_pairs_are_remembered(make_nlp):
    nlp = make_nlp(loss={"@losses": "spacy-embtune.cosine_pairs.v1"})
    pairs = [("ball and goal", "team and match", 0.9), ("bread", "guitar", 0.1)]
    later = [("soup", "violin", 0.2)]
    optimizer = nlp.initialize(lambda: list(pairs_to_examples(nlp, pairs)))
    nlp.update(list(pairs_to_examples(nlp, later)), sgd=optimizer)
    texts = ["ball and goal", "team and match", "bread", "guitar", "soup", "violin", "piano"]
    remembered = nlp.get_pipe("embtune").seen.recognize(texts)
    assert remembered.tolist() == [True] * 6 + [False]
