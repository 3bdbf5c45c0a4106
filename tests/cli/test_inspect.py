import json

import pytest


def write(path, *rows):
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return path


@pytest.fixture
def data(tmp_path):
    rows = [{"text": f"ball goal {i}", "label": "SPORT" if i % 2 else "FOOD"} for i in range(9)]
    return write(tmp_path / "data.jsonl", *rows, {"text": "Ball  goal 1", "label": "FOOD"})


def test_the_report_shows_counts_and_findings(embtune, data, tmp_path, tiny_encoder):
    test = write(tmp_path / "test.jsonl", {"text": "ball goal 2", "label": "FOOD"})
    args = ["--against", test, "--encoder", tiny_encoder, "--cache-dir", tmp_path / "cache"]
    code, output, error = embtune("inspect", data, *args, "--json", tmp_path / "out.json")
    assert code == 0, error
    assert "10 documents, 10 of them labelled; 2 labels" in output
    assert "Exclusive" in output
    assert "1 text with copies whose labels contradict each other" in " ".join(output.split())
    assert "1 of 1 document of TEST with a text that is also in DATA" in " ".join(output.split())
    assert max(map(len, output.splitlines())) <= 80 or str(tmp_path) in output
    found = json.loads((tmp_path / "out.json").read_text())
    assert found["n_documents"] == 10
    assert found["encoder"] == str(tiny_encoder)
    assert {"contradicting_copies", "leakage"} <= {f["key"] for f in found["findings"]}


def test_without_encoding_no_encoder_is_needed(embtune, data):
    code, output, error = embtune("inspect", data, "--no-encode", "--encoder", "no-such-encoder")
    assert (code, error) == (0, "")
    assert "near duplicate" not in output


def test_what_cannot_be_inspected_is_said_in_words(embtune, data, tmp_path):
    empty = tmp_path / "empty.csv"
    empty.write_text("text,label\n")
    for args, message in (
        ([empty, "--no-encode"], "holds no documents"),
        ([tmp_path / "missing.csv"], "no such file"),
        ([data, "--near", "2", "--no-encode"], "above 0 and up to 1"),
        ([data, "--json", data.with_suffix(".txt")], "ends in .json"),
        ([data, "--encoder", tmp_path / "no-such-encoder"], "no-such-encoder"),
    ):
        code, output, error = embtune("inspect", *args)
        assert (code, output) == (1, "")
        assert message in error
