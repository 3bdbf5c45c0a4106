"""CSV and TSV of programs that write them differently."""

import csv
import logging

import pandas as pd
import pytest

from spacy_embtune.data import read_fields, read_records
from spacy_embtune.data.fields import ReadSettings


def fields_of(path, **settings):
    return [dict(row.fields) for row in read_fields(path, settings=ReadSettings(**settings))]


def write(path, data):
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path


@pytest.mark.parametrize("suffix", [".csv", ".tsv"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_found_out_whatever_the_suffix_says(tmp_path, suffix, delimiter):
    path = tmp_path / f"data{suffix}"
    rows = [("text", "label"), ("goal, team; a | b", "SPORT"), ("soup oven", "FOOD")]
    with path.open("w", newline="") as file:
        csv.writer(file, delimiter=delimiter).writerows(rows)
    found = [(r.text, *r.cats) for r in read_records(path)]
    assert found == rows[1:]


def test_fields_that_the_caller_names_decide_the_delimiter(tmp_path):
    path = write(tmp_path / "a.csv", "Titel, kurz;Inhalt\na;b, c\n")
    (record,) = read_records(path, text_field="Inhalt", label_field="")
    assert (record.text, record.meta) == ("b, c", {"Titel, kurz": "a"})
    (record,) = read_records(path, text_field="Titel, kurz", label_field="")
    assert record.text == "a"


def test_a_single_column_is_not_cut_at_characters_that_may_be_in_texts(tmp_path):
    path = write(tmp_path / "a.csv", "text\na; b\nc|d\n")
    assert [r.text for r in read_records(path)] == ["a; b", "c|d"]
    path = write(tmp_path / "a.tsv", "text\na; b, c\n")
    assert [r.text for r in read_records(path)] == ["a; b, c"]


@pytest.mark.parametrize("line", ["sep=;", '"sep=;"', "SEP=;"])
def test_a_first_line_may_name_the_delimiter_as_excel_reads_it(tmp_path, line):
    path = write(tmp_path / "a.csv", f"{line}\r\ntext;label\r\ngoal, team;SPORT\r\n")
    (record,) = read_records(path)
    assert (record.text, record.cats, record.line) == ("goal, team", {"SPORT": 1.0}, 3)


def test_a_delimiter_can_be_named(tmp_path):
    path = write(tmp_path / "a.csv", "text~label\na,b;c~SPORT\n")
    (record,) = read_records(path, delimiter="~")
    assert (record.text, record.cats) == ("a,b;c", {"SPORT": 1.0})
    path = write(tmp_path / "b.csv", "text\tlabel\na,b\tSPORT\n")
    for name in ("tab", "\\t", "\t"):
        assert [r.text for r in read_records(path, delimiter=name)] == ["a,b"]
    for wrong in ("", ";;", '"', "\n"):
        with pytest.raises(ValueError, match=r"The delimiter is .*give one character"):
            list(read_records(path, delimiter=wrong))


def test_an_unknown_delimiter_is_an_error_that_names_the_option(tmp_path):
    path = write(tmp_path / "a.csv", "text~label\na~SPORT\n")
    with pytest.raises(ValueError, match=r"no column 'text', only 'text~label'.*--delimiter.*co"):
        list(read_records(path))


# Long cells and many columns


def test_a_cell_may_be_of_any_length(tmp_path):
    text = "goal team, " * 40_000
    path = tmp_path / "big.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("text", "label"), (text, "SPORT"), ("soup oven", "FOOD")])
    assert [r.text for r in read_records(path)] == [text, "soup oven"]
    write(tmp_path / "big.tsv", f'text\tlabel\n"{text}"\tSPORT\n')
    assert [len(r.text) for r in read_records(tmp_path / "big.tsv", quotes="csv")] == [len(text)]


@pytest.mark.slow
def test_a_million_columns_are_read_or_an_error_in_few_words(tmp_path):
    n = 1_000_000
    header = ",".join(f"c{i}" for i in range(n))
    path = write(tmp_path / "wide.csv", f"{header}\n{',' * (n - 1)}\n{'1,' * (n - 1)}1\n")
    with pytest.raises(ValueError, match="has no column 'text', only 'c0', 'c1'") as caught:
        list(read_records(path))
    assert len(str(caught.value)) < 500
    (record,) = read_records(path, text_field="c3", label_field="")
    assert record.text == "1"
    assert len(record.meta) == n - 1


# What Excel writes


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"]
)
def test_exports_of_excel_in_all_its_encodings(tmp_path, encoding):
    text = 'text\tlabel\t\t\r\n"Él dijo ""gol""\ny más"\tSPORT\t\t\r\n'
    text += "Äffchen, 猿\tFOOD\t\t\r\n\t\t\t\r\n"
    path = write(tmp_path / "a.csv", text.encode(encoding))
    named = encoding if encoding in ("utf-16-le", "utf-16-be") else None
    records = list(read_records(path, encoding=named))
    assert [(r.text, *r.cats) for r in records] == [
        ('Él dijo "gol"\ny más', "SPORT"),
        ("Äffchen, 猿", "FOOD"),
    ]
    assert all(r.meta == {} for r in records)


def test_empty_columns_and_cells_without_a_name_are_left_out(tmp_path):
    path = write(tmp_path / "a.csv", "text,label,,\na,A,,\nb,B\nc,C,,,,\n")
    assert fields_of(path) == [{"text": t, "label": t.upper()} for t in "abc"]


def test_a_column_without_a_name_is_kept_if_it_is_filled(tmp_path):
    """pandas writes the index of a frame so."""
    path = tmp_path / "a.csv"
    pd.DataFrame({"text": ["a", "b"]}).to_csv(path)
    assert fields_of(path) == [{"column 1": "0", "text": "a"}, {"column 1": "1", "text": "b"}]


def test_cells_beyond_the_last_column_are_an_error_if_they_are_filled(tmp_path):
    path = write(tmp_path / "a.csv", "text,label\na,A,x\n")
    with pytest.raises(ValueError, match="line 2: has 3 fields, but the first line 2"):
        list(read_records(path))


def test_line_ends_may_be_those_of_any_system(tmp_path):
    for end in ("\n", "\r\n", "\r"):
        path = write(tmp_path / "a.csv", end.join(["text,label", "a,A", '"b', 'c",B', ""]))
        assert [r.text for r in read_records(path)] == ["a", f"b{end}c"]
        path = write(tmp_path / "a.tsv", end.join(["text\tlabel", "a\tA", "b\tB", ""]))
        assert [(r.text, r.line) for r in read_records(path)] == [("a", 2), ("b", 3)]


# Quotes in tables with tabs


TEXTS = ['He said "goal"', "two\nlines", "plain", '"quoted"', "a\ttab", "", "it's 5\" long"]


@pytest.mark.parametrize("quoting", [csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC])
@pytest.mark.parametrize("suffix", [".tsv", ".tsv.gz"])
def test_a_tsv_of_pandas_is_read_as_it_was_written(tmp_path, caplog, quoting, suffix):
    path = tmp_path / f"q{suffix}"
    frame = pd.DataFrame({"text": TEXTS, "label": "ABCDEFG", "n": range(7)})
    frame.to_csv(path, sep="\t", index=False, quoting=quoting)
    assert [(r.text, *r.cats, r.meta["n"]) for r in read_records(path)] == [
        (text, label, str(n)) for text, label, n in frame.itertuples(index=False, name=None)
    ]
    assert not caplog.records


@pytest.mark.parametrize("texts", [TEXTS[:2], TEXTS[:1], TEXTS[1:2], TEXTS[3:4], TEXTS[4:5]])
def test_few_rows_are_enough_to_recognize_quotes_of_csv(tmp_path, texts):
    path = tmp_path / "q.tsv"
    pd.DataFrame({"text": texts, "label": "A"}).to_csv(path, sep="\t", index=False)
    assert [r.text for r in read_records(path)] == texts


def test_quotes_of_csv_are_recognized_where_they_first_occur(tmp_path):
    path = tmp_path / "q.tsv"
    texts = ["plain"] * 5000 + TEXTS
    pd.DataFrame({"text": texts, "label": "A"}).to_csv(path, sep="\t", index=False)
    assert [r.text for r in read_records(path)] == texts


@pytest.mark.parametrize(
    "texts",
    [
        ['"Yes', 'He said "no"', 'No"'],
        ['"Yes" and "no"', "plain"],
        ["plain", '"Who?" he said'],
        ['"a" "b"', '""" three', "plain"],
    ],
)
def test_a_tsv_of_a_plain_writer_keeps_its_quotes(tmp_path, caplog, texts):
    lines = ["text\tlabel", *(f"{text}\tA" for text in texts)]
    path = write(tmp_path / "q.tsv", "\n".join([*lines, ""]))
    assert [r.text for r in read_records(path)] == texts
    assert not caplog.records


def test_unclear_quotes_are_taken_as_texts_with_a_warning_that_names_the_option(tmp_path, caplog):
    path = write(tmp_path / "q.tsv", 'text\tlabel\nplain\tA\n"Yes"\tB\n')
    with caplog.at_level(logging.WARNING):
        assert [r.text for r in read_records(path)] == ["plain", '"Yes"']
    (message,) = caplog.messages
    assert f"{path}, line 3: it is not clear" in message
    assert "quotes='csv', --quotes csv" in message
    caplog.clear()
    assert [r.text for r in read_records(path, quotes="csv")] == ["plain", "Yes"]
    assert [r.text for r in read_records(path, quotes="literal")] == ["plain", '"Yes"']
    assert not caplog.records


def test_a_cell_that_may_span_lines_or_be_a_quotation_mark_is_unclear(tmp_path, caplog):
    path = write(tmp_path / "q.tsv", 'text\tlabel\n"\tA\nplain\tA\n"\tA\n')
    assert [r.text for r in read_records(path)] == ['"', "plain", '"']
    assert "it is not clear" in caplog.text
    assert [r.text for r in read_records(path, quotes="csv")] == ["\tA\nplain\tA\n"]


def test_quotes_can_be_literal_in_csv(tmp_path):
    path = write(tmp_path / "q.csv", 'text,label\n"Yes" he said,A\n')
    with pytest.raises(ValueError, match=r"line 2: is broken.*--quotes literal"):
        list(read_records(path))
    assert [r.text for r in read_records(path, quotes="literal")] == ['"Yes" he said']
    with pytest.raises(ValueError, match="quotes is 'none'"):
        list(read_records(path, quotes="none"))


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_backslashes_before_quotes_are_read_as_data_bases_write_them(tmp_path, delimiter):
    path = tmp_path / "q.csv"
    texts = ["C:\\new", 'He said "goal", twice', 'a\n"b"', "end\\", "plain"]
    with path.open("w", newline="") as file:
        writer = csv.writer(
            file, delimiter=delimiter, escapechar="\\", doublequote=False, quoting=csv.QUOTE_ALL
        )
        writer.writerows([("text", "label"), *((text, "A") for text in texts[1:])])
    assert [r.text for r in read_records(path)] == texts[1:]


def test_backslashes_that_are_part_of_texts_stay(tmp_path):
    path = write(tmp_path / "q.csv", 'text,label\n"C:\\",A\n"a \\""b""",B\nC:\\new,C\n')
    assert [r.text for r in read_records(path)] == ["C:\\", 'a \\"b"', "C:\\new"]


# Damaged files


def test_half_a_file_is_an_error_that_says_where_the_quote_begins(tmp_path):
    path = write(tmp_path / "a.csv", 'text,label\na,A\n"b\nc\nd,D\n')
    records = read_records(path)
    assert next(records).text == "a"
    with pytest.raises(ValueError, match=r"line 3: has a quotation mark .*not closed.*3 line"):
        next(records)
    messages = []
    assert len(list(read_records(path, on_error="skip", report=messages.append))) == 1
    assert len(messages) == 1


def test_the_limit_of_other_users_of_csv_is_not_lowered(tmp_path):
    path = write(tmp_path / "a.csv", "text\na\n")
    before = csv.field_size_limit()
    list(read_records(path))
    assert csv.field_size_limit() >= before


# Rows with too few or too many cells


@pytest.mark.parametrize("suffix", ["csv", "tsv"])
def test_a_row_with_too_few_cells_has_the_cures_that_can_help(tmp_path, suffix):
    rows = ["text", "label", "n"], ["a", "X", "1"], ["the first line"], ["b", "X", "2"]
    what = "tabs" if suffix == "tsv" else "commas"
    delimiter = "\t" if suffix == "tsv" else ","
    data = "".join(f"{delimiter.join(row)}\n" for row in rows)
    with pytest.raises(ValueError) as caught:
        list(read_records(write(tmp_path / f"a.{suffix}", data)))
    message = str(caught.value)
    assert "line 3: has 1 field, but the first line 3." in message
    for cure in ("line break", "double quotes", f"If there are not {what}", "--delimiter"):
        assert cure in message


def test_a_last_line_that_is_cut_off_is_an_error_that_says_so(tmp_path):
    path = write(tmp_path / "a.csv", "text,label,n\na,X,1\nb,X")
    with pytest.raises(ValueError, match=r"line 3: has 2 fields.*no line end.*still writing it"):
        list(read_records(path))


# Lines with labels of fastText


def test_words_of_fasttext_are_labels_of_a_line(tmp_path):
    lines = [
        "__label__A __label__B_b some  text",
        "no label",
        "__label__A",
        "text behind __label__C",
        "text with __label__C inside",
        "__label__Ä\ttabs",
    ]
    path = write(tmp_path / "all.txt", "\r\n".join(lines))
    assert [(r.text, list(r.cats)) for r in read_records(path)] == [
        ("some  text", ["A", "B_b"]),
        ("no label", []),
        ("", ["A"]),
        ("text behind", ["C"]),
        ("text with __label__C inside", []),
        ("tabs", ["Ä"]),
    ]
    (first, *_rest) = read_records(path, text_field="body")
    assert first.text == "some  text"
