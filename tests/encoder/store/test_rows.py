"""The store on disk: right rows, each text encoded once."""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from spacy_embtune.encoder._database import StoreError
from spacy_embtune.encoder.store import CHUNK, VectorStore

from .encoding import TEXTS, Encode

# What it gives


@pytest.mark.slow
@settings(deadline=None, max_examples=30)
@given(st.lists(st.lists(st.sampled_from(TEXTS), max_size=12), max_size=5))
def test_rows_are_right_and_each_text_is_encoded_once_ever(batches: list[list[str]]) -> None:
    encode = Encode()
    with tempfile.TemporaryDirectory() as folder:
        for texts in batches:
            # A new one each time, as in another run.
            store = VectorStore(Path(folder) / "store")
            assert_array_equal(store.lookup(texts, encode, 4, fingerprint="f"), encode.rows(texts))
            store.close()
    assert sorted(encode.seen) == sorted({text for texts in batches for text in texts})


ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=5)


@settings(deadline=None, max_examples=30)
@given(ANY_TEXT, ANY_TEXT)
def test_texts_and_fingerprints_of_any_characters_are_kept_apart(one: str, two: str) -> None:
    pairs = {(one, two), (two, one), (one + two, ""), ("", one + two)}
    values = {pair: np.full((1, 2), float(i)) for i, pair in enumerate(pairs)}
    with tempfile.TemporaryDirectory() as folder:
        store = VectorStore(Path(folder) / "store")
        for (fingerprint, text), value in values.items():
            store.lookup([text], lambda _, value=value: value, fingerprint=fingerprint)
        for (fingerprint, text), value in values.items():
            found = store.lookup(
                [text], lambda _: pytest.fail("not stored"), fingerprint=fingerprint
            )
            assert_array_equal(found, value)
        store.close()


def test_other_fingerprint_or_precision_other_vectors(tmp_path: Path) -> None:
    store = VectorStore(tmp_path / "store")
    encoders = {
        ("f", "float32"): Encode(plus=1),
        ("f", "bfloat16"): Encode(plus=2),
        ("g", "float32"): Encode(width=7),
        ("g", ""): Encode(dtype="float64"),
    }
    for _ in range(2):
        for (fingerprint, precision), encode in encoders.items():
            rows = store.lookup(
                TEXTS, encode, encode.width, fingerprint=fingerprint, precision=precision
            )
            assert_array_equal(rows, encode.rows(TEXTS))
    assert all(len(encode.seen) == len(TEXTS) for encode in encoders.values())
    assert len(store) == 4 * len(TEXTS)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", ">f4", "int8", "uint8"])
def test_the_type_of_the_vectors_stays(tmp_path: Path, dtype: str) -> None:
    encode = Encode(dtype=dtype)
    for _ in range(2):
        rows = VectorStore(tmp_path / "store").lookup(TEXTS, encode, fingerprint="f")
        assert rows.dtype == np.dtype(dtype)
        assert_array_equal(rows, encode.rows(TEXTS))
    assert len(encode.calls) == 1


def test_a_relative_path_stays_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    store = VectorStore("store")
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path / "other")
    store.lookup(["a"], Encode(), fingerprint="f")
    assert len(VectorStore(tmp_path / "store")) == 1


def test_no_text_asks_nobody(tmp_path: Path) -> None:
    store, encode = VectorStore(tmp_path / "store"), Encode()
    assert store.lookup([], encode, 4, fingerprint="f").shape == (0, 4)
    assert store.lookup([], encode, fingerprint="f").shape == (0, 0)
    assert not encode.calls
    assert not (tmp_path / "store").exists()


def test_rows_belong_to_the_caller(tmp_path: Path) -> None:
    store, encode = VectorStore(tmp_path / "store"), Encode()
    for _ in range(2):
        rows = store.lookup(["a"], encode, fingerprint="f")
        assert_array_equal(rows, encode.rows(["a"]))
        rows += 1


def test_texts_are_encoded_in_chunks_the_longest_first(tmp_path: Path) -> None:
    texts = [f"{i} {'x' * (i % 7)}" for i in range(2 * CHUNK + 10)]
    encode = Encode()
    rows = VectorStore(tmp_path / "store").lookup(texts, encode, fingerprint="f")
    assert_array_equal(rows, encode.rows(texts))
    assert [len(call) for call in encode.calls] == [CHUNK, CHUNK, 10]
    lengths = [len(text) for text in encode.seen]
    assert lengths == sorted(lengths, reverse=True)


def test_chunks_are_stored_as_they_are_encoded(tmp_path: Path) -> None:
    texts = [str(i) for i in range(3 * CHUNK)]
    encode = Encode()

    def break_off(missing: list[str]) -> Any:
        if len(encode.calls) == 2:
            raise KeyboardInterrupt
        return encode(missing)

    with pytest.raises(KeyboardInterrupt):
        VectorStore(tmp_path / "store").lookup(texts, break_off, fingerprint="f")
    again = Encode()
    VectorStore(tmp_path / "store").lookup(texts, again, fingerprint="f")
    assert sorted([*encode.seen, *again.seen]) == sorted(texts)
    assert len(again.seen) == CHUNK


def test_vectors_of_two_kinds_under_one_fingerprint_are_an_error(tmp_path: Path) -> None:
    store = VectorStore(tmp_path / "store")
    store.lookup(["a"], Encode(), fingerprint="f")
    for encode in (Encode(width=5), Encode(dtype="float64")):
        with pytest.raises(StoreError, match=r"two kinds.*fingerprints, or names, that differ"):
            store.lookup(["a", "b"], encode, fingerprint="f")
    with pytest.raises(StoreError, match="length 5, and float32 of length 4"):
        store.lookup(["a"], Encode(), 5, fingerprint="f")


@pytest.mark.parametrize(
    "rows", [np.zeros(2), np.zeros((3, 4)), np.array([["a"], ["b"]]), "no rows"]
)
def test_an_encoder_that_gives_no_matrix_is_told_so(tmp_path: Path, rows: Any) -> None:
    with pytest.raises(ValueError, match="one row a text"):
        VectorStore(tmp_path / "store").lookup(["a", "b"], lambda texts: rows, fingerprint="f")


def test_texts_are_not_on_disk(tmp_path: Path) -> None:
    store = VectorStore(tmp_path / "store")
    store.lookup(["a very private text", "another private text"], Encode(), fingerprint="f")
    for _ in range(2):
        content = b"".join(file.read_bytes() for file in (tmp_path / "store").iterdir())
        assert len(content) > 10_000
        assert b"private" not in content
        store.close()


def test_a_bar_is_shown_if_many_texts_are_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store, texts = VectorStore(tmp_path / "store"), [str(i) for i in range(300)]
    store.lookup(texts[:200], Encode(), fingerprint="f", progress="Encoding")
    store.lookup(texts[200:], Encode(), fingerprint="f")
    store.lookup(texts, Encode(), fingerprint="f", progress="Encoding")
    assert capsys.readouterr().err == ""
    store.lookup(texts, Encode(), fingerprint="g", progress="Encoding")
    assert "Encoding" in capsys.readouterr().err
