import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import spacy
import srsly
from spacy.tokens import DocBin
from spacy.training import Example
from typer.testing import CliRunner

from spacy_embtune.cli import app
from spacy_embtune.reports import report

from ..conftest import make_examples, make_texts


@pytest.fixture(scope="module")
def model(tmp_path_factory, trained):
    """A directory with a trained pipeline, its training documents and others."""
    path = tmp_path_factory.mktemp("evaluate")
    shutil.copytree(trained.model, path / "model")
    nlp = spacy.blank("en")
    train = make_examples(nlp, 60)
    for name, examples in (("train", train), ("data", make_examples(nlp, 45, seed=1))):
        DocBin(docs=[example.reference for example in examples]).to_disk(path / f"{name}.spacy")
    return path


def run(*args, stdin=None):
    """RETURNS (tuple): Exit code, standard output and standard error of `embtune evaluate`."""
    result = CliRunner().invoke(app, ["evaluate", *map(str, args)], input=stdin)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout, " ".join(result.stderr.split())


@pytest.mark.slow
def test_calibration_is_shown_on_demand_and_always_in_the_json(model, tmp_path):
    nlp = spacy.load(model / "model")
    docs = list(DocBin().from_disk(model / "data.spacy").get_docs(nlp.vocab))
    nlp.get_pipe("embtune").cfg["temperature"] = 2.0
    nlp.to_disk(tmp_path / "model")
    expected = report(nlp, docs, progress=False)
    args = (tmp_path / "model", model / "data.spacy")
    written = ("--json", tmp_path / "out.json", "--markdown", tmp_path / "out.md")
    code, output, _ = run(*args, "--calibration", *written)
    assert code == 0
    found = json.loads((tmp_path / "out.json").read_text())["calibration"]
    assert found == expected.to_dict()["calibration"]
    assert found["temperature"] == 2.0
    error = found["expected_calibration_error"]
    assert error["before"] != error["after"]
    text = re.sub(r"\x1b\[[\d;]*m", "", output)
    line = next(line for line in text.splitlines() if line.startswith("expected calibration"))
    numbers = [f"{error['before']:.3f}", f"{error['after']:.3f}"]
    assert line.split()[3:5] == numbers
    assert (
        f"| expected calibration error | {' | '.join(numbers)} |"
        in (tmp_path / "out.md").read_text()
    )
    assert max(map(len, expected.to_text(calibration=True).splitlines())) <= 80
    plain = run(*args)[1]
    assert "calibration" not in plain


@pytest.mark.slow
def test_the_command_prints_the_table_and_writes_the_files(model, tmp_path):
    args = (model / "model", model / "data.spacy", "--train", model / "train.spacy")
    written = ("--json", tmp_path / "out.json", "--markdown", tmp_path / "out.md")
    code, output, _ = run(*args, *written)
    assert code == 0
    nlp = spacy.load(model / "model")
    docs = [
        list(DocBin().from_disk(model / f"{name}.spacy").get_docs(nlp.vocab))
        for name in ("data", "train")
    ]
    expected = report(nlp, docs[0], train=docs[1], progress=False)
    text = re.sub(r"\x1b\[[\d;]*m", "", output)
    assert text.startswith(str(expected))
    assert max(map(len, str(expected).splitlines())) <= 80
    assert json.loads((tmp_path / "out.json").read_text()) == expected.to_dict()
    assert (tmp_path / "out.md").read_text() == expected.to_markdown()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.json", "out.md"]
    assert expected.verdict.kind == "helps"


@pytest.mark.slow
def test_scores_of_labels_are_shown_on_demand_and_always_in_json(model, tmp_path):
    args = (model / "model", model / "data.spacy", "--train", model / "train.spacy")
    written = ("--json", tmp_path / "out.json", "--markdown", tmp_path / "out.md")
    code, output, _ = run(*args, *written, "--per-label")
    assert code == 0
    text = re.sub(r"\x1b\[[\d;]*m", "", output)
    assert "Nearest neighbours by label" in text
    assert "a linear probe that learns from TRAIN" in text
    found = json.loads((tmp_path / "out.json").read_text())["per_label"]
    assert {label: row["n"] for label, row in found.items()} == dict.fromkeys(found, 15)
    for label, row in found.items():
        assert re.search(rf"^{label} +15 ", text, flags=re.MULTILINE)
        assert 0 < row["f1"]["base"] <= row["f1"]["tuned"] <= row["component"]["f1"] + 0.1
    assert "| MAP@R base | MAP@R tuned |" in (tmp_path / "out.md").read_text()
    assert "by label" not in run(*args)[1]


@pytest.mark.slow
def test_data_may_be_jsonl_csv_or_standard_input(model, tmp_path):
    rows = make_texts(30, seed=1)
    srsly.write_jsonl(tmp_path / "data.jsonl", [{"body": x, "topic": y} for x, y in rows])
    with (tmp_path / "data.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerows([("body", "topic"), *rows])
    fields = ("--text-field", "body", "--label-field", "topic")
    of_jsonl = run(model / "model", tmp_path / "data.jsonl", *fields)
    assert of_jsonl[0] == 0
    assert "30 documents; 3 labels, exclusive" in of_jsonl[1]
    assert run(model / "model", tmp_path / "data.csv", *fields)[1] == of_jsonl[1]
    stdin = (tmp_path / "data.jsonl").read_text()
    assert run(model / "model", "-", "--format", "jsonl", *fields, stdin=stdin)[1] == of_jsonl[1]


@pytest.mark.slow
def test_texts_that_were_trained_on_are_named_with_and_without_train(model):
    for more in ((), ("--train", model / "train.spacy")):
        code, output, _ = run(model / "model", model / "train.spacy", *more)
        assert code == 0
        text = " ".join(output.split())
        assert "60 of 60 documents are texts that the model was trained on" in text
        assert "Not held out:" in text


@pytest.mark.slow
def test_labels_that_the_model_does_not_know_are_named_and_measured(model, tmp_path):
    path = tmp_path / "data.jsonl"
    rows = [(text, {"SPORT": "GAMES"}.get(topic, topic)) for text, topic in make_texts(30)]
    srsly.write_jsonl(path, [{"text": text, "label": label} for text, label in rows])
    code, output, _ = run(model / "model", path)
    assert code == 0
    assert "does not know 'GAMES'. The metrics include such labels" in " ".join(output.split())
    assert "30 documents; 3 labels, exclusive" in output


@pytest.mark.slow
def test_documents_without_labels_show_the_shape_of_the_space(model, tmp_path):
    path = tmp_path / "data.txt"
    path.write_text("\n".join(text for text, _ in make_texts(30)))
    code, output, _ = run(model / "model", path)
    assert code == 0
    assert "No document carries a label" in output
    assert re.search(r"effective rank +\d", output)
    assert "Nothing to compare" in output


@pytest.mark.slow
def test_invalid_records_are_fatal_or_left_out_as_asked(model, tmp_path):
    path = tmp_path / "data.jsonl"
    lines = [json.dumps({"text": text, "label": label}) for text, label in make_texts(30)]
    path.write_text("\n".join([*lines[:10], "{", *lines[10:]]))
    code, output, error = run(model / "model", path)
    assert (code, output) == (1, "")
    assert "line 11" in error
    code, output, error = run(model / "model", path, "--on-error", "skip")
    assert code == 0
    assert "30 documents" in output
    assert "line 11" in error
    assert "Left out 1 record" in error


def write_pipelines(path: Path, tiny_encoder: Path) -> None:
    spacy.blank("en").to_disk(path / "plain")
    nlp = spacy.blank("en")
    config = {"model": {"encoder": {"name": str(tiny_encoder), "save_weights": False}}}
    nlp.add_pipe("embtune", config=config)
    nlp.add_pipe("embtune", name="other", config={**config, "extension": "other"})
    examples = [
        Example.from_dict(nlp.make_doc(text), {"cats": {"A": float(i), "B": 1.0 - i}})
        for i, text in enumerate(["ball", "bread"])
    ]
    optimizer = nlp.initialize(lambda: examples)
    nlp.to_disk(path / "untrained")
    nlp.update(examples, sgd=optimizer)
    nlp.to_disk(path / "two")


@pytest.mark.slow
def test_bad_input_ends_with_a_message_and_without_a_file(model, tmp_path, tiny_encoder):
    write_pipelines(tmp_path, tiny_encoder)
    data = model / "data.spacy"
    (tmp_path / "text.spacy").write_text("no docs")
    (tmp_path / "empty.jsonl").write_text("\n")
    (tmp_path / "cats.jsonl").write_text('{"text": "ball", "cats": {"SPORT": 7}}\n')
    out = tmp_path / "out.json"
    for args, message in [
        ((tmp_path / "none", data), "none"),
        ((tmp_path / "plain", data), "no embtune component"),
        ((tmp_path / "two", data), "--name"),
        ((tmp_path / "two", data, "--name", "third"), "'third'"),
        ((tmp_path / "untrained", data, "--name", "other"), "not trained yet"),
        ((model / "model", tmp_path / "none.jsonl"), "no such file"),
        ((model / "model", tmp_path / "text.spacy"), "text.spacy"),
        ((model / "model", tmp_path / "empty.jsonl"), "holds no documents"),
        ((model / "model", data, "--train", tmp_path / "empty.jsonl"), "holds no documents"),
        ((model / "model", tmp_path / "cats.jsonl"), "outside 0..1"),
        ((model / "model", data, "--train", tmp_path / "none.spacy"), "no such file"),
    ]:
        code, output, error = run(*args, "--json", out)
        assert (code, output) == (1, ""), args
        assert message in error, (message, error)
        assert not out.exists()
    assert run(tmp_path / "two", data, "--name", "other")[0] == 0


@pytest.mark.slow
def test_a_file_that_exists_is_replaced_only_if_asked(model, tmp_path):
    args = (model / "model", model / "data.spacy")
    (tmp_path / "out.json").write_text("old")
    code, output, error = run(*args, "--json", tmp_path / "out.json")
    assert (code, output) == (1, "")
    assert "exists already" in error
    assert (tmp_path / "out.json").read_text() == "old"
    assert run(*args, "--json", tmp_path / "out.json", "--force")[0] == 0
    assert json.loads((tmp_path / "out.json").read_text())["n_documents"] == 45
    for option, path in (("--json", "out.md"), ("--markdown", "out.txt"), ("--json", "no/x.json")):
        code, _, error = run(*args, option, tmp_path / path)
        assert code == 1
        assert "cannot be written" in error


@pytest.mark.slow
def test_ctrl_c_ends_with_130_and_leaves_files_as_they_were(model, tmp_path):
    out = tmp_path / "out.json"
    out.write_text("old")
    fifo = tmp_path / "data.jsonl"
    os.mkfifo(fifo)
    args = ["evaluate", str(model / "model"), str(fifo), "--json", str(out), "--force"]
    code = f"from spacy_embtune.cli import app; app({args!r})"
    process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True)
    with fifo.open("w") as file:
        # It waits for more to read.
        file.write('{"text": "ball", "label": "SPORT"}\n')
        file.flush()
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Interrupted" in error
    assert "Traceback" not in error
    assert out.read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data.jsonl", "out.json"]


def test_the_help_fits_a_terminal():
    settings = {"COLUMNS": "80", "TERMINAL_WIDTH": "80"}
    result = CliRunner().invoke(app, ["evaluate", "--help"], env=settings)
    assert result.exit_code == 0, result.stderr
    assert "--markdown" in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= 80
