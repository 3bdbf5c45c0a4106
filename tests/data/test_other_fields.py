"""Fields of DATA that a command does not use, on their way into its output."""

import json
from datetime import UTC, date, datetime
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spacy_embtune.data import (
    ESCAPED,
    InvalidRowError,
    escape_cells,
    read_records,
    rename_fields,
    to_arrow,
    to_cell,
    to_json,
    to_json_value,
    unescape_cells,
)

NAMES = st.lists(st.sampled_from(["a", "a_in_data", "a_in_data_in_data", "b"]), unique=True)


@given(NAMES, st.sets(st.sampled_from(["a", "a_in_data", "c"])))
def test_no_two_fields_get_the_same_name(names, own):
    renamed = rename_fields(names, own)
    assert list(renamed) == names
    assert len(set(renamed.values())) == len(names)
    assert not set(renamed.values()) & own
    assert all(new == name for name, new in renamed.items() if name not in own)


def test_values_that_json_cannot_hold_become_values_that_it_can():
    value = {
        1: float("nan"),
        "infinite": [float("inf"), np.float32("nan")],
        "array": np.arange(3, dtype="int8"),
        "number": np.int64(2**60),
        "when": datetime(2026, 1, 2, 3, tzinfo=UTC),
        "price": Decimal("1.50"),
        "bytes": b"a\xff",
        "set": {"b", "a"},
        "true": np.bool_(True),
    }
    assert json.loads(to_json(value), parse_constant=pytest.fail) == {
        "1": None,
        "infinite": [None, None],
        "array": [0, 1, 2],
        "number": 2**60,
        "when": "2026-01-02T03:00:00+00:00",
        "price": "1.50",
        "bytes": "a\\xff",
        "set": ["a", "b"],
        "true": True,
    }
    assert to_json_value(True) is True
    assert to_cell({"a": [1]}) == '{"a": [1]}'


@pytest.mark.parametrize(
    ("values", "type"),
    [
        ([1, None, 3], "int64"),
        ([1, 2.5], "double"),
        ([True, None], "bool"),
        (["a", None], "string"),
        ([None, None], "null"),
        ([["a"], [], None], "list<item: string>"),
        ([{"a": 1, "b": "x"}, None], "struct<a: int64, b: string>"),
        ([date(2026, 1, 2)], "date32[day]"),
        ([datetime(2026, 1, 2, 3)], "timestamp[us]"),
        ([np.array([1.0, 2.0])], "list<item: double>"),
    ],
)
def test_a_column_has_the_type_of_its_values(values, type):
    column = to_arrow(values)
    assert str(column.type) == type
    plain = [value.tolist() if isinstance(value, np.ndarray) else value for value in values]
    assert column.to_pylist() == plain


@pytest.mark.parametrize(
    "values",
    [
        [1, "a"],
        [True, 2],
        [2**70],
        [2**60 + 1, 0.5],
        [{"a": 1}, {"b": 2}],
        [{}],
        [["a"], "b"],
        [{"deep": [{}]}],
    ],
)
def test_values_without_a_common_type_are_json(values):
    column = to_arrow([*values, None])
    assert str(column.type) == "string"
    *texts, last = column.to_pylist()
    assert [json.loads(text) for text in texts] == values
    assert last is None


def test_half_a_character_does_not_make_a_column_of_texts_json():
    assert to_arrow(["a\ud800", "b"]).to_pylist() == ["a?", "b"]


CELLS = st.text(st.sampled_from("=+-@'\t\r\n1.,ea\uff1d")) | st.none() | st.floats() | st.booleans()


@given(st.dictionaries(st.sampled_from(["text", "=x", "url"]), CELLS))
def test_escaped_cells_come_back_and_no_spreadsheet_runs_them(row):
    escaped = escape_cells(row)
    assert repr(dict(unescape_cells(escaped))) == repr(row)
    for name, value in escaped.items():
        if isinstance(value, str) and value[:1] in tuple("=+-@\t\r\n\uff1d") and value:
            assert name != ESCAPED
            float(value.replace(",", "."))


def test_foreign_apostrophes_stay():
    fields = {"text": "'=1", "url": "'-a"}
    assert unescape_cells(fields) == fields
    # A spreadsheet, or a person, has removed one of the two.
    fields = {"text": "=1", "url": "'-a", ESCAPED: '["text", "url"]'}
    assert unescape_cells(fields) == {"text": "=1", "url": "-a"}
    for empty in (None, "", float("nan")):
        assert unescape_cells({"text": "'=1", ESCAPED: empty}) == {"text": "'=1"}


@pytest.mark.parametrize("cell", ["text", "3", 3, "{", '[["text"]]'])
def test_another_column_of_that_name_is_an_error_with_a_cure(cell):
    with pytest.raises(InvalidRowError, match="Rename the column"):
        unescape_cells({"text": "'=1", ESCAPED: cell})


def test_records_have_the_texts_from_before(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text('text,url,escaped_cells\n\'=1,\'+a,"[""text"", ""url""]"\n\'=2,b,\n')
    records = list(read_records(path))
    assert [record.text for record in records] == ["=1", "'=2"]
    assert [record.meta for record in records] == [{"url": "+a"}, {"url": "b"}]
