"""Commands read files that other programs wrote, and say what to do about others."""

import pytest
import srsly

from ..conftest import make_texts

ROWS = make_texts(30, seed=2)


def write_csv(path, *, delimiter=";", encoding="utf8"):
    lines = [f"text{delimiter}label", *(f"{text} é{delimiter}{label}" for text, label in ROWS)]
    path.write_text("\n".join([*lines, ""]), encoding=encoding)
    return path


@pytest.mark.slow
def test_a_table_of_excel_needs_no_options(trained, embtune, tmp_path):
    data = write_csv(tmp_path / "data.csv", delimiter="\t", encoding="utf-16")
    out = tmp_path / "out.jsonl"
    code, _, err = embtune("embed", trained.model, data, out)
    assert code == 0, err
    rows = list(srsly.read_jsonl(out))
    assert [row["text"] for row in rows] == [f"{text} é" for text, _ in ROWS]
    assert [row["cats"] for row in rows] == [{label: 1.0} for _, label in ROWS]


@pytest.mark.slow
def test_every_command_that_reads_data_takes_delimiter_encoding_and_quotes(
    trained, embtune, tmp_path, tiny_encoder
):
    data = write_csv(tmp_path / "data.csv", delimiter="~", encoding="cp1252")
    options = ["--delimiter", "~", "--encoding", "cp1252", "--quotes", "literal"]
    commands = [
        ["embed", trained.model, data, tmp_path / "out.jsonl"],
        ["evaluate", trained.model, data, "--train", data],
        ["bulk", trained.model, data, tmp_path / "out.csv", "--fit", data],
        ["plot", trained.model, data, tmp_path / "out.html", "--fit", data],
        ["neighbors", trained.model, data, "ball goal"],
        ["tune", data, tmp_path / "tuned", "--seconds", "1", "--encoder", tiny_encoder],
    ]
    for command in commands:
        code, _, err = embtune(*command, *options)
        assert code == 0, (command, err)


@pytest.mark.slow
def test_another_encoding_is_an_error_that_names_the_option_that_helps(trained, embtune, tmp_path):
    data = write_csv(tmp_path / "data.csv", encoding="cp1252")
    code, _, err = embtune("evaluate", trained.model, data)
    assert code == 1
    assert "line 2: is not UTF-8" in err
    assert "--encoding cp1252" in err
    code, _, err = embtune("evaluate", trained.model, data, "--encoding", "cp1252")
    assert code == 0, err
