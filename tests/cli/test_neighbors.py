import json

import pytest
import spacy

from spacy_embtune.data import Record, read_records
from spacy_embtune.plots import compare_neighbors
from spacy_embtune.reports import documents


@pytest.mark.slow
def test_json_is_what_the_functions_find(trained, embtune):
    query = "guitar drum melody a with of"
    code, output, error = embtune(
        "neighbors", trained.model, trained.data, query, "-k", "7", "--json"
    )
    assert (code, error) == (0, "")
    nlp = spacy.load(trained.model)
    corpus = documents(nlp, None, read_records(trained.data), progress=None)
    asked = documents(nlp, None, [Record(query, {}, "", {}, 1)])
    found = json.loads(output)
    assert found == compare_neighbors(corpus, asked, 7).to_dict()
    assert len(found["base"]) == len(found["tuned"]) == 7
    # Tuned vectors know what it is about.
    assert sum(neighbor["labels"] == ["MUSIC"] for neighbor in found["tuned"]) >= 5


@pytest.mark.slow
def test_json_has_the_other_fields(trained, embtune, tmp_path):
    data = tmp_path / "data.jsonl"
    rows = [
        {"text": f"ball goal {i}", "text2": "b", "price": i / 2, "tags": ["x"], "rank": 7}
        for i in range(5)
    ]
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = json.loads(embtune("neighbors", trained.model, data, "ball", "--json")[1])
    for neighbor in [*found["base"], *found["tuned"]]:
        row = rows[int(neighbor["id"])]
        assert neighbor["fields"] == {k: row[k] for k in ("text2", "price", "tags", "rank")}


@pytest.mark.slow
def test_the_table_fits_in_80_columns(trained, embtune):
    code, output, error = embtune("neighbors", trained.model, trained.data, "guitar drum")
    assert (code, error) == (0, "")
    lines = output.splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[1].split() == ["base", "tuned"]
    assert sum(line.count(" MUSIC ") for line in lines) >= 5
    assert lines[-1].rstrip().endswith("of 5 are in both lists")


@pytest.mark.slow
def test_more_neighbours_than_documents_are_all_of_them(trained, embtune, tmp_path):
    data = tmp_path / "data.txt"
    data.write_text("ball goal\n\nbread soup\n")
    code, output, error = embtune("neighbors", trained.model, data, "ball", "-k", "9")
    assert code == 0
    assert "only 2 documents with a vector, not 9" in error
    assert output.count("?") == 4


def test_what_cannot_be_asked_is_said_in_words(trained, embtune, tmp_path):
    empty = tmp_path / "empty.txt"
    empty.write_text("")
    for data, query, expected in (
        (trained.data, "  ", "The query is empty"),
        (empty, "ball", "holds no documents"),
        (tmp_path / "missing.csv", "ball", "missing.csv"),
    ):
        code, output, error = embtune("neighbors", trained.model, data, query)
        assert (code, output) == (1, "")
        assert expected in error
    assert embtune("neighbors", trained.model, trained.data, "ball", "-k", "0")[0] == 2
