import pickle
from functools import partial

import numpy as np
import pytest
import spacy
from spacy.tokens import Doc
from spacy.tokens.underscore import Underscore

from spacy_embtune.pipeline import extensions


@pytest.fixture
def doc() -> Doc:
    extensions.register_extension("vec", "tuned")
    return spacy.blank("en")("bread and soup")


def test_a_vector_is_kept_under_spacys_own_key(doc: Doc) -> None:
    vector = np.ones(3, dtype="float32")
    doc._.vec = vector
    assert doc._.vec is vector
    assert extensions.get_vector(doc, "vec") is vector
    assert list(doc.user_data) == [("._.", "vec", None, None)]


def test_registering_twice_is_fine(doc: Doc) -> None:
    extensions.register_extension("vec", "tuned")
    extensions.register_extension("vec", "base")


def test_a_missing_vector_says_why_and_lets_getattr_answer(doc: Doc) -> None:
    with pytest.raises(extensions.MissingVectorError, match=r"doc\._\.vec is not set"):
        _ = doc._.vec
    assert getattr(doc._, "vec", None) is None
    assert extensions.get_vector(doc, "vec") is None


def test_the_attributes_can_be_pickled_for_spawned_processes(doc: Doc) -> None:
    state = pickle.loads(pickle.dumps(Underscore.get_state()))
    getter = state[2]["vec"][2]
    assert isinstance(getter, partial)
    assert getter.func is extensions._get


def test_hooks_of_a_document_without_a_vector(doc: Doc) -> None:
    extensions.set_vector_hooks(doc, "vec")
    assert doc.has_vector is False
    with pytest.raises(extensions.MissingVectorError):
        _ = doc.vector
