"""The store on disk: right rows, one process or several, killed, forked, full, damaged."""

import contextlib
import copy
import logging
import os
import pickle
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from spacy_embtune.vector_database import FILE, StoreError
from spacy_embtune.vector_store import CHUNK, MIN_BYTES, VectorStore

TEXTS = ["", " ", "a", "bb", "ä", "日本", "\ud800", "\ud801", "?", "a\x00b", "a" * 10_000]


class Encode:
    """Stands in for an encoder: rows that tell the text; calls are noted."""

    def __init__(self, width: int = 4, dtype: str = "float32", plus: float = 0.0) -> None:
        self.width, self.dtype, self.plus = width, dtype, plus
        self.calls: list[list[str]] = []

    def __call__(self, texts: list[str]) -> Any:
        self.calls.append(texts)
        return self.rows(texts)

    def rows(self, texts: list[str]) -> Any:
        rows = numpy.zeros((len(texts), self.width), dtype=self.dtype)
        for row, text in zip(rows, texts, strict=True):
            data = text.encode("utf8", "surrogatepass")
            row[:2] = len(data) % 100, sum(data) % 100 + self.plus
        return rows

    @property
    def seen(self) -> list[str]:
        return [text for call in self.calls for text in call]


def run(code: str, *args: object) -> "subprocess.Popen[str]":
    """RETURNS (Popen): Another Python that runs the code, both streams open."""
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, args)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: "subprocess.Popen[str]") -> str:
    """RETURNS (str): What it printed; it must not fail."""
    try:
        output, errors = process.communicate(timeout=200)
    finally:
        process.kill()
    assert process.returncode == 0, errors
    return output


def size_of(path: Path) -> int:
    return sum(file.stat().st_size for file in path.iterdir())


# What it gives


@settings(deadline=None, max_examples=30)
@given(st.lists(st.lists(st.sampled_from(TEXTS), max_size=12), max_size=5))
def test_rows_are_right_and_each_text_is_encoded_once_ever(batches: list[list[str]]) -> None:
    encode = Encode()
    with tempfile.TemporaryDirectory() as folder:
        for texts in batches:
            # A new one each time, as in another run.
            store = VectorStore(Path(folder) / "store")
            assert_array_equal(store.lookup("f", texts, encode, 4), encode.rows(texts))
            store.close()
    assert sorted(encode.seen) == sorted({text for texts in batches for text in texts})


ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=5)


@settings(deadline=None, max_examples=30)
@given(ANY_TEXT, ANY_TEXT)
def test_texts_and_fingerprints_of_any_characters_are_kept_apart(one: str, two: str) -> None:
    pairs = {(one, two), (two, one), (one + two, ""), ("", one + two)}
    values = {pair: numpy.full((1, 2), float(i)) for i, pair in enumerate(pairs)}
    with tempfile.TemporaryDirectory() as folder:
        store = VectorStore(Path(folder) / "store")
        for (fingerprint, text), value in values.items():
            store.lookup(fingerprint, [text], lambda _, value=value: value)
        for (fingerprint, text), value in values.items():
            found = store.lookup(fingerprint, [text], lambda _: pytest.fail("not stored"))
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
            rows = store.lookup(fingerprint, TEXTS, encode, encode.width, precision=precision)
            assert_array_equal(rows, encode.rows(TEXTS))
    assert all(len(encode.seen) == len(TEXTS) for encode in encoders.values())
    assert len(store) == 4 * len(TEXTS)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", ">f4", "int8", "uint8"])
def test_the_type_of_the_vectors_stays(tmp_path: Path, dtype: str) -> None:
    encode = Encode(dtype=dtype)
    for _ in range(2):
        rows = VectorStore(tmp_path / "store").lookup("f", TEXTS, encode)
        assert rows.dtype == numpy.dtype(dtype)
        assert_array_equal(rows, encode.rows(TEXTS))
    assert len(encode.calls) == 1


def test_a_relative_path_stays_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    store = VectorStore("store")
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path / "other")
    store.lookup("f", ["a"], Encode())
    assert len(VectorStore(tmp_path / "store")) == 1


def test_no_text_asks_nobody(tmp_path: Path) -> None:
    store, encode = VectorStore(tmp_path / "store"), Encode()
    assert store.lookup("f", [], encode, 4).shape == (0, 4)
    assert store.lookup("f", [], encode).shape == (0, 0)
    assert not encode.calls
    assert not (tmp_path / "store").exists()


def test_rows_belong_to_the_caller(tmp_path: Path) -> None:
    store, encode = VectorStore(tmp_path / "store"), Encode()
    for _ in range(2):
        rows = store.lookup("f", ["a"], encode)
        assert_array_equal(rows, encode.rows(["a"]))
        rows += 1


def test_texts_are_encoded_in_chunks_the_longest_first(tmp_path: Path) -> None:
    texts = [f"{i} {'x' * (i % 7)}" for i in range(2 * CHUNK + 10)]
    encode = Encode()
    rows = VectorStore(tmp_path / "store").lookup("f", texts, encode)
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
        VectorStore(tmp_path / "store").lookup("f", texts, break_off)
    again = Encode()
    VectorStore(tmp_path / "store").lookup("f", texts, again)
    assert sorted([*encode.seen, *again.seen]) == sorted(texts)
    assert len(again.seen) == CHUNK


def test_vectors_of_two_kinds_under_one_fingerprint_are_an_error(tmp_path: Path) -> None:
    store = VectorStore(tmp_path / "store")
    store.lookup("f", ["a"], Encode())
    for encode in (Encode(width=5), Encode(dtype="float64")):
        with pytest.raises(StoreError, match=r"two kinds.*fingerprints, or names, that differ"):
            store.lookup("f", ["a", "b"], encode)
    with pytest.raises(StoreError, match="length 5, and float32 of length 4"):
        store.lookup("f", ["a"], Encode(), 5)


@pytest.mark.parametrize(
    "rows", [numpy.zeros(2), numpy.zeros((3, 4)), numpy.array([["a"], ["b"]]), "no rows"]
)
def test_an_encoder_that_gives_no_matrix_is_told_so(tmp_path: Path, rows: Any) -> None:
    with pytest.raises(ValueError, match="one row a text"):
        VectorStore(tmp_path / "store").lookup("f", ["a", "b"], lambda texts: rows)


def test_texts_are_not_on_disk(tmp_path: Path) -> None:
    store = VectorStore(tmp_path / "store")
    store.lookup("f", ["a very private text", "another private text"], Encode())
    for _ in range(2):
        content = b"".join(file.read_bytes() for file in (tmp_path / "store").iterdir())
        assert len(content) > 10_000
        assert b"private" not in content
        store.close()


def test_a_bar_is_shown_if_many_texts_are_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store, texts = VectorStore(tmp_path / "store"), [str(i) for i in range(300)]
    store.lookup("f", texts[:200], Encode(), progress="Encoding")
    store.lookup("f", texts[200:], Encode())
    store.lookup("f", texts, Encode(), progress="Encoding")
    assert capsys.readouterr().err == ""
    store.lookup("g", texts, Encode(), progress="Encoding")
    assert "Encoding" in capsys.readouterr().err


# Processes, threads, copies


MANY = """
import sys, numpy
from spacy_embtune.vector_store import VectorStore
path, seed, max_bytes, width = sys.argv[1], *map(int, sys.argv[2:])
rng = numpy.random.default_rng(seed)
store = VectorStore(path, max_bytes)
def encode(texts):
    return numpy.array([[float(text)] * width for text in texts], dtype="float32")
for _ in range(60):
    numbers = rng.integers(0, 3000, size=200)
    rows = store.lookup("f", [str(number) for number in numbers], encode, width)
    assert (rows == numbers[:, None]).all()
print("done")
"""


def test_processes_make_a_store_write_and_read_at_once(tmp_path: Path) -> None:
    processes = [run(MANY, tmp_path / "store", seed, 2**30, 64) for seed in range(4)]
    assert [finish(process) for process in processes] == ["done\n"] * 4
    seen = set()
    for seed in range(4):
        rng = numpy.random.default_rng(seed)
        seen |= {int(number) for _ in range(60) for number in rng.integers(0, 3000, size=200)}
    store = VectorStore(tmp_path / "store")
    assert len(store) == len(seen)
    texts = [str(number) for number in sorted(seen)]
    rows = store.lookup("f", texts, lambda _: pytest.fail("not stored"))
    assert_array_equal(rows[:, 0], sorted(seen))


WRITE = """
import sys, numpy
from spacy_embtune.vector_store import VectorStore
store = VectorStore(sys.argv[1])
for i in range(0, 10**6, 50):
    texts = [str(number) for number in range(i, i + 50)]
    store.lookup("f", texts, lambda texts: numpy.array([[float(t)] * 384 for t in texts]))
    print(i, flush=True)
"""


def test_a_kill_in_the_middle_of_writing_loses_nothing_that_was_stored(tmp_path: Path) -> None:
    done = 0
    for n_lines in (1, 7, 20):
        process = run(WRITE, tmp_path / "store")
        assert process.stdout is not None
        for _ in range(done // 50 + n_lines):
            done = int(process.stdout.readline()) + 50
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert process.returncode == -signal.SIGKILL
        store = VectorStore(tmp_path / "store")
        texts = [str(number) for number in range(done)]
        rows = store.lookup("f", texts, lambda _: pytest.fail("lost"))
        assert_array_equal(rows[:, 0], range(done))
        store.lookup("f", [f"{n_lines}.5"], lambda texts: numpy.array([[float(texts[0])] * 384]))
        store.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="This system has no fork.")
def test_parent_and_child_of_a_fork_both_go_on(tmp_path: Path) -> None:
    code = """
import os, sys, numpy
from spacy_embtune.vector_store import VectorStore
store = VectorStore(sys.argv[1])
def encode(texts):
    return numpy.array([[float(text)] * 64 for text in texts])
def go_on(start):
    for i in range(start, start + 1000, 10):
        store.lookup("f", [str(number) for number in range(i, i + 10)], encode)
go_on(0)
children = []
for n in (1, 2):
    child = os.fork()
    if child == 0:
        go_on(1000 * n)
        os._exit(0)
    children.append(child)
go_on(3000)
for child in children:
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
def fail(texts):
    raise AssertionError(texts)
rows = store.lookup("f", [str(number) for number in range(4000)], fail)
assert (rows[:, 0] == range(4000)).all()
print(len(store))
"""
    assert finish(run(code, tmp_path / "store")) == "4000\n"
    check = sqlite3.connect(tmp_path / "store" / FILE)
    assert check.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    check.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="This system has no fork.")
def test_a_fork_while_other_threads_use_the_store(tmp_path: Path) -> None:
    code = """
import os, sys, threading, numpy
from spacy_embtune.vector_store import VectorStore
store = VectorStore(sys.argv[1])
def encode(texts):
    return numpy.array([[float(text)] * 64 for text in texts])
def go_on(start):
    for i in range(start, start + 200):
        assert store.lookup("f", [str(i)], encode)[0, 0] == i
threads = [threading.Thread(target=go_on, args=(1000 * n,)) for n in range(2)]
for thread in threads:
    thread.start()
children = []
for n in range(5):
    child = os.fork()
    if child == 0:
        go_on(10_000 + 1000 * n)
        os._exit(0)
    children.append(child)
for thread in threads:
    thread.join()
for child in children:
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
print(len(store))
"""
    assert finish(run(code, tmp_path / "store")) == "1400\n"


def test_threads_share_a_store(tmp_path: Path) -> None:
    store, errors = VectorStore(tmp_path / "store"), []

    def go_on(seed: int) -> None:
        try:
            encode = Encode()
            rng = numpy.random.default_rng(seed)
            for _ in range(20):
                texts = [str(number) for number in rng.integers(0, 500, size=50)]
                assert_array_equal(store.lookup("f", texts, encode), encode.rows(texts))
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=go_on, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors


def test_copies_and_pickles_open_the_same_directory(tmp_path: Path) -> None:
    store, encode = VectorStore(tmp_path / "store", 2 * MIN_BYTES), Encode()
    store.lookup("f", TEXTS, encode)
    for other in (copy.copy(store), copy.deepcopy(store), pickle.loads(pickle.dumps(store))):
        assert (other.path, other.max_bytes) == (store.path, store.max_bytes)
        assert_array_equal(other.lookup("f", TEXTS, encode), encode.rows(TEXTS))
    assert len(encode.calls) == 1
    assert len(pickle.dumps(store)) < 300


# The bound


def test_the_directory_stays_below_the_bound_and_the_newest_are_kept(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store, encode = VectorStore(tmp_path / "store", MIN_BYTES), Encode(width=384)
    batches = [[f"{i} {j}" for j in range(300)] for i in range(25)]
    for texts in batches:
        assert_array_equal(store.lookup("f", texts, encode), encode.rows(texts))
        assert size_of(store.path) <= MIN_BYTES
    # Three fifths of it are vectors at least.
    assert len(store) * 384 * 4 > 0.6 * MIN_BYTES
    messages = [record.getMessage() for record in caplog.records]
    assert len(messages) == 1
    assert "drops vectors of this very run" in messages[0]
    again = Encode(width=384)
    newest = [text for texts in batches[-5:] for text in texts]
    store.lookup("f", newest, again)
    assert not again.calls
    assert_array_equal(store.lookup("f", batches[0], again), encode.rows(batches[0]))
    assert len(again.seen) == len(batches[0])


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
        store.lookup("f", [f"{i} {j}" for j in range(800)], Encode(width=384))
        store.close()
    assert size_of(tmp_path / "store") <= MIN_BYTES
    assert not caplog.records


def test_a_directory_shrinks_to_a_lower_bound(tmp_path: Path) -> None:
    texts = [str(i) for i in range(6000)]
    store = VectorStore(tmp_path / "store")
    store.lookup("f", texts, Encode(width=384))
    store.close()
    assert size_of(store.path) > 2 * MIN_BYTES
    store = VectorStore(tmp_path / "store", MIN_BYTES)
    store.lookup("f", ["new"], Encode(width=384))
    store.lookup("f", texts[-100:], lambda _: pytest.fail("the newest were dropped"))
    store.close()
    assert size_of(store.path) <= MIN_BYTES


def test_a_vector_too_large_for_the_bound_is_not_stored_and_not_lost(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    encode = Encode(width=500_000)
    store = VectorStore(tmp_path / "store", MIN_BYTES)
    for _ in range(2):
        assert_array_equal(store.lookup("f", ["a"], encode), encode.rows(["a"]))
    assert len(encode.calls) == 2
    (record,) = caplog.records
    assert "too large for the store" in record.getMessage()


@pytest.mark.parametrize("max_bytes", [0, -1, MIN_BYTES - 1])
def test_a_bound_that_is_too_low_is_refused(tmp_path: Path, max_bytes: int) -> None:
    with pytest.raises(ValueError, match="4194304"):
        VectorStore(tmp_path / "store", max_bytes)


# Trouble


def test_a_file_in_the_place_of_the_directory(tmp_path: Path) -> None:
    (tmp_path / "store").write_text("mine")
    with pytest.raises(StoreError, match=r"store is a file\. Give a directory"):
        VectorStore(tmp_path / "store").lookup("f", ["a"], Encode())
    assert (tmp_path / "store").read_text() == "mine"


def test_a_parent_that_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for parent in (tmp_path / "nothing", tmp_path / "file"):
        with pytest.raises(StoreError, match=r"is no directory\. Check the spelling"):
            VectorStore(parent / "store").lookup("f", ["a"], Encode())


@pytest.mark.skipif(not hasattr(os, "setuid"), reason="Permissions are of another kind here.")
def test_a_place_where_one_may_not_write(tmp_path: Path) -> None:
    VectorStore(tmp_path / "made").lookup("f", ["a"], Encode())
    # Root may write anywhere: the child is somebody else.
    code = """
import os, sys, numpy
from spacy_embtune.vector_store import VectorStore
if os.geteuid() == 0:
    os.setuid(65534)
for path in sys.argv[1:]:
    try:
        VectorStore(path).lookup("f", ["a"], lambda texts: numpy.zeros((1, 4), "float32"))
    except ValueError as error:
        print(error)
"""
    (tmp_path / "locked").mkdir()
    places = [tmp_path / "locked" / "store", tmp_path / "made"]
    folders = [*tmp_path.parents[:2], tmp_path]
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
        VectorStore(tmp_path / "store").lookup("f", ["a"], Encode())


def test_a_store_of_a_newer_version(tmp_path: Path) -> None:
    store = VectorStore(tmp_path / "store")
    store.lookup("f", ["a"], Encode())
    store.close()
    newer = sqlite3.connect(tmp_path / "store" / FILE)
    newer.execute("PRAGMA user_version = 2")
    newer.close()
    with pytest.raises(StoreError, match="newer spacy-embtune"):
        store.lookup("f", ["a"], Encode())


def test_another_file_in_the_place_of_the_database(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / FILE).write_bytes(b"something else " * 5000)
    with pytest.raises(StoreError, match=r"damaged.*Delete the directory"):
        VectorStore(tmp_path / "store").lookup("f", ["a"], Encode())


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The file of a store of 300 vectors."""
    path = tmp_path_factory.mktemp("whole") / "store"
    store = VectorStore(path)
    store.lookup("f", [str(i) for i in range(300)], Encode(width=384))
    store.close()
    return (path / FILE).read_bytes()


def look_into(folder: Path, content: bytes) -> str:
    """RETURNS (str): What comes of a lookup in a store with such a file. Rows must be right."""
    (folder / FILE).write_bytes(content)
    store, encode = VectorStore(folder), Encode(width=384)
    texts = [str(i) for i in range(310)]
    try:
        rows = store.lookup("f", texts, encode)
    except StoreError as error:
        return (
            "error" if str(folder) in str(error) else f"an error that does not say where: {error}"
        )
    finally:
        store.close()
    return "right" if numpy.array_equal(rows, encode.rows(texts)) else "wrong"


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
from spacy_embtune.vector_store import VectorStore
logging.basicConfig(format="%(message)s", stream=sys.stdout)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, 2**20))
store = VectorStore(sys.argv[1])
for i in range(4):
    numbers = range(1000 * i, 1000 * i + 1000)
    rows = store.lookup(
        "f", [str(n) for n in numbers], lambda texts: numpy.array([[float(t)] * 384 for t in texts])
    )
    assert (rows[:, 0] == numbers).all()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="No limit to the size of files here.")
def test_where_files_cannot_grow_one_warning_and_nothing_computed_is_lost(tmp_path: Path) -> None:
    lines = finish(run(FULL, tmp_path / "store")).splitlines()
    assert len(lines) == 1
    assert str(tmp_path / "store") in lines[0]
    assert "no longer stored" in lines[0]
    store = VectorStore(tmp_path / "store")
    assert_array_equal(store.lookup("f", ["5"], lambda _: numpy.full((1, 384), 5.0))[0], 5.0)


def test_a_full_disk_is_one_warning_and_nothing_computed_is_lost(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store, encode = VectorStore(tmp_path / "store"), Encode(width=384)
    store.lookup("f", ["first"], encode)
    # SQLite's own bound says the same, in the same words, as a disk without room.
    store._database._open().execute("PRAGMA max_page_count = 20")
    texts = ["first", *(str(i) for i in range(3 * CHUNK))]
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            assert_array_equal(store.lookup("f", texts, encode), encode.rows(texts))
    (record,) = caplog.records
    assert "Make room on the disk" in record.getMessage()


def test_another_process_that_keeps_the_store_locked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from spacy_embtune import vector_database

    monkeypatch.setattr(vector_database, "BUSY_SECONDS", 0.2)
    store, encode = VectorStore(tmp_path / "store"), Encode()
    store.lookup("f", ["a"], encode)
    other = sqlite3.connect(tmp_path / "store" / FILE, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    rows = store.lookup("f", ["a", "b"], encode)
    other.close()
    assert_array_equal(rows, encode.rows(["a", "b"]))
    assert encode.seen == ["a", "b"]
    (record,) = caplog.records
    assert "in use by another process" in record.getMessage()
