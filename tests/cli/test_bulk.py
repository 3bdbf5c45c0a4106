import csv
import json
import resource

import pandas as pd
import pytest
import spacy

from spacy_embtune.data import read_records
from spacy_embtune.labelling import bulk_table, write_bulk
from spacy_embtune.plots import project
from spacy_embtune.reports import documents

from ..conftest import make_examples, make_texts


def rows_of(path):
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_text("utf8").splitlines()]
    with path.open(newline="", encoding="utf8") as file:
        return list(csv.DictReader(file))


def load(trained, *sources):
    nlp = spacy.load(trained.model)
    return [documents(nlp, None, read_records(source), progress=None) for source in sources]


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_a_table_is_that_of_the_functions(trained, embtune, tmp_path, suffix):
    out = tmp_path / f"out{suffix}"
    options = ("--fit", trained.train, "--neighbors", "3")
    code, output, error = embtune("bulk", trained.model, trained.data, out, *options)
    assert (code, error) == (0, "")
    shown, fit = load(trained, trained.data, trained.train)
    # None of the documents was trained on: the tuned vectors tell more.
    table = bulk_table(shown, project(shown, fit), n_neighbors=3, suspects_from="tuned")
    write_bulk(table, tmp_path / f"expected{suffix}")
    assert out.read_bytes() == (tmp_path / f"expected{suffix}").read_bytes()
    assert "Wrote 45 documents" in output
    rows = rows_of(out)
    assert sum(row["label"] == row["predicted"] for row in rows) > 35
    assert len({row["color"] for row in rows}) == 3


@pytest.mark.slow
def test_labels_of_documents_that_were_trained_on_are_judged_by_base_vectors(
    trained, embtune, tmp_path
):
    (shown,) = load(trained, trained.train)
    for options, space in (((), "base"), (("--suspects-from", "tuned"), "tuned")):
        out = tmp_path / f"{space}.jsonl"
        assert embtune("bulk", trained.model, trained.train, out, *options)[0] == 0
        write_bulk(bulk_table(shown, suspects_from=space), tmp_path / "expected.jsonl")
        assert out.read_bytes() == (tmp_path / "expected.jsonl").read_bytes()
    assert (tmp_path / "base.jsonl").read_bytes() != (tmp_path / "tuned.jsonl").read_bytes()


@pytest.mark.slow
def test_unlabelled_texts_beside_labelled_ones(trained, embtune, tmp_path):
    data = tmp_path / "data.jsonl"
    more = [json.dumps({"text": text}) for text, _ in make_texts(30, seed=5)]
    data.write_text(trained.train.read_text() + "\n".join(more))
    out = tmp_path / "out.csv"
    code, _, _ = embtune("bulk", trained.model, data, out)
    assert code == 0
    rows = rows_of(out)
    assert len(rows) == 90
    assert all(row["label"] == row["suspect"] == row["color"] == "" for row in rows[60:])
    assert all(row["predicted"] for row in rows)
    assert embtune("bulk", trained.model, data, out, "--color", "predicted", "-F")[0] == 0
    colors = {(row["color"], row["predicted"]) for row in rows_of(out)}
    assert sorted(color for color, _ in colors) == ["0", "1", "2"]


@pytest.mark.slow
def test_a_component_that_does_not_predict_labels_is_told_of(embtune, train, tmp_path):
    nlp = train(
        model={"head": {"@architectures": "spacy-embtune.Contrastive.v1", "hidden_width": 32}},
        loss={"@losses": "spacy-embtune.supervised_contrastive.v1"},
    )
    nlp.to_disk(tmp_path / "model")
    examples = make_examples(nlp, 45, seed=1)
    for name, n_labelled in (("half", 30), ("none", 0)):
        rows = [
            {"text": example.text, "cats": example.reference.cats if i < n_labelled else {}}
            for i, example in enumerate(examples)
        ]
        data = tmp_path / f"{name}.jsonl"
        data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    code, _, error = embtune(
        "bulk", tmp_path / "model", tmp_path / "half.jsonl", tmp_path / "a.csv"
    )
    assert code == 0
    assert "Predicted labels come from a classifier" in error
    truth = [max(e.reference.cats, key=e.reference.cats.get) for e in examples]
    predicted = [row["predicted"] for row in rows_of(tmp_path / "a.csv")]
    assert sum(p == t for p, t in zip(predicted[30:], truth[30:], strict=True)) >= 12
    code, _, error = embtune(
        "bulk", tmp_path / "model", tmp_path / "none.jsonl", tmp_path / "b.csv"
    )
    assert code == 0
    assert "there are no predicted labels" in error
    assert {row["predicted"] for row in rows_of(tmp_path / "b.csv")} == {""}


@pytest.mark.slow
def test_what_is_wrong_is_said_in_words_and_nothing_is_written(trained, embtune, tmp_path):
    rows = [{"text": text, "label": f"{label}|{label}"} for text, label in make_texts(9)]
    data = tmp_path / "data.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    two = tmp_path / "two.txt"
    two.write_text("ball\nbread\n")
    out = tmp_path / "out.csv"
    for source, target, expected in (
        (data, out, "Write .jsonl"),
        (two, out, "a projection needs at least 3"),
        (trained.data, tmp_path / "out.txt", "ends in .csv, .jsonl, .xlsx or .parquet"),
        (tmp_path / "missing.csv", out, "missing.csv"),
    ):
        code, output, error = embtune("bulk", trained.model, source, target)
        assert (code, output) == (1, "")
        assert expected in error
        assert sorted(path.name for path in tmp_path.iterdir()) == ["data.jsonl", "two.txt"]
    out.write_text("mine")
    assert embtune("bulk", trained.model, data, out, "--force")[0] == 1
    assert out.read_text() == "mine"
    assert "exists already" in embtune("bulk", trained.model, trained.data, out)[2]


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.mark.slow
def test_more_neighbours_than_there_are_and_labels_that_nobody_can_check(
    trained, embtune, tmp_path
):
    texts = [text for text, _ in make_texts(12, seed=3)]
    out = tmp_path / "out.jsonl"
    data = write(tmp_path / "one.jsonl", [{"text": text, "label": "FOOD"} for text in texts])
    code, output, error = embtune("bulk", trained.model, data, out, "--neighbors", "50")
    assert code == 0
    assert "There are only 11 other documents, not 50" in error
    assert "12 documents; too few are labelled to check their labels" in " ".join(output.split())
    assert {row["suspect"] for row in rows_of(out)} == {None}
    data = write(tmp_path / "none.jsonl", [{"text": text} for text in texts])
    code, output, error = embtune("bulk", trained.model, data, out, "-F", "--neighbors", "11")
    assert (code, error) == (0, "")
    assert "suspect" not in output
    assert "labelled" not in output


def test_what_is_read_is_not_replaced(trained, embtune, tmp_path):
    data = tmp_path / "mine.jsonl"
    data.write_bytes(trained.data.read_bytes())
    for command in ("bulk", "embed"):
        code, _, error = embtune(command, trained.model, data, data, "--force")
        assert code == 1
        assert "It is an input file" in error
    assert data.read_bytes() == trained.data.read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".xlsx", ".parquet"])
def test_other_fields_come_back_and_colours_are_named(trained, embtune, tmp_path, suffix):
    labelled = make_texts(30, seed=2)
    rows = [
        {"text": text, "label": label, "url": f"=u{i}", "path": f"p{i}"}
        for i, (text, label) in enumerate(labelled)
    ]
    data = write(tmp_path / "data.jsonl", rows)
    out = tmp_path / f"out{suffix}"
    code, output, error = embtune("bulk", trained.model, data, out)
    assert code == 0
    assert "path is now path_in_data" in error
    assert ("Colours: 0 " in output) == (suffix != ".parquet")
    if suffix != ".xlsx":
        records = list(read_records(out))
        assert [record.meta["url"] for record in records] == [row["url"] for row in rows]
        assert [record.meta["path_in_data"] for record in records] == [row["path"] for row in rows]
    if suffix == ".parquet":
        neighbors = pd.read_parquet(out)["neighbors"]
        assert {len(cell["ids"]) for cell in neighbors} == {15}


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".xlsx", ".parquet"])
def test_a_full_disk_leaves_nothing_and_an_older_file_as_it_was(trained, embtune, tmp_path, suffix):
    folder = tmp_path / "out"
    folder.mkdir()
    out = folder / f"out{suffix}"
    out.write_text("mine")
    # The limit of the size of files gives the same kind of error as a disk without room.
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500, before[1]))
    try:
        code, _, error = embtune("bulk", trained.model, trained.data, out, "--force")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert code == 1
    assert "There is no room for" in error
    assert out.read_text() == "mine"
    assert list(folder.iterdir()) == [out]
