"""One run at a time writes to a directory at an address, where no system locks it."""

import json
import threading
import time

import fsspec
import pytest

from spacy_embtune.embed import _lock, embed_shards, verify_shards
from spacy_embtune.embed import shards as shards_module
from spacy_embtune.embed._lock import locked
from spacy_embtune.embed._storage import open_storage

from .test_shards import make_static, write_three

OUT = "memory://out"


@pytest.fixture(autouse=True)
def files(monkeypatch):
    for name, seconds in [("RENEWAL", 0.05), ("PATIENCE", 0.4), ("LOOK", 0.1), ("SETTLING", 0.1)]:
        monkeypatch.setattr(_lock, name, seconds)
    files = fsspec.filesystem("memory")
    yield files
    files.store.clear()


@pytest.fixture(scope="module")
def nlp():
    return make_static()


@pytest.fixture
def data(tmp_path):
    return write_three(tmp_path / "data")


def leave_lock(files, **owner):
    """Leave the lock of a process that has ended."""
    content = {"token": "x", "host": "node7", "pid": 12, "since": "2026-01-01", **owner}
    files.pipe_file("/out/_lock", json.dumps(content).encode())


def test_a_second_run_is_refused_and_told_who_writes(files):
    storage = open_storage(OUT)
    with locked(storage) as check:
        owner = json.loads(storage.read("_lock"))
        with (
            pytest.raises(ValueError, match=f"is writing to {OUT}: the process {owner['pid']} on "),
            locked(open_storage(OUT)),
        ):
            pass
        check()
    assert not files.exists("/out/_lock")


def test_a_lock_that_is_released_meanwhile_is_waited_for(files):
    leave_lock(files)
    timer = threading.Timer(0.15, lambda: files.rm_file("/out/_lock"))
    timer.start()
    started = time.monotonic()
    with locked(open_storage(OUT)):
        assert time.monotonic() - started < _lock.PATIENCE
    timer.join()


@pytest.mark.parametrize("content", [None, b"not JSON"])
def test_the_lock_of_a_process_that_ended_is_taken_over_in_bounded_time(files, caplog, content):
    leave_lock(files)
    if content is not None:
        files.pipe_file("/out/_lock", content)
    started = time.monotonic()
    with locked(open_storage(OUT)):
        assert _lock.PATIENCE < time.monotonic() - started < 5
    who = "another process" if content else "the process 12 on node7, since 2026-01-01"
    assert f"{who} has not renewed _lock for 0 seconds. This run takes over." in caplog.text
    assert not files.exists("/out/_lock")


def test_of_runs_that_begin_at_once_one_writes():
    barrier, found = threading.Barrier(4), []
    end = threading.Event()

    def begin():
        barrier.wait()
        try:
            with locked(open_storage(OUT)):
                found.append("writes")
                end.wait(10)
        except ValueError as error:
            found.append(str(error)[:28])
            if len(found) == 4:
                end.set()

    threads = [threading.Thread(target=begin) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == [*["Another process is writing t"] * 3, "writes"]


def test_a_run_whose_lock_was_taken_over_ends_and_leaves_the_other_alone(files):
    with locked(open_storage(OUT)) as check:
        leave_lock(files)
        time.sleep(0.3)
        with pytest.raises(
            ValueError, match=r"so the process 12 on node7, since .* has taken over"
        ):
            check()
    assert b"node7" in files.cat_file("/out/_lock")


def test_a_store_that_fails_for_a_moment_costs_no_lock(files, monkeypatch):
    storage = open_storage(OUT)
    with locked(storage) as check:
        with monkeypatch.context() as patch:

            def fail(name):
                raise OSError("no connection")

            patch.setattr(storage, "read", fail)
            time.sleep(0.2)
        time.sleep(0.2)
        check()
        assert json.loads(storage.read("_lock"))["renewals"] > 0


def test_a_lock_that_cannot_be_removed_hides_no_other_error(monkeypatch, caplog):
    storage = open_storage(OUT)

    def fail(name):
        raise OSError("no connection")

    monkeypatch.setattr(storage, "remove", fail)
    with pytest.raises(KeyError), locked(storage):
        raise KeyError
    assert "_lock stays. The next run waits, and takes over. (no connection)" in caplog.text


def test_two_drivers_of_one_corpus(nlp, data, files, monkeypatch):
    """The second one is refused while the first one works, and finds its shards afterwards."""
    arrived, go_on = threading.Event(), threading.Event()
    embed = shards_module.Embedder.embed

    def wait(self, texts, advance):
        arrived.set()
        go_on.wait(10)
        return embed(self, texts, advance)

    monkeypatch.setattr("spacy_embtune.embed._vectors.Embedder.embed", wait)
    summaries = []
    first = threading.Thread(
        target=lambda: summaries.append(embed_shards(nlp, data, OUT, what=["base"]))
    )
    first.start()
    arrived.wait(10)
    with pytest.raises(ValueError, match="Another process is writing"):
        embed_shards(nlp, data, OUT, what=["base"], force=True)
    go_on.set()
    first.join()
    assert summaries[0].n == 60
    assert embed_shards(nlp, data, OUT, what=["base"]).n_kept == 60
    assert verify_shards(OUT).n == 60
    assert not files.exists("/out/_lock")


def test_a_driver_that_was_taken_over_writes_no_manifest(nlp, data, files, monkeypatch):
    embed = shards_module.Embedder.embed

    def take_over(self, texts, advance):
        leave_lock(files)
        time.sleep(0.2)
        return embed(self, texts, advance)

    monkeypatch.setattr("spacy_embtune.embed._vectors.Embedder.embed", take_over)
    with pytest.raises(ValueError, match="has taken over"):
        embed_shards(nlp, data, OUT, what=["base"])
    assert not files.exists("/out/_manifest.json")
    files.rm_file("/out/_lock")
    monkeypatch.setattr("spacy_embtune.embed._vectors.Embedder.embed", embed)
    # The shard that was finished is kept.
    assert embed_shards(nlp, data, OUT, what=["base"]).n_kept == 20
    assert verify_shards(OUT).n == 60


def test_what_killed_runs_left_at_an_address_is_removed(nlp, data, tmp_path):
    out = tmp_path / "out"
    (out / "_unfinished").mkdir(parents=True)
    (out / "_unfinished" / "half").write_text("x")
    (out / "_marker-1").write_text("x")
    assert embed_shards(nlp, data, out.as_uri(), what=["base"]).n == 60
    names = {path.name for path in out.iterdir() if path.name.startswith("_")}
    assert names - {"_unfinished"} == {"_manifest.json", "_settings.json", "_shards"}
    assert not list(out.glob("_unfinished/*"))
