import re
import subprocess
import sys

import numpy as np
import pytest
import spacy
from hypothesis import given
from hypothesis import strategies as st

from spacy_embtune._files import NoRoomError
from spacy_embtune.data import Record
from spacy_embtune.embed import SUFFIXES, _bar, _chunks, embed_corpus, run

from ..test_files import files_limited_to
from .pipelines import make_records

ALL = ("base", "tuned", "scores")
RECORDS = make_records(60)


class Stop(Exception):
    """The run ends here."""


def stopping(records, n):
    """The first n of the records, and then something goes wrong."""
    yield from records[:n]
    raise Stop


def run_to_the_end(nlp, out, records=RECORDS, **settings):
    return embed_corpus(nlp, iter(records), out, **{"what": ALL, "chunk_size": 8, **settings})


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out.npz"


@pytest.mark.slow
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_run_that_is_taken_up_gives_the_same_bytes(tmp_path, pipeline, suffix):
    whole, out = tmp_path / f"whole{suffix}", tmp_path / f"out{suffix}"
    run_to_the_end(spacy.load(pipeline), whole)
    for n in (20, 45):
        with pytest.raises(Stop) as caught:
            run_to_the_end(spacy.load(pipeline), out, stopping(RECORDS, n))
        assert caught.value.__notes__ == [
            f"{n // 8 * 8} records are finished and kept in {out}.parts: the same command goes on "
            "from there."
        ]
        assert not out.exists()
    # What a power cut leaves: a chunk that is half there, and one that was being written.
    half = sorted(tmp_path.glob(f"out{suffix}.parts/000001.*"))[-1]
    half.write_bytes(half.read_bytes()[:50])
    half.with_name(f"unfinished{half.suffix}").write_bytes(b"half")
    nlp = spacy.load(pipeline)
    before = nlp.get_pipe("embtune").encoder.n_requested
    summary = run_to_the_end(nlp, out)
    assert (summary.n, summary.n_kept, summary.n_empty) == (60, 32, 8)
    assert 0 < nlp.get_pipe("embtune").encoder.n_requested - before <= 28
    assert out.read_bytes() == whole.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == [out.name, whole.name]


def test_the_result_is_that_of_the_component(nlp, out):
    run_to_the_end(nlp, out, chunk_size=1000)
    expected = nlp.get_pipe("embtune").predict([nlp.make_doc(r.text) for r in RECORDS])
    with np.load(out) as arrays:
        assert arrays["ids"].tolist() == [record.id for record in RECORDS]
        np.testing.assert_allclose(arrays["base"], expected.base, atol=0.02)
        np.testing.assert_allclose(arrays["scores"], expected.cats, atol=0.05)


def test_an_error_of_the_input_keeps_what_is_finished(nlp, out):
    with pytest.raises(Stop) as caught:
        run_to_the_end(nlp, out, stopping(RECORDS, 7))
    assert not hasattr(caught.value, "__notes__")
    assert not out.parent.joinpath("out.npz.parts").exists()


def test_ctrl_c_keeps_what_is_finished(nlp, out):
    def records():
        yield from RECORDS[:16]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as caught:
        run_to_the_end(nlp, out, records())
    assert caught.value.__notes__[0].startswith("16 records are finished and kept in ")
    assert run_to_the_end(nlp, out).n_kept == 16


@pytest.mark.parametrize("limit", [3_000, 30_000])
def test_a_full_disk_keeps_what_is_finished(nlp, out, limit):
    """The first limit is reached by a chunk, the second by the result."""
    with files_limited_to(limit), pytest.raises(NoRoomError, match="There is no room for") as e:
        run_to_the_end(nlp, out, chunk_size=8 if limit > 20_000 else 16)
    assert hasattr(e.value, "__notes__") == (limit > 20_000)
    assert not out.exists()
    summary = run_to_the_end(nlp, out)
    assert summary.n_kept == (60 if limit > 20_000 else 0)


def test_a_result_that_exists_is_replaced_only_by_force(nlp, out):
    out.write_text("old")
    with pytest.raises(ValueError, match="exists already"):
        run_to_the_end(nlp, out)
    with pytest.raises(Stop):
        run_to_the_end(nlp, out, stopping(RECORDS, 20), force=True)
    assert out.read_text() == "old"
    assert run_to_the_end(nlp, out, force=True).n_kept == 16
    assert np.load(out)["tuned"].shape == (60, 200)


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({"what": ["base"]}, "what was base,tuned,scores, and is base"),
        ({"chunk_size": 9}, "chunk size was 8, and is 9"),
        ({"batch_size": 5}, "batch size was 32, and is 5"),
    ],
)
def test_chunks_of_other_settings_are_refused_or_made_again_by_force(nlp, out, changes, cause):
    with pytest.raises(Stop):
        run_to_the_end(nlp, out, stopping(RECORDS, 20))
    with pytest.raises(ValueError, match=cause):
        run_to_the_end(nlp, out, **changes)
    assert run_to_the_end(nlp, out, force=True, **changes).n_kept == 0


def test_chunks_of_another_pipeline_are_refused(nlp, out, train):
    with pytest.raises(Stop):
        run_to_the_end(nlp, out, stopping(RECORDS, 20))
    with pytest.raises(ValueError, match=r"other settings: pipeline was \w{16}, and is \w{16}\."):
        run_to_the_end(train(n_steps=1), out)


@pytest.mark.parametrize("change", [{"text": "other"}, {"id": "other"}, {"cats": {"FOOD": 1.0}}])
def test_chunks_of_another_input_are_refused_or_made_again_by_force(nlp, out, change):
    with pytest.raises(Stop):
        run_to_the_end(nlp, out, stopping(RECORDS, 40))
    changed = [record._replace(**change) if i == 12 else record for i, record in enumerate(RECORDS)]
    with pytest.raises(ValueError, match="another input: record 9 to 16"):
        run_to_the_end(nlp, out, changed)
    summary = run_to_the_end(nlp, out, changed, force=True)
    assert summary.n_kept == 32
    fresh = out.with_name("fresh.npz")
    run_to_the_end(nlp, fresh, changed)
    assert fresh.read_bytes() == out.read_bytes()


def test_an_input_that_has_become_shorter_is_refused_or_cut_by_force(nlp, out):
    with pytest.raises(Stop):
        run_to_the_end(nlp, out, stopping(RECORDS, 40))
    with pytest.raises(ValueError, match="what comes after record 16"):
        run_to_the_end(nlp, out, RECORDS[:16])
    assert run_to_the_end(nlp, out, RECORDS[:16], force=True)[:3] == (16, 16, 2)
    assert len(np.load(out)["ids"]) == 16


def test_no_records_are_an_error_that_leaves_nothing(nlp, tmp_path, out):
    with pytest.raises(ValueError, match="There are no records"):
        run_to_the_end(nlp, out, [])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "settings", "cause"),
    [
        ("out.csv", {}, "ends in .parquet, .npz, .spacy, .jsonl"),
        ("out.npz", {"chunk_size": 0}, "chunk_size is 0"),
        ("out.npz", {"what": ["vectors"]}, "vectors is asked for"),
        ("out.npz", {"name": "other"}, "of the name 'other'"),
    ],
)
def test_settings_without_sense_leave_nothing(nlp, tmp_path, name, settings, cause):
    with pytest.raises(ValueError, match=cause):
        run_to_the_end(nlp, tmp_path / name, **settings)
    assert list(tmp_path.iterdir()) == []


def test_a_text_that_cannot_be_encoded_alone_in_a_chunk_is_written_too(nlp, out):
    records = [Record("", {}, str(i), {}, i) for i in range(10)]
    assert run_to_the_end(nlp, out, records).n_empty == 10
    assert not np.load(out)["tuned"].any()


@given(
    st.lists(st.integers(0, 40), max_size=40),
    st.integers(1, 10),
    st.integers(1, 60),
)
def test_chunks_end_after_so_many_records_or_characters(lengths, size, most):
    records = [Record("x" * n, {}, str(i), {}, i) for i, n in enumerate(lengths)]
    before, _chunks.MOST_CHARACTERS = _chunks.MOST_CHARACTERS, most
    try:
        chunks = list(_chunks.divide(records, size))
    finally:
        _chunks.MOST_CHARACTERS = before
    assert [record for chunk in chunks for record in chunk] == records
    for chunk in chunks:
        n_characters = [len(record.text) for record in chunk]
        assert len(chunk) <= size
        assert sum(n_characters[:-1]) < most
    for chunk in chunks[:-1]:
        assert len(chunk) == size or sum(len(record.text) for record in chunk) >= most


@pytest.mark.slow
def test_the_vocabulary_does_not_grow_with_the_corpus(nlp, tmp_path):
    before = len(nlp.vocab.strings)
    run_to_the_end(nlp, tmp_path / "out.spacy")
    assert len(nlp.vocab.strings) - before < 10
    assert len({record.text for record in RECORDS}) > 30
    with nlp.memory_zone():
        run_to_the_end(nlp, tmp_path / "nested.spacy")


def test_a_pipeline_works_on_after_an_interrupted_run(nlp, tmp_path, monkeypatch):
    out = tmp_path / "out.spacy"

    def interrupt(*args):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(run.Parts, "add", interrupt)
        with pytest.raises(KeyboardInterrupt):
            run_to_the_end(nlp, out)
    assert nlp(RECORDS[0].text)._.embtune.shape == (200,)
    assert run_to_the_end(nlp, out).n == 60


@pytest.mark.slow
def test_progress_estimates_the_time_left_by_what_was_read(nlp, out, capsys, monkeypatch):
    monkeypatch.setattr(_bar, "progress_interval", lambda: 0.0)
    monkeypatch.setattr(_bar, "DELAY", 0)
    read = []

    def count():
        for record in RECORDS:
            read.append(record)
            yield record

    run_to_the_end(nlp, out, count(), progress=lambda: len(read) / 60)
    lines = re.split(r"[\r\n]+", capsys.readouterr().err)
    assert any(re.search(r"8/60 \[00:0\d<.*texts/s\]", line) for line in lines)
    assert "60/60" in lines[-2]
    out.unlink()
    run_to_the_end(nlp, out, progress=True)
    assert re.search(r"60 texts \[00:0\d, .*texts/s\]", capsys.readouterr().err)
    out.unlink()
    run_to_the_end(nlp, out)
    assert capsys.readouterr().err == ""


MEASURE = """
import resource, sys
from pathlib import Path
import spacy
from spacy_embtune.embed import embed_corpus
from spacy_embtune.data import Record

def records(n):
    return (Record(f"the new ball {i}", {}, f"id{i}", {}, i) for i in range(n))

nlp = spacy.load(sys.argv[1])
for n in (1_000, 2_000, 16_000):
    for suffix in (".npz", ".jsonl"):
        out = Path(sys.argv[2]) / f"{n}{suffix}"
        embed_corpus(nlp, records(n), out, what=["base", "tuned"], chunk_size=500)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_the_corpus(pipeline, tmp_path):
    command = [sys.executable, "-c", MEASURE, str(pipeline), str(tmp_path)]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    _, small, large = map(int, result.stdout.split())
    # The vectors alone of the larger one would take 17 MB.
    per_kib = 1 if sys.platform == "linux" else 1024
    assert (large - small) / per_kib < 7 * 1024
