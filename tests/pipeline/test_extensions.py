import json
import pickle
from functools import partial

import numpy as np
import pytest
import spacy
import srsly
import torch
from numpy.testing import assert_array_equal
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
    assert extensions.get_vector(doc, "vec") is vector
    assert np.shares_memory(doc._.vec, vector)
    assert doc._.vec is doc._.vec
    assert extensions.get_vector(doc, "vec") is doc._.vec
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


def test_a_vector_goes_through_json_and_comes_back_equal(doc: Doc) -> None:
    vector = np.random.default_rng(0).normal(size=50).astype("float32")
    vector[:2] = 0.1, 1e-30
    doc._.vec = vector
    for again in (doc, Doc(doc.vocab).from_bytes(doc.to_bytes()), pickle.loads(pickle.dumps(doc))):
        data = again.to_json(underscore=["vec"])
        assert json.loads(srsly.json_dumps(data))["_"]["vec"] == vector.tolist()
        plain = json.loads(json.dumps(data, default=np.ndarray.tolist))
        assert plain["_"]["vec"] == vector.tolist()
        for given in (data, plain, srsly.json_loads(srsly.json_dumps(data))):
            back = Doc(doc.vocab).from_json(given, validate=True)
            assert isinstance(back._.vec, np.ndarray)
            assert back._.vec.dtype == np.float32
            assert_array_equal(back._.vec, vector)
            assert back.to_json(underscore=["vec"])["_"]["vec"].tolist() == vector.tolist()


def test_a_vector_behaves_like_a_plain_array(doc: Doc) -> None:
    plain = np.asarray([3.0, 4.0], dtype="float32")
    doc._.vec = plain
    vector = doc._.vec
    assert repr(vector) == repr(plain)
    assert str(vector) == str(plain)
    for compute in (
        lambda v: v @ v,
        lambda v: v * 2,
        lambda v: v / np.linalg.norm(v),
        lambda v: np.linalg.norm(v),
        lambda v: v.sum(),
        lambda v: v.max(),
        lambda v: v == 3,
        lambda v: np.vstack([v, v]),
        lambda v: np.concatenate([v, v]),
        lambda v: np.outer(v, v),
        lambda v: v.tolist(),
        lambda v: v.astype("float64") + 1,
        lambda v: torch.from_numpy(v).sum().item(),
        lambda v: pickle.loads(pickle.dumps(v)),
    ):
        assert type(compute(vector)) is type(compute(plain))
        assert_array_equal(compute(vector), compute(plain))
    vector += 1
    assert plain.tolist() == [4.0, 5.0]
