import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from spacy_embtune.encoder import VectorCache, encode_distinct


class Encode:
    """Stands in for an encoder: a row tells the text's length; calls are noted."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def __call__(self, texts: list[str]) -> Any:
        self.seen.extend(texts)
        return np.asarray([[len(text), 1.0] for text in texts], dtype="float32")


@given(
    st.integers(0, 5), st.lists(st.lists(st.sampled_from(["", "a", "bb", "ccc", "ä", "\ud800"])))
)
def test_rows_are_right_whatever_the_size_and_no_text_is_encoded_twice_in_a_batch(
    size: int, batches: list[list[str]]
) -> None:
    cache, encode = VectorCache(size), Encode()
    for texts in batches:
        encode.seen = []
        rows = cache.lookup(texts, encode, 2)
        assert rows.shape == (len(texts), 2)
        assert_array_equal(rows[:, 0], [len(text) for text in texts])
        assert len(encode.seen) == len(set(encode.seen))
        assert len(cache) <= size


def test_what_fits_is_encoded_once() -> None:
    cache, encode = VectorCache(10), Encode()
    for _ in range(3):
        cache.lookup(["a", "bb", "a"], encode, 2)
    # The longest first.
    assert encode.seen == ["bb", "a"]


def test_a_full_cache_keeps_what_it_has() -> None:
    cache, encode = VectorCache(1), Encode()
    cache.lookup(["a"], encode, 2)
    cache.lookup(["bb"], encode, 2)
    cache.lookup(["a"], encode, 2)
    assert encode.seen == ["a", "bb"]


def test_a_pickled_cache_is_empty_and_of_the_same_size() -> None:
    cache = VectorCache(3)
    cache.lookup(["a"], Encode(), 2)
    copy = pickle.loads(pickle.dumps(cache))
    assert (len(copy), copy.size) == (0, 3)


def test_each_distinct_text_is_encoded_once() -> None:
    for width in (2, None):
        encode = Encode()
        rows = encode_distinct(["a", "ccc", "a"], encode, width)
        assert_array_equal(rows, [[1.0, 1.0], [3.0, 1.0], [1.0, 1.0]])
        assert rows.dtype == np.float32
        assert encode.seen == ["ccc", "a"]
        assert encode_distinct([], encode, width).shape == (0, width or 0)


@pytest.mark.parametrize("rows", [np.zeros(2), np.zeros((3, 4)), np.array([["a"], ["b"]])])
def test_an_encoder_that_gives_no_matrix_is_told_so(rows: Any) -> None:
    for lookup in (VectorCache(5).lookup, encode_distinct):
        with pytest.raises(ValueError, match="one row a text"):
            lookup(["a", "bb"], lambda texts: rows)


def test_vectors_of_two_widths_are_an_error() -> None:
    cache = VectorCache(5)
    cache.lookup(["a"], Encode())
    with pytest.raises(ValueError, match="float32 of length 3, and float32 of length 2"):
        cache.lookup(["a", "bb"], Encode(), 3)
