"""`embtune evaluate` of a file of pairs."""

import json

import pytest
from typer.testing import CliRunner

from spacy_embtune.cli import app

from ..conftest import make_texts


def write_pairs(path, n=30, names=("text1", "text2"), extra=None):
    texts = [text for text, _ in make_texts(2 * n, seed=3)]
    rows = [dict(zip(names, pair, strict=True)) for pair in zip(texts[:n], texts[n:], strict=True)]
    for i, row in enumerate(rows):
        row.update(extra(i) if extra else {})
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf8")
    return path


def run(*args):
    """RETURNS (tuple): Exit code, standard output and standard error of `embtune evaluate`."""
    result = CliRunner().invoke(app, ["evaluate", *map(str, args)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout, " ".join(result.stderr.split())


@pytest.mark.slow
def test_a_file_of_pairs_is_found_out_by_its_fields(trained, tmp_path):
    path = write_pairs(tmp_path / "pairs.jsonl")
    written = ("--json", tmp_path / "out.json", "--markdown", tmp_path / "out.md")
    code, output, _ = run(trained.model, path, *written)
    assert code == 0
    assert "From text1 to text2" in output
    assert output.count("recall@10") >= 2
    numbers = json.loads((tmp_path / "out.json").read_text())
    assert set(numbers["metrics"]) == {"text1 to text2", "text2 to text1"}
    assert "| MRR |" in (tmp_path / "out.md").read_text()


@pytest.mark.slow
def test_the_fields_and_the_range_of_scores_can_be_named(trained, tmp_path):
    path = write_pairs(tmp_path / "pairs.jsonl", names=("q", "a"), extra=lambda i: {"grade": i % 6})
    options = ("--text1", "q", "--text2", "a", "--score", "grade", "--score-range", "0,5")
    code, output, _ = run(trained.model, path, *options)
    assert code == 0
    assert "From q to a" in output
    assert "Spearman" in output
    assert "15 of 30 pairs belong together" in " ".join(output.split())


@pytest.mark.parametrize(
    ("options", "match"),
    [
        (("--per-label",), "--per-label is not for pairs"),
        (("--calibration",), "--calibration is not for pairs"),
        (("--unit", "sents"), "--unit is not for pairs"),
        (("--train", "x.jsonl"), "--train is not for pairs"),
        (("--score-range", "a"), "--score-range is 'a'"),
        (("--score-range", "5,0"), "score_range is"),
    ],
)
def test_options_that_do_not_fit_pairs_are_errors(trained, tmp_path, options, match):
    path = write_pairs(tmp_path / "pairs.jsonl")
    code, _, error = run(trained.model, path, *options)
    assert code == 1
    assert match in error


@pytest.mark.slow
def test_an_invalid_pair_is_an_error_or_skipped(trained, tmp_path):
    path = write_pairs(tmp_path / "pairs.jsonl")
    path.write_text(path.read_text() + '{"text1": "", "text2": "b"}\n')
    code, _, error = run(trained.model, path)
    assert code == 1
    assert "line 31: 'text1' is an empty text" in error
    code, output, error = run(trained.model, path, "--on-error", "skip")
    assert code == 0
    assert "From text1 to text2" in output
    assert "skipped 1 of 31 pairs" in error


@pytest.mark.slow
def test_a_file_with_a_text_beside_is_no_file_of_pairs(trained, tmp_path):
    path = write_pairs(
        tmp_path / "pairs.jsonl", extra=lambda i: {"text": f"a text {i}", "label": "AB"[i % 2]}
    )
    code, output, _ = run(trained.model, path)
    assert code == 0
    assert "p@1" in output
    assert "recall@1" not in output
