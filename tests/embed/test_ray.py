"""Shards on the workers of Ray: the same rows, whatever happens to workers."""

import json
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import spacy
from typer.testing import CliRunner

from spacy_embtune.cli import app
from spacy_embtune.distillation import distill, save_student
from spacy_embtune.embed import (
    EmbedBatch,
    RayOptions,
    _ray,
    _versions,
    embed_dataset,
    embed_shards,
    verify_shards,
)

from ..conftest import make_texts
from .test_shards import RECORDS, make_static, read, vectors, write

ray = pytest.importorskip("ray")

# A cluster of processes is never quick. What Ray does with its own files is not ours to judge.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
N_FILES = 6
# Otherwise workers wait for whatever else runs on the machine.
SYSTEM = {"worker_niceness": 0}
# Registers a tokenizer that waits, or ends its process, or fills its disk, where a text says so.
CODE = """
import os, resource, signal, time
from pathlib import Path
import spacy
from spacy.tokens import Doc

@spacy.registry.tokenizers("tests.Odd.v1")
def make():
    def create(nlp):
        return Odd(nlp.vocab)
    return create

class Odd:
    def __init__(self, vocab):
        self.vocab = vocab
    def __call__(self, text):
        words = text.split()
        for word in words:
            if word == "SLEEP":
                time.sleep(0.3)
            elif word == "DIE":
                os.kill(os.getpid(), signal.SIGKILL)
            elif word.startswith("ONCE="):
                flag = Path(word[5:])
                if not flag.exists():
                    flag.touch()
                    os.kill(os.getpid(), signal.SIGKILL)
            elif word.startswith("FULL="):
                flag = Path(word[5:])
                if not flag.exists():
                    flag.touch()
                    resource.setrlimit(resource.RLIMIT_FSIZE, (300, 300))
        return Doc(self.vocab, words=words or [])
    def to_bytes(self, **kwargs):
        return b""
    def from_bytes(self, data, **kwargs):
        return self
    def to_disk(self, path, **kwargs):
        pass
    def from_disk(self, path, **kwargs):
        return self
"""


@pytest.fixture(scope="module")
def cluster():
    """A cluster of two processors that only this machine reaches."""
    _ray.import_ray()
    ray.init(
        address="local",
        num_cpus=2,
        include_dashboard=False,
        object_store_memory=2**27,
        log_to_driver=False,
        _node_ip_address="127.0.0.1",
        _system_config=SYSTEM,
    )
    yield
    ray.shutdown()


@pytest.fixture(scope="module")
def nlp():
    return make_static()


@pytest.fixture(scope="module")
def odd():
    """The pipeline with the tokenizer that does what texts say."""
    scope = {}
    exec(CODE, scope)
    nlp = make_static()
    nlp.config["nlp"]["tokenizer"] = {"@tokenizers": "tests.Odd.v1"}
    nlp.tokenizer = scope["Odd"](nlp.vocab)
    return nlp


@pytest.fixture
def data(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    for i in range(N_FILES):
        write(folder / f"{i}.jsonl", RECORDS[10 * i : 10 * i + 10])
    return folder


def say(data, file, word):
    """Put a word into the first text of a file."""
    path = data / f"{file}.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    rows[0]["text"] = f"{word} {rows[0]['text']}"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def run(nlp, data, out, *, options=None, **settings):
    options = RayOptions(**{"workers": 2, "wait": 60, **(options or {})})
    return embed_shards(
        nlp, data, out, **{"what": ["base"], "engine": "ray", "ray": options, **settings}
    )


def local(nlp, data, out, **settings):
    return embed_shards(nlp, data, out, **{"what": ["base"], **settings})


def assert_whole(out, n=60):
    ids = read(out)["id"].to_pylist()
    assert len(ids) == len(set(ids)) == n
    assert verify_shards(str(out)).n == n
    assert not [path for path in Path(out).iterdir() if path.name.startswith(("_marker", "_unf"))]


def test_the_rows_are_those_of_the_local_engine(cluster, nlp, data, tmp_path):
    summary = run(nlp, data, tmp_path / "ray")
    local(nlp, data, tmp_path / "local")
    assert (summary.n, summary.n_shards, summary.errors) == (60, N_FILES, {})
    one, other = read(tmp_path / "ray"), read(tmp_path / "local")
    assert one.drop(["base"]) == other.drop(["base"])
    np.testing.assert_array_equal(vectors(one), vectors(other))
    assert_whole(tmp_path / "ray")
    # What one engine finished, the other keeps.
    assert local(nlp, data, tmp_path / "ray").n_kept == 60
    assert run(nlp, data, tmp_path / "local", options={"workers": 1}).n_kept == 60


def test_a_trained_encoder_and_its_scores(cluster, pipeline, data, tmp_path):
    nlp, what = spacy.load(pipeline), ["base", "tuned", "scores"]
    (data / "5.jsonl").unlink()
    run(nlp, data, tmp_path / "ray", what=what, options={"workers": 1})
    local(nlp, data, tmp_path / "local", what=what)
    one, other = read(tmp_path / "ray"), read(tmp_path / "local")
    for key in ("base", "tuned"):
        np.testing.assert_allclose(one[key].to_pylist(), other[key].to_pylist(), atol=0.02)
    assert one["id"] == other["id"]
    # All machines see this directory.
    options = {"workers": 1, "shared_model": str(pipeline)}
    assert run(nlp, data, tmp_path / "local", what=what, options=options).n_kept == 50


def test_the_command_sends_a_student_to_as_many_workers_as_have_room(
    cluster, pipeline, data, tmp_path
):
    # Something else runs on the cluster, so one of two workers has room.
    other_work = ray.remote(num_cpus=1)(Holder).remote()
    ray.get(other_work.is_there.remote())
    texts = [text for text, _ in make_texts(200, seed=7)]
    student = tmp_path / "student"
    save_student(distill(spacy.load(pipeline), texts), student)
    for engine in ("ray", "local"):
        options = ["--engine", "ray"] if engine == "ray" else []
        result = CliRunner().invoke(
            app,
            [
                *("embed", str(student), str(data), f"{tmp_path / engine}/"),
                *("--what", "base,tuned,scores", *options),
            ],
        )
        assert result.exit_code == 0, result.output
    one, other = read(tmp_path / "ray"), read(tmp_path / "local")
    kinds = ["base", "tuned", "scores"]
    assert set(kinds) <= set(one.column_names)
    assert one.drop(kinds) == other.drop(kinds)
    for key in ("base", "tuned"):
        rows = np.asarray(one[key].to_pylist())
        assert np.abs(rows).sum() > 0
        np.testing.assert_allclose(rows, other[key].to_pylist(), atol=1e-6)
    scores = [[list(row.values()) for row in table["scores"].to_pylist()] for table in (one, other)]
    np.testing.assert_allclose(*scores, atol=1e-6)
    np.testing.assert_allclose(np.sum(scores[0], axis=1), 1, atol=1e-5)
    assert_whole(tmp_path / "ray")
    ray.kill(other_work)


class Holder:
    """Holds a place in the cluster."""

    def is_there(self):
        return True


def test_workers_that_die_lose_nothing_and_the_shard_that_kills_them_is_named(
    cluster, odd, data, tmp_path
):
    say(data, 1, "DIE")
    say(data, 2, f"ONCE={tmp_path / 'flag'}")
    (data / "0.jsonl").write_text((data / "0.jsonl").read_text().replace('"n": 1}', '"n": "one"}'))
    (data / "4.jsonl").write_text("nope\n")
    summary = run(odd, data, tmp_path / "out", options={"code": CODE})
    assert (tmp_path / "flag").exists()
    assert summary.n == 40
    assert list(summary.errors) == [str(data / "1.jsonl"), str(data / "4.jsonl")]
    assert "3 tries failed. The last: The worker was lost" in summary.errors[str(data / "1.jsonl")]
    assert "line 1: is not JSON" in summary.errors[str(data / "4.jsonl")]
    # The workers that are left give all shards the same columns.
    assert read(tmp_path / "out")["n"].to_pylist()[:3] == ['"one"', "2", "3"]
    assert "It is JSON in all shards now" in summary.differences[0]
    write(data / "1.jsonl", RECORDS[10:20])
    write(data / "4.jsonl", RECORDS[40:50])
    assert local(odd, data, tmp_path / "out").n_kept == 40
    assert_whole(tmp_path / "out")


def test_a_worker_whose_disk_is_full_is_not_used_any_more(
    cluster, odd, data, tmp_path, caplog, monkeypatch
):
    flag = tmp_path / "flag"
    say(data, 0, f"FULL={flag}")
    with pytest.raises(OSError, match="There is no room for"):
        run(odd, data, tmp_path / "out", options={"code": CODE, "workers": 1})
    flag.unlink()
    (data / "5.jsonl").write_text((data / "5.jsonl").read_text().replace('"n": 60}', '"n": "x"}'))

    def kill_first(self, entries, columns, rewrite=_ray.RayEngine.rewrite):
        for hand in self._hands:
            ray.kill(hand.actor)
        return rewrite(self, entries, columns)

    monkeypatch.setattr(_ray.RayEngine, "rewrite", kill_first)
    summary = run(odd, data, tmp_path / "out", options={"code": CODE})
    assert (summary.n, summary.errors) == (60, {})
    assert "There is no room for" in caplog.text
    # When no worker is left, the driver gives the shards the same columns.
    assert "5.jsonl-" in summary.differences[0]
    assert "is tried again: The worker was lost" in caplog.text
    assert read(tmp_path / "out")["n"].to_pylist()[-2:] == ["59", '"x"']
    assert_whole(tmp_path / "out")


# Bad input


def test_a_place_that_workers_do_not_see_is_found_before_the_first_batch(cluster, nlp, data):
    with pytest.raises(ValueError, match="does not see memory://out, where this process"):
        run(nlp, data, "memory://out", options={"workers": 1})


def test_data_that_workers_do_not_see(cluster, nlp, tmp_path):
    import fsspec

    files = fsspec.filesystem("memory")
    files.pipe_file("/data/a.jsonl", b'{"text": "a"}\n')
    with pytest.raises(ValueError, match=r"does not see memory://.*a.jsonl as this process"):
        run(nlp, "memory://data", tmp_path / "out", options={"workers": 1})
    files.store.clear()
    assert not (tmp_path / "out").exists()


def test_versions_that_differ_are_named(cluster, nlp, data, tmp_path, monkeypatch):
    versions = {**_versions.find_versions(), "torch": "1.0"}
    monkeypatch.setattr(_ray, "find_versions", lambda: versions)
    with pytest.raises(ValueError, match=r"torch is 1\.0 here and \d.* there"):
        run(nlp, data, tmp_path / "out", options={"workers": 1})
    assert not (tmp_path / "out").exists()


def test_a_model_that_workers_do_not_have(cluster, nlp, data, tmp_path):
    options = {"shared_model": str(tmp_path / "none"), "workers": 1}
    with pytest.raises(ValueError, match=r"cannot load the pipeline: .*none.*Leave out"):
        run(nlp, data, tmp_path / "out", options=options)
    make_static(width=4).to_disk(tmp_path / "other")
    options = {"shared_model": str(tmp_path / "other"), "workers": 1}
    with pytest.raises(ValueError, match="has another pipeline"):
        run(nlp, data, tmp_path / "out", options=options)


def test_fewer_resources_than_asked_for(cluster, nlp, data, tmp_path):
    for options, asked in [
        ({"workers": 5}, "5 workers with 1 CPUs and 0 GPUs each"),
        ({"workers": 1, "gpus_per_worker": 1}, "1 workers with 1 CPUs and 1 GPUs each"),
    ]:
        started = time.monotonic()
        with pytest.raises(ValueError, match=asked) as caught:
            run(nlp, data, tmp_path / "out", options={**options, "wait": 2})
        assert time.monotonic() - started < 30
        assert "The cluster has 1 machines with 2 CPUs" in str(caught.value)
        assert "0 GPUs" in str(caught.value)
    for name, value in [("workers", 0), ("cpus_per_worker", -1), ("gpus_per_worker", 1.5)]:
        with pytest.raises(ValueError, match=f"{name} is {value}"):
            run(nlp, data, tmp_path / "out", options={name: value})


def test_ray_is_missing(nlp, data, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ImportError, match=r"The engine ray needs Ray.*spacy-embtune\[ray\]"):
        run(nlp, data, tmp_path / "out")


# Python


# Of settings that Ray Data itself sets.
@pytest.mark.filterwarnings(r"ignore:`use_\w+` is deprecated:DeprecationWarning")
def test_a_dataset_of_ray_data_gets_columns(cluster, nlp):
    from ray.data import DataContext

    DataContext.get_current().enable_progress_bars = False
    DataContext.get_current().execution_options.preserve_order = True
    texts = [record.text for record in RECORDS]
    ds = ray.data.from_items([{"text": text, "n": i} for i, text in enumerate(texts)])
    rows = embed_dataset(ds, nlp, what=["base"], rows=16).take_all()
    rows.sort(key=lambda row: row["n"])
    assert [row["text"] for row in rows] == texts
    expected = EmbedBatch(nlp, what=["base"]).vectors(texts)["base"]
    np.testing.assert_array_equal([row["base"] for row in rows], expected)


# Clusters of their own. They come last, because a process has one cluster at a time.


def command(model, data, out, *options):
    return [
        *(sys.executable, "-m", "spacy", "embtune", "embed", str(model), str(data), f"{out}/"),
        *("--what", "base", "--engine", "ray", *options),
    ]


def test_the_driver_is_killed_and_started_again(cluster, odd, data, tmp_path):
    code, model, out = tmp_path / "code.py", tmp_path / "model", tmp_path / "out"
    code.write_text(CODE)
    odd.to_disk(model)
    for i in range(2, N_FILES):
        say(data, i, "SLEEP " * 2)
    call = command(model, data, out, "--code", str(code), "--workers", "1")
    process = subprocess.Popen(call, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    deadline = time.monotonic() + 120
    while len(list((out / "_shards").glob("*.json"))) < 2:
        assert process.poll() is None, process.stdout.read().decode()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    # Its cluster notices, and ends by itself. The same command goes on, on another cluster.
    assert not (out / "_manifest.json").exists()
    done = CliRunner().invoke(app, call[call.index("embed") :])
    assert done.exit_code == 0, done.output
    told = " ".join(done.output.split())
    assert "Embedded 60 texts in 6 shards" in told
    assert "of them finished earlier" in told
    assert_whole(out)


def test_a_cluster_that_is_not_there(nlp, data, tmp_path, monkeypatch):
    if ray.is_initialized():
        ray.shutdown()
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port = listening.getsockname()[1]
    started = time.monotonic()
    for address, cause in [
        (f"127.0.0.1:{port}", "cannot be reached"),
        (f"ray://127.0.0.1:{port}", "cannot be reached"),
        ("nowhere", "Give HOST:PORT"),
    ]:
        with pytest.raises(ValueError, match=cause):
            run(nlp, data, tmp_path / "out", options={"address": address})
    # A variable of the environment that is left from another day.
    monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{port}")
    for address in (None, "auto"):
        with pytest.raises(ValueError, match=f"127.0.0.1:{port} cannot be reached"):
            run(nlp, data, tmp_path / "out", options={"address": address})
    assert time.monotonic() - started < 20
    with socket.socket() as listening:
        # What listens is not Ray.
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        options = {"address": f"127.0.0.1:{listening.getsockname()[1]}", "wait": 3}
        with pytest.raises(ValueError, match=r"does not answer|cannot be used"):
            run(nlp, data, tmp_path / "out", options=options)
    assert time.monotonic() - started < 40
    assert not (tmp_path / "out").exists()


def test_a_machine_is_removed(odd, data, tmp_path):
    from ray.cluster_utils import Cluster

    if ray.is_initialized():
        ray.shutdown()
    for i in range(N_FILES):
        say(data, i, "SLEEP " * 3)
    settings = {"num_cpus": 1, "object_store_memory": 2**27, "include_dashboard": False}
    settings["_system_config"] = SYSTEM
    cluster = Cluster(initialize_head=True, head_node_args=settings)
    second = cluster.add_node(num_cpus=1, object_store_memory=2**27)
    try:
        out = tmp_path / "out"

        def remove():
            while not list((out / "_shards").glob("*.json")):
                time.sleep(0.05)
            cluster.remove_node(second, allow_graceful=False)

        thread = threading.Thread(target=remove)
        thread.start()
        options = {"address": cluster.address, "code": CODE, "wait": 60}
        summary = run(odd, data, out, options=options)
        thread.join()
        assert (summary.n, summary.errors) == (60, {})
        assert_whole(out)
    finally:
        ray.shutdown()
        cluster.shutdown()
