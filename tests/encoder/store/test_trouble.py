"""The store on disk: damaged, full, locked, in the wrong place."""

import logging
import os
import sqlite3
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from spacy_embtune.encoder._database import FILE, StoreError
from spacy_embtune.encoder.store import CHUNK, VectorStore

from .encoding import Encode, finish, run

# Trouble


def test_a_file_in_the_place_of_the_directory(tmp_path: Path) -> None:
    (tmp_path / "store").write_text("mine")
    with pytest.raises(StoreError, match=r"store is a file\. Give a directory"):
        VectorStore(tmp_path / "store").lookup(["a"], Encode(), fingerprint="f")
    assert (tmp_path / "store").read_text() == "mine"


def test_a_parent_that_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for parent in (tmp_path / "nothing", tmp_path / "file"):
        with pytest.raises(StoreError, match=r"is no directory\. Check the spelling"):
            VectorStore(parent / "store").lookup(["a"], Encode(), fingerprint="f")


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "setuid"), reason="Permissions are of another kind here.")
def test_a_place_where_one_may_not_write(tmp_path: Path) -> None:
    VectorStore(tmp_path / "made").lookup(["a"], Encode(), fingerprint="f")
    # Root may write anywhere: the child is somebody else.
    code = """
import os, sys, numpy
from spacy_embtune.encoder import VectorStore
if os.geteuid() == 0:
    os.setuid(65534)
for path in sys.argv[1:]:
    try:
        encode = lambda texts: numpy.zeros((1, 4), "float32")
        VectorStore(path).lookup(["a"], encode, fingerprint="f")
    except ValueError as error:
        print(error)
"""
    (tmp_path / "locked").mkdir()
    places = [tmp_path / "locked" / "store", tmp_path / "made"]
    temporary = Path(tempfile.gettempdir())
    folders = [tmp_path, *(path for path in tmp_path.parents if temporary in path.parents)]
    modes = {path: path.stat().st_mode for path in [*folders, tmp_path / "locked"]}
    try:
        for path in folders:
            path.chmod(0o755)
        for path in (tmp_path / "locked", tmp_path / "made"):
            path.chmod(0o555)
        for file in (tmp_path / "made").iterdir():
            file.chmod(0o444)
        lines = finish(run(code, *places)).splitlines()
    finally:
        for path, mode in modes.items():
            path.chmod(mode)
    assert len(lines) == 2
    for place, line in zip(places, lines, strict=True):
        assert str(place) in line
        assert "Give a directory in which you may write" in line


def test_the_database_of_another_program(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    other = sqlite3.connect(tmp_path / "store" / FILE)
    other.execute("CREATE TABLE mine (x)")
    other.close()
    with pytest.raises(StoreError, match="another program"):
        VectorStore(tmp_path / "store").lookup(["a"], Encode(), fingerprint="f")


def test_a_store_of_a_newer_version(tmp_path: Path) -> None:
    store = VectorStore(tmp_path / "store")
    store.lookup(["a"], Encode(), fingerprint="f")
    store.close()
    newer = sqlite3.connect(tmp_path / "store" / FILE)
    newer.execute("PRAGMA user_version = 2")
    newer.close()
    with pytest.raises(StoreError, match="newer spacy-embtune"):
        store.lookup(["a"], Encode(), fingerprint="f")


def test_another_file_in_the_place_of_the_database(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / FILE).write_bytes(b"something else " * 5000)
    with pytest.raises(StoreError, match=r"damaged.*Delete the directory"):
        VectorStore(tmp_path / "store").lookup(["a"], Encode(), fingerprint="f")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The file of a store of 300 vectors."""
    path = tmp_path_factory.mktemp("whole") / "store"
    store = VectorStore(path)
    store.lookup([str(i) for i in range(300)], Encode(width=384), fingerprint="f")
    store.close()
    return (path / FILE).read_bytes()


def look_into(folder: Path, content: bytes) -> str:
    """RETURNS (str): What comes of a lookup in a store with such a file. Rows must be right."""
    (folder / FILE).write_bytes(content)
    store, encode = VectorStore(folder), Encode(width=384)
    texts = [str(i) for i in range(310)]
    try:
        rows = store.lookup(texts, encode, fingerprint="f")
    except StoreError as error:
        return (
            "error" if str(folder) in str(error) else f"an error that does not say where: {error}"
        )
    finally:
        store.close()
    return "right" if np.array_equal(rows, encode.rows(texts)) else "wrong"


@pytest.mark.slow
@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_damage_is_an_error_or_does_no_harm(whole: bytes, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(whole) - 1))
    end = data.draw(st.sampled_from([at + 1, at + 100, at + 16_384, len(whole)]))
    junk = data.draw(st.sampled_from([b"\0", b"\xff", b"\x5a\xc3\x01", b""]))
    n = len(whole[at:end])
    new = (junk * n)[:n] if junk else b""
    with tempfile.TemporaryDirectory() as folder:
        assert look_into(Path(folder), whole[:at] + new + whole[end:]) in ("error", "right")


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_file_that_was_cut_off_is_an_error(tmp_path: Path, whole: bytes, share: float) -> None:
    assert look_into(tmp_path, whole[: int(share * len(whole))]) == "error"


def test_a_vector_that_was_changed_is_an_error(tmp_path: Path, whole: bytes) -> None:
    row = Encode(width=384).rows(["123"]).tobytes()
    at = whole.index(row)
    changed = whole[: at + 9] + b"\1" + whole[at + 10 :]
    assert look_into(tmp_path, whole) == "right"
    assert look_into(tmp_path, changed) == "error"


FULL = """
import logging, resource, signal, sys, numpy
from spacy_embtune.encoder import VectorStore
logging.basicConfig(format="%(message)s", stream=sys.stdout)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, 2**20))
store = VectorStore(sys.argv[1])
for i in range(4):
    numbers = range(1000 * i, 1000 * i + 1000)
    encode = lambda texts: numpy.array([[float(t)] * 384 for t in texts])
    rows = store.lookup([str(n) for n in numbers], encode, fingerprint="f")
    assert (rows[:, 0] == numbers).all()
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="No limit to the size of files here.")
def test_where_files_cannot_grow_one_warning_and_nothing_computed_is_lost(tmp_path: Path) -> None:
    lines = finish(run(FULL, tmp_path / "store")).splitlines()
    assert len(lines) == 1
    assert str(tmp_path / "store") in lines[0]
    assert "no more vectors are stored" in lines[0]
    store = VectorStore(tmp_path / "store")
    assert_array_equal(
        store.lookup(["5"], lambda _: np.full((1, 384), 5.0), fingerprint="f")[0], 5.0
    )


def test_a_full_disk_is_one_warning_and_nothing_computed_is_lost(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store, encode = VectorStore(tmp_path / "store"), Encode(width=384)
    store.lookup(["first"], encode, fingerprint="f")
    # SQLite's own bound says the same, in the same words, as a disk without room.
    store._database._open().execute("PRAGMA max_page_count = 20")
    texts = ["first", *(str(i) for i in range(3 * CHUNK))]
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            assert_array_equal(store.lookup(texts, encode, fingerprint="f"), encode.rows(texts))
    (record,) = caplog.records
    assert "Make room on the disk" in record.getMessage()


def test_another_process_that_keeps_the_store_locked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from spacy_embtune.encoder import _database as vector_database

    monkeypatch.setattr(vector_database, "BUSY_SECONDS", 0.2)
    store, encode = VectorStore(tmp_path / "store"), Encode()
    store.lookup(["a"], encode, fingerprint="f")
    other = sqlite3.connect(tmp_path / "store" / FILE, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    rows = store.lookup(["a", "b"], encode, fingerprint="f")
    other.close()
    assert_array_equal(rows, encode.rows(["a", "b"]))
    assert encode.seen == ["a", "b"]
    (record,) = caplog.records
    assert "in use by another process" in record.getMessage()
