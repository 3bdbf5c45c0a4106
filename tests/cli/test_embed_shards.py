"""`embed` with directories: what a user gets, and what bad input is told."""

import json
import sys

import pytest

from ..data.test_shards import write_lines
from ..embed.pipelines import make_records
from ..embed.test_shards import make_static, read, write_three

RECORDS = make_records(60)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """The directory of a pipeline of word vectors."""
    folder = tmp_path_factory.mktemp("model")
    make_static().to_disk(folder)
    return folder


@pytest.fixture
def data(tmp_path):
    return write_three(tmp_path / "data")


@pytest.mark.slow
def test_a_directory_becomes_shards_that_are_proved(model, data, embtune, tmp_path):
    out = tmp_path / "out"
    call = ("embed", model, data, f"{out}/", "--what", "base")
    code, output, error = embtune(*call)
    assert (code, "8 empty texts got vectors of zeros" in error) == (0, True)
    assert "Embedded 60 texts in 3 shards" in " ".join(output.split())
    assert read(out)["id"].to_pylist() == [record.id for record in RECORDS]
    code, output, _ = embtune("embed", "--verify", f"{out}/")
    assert code == 0
    told = " ".join(output.split())
    assert "Each row of DATA is there exactly once: 60 rows in 3 shards" in told
    code, output, _ = embtune(*call)
    assert "60 of them finished earlier" in " ".join(output.split())
    max(out.glob("*.parquet")).unlink()
    code, _, error = embtune("embed", "--verify", out)
    assert code == 1
    assert "is not complete" in error
    assert "is missing." in error


def test_a_pattern_and_options_of_shards(model, data, embtune, tmp_path):
    out = tmp_path / "out"
    options = ("--what", "base", "--dtype", "float16", "--out-format", "npz")
    code, output, error = embtune("embed", model, data / "[01].jsonl", f"{out}/", *options)
    assert code == 0
    assert "40 texts in 2 shards" in " ".join(output.split())
    assert "Left out: n. Join them by id." in error
    assert len(list(out.glob("*.npz"))) == 2


def test_one_file_may_have_shards(model, embtune, tmp_path):
    write_lines(tmp_path / "a.jsonl")
    out = f"{tmp_path / 'out'}/"
    code, output, _ = embtune("embed", model, tmp_path / "a.jsonl", out, "--what", "base")
    assert (code, "50 texts in 1 shard in" in " ".join(output.split())) == (0, True)


def test_labels_are_kept_in_shards_where_there_is_a_place(model, embtune, tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.jsonl").write_text('{"text": "a", "label": "X"}\n')
    out = tmp_path / "out"
    options = ("--what", "base", "--out-format", "jsonl")
    assert embtune("embed", model, tmp_path / "in", f"{out}/", *options)[0] == 0
    (shard,) = out.glob("*.jsonl")
    assert json.loads(shard.read_text())["cats"] == {"X": 1.0}


@pytest.mark.slow
def test_a_poisoned_part_ends_with_an_error_and_keeps_the_others(model, data, embtune, tmp_path):
    (data / "1.jsonl").write_text("nope\n")
    out = tmp_path / "out"
    call = ("embed", model, data, f"{out}/", "--what", "base")
    code, output, error = embtune(*call)
    assert (code, output) == (1, "")
    assert "1 part of DATA failed" in error
    assert "40 texts in 2 shards" in error
    assert "1.jsonl: line 1: is not JSON" in error.replace("1.jsonl, line", "1.jsonl: line")
    assert len(list(out.glob("*.parquet"))) == 2
    code, output, error = embtune(*call, "--on-error", "skip", "--force")
    assert code == 0
    assert "Left out 1 record that is invalid" in error


@pytest.mark.slow
def test_columns_that_differed_are_told(model, data, embtune, tmp_path):
    (data / "1.jsonl").write_text('{"text": "a", "n": "one"}\n')
    code, _, error = embtune("embed", model, data, f"{tmp_path / 'out'}/", "--what", "base")
    assert code == 0
    assert "Columns differed between shards, and are the same in all of them now" in error
    assert "The column 'n' was int64 in 0.jsonl-" in error
    assert "It is JSON in all shards now." in error


@pytest.mark.slow
def test_bad_input_of_shards_is_told_in_words(model, data, embtune, tmp_path, monkeypatch):
    out = tmp_path / "out"
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("x")
    ray = ("--engine", "ray")
    calls = [
        ((model, data, tmp_path / "out.parquet"), "is a directory or a pattern, so OUT has to be"),
        ((model, data / "0.jsonl", tmp_path / "out.npz", *ray), "--engine ray writes shards, so"),
        ((model, data, f"{out}/", "--workers", "2"), "--workers is for the workers of Ray"),
        ((model, data, f"{out}/", "--wait", "2"), "--wait is for the workers of Ray"),
        ((model, tmp_path / "empty", f"{out}/"), "there is no file of records"),
        ((model, tmp_path / "*.xyz", f"{out}/"), "no file matches"),
        ((model, "-", f"{out}/"), "Standard input cannot be divided"),
        ((model, data, f"{tmp_path / 'file'}/"), "is a file"),
        ((model, data, f"{data / 'out'}/"), "is in DATA"),
        ((model, data, "nope://bucket/x/"), "no address that fsspec knows"),
        ((model, "nope://bucket/x/", f"{out}/"), "nope"),
        ((model, data, f"{out}/", "--what", "scores"), "is not trained"),
        ((model, data, f"{out}/", "--out-format", "jsonl", "--dtype", "float16"), "float16"),
        ((tmp_path / "nowhere", data, f"{out}/"), "Can't find model"),
        ((model, data, f"{out}/", *ray, "--address", "nowhere"), "is not valid. Give HOST:PORT"),
        ((model, data, f"{out}/", *ray, "--address", "127.0.0.1:1"), "cannot be reached"),
        (("--verify", out), "no run of `embed` ended there"),
    ]
    before = sorted(tmp_path.rglob("*"))
    for arguments, cause in calls:
        what = () if "--what" in arguments or arguments[0] == "--verify" else ("--what", "base")
        code, output, error = embtune("embed", *arguments, *what)
        assert (code, output) == (1, ""), arguments
        assert cause in error, arguments
        assert error.count("✘") == 1
        assert "Traceback" not in error
        assert sorted(tmp_path.rglob("*")) == before, arguments
    monkeypatch.setitem(sys.modules, "ray", None)
    code, _, error = embtune("embed", model, data, f"{out}/", *ray)
    assert code == 1
    assert "spacy-embtune[ray]" in error


@pytest.mark.parametrize(
    ("option", "value"),
    [
        *[("--engine", "spark"), ("--workers", "0"), ("--cpus-per-worker", "-1")],
        *[("--gpus-per-worker", "-1"), ("--wait", "-1"), ("--shard-rows", "0")],
        *[("--dtype", "int8"), ("--out-format", "csv")],
    ],
)
def test_options_out_of_range_are_refused(model, data, embtune, tmp_path, option, value):
    code, _, error = embtune("embed", model, data, tmp_path / "out", option, value)
    assert code == 2
    assert option in error
