"""The store on disk in processes, threads and forks, killed and copied."""

import copy
import os
import pickle
import signal
import sqlite3
import threading
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from spacy_embtune.encoder._database import FILE
from spacy_embtune.encoder.store import MIN_BYTES, VectorStore

from .encoding import MANY, TEXTS, Encode, finish, run

# Processes, threads, copies


@pytest.mark.slow
def test_processes_make_a_store_write_and_read_at_once(tmp_path: Path) -> None:
    processes = [run(MANY, tmp_path / "store", seed, 2**30, 64) for seed in range(4)]
    assert [finish(process) for process in processes] == ["done\n"] * 4
    seen = set()
    for seed in range(4):
        rng = np.random.default_rng(seed)
        seen |= {int(number) for _ in range(60) for number in rng.integers(0, 3000, size=200)}
    store = VectorStore(tmp_path / "store")
    assert len(store) == len(seen)
    texts = [str(number) for number in sorted(seen)]
    rows = store.lookup(texts, lambda _: pytest.fail("not stored"), fingerprint="f")
    assert_array_equal(rows[:, 0], sorted(seen))


WRITE = """
import sys, numpy
from spacy_embtune.encoder import VectorStore
store = VectorStore(sys.argv[1])
for i in range(0, 10**6, 50):
    texts = [str(number) for number in range(i, i + 50)]
    encode = lambda texts: numpy.array([[float(t)] * 384 for t in texts])
    store.lookup(texts, encode, fingerprint="f")
    print(i, flush=True)
"""


@pytest.mark.slow
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
        rows = store.lookup(texts, lambda _: pytest.fail("lost"), fingerprint="f")
        assert_array_equal(rows[:, 0], range(done))
        store.lookup(
            [f"{n_lines}.5"], lambda texts: np.array([[float(texts[0])] * 384]), fingerprint="f"
        )
        store.close()


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="This system has no fork.")
def test_parent_and_child_of_a_fork_both_go_on(tmp_path: Path) -> None:
    code = """
import os, sys, numpy
from spacy_embtune.encoder import VectorStore
store = VectorStore(sys.argv[1])
def encode(texts):
    return numpy.array([[float(text)] * 64 for text in texts])
def go_on(start):
    for i in range(start, start + 1000, 10):
        store.lookup([str(number) for number in range(i, i + 10)], encode, fingerprint="f")
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
rows = store.lookup([str(number) for number in range(4000)], fail, fingerprint="f")
assert (rows[:, 0] == range(4000)).all()
print(len(store))
"""
    assert finish(run(code, tmp_path / "store")) == "4000\n"
    check = sqlite3.connect(tmp_path / "store" / FILE)
    assert check.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    check.close()


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="This system has no fork.")
def test_a_fork_while_other_threads_use_the_store(tmp_path: Path) -> None:
    code = """
import os, sys, threading, numpy
from spacy_embtune.encoder import VectorStore
store = VectorStore(sys.argv[1])
def encode(texts):
    return numpy.array([[float(text)] * 64 for text in texts])
def go_on(start):
    for i in range(start, start + 200):
        assert store.lookup([str(i)], encode, fingerprint="f")[0, 0] == i
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
            rng = np.random.default_rng(seed)
            for _ in range(20):
                texts = [str(number) for number in rng.integers(0, 500, size=50)]
                assert_array_equal(store.lookup(texts, encode, fingerprint="f"), encode.rows(texts))
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
    store.lookup(TEXTS, encode, fingerprint="f")
    for other in (copy.copy(store), copy.deepcopy(store), pickle.loads(pickle.dumps(store))):
        assert (other.path, other.max_bytes) == (store.path, store.max_bytes)
        assert_array_equal(other.lookup(TEXTS, encode, fingerprint="f"), encode.rows(TEXTS))
    assert len(encode.calls) == 1
    assert len(pickle.dumps(store)) < 300
