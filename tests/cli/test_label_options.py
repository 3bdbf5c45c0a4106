"""Options for labels are the same in all commands that read documents."""

import csv
import json

import pytest
from typer.testing import CliRunner

from spacy_embtune.cli import app

from ..conftest import make_texts

ROWS = make_texts(24, seed=1)
LABELS = sorted({label for _, label in ROWS})
OPTIONS = ("--label-fields", "--label-separator", "--label-bins")


def write(path, fields):
    with path.open("w", newline="") as file:
        rows = [{"text": text, **fields(label)} for text, label in ROWS]
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


FORMS = {
    "columns": (
        lambda own: {x: int(x == own) for x in LABELS},
        ["--label-fields", "FOOD, M*,SPORT"],
    ),
    "separator": (lambda own: {"label": f"{own};"}, ["--label-separator", ";"]),
    "bins": (lambda own: {"label": LABELS.index(own) + 0.5}, ["--label-bins", "1,2"]),
}


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
def test_labels_in_every_form_give_the_same_scores(tmp_path, trained, embtune, form):
    fields, options = FORMS[form]
    plain = write(tmp_path / "plain.csv", lambda own: {"label": own})
    other = write(tmp_path / "other.csv", fields)
    made = []
    for path, given in ((plain, []), (other, options)):
        out = tmp_path / f"{path.stem}.json"
        code, _, errors = embtune("evaluate", trained.model, path, *given, "--json", out)
        assert code == 0, errors
        made.append(json.loads(out.read_text()))
    assert made[0].keys() == made[1].keys()
    if form == "bins":
        # Classes of numbers have names that the model does not know.
        assert made[0]["metrics"]["p_at_1"] == made[1]["metrics"]["p_at_1"]
    else:
        assert made[0] == made[1]


@pytest.mark.parametrize("command", ["plot", "bulk", "neighbors", "evaluate", "embed", "tune"])
def test_every_command_has_the_options(command):
    result = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "200"})
    assert all(option in result.stdout for option in OPTIONS)


@pytest.mark.slow
def test_bulk_reads_labels_with_the_options_and_train_without_them(tmp_path, trained, embtune):
    path = write(tmp_path / "h.csv", FORMS["columns"][0])
    out = tmp_path / "out.jsonl"
    options = [*FORMS["columns"][1], "--fit", trained.train]
    code, _, errors = embtune("bulk", trained.model, path, out, *options)
    assert code == 0, errors
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert [row["label"] for row in rows] == [label for _, label in ROWS]


@pytest.mark.slow
def test_embed_keeps_labels_that_it_reads_with_the_options(tmp_path, trained, embtune):
    path = write(tmp_path / "h.csv", FORMS["columns"][0])
    out = tmp_path / "out.jsonl"
    code, _, errors = embtune("embed", trained.model, path, out, *FORMS["columns"][1])
    assert code == 0, errors
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert [row["cats"][label] for row, (_, label) in zip(rows, ROWS, strict=True)] == [1.0] * 24


@pytest.mark.parametrize(
    ("options", "cause"),
    [
        (["--label-fields", "SPROT"], "no column 'SPROT', only 'text'"),
        (["--label-fields", "FOOD", "--label-bins", "1"], "exclude each other"),
        (["--label-bins", "one"], "give a list of numbers"),
        (["--label-field", "FOOD", "--label-fields", "FOOD"], "exclude each other"),
    ],
)
def test_options_that_cannot_be_used_are_explained(tmp_path, trained, embtune, options, cause):
    path = write(tmp_path / "h.csv", FORMS["columns"][0])
    code, _, errors = embtune("evaluate", trained.model, path, *options)
    assert code == 1
    assert cause in errors
