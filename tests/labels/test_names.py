import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spacy_embtune.labels import LabelColumn, cell_name, find_free_text, label_name


@given(st.integers(-(2**53), 2**53))
def test_a_whole_number_has_one_name_in_all_types(number):
    names = {label_name(number), label_name(float(number)), label_name(np.float64(number))}
    assert names == {str(number), *([] if number else ["0"])}
    assert cell_name(str(number)) == cell_name(f"{number}.0") == str(number)


@given(st.booleans())
def test_a_truth_value_has_one_name_in_all_types(value):
    forms = [value, np.bool_(value), str(value), str(value).upper(), str(value).lower()]
    assert {label_name(form) for form in forms} == {str(value).lower()}
    assert {cell_name(form) for form in forms[2:]} == {str(value).lower()}


@pytest.mark.parametrize("value", [0.5, float("nan"), float("inf"), None, [], b"a", object()])
def test_other_values_have_no_name(value):
    assert label_name(value) is None


@given(st.text())
def test_other_strings_stay_as_they_are(text):
    if text not in ("True", "TRUE", "False", "FALSE"):
        assert label_name(text) == text


def test_a_column_is_judged_by_its_beginning():
    column = LabelColumn()
    faults = [column.add(f"key {i}") for i in range(5000)]
    assert [i for i, fault in enumerate(faults) if fault] == [999]
    assert column.conclude() is None


@pytest.mark.parametrize(
    "names",
    [
        [],
        ["A long name of a class that many documents of this kind have"] * 100,
        [f"class {i}" for i in range(99)],
        [f"{i % 21 / 2}" for i in range(100)],
    ],
)
def test_labels_are_labels(names):
    assert find_free_text(names) is None
