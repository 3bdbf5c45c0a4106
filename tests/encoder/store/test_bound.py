"""The store on disk: how large it grows."""

import contextlib
import time
from pathlib import Path

import pytest
from numpy.testing import assert_array_equal

from spacy_embtune.encoder.store import MIN_BYTES, VectorStore

from .encoding import MANY, Encode, finish, run, size_of

# The bound


@pytest.mark.slow
def test_the_directory_stays_below_the_bound_and_the_newest_are_kept(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store, encode = VectorStore(tmp_path / "store", MIN_BYTES), Encode(width=384)
    batches = [[f"{i} {j}" for j in range(300)] for i in range(25)]
    for texts in batches:
        assert_array_equal(store.lookup(texts, encode, fingerprint="f"), encode.rows(texts))
        assert size_of(store.path) <= MIN_BYTES
    # Three fifths of it are vectors at least.
    assert len(store) * 384 * 4 > 0.6 * MIN_BYTES
    messages = [record.getMessage() for record in caplog.records]
    assert len(messages) == 1
    assert "drops vectors of this run" in messages[0]
    again = Encode(width=384)
    newest = [text for texts in batches[-5:] for text in texts]
    store.lookup(newest, again, fingerprint="f")
    assert not again.calls
    assert_array_equal(store.lookup(batches[0], again, fingerprint="f"), encode.rows(batches[0]))
    assert len(again.seen) == len(batches[0])


@pytest.mark.slow
def test_the_bound_holds_while_processes_crowd_each_other_out(tmp_path: Path) -> None:
    processes = [run(MANY, tmp_path / "store", seed, MIN_BYTES, 384) for seed in range(4)]
    largest = 0
    while any(process.poll() is None for process in processes):
        with contextlib.suppress(FileNotFoundError):
            largest = max(largest, size_of(tmp_path / "store"))
        time.sleep(0.002)
    assert [finish(process) for process in processes] == ["done\n"] * 4
    assert 0.8 * MIN_BYTES < largest <= 1.05 * MIN_BYTES


def test_dropping_what_other_runs_have_stored_is_no_news(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for i in range(6):
        store = VectorStore(tmp_path / "store", MIN_BYTES)
        store.lookup([f"{i} {j}" for j in range(800)], Encode(width=384), fingerprint="f")
        store.close()
    assert size_of(tmp_path / "store") <= MIN_BYTES
    assert not caplog.records


@pytest.mark.slow
def test_a_directory_shrinks_to_a_lower_bound(tmp_path: Path) -> None:
    texts = [str(i) for i in range(6000)]
    store = VectorStore(tmp_path / "store")
    store.lookup(texts, Encode(width=384), fingerprint="f")
    store.close()
    assert size_of(store.path) > 2 * MIN_BYTES
    store = VectorStore(tmp_path / "store", MIN_BYTES)
    store.lookup(["new"], Encode(width=384), fingerprint="f")
    store.lookup(texts[-100:], lambda _: pytest.fail("the newest were dropped"), fingerprint="f")
    store.close()
    assert size_of(store.path) <= MIN_BYTES


def test_a_vector_too_large_for_the_bound_is_not_stored_and_not_lost(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    encode = Encode(width=500_000)
    store = VectorStore(tmp_path / "store", MIN_BYTES)
    for _ in range(2):
        assert_array_equal(store.lookup(["a"], encode, fingerprint="f"), encode.rows(["a"]))
    assert len(encode.calls) == 2
    (record,) = caplog.records
    assert "too large for the store" in record.getMessage()


@pytest.mark.parametrize("max_bytes", [0, -1, MIN_BYTES - 1])
def test_a_bound_that_is_too_low_is_refused(tmp_path: Path, max_bytes: int) -> None:
    with pytest.raises(ValueError, match="4194304"):
        VectorStore(tmp_path / "store", max_bytes)
