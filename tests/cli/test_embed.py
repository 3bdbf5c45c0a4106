import csv
import gzip
import io
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest
import spacy
from spacy.tokens import DocBin
from typer.testing import CliRunner

from spacy_embtune.cli import app

from ..embed.pipelines import make_pipeline, make_records
from ..test_files import files_limited_to

RECORDS = make_records(60)
LINES = [
    json.dumps({"id": record.id, "text": record.text, "cats": record.cats}) + "\n"
    for record in RECORDS
]
SUFFIXES = [".parquet", ".npz", ".spacy", ".jsonl"]
SETTINGS = ["--what", "base,tuned,scores", "--chunk-size", "8"]


@pytest.fixture(scope="module")
def pipeline(tiny_encoder, tmp_path_factory):
    """The directory of a trained pipeline."""
    return make_pipeline(tiny_encoder, tmp_path_factory.mktemp("pipeline"))


@pytest.fixture
def data(tmp_path):
    """A file of records."""
    path = tmp_path / "data.jsonl"
    path.write_text("".join(LINES), "utf8")
    return path


def embed(*args, **settings):
    """RETURNS (tuple[int, str, str]): Exit code, and what was printed, on lines as they come."""
    result = CliRunner().invoke(app, ["embed", *map(str, args)], **settings)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout, result.stderr


def words(text):
    return " ".join(text.split())


def command(*args):
    return [sys.executable, "-m", "spacy", "embtune", "embed", *map(str, args)]


def feed(process, lines, folder, n_chunks):
    """Give a process some of its records, and wait until it has so many chunks finished."""
    process.stdin.write("".join(lines).encode())
    process.stdin.flush()
    deadline = time.monotonic() + 300
    while len(list(folder.glob("[0-9]*.json"))) < n_chunks:
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.02)


# What a user gets


@pytest.mark.slow
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_corpus_becomes_a_file_of_vectors(pipeline, data, tmp_path, suffix):
    out = tmp_path / f"out{suffix}"
    code, stdout, stderr = embed(pipeline, data, out, *SETTINGS)
    assert code == 0, stderr
    assert words(stdout) == f"✔ Embedded 60 texts in {words(stdout).split()[5]} s: {out}"
    assert "⚠ 8 empty texts got vectors of zeros" in stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data.jsonl", out.name]
    ids = [record.id for record in RECORDS]
    component = spacy.load(pipeline).get_pipe("embtune")
    expected = component.predict([record.text for record in RECORDS]).tuned
    if suffix == ".npz":
        arrays = np.load(out)
        found_ids, tuned = arrays["ids"].tolist(), arrays["tuned"]
    elif suffix == ".parquet":
        table = pyarrow.parquet.read_table(out)
        found_ids, tuned = table["id"].to_pylist(), table["tuned"].to_pylist()
    elif suffix == ".jsonl":
        rows = list(map(json.loads, out.read_text("utf8").splitlines()))
        found_ids, tuned = [row["id"] for row in rows], [row["tuned"] for row in rows]
    else:
        docs = list(DocBin().from_disk(out).get_docs(spacy.blank("en").vocab))
        found_ids = [doc.user_data["id"] for doc in docs]
        tuned = [doc._.embtune for doc in docs]
    assert found_ids == ids
    np.testing.assert_allclose(np.asarray(tuned), expected, atol=0.1)


@pytest.mark.slow
def test_only_tuned_vectors_are_written_unless_more_is_asked_for(pipeline, data, tmp_path):
    assert embed(pipeline, data, tmp_path / "out.npz")[0] == 0
    assert set(np.load(tmp_path / "out.npz")) == {"ids", "tuned"}


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["gz", "csv", "text", "spacy", "parquet", "jsonl"])
def test_the_same_texts_give_the_same_vectors_whatever_they_come_in(pipeline, data, tmp_path, kind):
    expected, out = tmp_path / "expected.npz", tmp_path / "out.npz"
    texts = [record.text for record in RECORDS if record.text]
    data.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    assert embed(pipeline, data, expected)[0] == 0
    if kind == "jsonl":
        made = embed(pipeline, "-", out, "--format", kind, input=data.read_text())
    elif kind == "text":
        made = embed(pipeline, "-", out, "--format", kind, input="\n".join(texts))
    else:
        source = tmp_path / f"source.{kind}"
        if kind == "gz":
            source = tmp_path / "source.jsonl.gz"
            source.write_bytes(gzip.compress(data.read_bytes()))
        elif kind == "csv":
            file = io.StringIO()
            csv.writer(file).writerows([["body"], *([text] for text in texts)])
            source.write_text(file.getvalue())
        elif kind == "parquet":
            pyarrow.parquet.write_table(pyarrow.table({"body": texts}), source)
        else:
            nlp = spacy.blank("en")
            DocBin(docs=map(nlp.make_doc, texts)).to_disk(source)
        field = ["--text-field", "body"] if kind in ("csv", "parquet") else []
        made = embed(pipeline, source, out, *field)
    assert made[0] == 0, made
    assert out.read_bytes() == expected.read_bytes()


@pytest.mark.slow
def test_labels_are_kept_where_there_is_a_place_for_them(pipeline, tmp_path):
    data, out = tmp_path / "data.jsonl", tmp_path / "out.jsonl"
    data.write_text('{"text": "a", "kind": ["X"], "label": 0.5, "key": 7}\n')
    options = ["--label-field", "kind", "--id-field", "key"]
    assert embed(pipeline, data, out, *options)[0] == 0
    row = json.loads(out.read_text())
    assert (row["cats"], row["id"]) == ({"X": 1.0}, "7")
    code, _, stderr = embed(pipeline, data, out, "--force")
    assert code == 1
    assert "'label' is 0.5" in stderr
    # Here there is none, and they may be anything.
    assert embed(pipeline, data, tmp_path / "out.npz")[0] == 0


# Interruptions


@pytest.mark.slow
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_killed_run_is_taken_up_and_gives_the_same_bytes(pipeline, data, tmp_path, suffix):
    whole, out = tmp_path / f"whole{suffix}", tmp_path / f"out{suffix}"
    assert embed(pipeline, data, whole, *SETTINGS)[0] == 0
    folder = Path(f"{out}.parts")
    process = subprocess.Popen(
        command(pipeline, "-", out, "--format", "jsonl", *SETTINGS),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        # It waits for more, in the middle of its sixth chunk.
        feed(process, LINES[:44], folder, 5)
        process.send_signal(signal.SIGKILL)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert not out.exists()
    assert len(list(folder.glob("[0-9]*.json"))) == 5
    # One of those that were finished has lost its end since.
    damaged = max(folder.glob("000002.*"))
    damaged.write_bytes(damaged.read_bytes()[:-10])
    code, stdout, stderr = embed(pipeline, data, out, *SETTINGS)
    assert code == 0, stderr
    assert "s, 32 of them finished earlier" in words(stdout)
    assert words(f"{damaged} is damaged and is made again.") in words(stderr)
    assert out.read_bytes() == whole.read_bytes()
    assert not folder.exists()


@pytest.mark.slow
def test_ctrl_c_says_how_to_go_on(pipeline, data, tmp_path):
    out = tmp_path / "out.npz"
    process = subprocess.Popen(
        command(pipeline, "-", out, "--format", "jsonl", *SETTINGS),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        feed(process, LINES[:20], Path(f"{out}.parts"), 2)
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=300)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 130
    assert stdout == b""
    told = words(stderr.decode())
    assert "✘ Interrupted 16 records are finished and kept in" in told
    assert "Traceback" not in told
    assert not out.exists()
    assert "16 of them finished earlier" in words(embed(pipeline, data, out, *SETTINGS)[1])


@pytest.mark.slow
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_full_disk_is_named_and_leaves_an_old_result_as_it_was(pipeline, data, tmp_path, suffix):
    whole, out = tmp_path / f"whole{suffix}", tmp_path / f"out{suffix}"
    assert embed(pipeline, data, whole, *SETTINGS)[0] == 0
    out.write_text("old")
    # A chunk is smaller, the result larger.
    with files_limited_to(whole.stat().st_size * 3 // 4):
        code, _, stderr = embed(pipeline, data, out, *SETTINGS, "--force")
    assert code == 1
    assert f"✘ {out} was not written" in words(stderr)
    assert f"There is no room for {out}" in words(stderr)
    assert "60 records are finished and kept in" in words(stderr)
    assert out.read_text() == "old"
    assert not list(tmp_path.rglob("*unfinished*"))
    assert embed(pipeline, data, out, *SETTINGS, "--force")[0] == 0
    assert out.read_bytes() == whole.read_bytes()


# Bad input

BAD = ['{"text": "one"}', "[1]", '{"txt": "a"}', "nope", '{"text": 5}', "{", "", '{"text": "two"}']


def test_a_bad_line_ends_the_run_with_its_number(pipeline, tmp_path):
    data, out = tmp_path / "data.jsonl", tmp_path / "out.npz"
    data.write_text("\n".join(BAD))
    code, stdout, stderr = embed(pipeline, data, out)
    assert (code, stdout) == (1, "")
    assert f"✘ {out} was not written {data}, line 2: is [1], a list." in words(stderr)
    assert [path.name for path in tmp_path.iterdir()] == ["data.jsonl"]
    assert max(map(len, stderr.splitlines()[-4:])) <= max(80, len(str(data)) + 10)


@pytest.mark.slow
def test_bad_lines_are_skipped_and_counted_if_asked(pipeline, tmp_path):
    data, out = tmp_path / "data.jsonl", tmp_path / "out.npz"
    data.write_text("\n".join([*BAD, *["nope"] * 20]))
    code, _, stderr = embed(pipeline, data, out, "--on-error", "skip")
    assert code == 0
    assert np.load(out)["ids"].tolist() == ["0", "6"]
    told = words(stderr)
    for number in range(2, 7):
        assert f"Skipped {data}, line {number}: " in told
    assert "line 9" not in told
    assert "⚠ Left out 25 records that are invalid" in told


def run_of_bad_input(pipeline, tmp_path):
    """Calls that fail: arguments, and what is said."""
    (tmp_path / "empty.jsonl").write_text("")
    (tmp_path / "mixed.jsonl").write_text("plain text\n")
    (tmp_path / "a.csv").write_text("body\nx\n")
    (tmp_path / "a.txt").write_text("x\n")
    (tmp_path / "broken.jsonl.gz").write_bytes(gzip.compress(b'{"text": "a"}\n' * 99)[:-9])
    (tmp_path / "there.npz").write_text("old")
    spacy.blank("en").to_disk(tmp_path / "blank")
    out = tmp_path / "out.npz"
    text = tmp_path / "a.txt"
    return [
        ([pipeline, tmp_path / "empty.jsonl", out], "There are no records"),
        ([pipeline, tmp_path / "mixed.jsonl", out], "line 1: is not JSON"),
        ([pipeline, tmp_path / "mixed.jsonl", out, "--on-error", "skip"], "There are no records"),
        ([pipeline, tmp_path / "a.csv", out], "has no column 'text', only 'body'"),
        ([pipeline, tmp_path / "broken.jsonl.gz", out], "not a whole gzip file"),
        ([pipeline, tmp_path / "none.jsonl", out], "there is no such file"),
        ([pipeline, tmp_path, out], "is a directory or a pattern, so OUT has to be a directory"),
        ([pipeline, "-", out], "Standard input does not say what it holds"),
        ([pipeline, text, out, "--format", "docbin"], "The kind 'docbin' is not one of"),
        ([pipeline, text, tmp_path / "out.csv"], ".parquet, .npz, .spacy or .jsonl"),
        ([pipeline, text, tmp_path / "none" / "out.npz"], "There is no directory"),
        ([pipeline, text, tmp_path / "there.npz"], "exists already"),
        ([pipeline, text, out, "--what", "base;tuned"], "give one or more of base, tuned, scores"),
        ([pipeline, text, out, "--name", "other"], "of the name 'other'"),
        ([tmp_path / "nowhere", text, out], "Can't find model"),
        ([tmp_path / "blank", text, out], "has no embtune component"),
    ]


@pytest.mark.slow
def test_bad_input_is_told_in_words_and_leaves_nothing(pipeline, tmp_path):
    calls = run_of_bad_input(pipeline, tmp_path)
    before = sorted(tmp_path.iterdir())
    for args, cause in calls:
        code, stdout, stderr = embed(*args)
        assert (code, stdout) == (1, ""), args
        assert cause in words(stderr), args
        assert "✘" in stderr
        assert "Traceback" not in stderr
        assert sorted(tmp_path.iterdir()) == before, args
    assert (tmp_path / "there.npz").read_text() == "old"


@pytest.mark.slow
def test_an_untrained_pipeline_gives_base_vectors_only(tiny_encoder, data, tmp_path):
    untrained = make_pipeline(tiny_encoder, tmp_path / "pipeline", n_steps=0)
    out = tmp_path / "out.npz"
    code, _, stderr = embed(untrained, data, out)
    assert code == 1
    assert "is not trained" in words(stderr)
    assert embed(untrained, data, out, "--what", "base")[0] == 0
    assert np.load(out)["base"].shape == (60, 64)


def test_numbers_out_of_range_are_refused(pipeline, data, tmp_path):
    for option in ("--chunk-size", "--batch-size"):
        code, _, stderr = embed(pipeline, data, tmp_path / "out.npz", option, "0")
        assert code == 2
        assert option in stderr


def test_the_help_fits_a_terminal_and_names_every_option():
    env = {"COLUMNS": "80", "TERMINAL_WIDTH": "80"}
    code, stdout, _ = embed("--help", env=env, prog_name="python -m spacy embtune")
    assert code == 0
    assert max(map(len, stdout.splitlines())) <= 80
    assert words(stdout).startswith("Usage: python -m spacy embtune embed [OPTIONS]")
    for name in ("MODEL", "DATA", "OUT", "--what", "--format", "--on-error", "--force"):
        assert name in stdout


@pytest.mark.slow
def test_other_fields_are_kept_or_named(trained, embtune, tmp_path):
    data = tmp_path / "data.jsonl"
    rows = [{"text": f"ball {i}", "url": f"u{i}", "votes": i} for i in range(5)]
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    code, _, error = embtune("embed", trained.model, data, tmp_path / "out.jsonl")
    assert (code, error) == (0, "")
    found = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [{k: row[k] for k in ("text", "url", "votes")} for row in found] == rows
    code, _, error = embtune("embed", trained.model, data, tmp_path / "out.npz")
    assert code == 0
    assert "Left out: url, votes" in error
