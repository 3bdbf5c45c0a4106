import csv
import gzip
import json
import logging
import math
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
import spacy
import srsly
from hypothesis import given
from hypothesis import strategies as st
from thinc.api import Config

from spacy_embtune.data import PairsReader, get_group, get_partners, pairs_to_examples

NLP = spacy.blank("en")
PAIRS = [
    ("A man eats.", "Someone eats.", 4.0),
    ("A man eats.", 'He said: "no, thanks".', 1.5),
    ("Ein Äffchen \U0001f412", "A monkey", 5.0),
    ("A man eats.", "Someone eats.", 0.0),
]


def write(path: Path, rows, names=("text1", "text2", "score")) -> Path:
    """Write a file in the format of its suffix."""
    if path.suffix == ".parquet":
        columns = map(list, zip(*rows, strict=True))
        pyarrow.parquet.write_table(pyarrow.table(dict(zip(names, columns, strict=True))), path)
        return path
    with gzip.open(path, "wt") if path.suffix == ".gz" else path.open("w") as file:
        if "json" in path.name:
            for row in rows:
                file.write(json.dumps(dict(zip(names, row, strict=True))) + "\n\n")
        elif ".csv" in path.name:
            csv.writer(file).writerows([names, *rows])
        else:
            for row in [names, *rows]:
                file.write("\t".join(map(str, row)) + "\n")
    return path


def as_rows(examples):
    """List (text, partner, score, group) of examples that have one partner each."""
    rows = []
    for example in examples:
        assert example.predicted.text == example.reference.text
        ((text, score, group),) = get_partners(example.reference)
        assert group == get_group(example.reference)
        assert get_partners(example.predicted) == []
        rows.append((example.reference.text, text, score, get_group(example.reference)))
    return rows


EXPECTED = [(a, b, score / 5.0, None) for a, b, score in PAIRS]


SUFFIXES = [".jsonl", ".ndjson", ".csv", ".tsv", ".jsonl.gz", ".csv.gz", ".tsv.gz", ".parquet"]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_files_of_every_kind_give_the_same_pairs(tmp_path, suffix):
    reader = PairsReader(write(tmp_path / f"pairs{suffix}", PAIRS), score_range=[0, 5])
    assert as_rows(reader(NLP)) == EXPECTED
    assert as_rows(reader(NLP)) == EXPECTED


def test_pairs_in_memory_are_read_as_those_in_a_file():
    assert as_rows(pairs_to_examples(NLP, PAIRS, score_range=(0, 5))) == EXPECTED
    mappings = [dict(zip(("text1", "text2", "score"), pair, strict=True)) for pair in PAIRS]
    assert as_rows(pairs_to_examples(NLP, iter(mappings), score_range=(0, 5))) == EXPECTED


def test_a_config_names_reader_and_columns(tmp_path):
    path = write(tmp_path / "sts.tsv", PAIRS, ("one", "two", "grade"))
    config = Config().from_str(f"""
        [corpus]
        @readers = "spacy-embtune.pairs.v1"
        path = {json.dumps(str(path))}
        text1 = "one"
        text2 = "two"
        score = "grade"
        score_range = [0.0, 5.0]
        limit = 2
    """)
    reader = spacy.registry.resolve(config)["corpus"]
    assert as_rows(reader(NLP)) == EXPECTED[:2]


def test_a_file_from_windows_is_read(tmp_path):
    path = tmp_path / "pairs.csv"
    path.write_bytes("\ufefftext1,text2,score\r\na b,c,1\r\n\r\n d,e ,0\r\n".encode())
    assert as_rows(PairsReader(path)(NLP)) == [("a b", "c", 1.0, None), (" d", "e ", 0.0, None)]


def test_quotes_of_a_tsv_are_part_of_the_text(tmp_path):
    path = tmp_path / "pairs.tsv"
    path.write_text('text1\ttext2\tscore\n"Yes\tNo"\t1\n')
    assert as_rows(PairsReader(path)(NLP)) == [('"Yes', 'No"', 1.0, None)]


@given(
    st.floats(-1e6, 1e6),
    st.floats(1e-3, 1e6),
    st.lists(st.floats(0, 1), min_size=1, max_size=5),
)
def test_scores_are_rescaled_to_0_and_1_in_order(low, width, shares):
    high = low + width
    shares = [0.0, *sorted(shares), 1.0]
    given_scores = [min(low + share * width, high) for share in shares]
    pairs = [("a", "b", score) for score in given_scores]
    scores = [row[2] for row in as_rows(pairs_to_examples(NLP, pairs, score_range=(low, high)))]
    assert scores == sorted(scores)
    assert (scores[0], scores[-1]) == (0.0, 1.0)


# Without scores


def test_pairs_without_scores_have_similarity_1_and_each_is_a_group(tmp_path):
    path = write(tmp_path / "pairs.jsonl", [pair[:2] for pair in PAIRS], ("text1", "text2"))
    rows = as_rows(PairsReader(path, score=None)(NLP))
    assert {row[2] for row in rows} == {1.0}
    assert rows == as_rows(pairs_to_examples(NLP, [pair[:2] for pair in PAIRS]))
    assert all(row[3] for row in rows)
    assert rows[0][3] != rows[2][3]


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".tsv"])
@pytest.mark.parametrize("ids", [(), ("id",), ("id1", "ID2"), ("question_id", "answer ids")])
def test_a_file_without_a_field_of_scores_has_pairs_without_scores(tmp_path, suffix, ids):
    pairs = [pair[:2] for pair in PAIRS]
    given = [(*pair, *(f"{i}" for _ in ids)) for i, pair in enumerate(pairs)]
    path = write(tmp_path / f"pairs{suffix}", given, ("text1", "text2", *ids))
    assert as_rows(PairsReader(path)(NLP)) == as_rows(pairs_to_examples(NLP, pairs))
    assert as_rows(PairsReader(path)(NLP)) == as_rows(PairsReader(path, score=None)(NLP))


def test_the_first_valid_pair_decides_whether_there_are_scores(tmp_path):
    path = tmp_path / "pairs.jsonl"
    path.write_text('{broken\n{"text1": "a", "text2": "b"}\n{"text1": "c", "text2": "d"}\n')
    rows = as_rows(PairsReader(path, skip_invalid=True)(NLP))
    assert [row[:3] for row in rows] == [("a", "b", 1.0), ("c", "d", 1.0)]
    assert as_rows(PairsReader(path, skip_invalid=True)(NLP)) == rows


def test_a_score_in_a_file_whose_first_pair_has_none_is_an_error(tmp_path):
    path = tmp_path / "pairs.jsonl"
    path.write_text('{"text1": "a", "text2": "b"}\n{"text1": "c", "text2": "d", "score": 1}\n')
    with pytest.raises(ValueError, match=r"line 2: there is a 'score'.*or none \(score = null\)"):
        list(PairsReader(path)(NLP))
    assert len(as_rows(PairsReader(path, skip_invalid=True)(NLP))) == 1
    assert len(as_rows(PairsReader(path, score=None)(NLP))) == 2


def test_a_score_with_another_name_is_an_error_in_a_file(tmp_path):
    path = write(tmp_path / "pairs.csv", [("a", "b", 1)], ("text1", "text2", "grade"))
    with pytest.raises(ValueError, match="there is no 'score', only 'text1', 'text2', 'grade'"):
        list(PairsReader(path)(NLP))


def test_a_score_with_another_name_is_an_error():
    with pytest.raises(ValueError, match="there is no 'score', but 'Score'"):
        list(pairs_to_examples(NLP, [{"text1": "a b", "text2": "c d", "Score": 0.0}]))


def test_answers_to_one_question_are_in_one_group():
    rows = as_rows(pairs_to_examples(NLP, [("why ?", "so"), ("how ?", "so"), ("why  ?", "yes")]))
    assert rows[0][3] == rows[2][3] != rows[1][3]


def test_scores_may_be_there_for_some_pairs_in_memory():
    rows = as_rows(pairs_to_examples(NLP, [("a", "b"), {"text1": "c", "text2": "d", "score": 0}]))
    assert [row[2] for row in rows] == [1.0, 0.0]
    assert rows[0][3] is not None
    assert rows[1][3] is None


# Streaming


def test_a_file_is_read_only_as_far_as_pairs_are_asked_for(tmp_path):
    path = tmp_path / "pairs.jsonl"
    path.write_text('{"text1": "a", "text2": "b", "score": 1}\n' * 3 + "{broken\n")
    assert len(list(islice(PairsReader(path)(NLP), 3))) == 3
    assert len(list(PairsReader(path, limit=3)(NLP))) == 3
    with pytest.raises(ValueError, match="line 4"):
        list(PairsReader(path, limit=4)(NLP))


def test_pairs_in_memory_are_taken_as_they_are_asked_for():
    def endless():
        while True:
            yield "a", "b", 0.5

    assert len(list(islice(pairs_to_examples(NLP, endless()), 5))) == 5


# Invalid input: the line, its fault, and another part of the error message


JSON_FAULTS = [
    ("{", "the line is not JSON", "one object a line"),
    ("[" * 100_000, "the line is not JSON", "one object a line"),
    ('["a", "b", 1]', "the line is not an object", "Write an object a line"),
    ('{"text1": "a", "score": 1}', "there is no 'text2'", "only 'text1', 'score'"),
    ('{"text1": "a", "text2": "b"}', "there is no 'score'", "score = null"),
    ('{"text1": "", "text2": "b", "score": 1}', "'text1' is empty", "Leave the pair out"),
    ('{"text1": "a", "text2": " \\n", "score": 1}', "'text2' is empty", "Leave the pair out"),
    ('{"text1": null, "text2": "b", "score": 1}', "'text1' is not a text", "None, a NoneType"),
    ('{"text1": "a", "text2": ["b"], "score": 1}', "'text2' is not a text", "a list"),
    ('{"text1": "\\ud83d", "text2": "b", "score": 1}', "'text1' holds half", "U+FFFF"),
    ('{"text1": "a b", "text2": " a\\nb", "score": 1}', "a text is paired with itself", "'a b'"),
    ('{"text1": "a", "text2": "b", "score": NaN}', "the score is NaN", "0 to 1"),
    ('{"text1": "a", "text2": "b", "score": Infinity}', "the score is out of range", "inf"),
    ('{"text1": "a", "text2": "b", "score": 1.01}', "the score is out of range", "score_range"),
    ('{"text1": "a", "text2": "b", "score": -1e-9}', "the score is out of range", "0..1"),
    ('{"text1": "a", "text2": "b", "score": 1' + "0" * 400 + "}", "the score is out of range", ""),
    ('{"text1": "a", "text2": "b", "score": null}', "the score is not a number", "None"),
    ('{"text1": "a", "text2": "b", "score": "good"}', "the score is not a number", "'good'"),
    ('{"text1": "a", "text2": "b", "score": [1]}', "the score is not a number", "[1]"),
    ('{"text1": "a", "text2": "b", "score": true}', "the score is not a number", "True"),
    (b'{"text1": "caf\xe9", "text2": "b", "score": 1}', "the line is not UTF-8", "as UTF-8"),
]
CSV_FAULTS = [
    ('"a"b,c,1', "the line is broken", "double quotes"),
    (
        "a,b",
        "the line and the first line differ in the number of fields",
        "has 2 fields, but the first line 3",
    ),
    ("a, and b,c,1", "the line and the first line differ in the number of fields", "has 4 fields"),
    ("a,b,", "the score is not a number", "''"),
    ("a,b,good", "the score is not a number", "'good'"),
    ("a,b,nan", "the score is NaN", "leave the pair out"),
    ("a,b,7", "the score is out of range", "7 is outside 0..1"),
    (" ,b,1", "'text1' is empty", "empty text"),
    ("a,a,1", "a text is paired with itself", "teaches nothing"),
    (b"caf\xe9,b,1", "the line is not UTF-8", "as UTF-8"),
]
# The first lines of a file, and a valid line.
STARTS = {
    ".jsonl": ([], '{"text1": "x", "text2": "y", "score": 1}'),
    ".csv": (["text1,text2,score"], "x,y,1"),
    ".tsv": (["text1\ttext2\tscore"], "x\ty\t1"),
}
FAULTS = [
    *((".jsonl", *fault) for fault in JSON_FAULTS),
    *((".csv", *fault) for fault in CSV_FAULTS),
    (
        ".tsv",
        "a\tb\tc\t1",
        "the line and the first line differ in the number of fields",
        "Remove the tabs",
    ),
]


@pytest.mark.parametrize(("suffix", "line", "kind", "cure"), FAULTS)
def test_an_invalid_line_is_an_error_or_skipped_and_counted(
    tmp_path, caplog, suffix, line, kind, cure
):
    path = tmp_path / f"pairs{suffix}"
    header, valid = STARTS[suffix]
    line = line if isinstance(line, bytes) else line.encode()
    path.write_bytes(b"\n".join([*(x.encode() for x in [*header, valid]), line, line, b""]))
    number = len(header) + 2
    with pytest.raises(ValueError) as error:
        list(PairsReader(path)(NLP))
    assert str(error.value).startswith(f"{path}, line {number}: ")
    assert cure in str(error.value)

    with path.open("ab") as file:
        file.write(f"{valid}\n".encode())
    reader = PairsReader(path, skip_invalid=True)
    with caplog.at_level(logging.WARNING):
        assert len(list(reader(NLP))) == 2
        assert len(list(reader(NLP))) == 2
    (record,) = caplog.records
    message = record.getMessage()
    assert f"{path}: skipped 2 of 4 pairs: {kind}" in message
    assert f"(2, first: line {number})" in message


def test_several_faults_are_counted_each(tmp_path, caplog):
    path = tmp_path / "pairs.jsonl"
    srsly.write_jsonl(
        path,
        [
            {"text1": a, "text2": b, "score": score}
            for a, b, score in [("a", "b", 1), ("", "b", 1), ("a", "b", 2), ("", "c", 1)]
        ],
    )
    assert len(list(PairsReader(path, skip_invalid=True)(NLP))) == 1
    assert caplog.messages == [
        f"{path}: skipped 3 of 4 pairs: 'text1' is empty (2, first: line 2); the score is out of "
        "range (1, first: line 3)."
    ]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("pairs.jsonl", b"", "holds no pairs"),
        ("pairs.jsonl", b"\n \n", "holds no pairs"),
        ("pairs.csv", b"", "holds no pairs"),
        ("pairs.csv", b"text1,text2,score\n", "holds no pairs"),
        ("pairs.csv", b"text1,text1,score\na,b,1\n", "have the same name"),
        ("pairs.csv", b'"text1"x,text2,score\n', "line 1: is broken"),
        ("pairs.csv", b"caf\xe9,text2,score\n", "line 1: is not UTF-8"),
        ("pairs.jsonl.gz", gzip.compress(b"{}" * 99, mtime=0)[:-9], "not a whole gzip file"),
        ("pairs.jsonl.gz", b"{}", "line 1: there is no 'text1'"),
        ("pairs.txt", b"", "no fields for two texts. Give a file that ends in .jsonl, .ndjson,"),
        ("pairs.gz", b"", "the name does not say what the file is"),
        ("pairs.spacy", b"", "ends in .jsonl, .ndjson, .csv, .tsv, .tab, .parquet, .json"),
        ("pairs.jsonl", None, "no such file"),
    ],
)
def test_a_file_without_pairs_is_an_error(tmp_path, name, content, message):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ValueError) as error:
        list(PairsReader(path)(NLP))
    assert str(error.value).startswith(str(path))
    assert message in str(error.value)


def test_a_file_of_invalid_pairs_only_is_an_error_that_counts_them(tmp_path):
    path = tmp_path / "pairs.jsonl"
    path.write_text("{\n{\n")
    with pytest.raises(ValueError, match=r"no valid pair\. Skipped 2 of 2 pairs: the line is not"):
        list(PairsReader(path, skip_invalid=True)(NLP))


@pytest.mark.parametrize(
    "settings",
    [
        {"path": None},
        {"limit": -1},
        {"score_range": [0.0]},
        {"score_range": [1.0, 1.0]},
        {"score_range": [5.0, 0.0]},
        {"score_range": [0.0, math.nan]},
        {"score_range": [0.0, math.inf]},
        {"score_range": 5},
    ],
)
def test_settings_that_make_no_sense_are_errors(settings):
    with pytest.raises(ValueError, match="|".join(settings)):
        PairsReader(**{"path": "pairs.jsonl", **settings})


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        ([], "pairs: holds no pairs"),
        ([("a", "b", 0.5), ("a",)], r"pairs, pair 1: is \('a',\)"),
        (["ab"], "pair 0: is 'ab'"),
        ([("a", "b", 2.0)], "pair 0: the score 2 is outside"),
        ([("a", "b", np.float32("nan"))], "pair 0: the score is NaN"),
        ([{"text1": "a"}], "there is no 'text2'"),
    ],
)
def test_invalid_pairs_in_memory_are_errors(pairs, message):
    with pytest.raises(ValueError, match=message):
        list(pairs_to_examples(NLP, pairs))


def test_invalid_pairs_in_memory_can_be_skipped(caplog):
    pairs = [("a", "b", 0.5), ("a", "", 0.5)]
    assert len(list(pairs_to_examples(NLP, pairs, skip_invalid=True))) == 1
    assert "skipped 1 of 2 pairs: 'text2' is empty (1, first: pair 1)" in caplog.text
