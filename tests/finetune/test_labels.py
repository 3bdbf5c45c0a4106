import warnings

import numpy as np
import pandas
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from scipy.sparse import csr_matrix
from sklearn.exceptions import DataConversionWarning

from spacy_embtune.finetune.labels import add_classes, as_classes, read_labels, require_contrast
from spacy_embtune.labels import make_targets

NAN = float("nan")
NA = pandas.NA


def read(y, **settings):
    labels = read_labels(y, **settings)
    targets = labels.targets
    assert targets.values.dtype == targets.known.dtype == np.float32
    assert targets.values.shape == targets.known.shape == (len(y), len(labels.classes))
    assert not targets.values[targets.known == 0].any()
    return labels.kind, labels.classes.tolist(), targets


def filled(targets):
    """RETURNS (list): The values, with NaN where nothing is known."""
    return np.where(targets.known > 0, targets.values, np.nan)


# one class a document


@pytest.mark.parametrize(
    "y",
    [
        ["b", "a", "b"],
        ("b", "a", "b"),
        np.array(["b", "a", "b"]),
        np.array(["b", "a", "b"], dtype=object),
        pandas.Series(["b", "a", "b"], index=[7, 3, 3]),
        pandas.Series(["b", "a", "b"], dtype="string"),
        pandas.Series(["b", "a", "b"], dtype="category"),
        pandas.Categorical(["b", "a", "b"]),
        pandas.Index(["b", "a", "b"]),
    ],
    ids=lambda y: f"{type(y).__name__}-{getattr(y, 'dtype', '')}",
)
def test_strings_are_classes(y):
    kind, classes, targets = read(y)
    assert (kind, classes, targets.exclusive) == ("classes", ["a", "b"], True)
    assert_array_equal(filled(targets), [[0, 1], [1, 0], [0, 1]])


@pytest.mark.parametrize(
    ("y", "classes"),
    [
        ([1, 0, 1], [0, 1]),
        ([10, -2, 10], [-2, 10]),
        ([True, False, True], [False, True]),
        ([1.0, 0.0, 1.0], [0, 1]),
        (np.array([1, 0, 1], dtype="uint8"), [0, 1]),
        (pandas.Series([1, 0, 1], dtype="Int64"), [0, 1]),
        (pandas.Series([True, False, True], dtype="boolean"), [False, True]),
    ],
)
def test_numbers_and_truth_values_are_classes(y, classes):
    kind, found, targets = read(y)
    assert (kind, found, type(found[0])) == ("classes", classes, type(classes[0])) or y[0] == 1.0
    assert found == classes
    assert_array_equal(filled(targets), [[0, 1], [1, 0], [0, 1]])


@pytest.mark.parametrize(
    "y",
    [
        ["b", None, "a"],
        ["b", NAN, "a"],
        ["b", NA, "a"],
        np.array(["b", None, "a"], dtype=object),
        pandas.Series(["b", None, "a"]),
        pandas.Series(["b", None, "a"], dtype="string"),
        pandas.Series(["b", None, "a"], dtype="category"),
        pandas.Series(["b", np.nan, "a"], dtype=object),
        [1, None, 0],
        [1, NAN, 0],
        [1, NA, 0],
        [True, None, False],
        np.array([1.0, NAN, 0.0]),
        np.array([1.0, NAN, 0.0], dtype="float32"),
        pandas.Series([1, None, 0]),
        pandas.Series([1, None, 0], dtype="Int64"),
        pandas.Series([True, None, False], dtype="boolean"),
    ],
    ids=str,
)
def test_a_missing_class_is_unknown(y):
    kind, classes, targets = read(y)
    assert (kind, len(classes)) == ("classes", 2)
    assert_array_equal(filled(targets), [[0, 1], [NAN, NAN], [1, 0]])


def test_classes_are_in_the_order_that_is_given():
    _, classes, targets = read(["a", "c"], classes=["c", "b", "a"])
    assert classes == ["c", "b", "a"]
    assert_array_equal(filled(targets), [[0, 0, 1], [1, 0, 0]])
    # A number is the same class as an integer and as a float.
    assert_array_equal(filled(read([2.0, 1.0], classes=[2, 1])[2]), [[1, 0], [0, 1]])


def test_a_batch_may_lack_classes_or_tell_nothing():
    assert_array_equal(filled(read([None, None], classes=["b", "a"])[2]), [[NAN, NAN]] * 2)
    assert_array_equal(filled(read([{}, {}], classes=["b", "a"])[2]), [[NAN, NAN]] * 2)
    assert_array_equal(filled(read([NAN, 3.0], classes=[1, 3])[2]), [[NAN, NAN], [0, 1]])


def test_one_column_is_read_as_classes_with_a_warning():
    for y in ([["b"], ["a"]], np.array([[1], [0]]), pandas.DataFrame({"label": ["b", "a"]})):
        with pytest.warns(DataConversionWarning, match="column-vector y.*ravel"):
            assert_array_equal(filled(read(y)[2]), [[0, 1], [1, 0]])


@pytest.mark.parametrize(
    ("y", "match"),
    [
        (None, "requires y to be passed.*Give|requires y to be passed.*give"),
        ("abc", r"shape \(\).*Give one class for each row"),
        ([], "has no class"),
        ([None, NAN], "has no class.*missing.*Give"),
        ([{}, {}], "has no class.*Give"),
        (["a", 1], "mixes strings with other values.*Give"),
        (["a", 1.5, None], "mixes strings"),
        ([0.5, 1.5, 2.25], "continuous"),
        ([1.0, np.inf], "infinity"),
        ([[1, 0], [1]], "cannot be read as an array.*rows of one length"),
        (np.zeros((2, 2, 2)), r"shape \(2, 2, 2\)"),
        ([["a", "b"], "c"], "1 lists of labels and 1 other values.*None where nothing"),
        (np.asarray([["a", "b"], ["c", "d"]]), "not numbers.*Give 1 where"),
        ([[0, 3], [1, 0]], "Row 0 of y has the value 3 for the label 1.*NaN where it is not known"),
        ([[0, 1], [-1, 0]], "Row 1 of y has the value -1 for the label 0"),
        ([{"A": 1.0}, {"A": np.inf}], "Row 1 of y.*not finite. Leave the label out"),
        ([{"A": 1.0}, {"A": "yes"}], "Row 1 of y.*a str"),
        ([{"A": 1.0}, "A"], "Row 1 of y.*a str. Give a mapping"),
        ([{1: 1.0}], "Row 0 of y.*not a non-empty string"),
    ],
    ids=str,
)
def test_what_is_no_y_is_an_error_that_says_what_to_give(y, match):
    with pytest.raises(ValueError, match=f"(?s){match}"):
        read_labels(y)


@pytest.mark.parametrize(
    ("y", "match"),
    [
        (["a", "d"], "'d'. Known are 'b', 'a'.*partial_fit"),
        ([{"a": 1.0, "x": 0.0}], "'x'"),
        (pandas.DataFrame({"a": [1], "y": [0]}), "'y'"),
        ([[1, 0, 0]], "3 columns for 2 labels"),
    ],
)
def test_unknown_classes_are_an_error_or_come_behind(y, match):
    with pytest.raises(ValueError, match=match):
        read_labels(y, classes=["b", "a"])
    if "columns" not in match:
        found = read_labels(y, classes=["b", "a"], allow_new=True)
        assert found.classes.tolist()[:2] == ["b", "a"]
        assert len(found.classes) == found.targets.values.shape[1] == 3


# classes


@pytest.mark.parametrize("classes", [["b", "a"], ("b", "a"), pandas.Index(["b", "a"]), iter("ba")])
def test_classes_keep_their_order(classes):
    assert as_classes(classes).tolist() == ["b", "a"]


@pytest.mark.parametrize(
    ("classes", "match"),
    [
        ([], "give a list"),
        ("abc", "give a list"),
        (3, "give a list"),
        ({"a", "b"}, "give a list"),
        ({"a": 1}, "give a list"),
        ([["a"], ["b"]], "give a list"),
        ([("a", "b"), ("a", "c")], "give a list"),
        (["a", 1], "mixes strings"),
        (["a", None], "has a missing value.*Leave it out"),
        ([0.0, NAN], "has a missing value"),
        (["a", "b", "a"], "names a class twice"),
        ([1, 1.0], "names a class twice"),
    ],
)
def test_what_are_no_classes_is_an_error(classes, match):
    with pytest.raises(ValueError, match=match):
        as_classes(classes)


def test_new_classes_come_behind_the_known_ones():
    known = np.array(["b", "a"])
    assert add_classes(known, ["a", "longer", "c"]).tolist() == ["b", "a", "longer", "c"]
    assert add_classes(known, None) is known
    assert add_classes(known, ["a"]) is known
    with pytest.raises(ValueError, match="mixes strings"):
        add_classes(known, [1])


# matrices


@pytest.mark.parametrize(
    "y",
    [
        [[1, 0, 1], [0, 0, 1]],
        np.array([[True, False, True], [False, False, True]]),
        pandas.DataFrame([[1, 0, 1], [0, 0, 1]]),
        pandas.DataFrame([[1.0, 0, 1], [0, 0, 1]], dtype="Int64"),
    ],
)
def test_a_matrix_has_a_column_a_label(y):
    kind, classes, targets = read(y)
    assert (kind, classes, targets.exclusive) == ("matrix", [0, 1, 2], False)
    assert_array_equal(filled(targets), [[1, 0, 1], [0, 0, 1]])


@pytest.mark.parametrize(
    "y",
    [
        [[1, NAN], [0, 1], [1, 1]],
        [[1, None], [0, 1], [1, 1]],
        [[True, None], [False, True], [True, True]],
        pandas.DataFrame({"a": [1, 0, 1], "b": [None, 1, 1]}),
        pandas.DataFrame({"a": [1, 0, 1], "b": [NA, 1, 1]}, dtype="Int64"),
        pandas.DataFrame({"a": [1, 0, 1], "b": [NA, 1, 1]}, dtype="boolean"),
    ],
    ids=str,
)
def test_missing_values_of_a_matrix_are_unknown(y):
    _, classes, targets = read(y)
    assert classes == (["a", "b"] if hasattr(y, "columns") else [0, 1])
    assert_array_equal(filled(targets), [[1, NAN], [0, 1], [1, 1]])


def test_columns_are_found_by_their_names():
    frame = pandas.DataFrame({"b": [1, 0], "a": [NAN, 1.0]})
    assert read(frame)[1] == ["b", "a"]
    targets = read(frame, classes=["a", "b", "c"], exclusive=False)[2]
    assert_array_equal(filled(targets), [[NAN, 1, NAN], [1, 0, NAN]])
    # Where the classes are exclusive and one is present, the others are not.
    targets = read(frame, classes=["a", "b", "c"], exclusive=True)[2]
    assert_array_equal(filled(targets), [[0, 1, 0], [1, 0, 0]])


@pytest.mark.parametrize("columns", [["a", "a"], ["a", 1], [("a", "b"), ("a", "c")]])
def test_columns_without_a_name_of_their_own_are_an_error(columns):
    frame = pandas.DataFrame([[0, 1], [1, 0]])
    frame.columns = pandas.Index(columns)
    with pytest.raises(ValueError, match=r"y\.columns"):
        read_labels(frame)


def test_whether_labels_are_exclusive_is_asked_of_the_data_unless_it_is_said():
    assert read([[1, 0], [0, 1]])[2].exclusive
    assert read([[1, NAN], [0.25, 0.75]])[2].exclusive
    assert not read([[1, 0], [0, 0]])[2].exclusive
    assert not read([[1, NAN], [0, NAN]])[2].exclusive
    assert not read([[1, NAN], [1, NAN]])[2].exclusive
    assert not read([[NAN, NAN], [NAN, NAN]])[2].exclusive
    assert not read([[1, 0], [0, 1]], exclusive=False)[2].exclusive
    assert read([[1, NAN], [0, NAN]], exclusive=True)[2].exclusive
    assert read([{"A": 1.0}, {"B": 1.0}])[2].exclusive
    assert not read([{"A": 1.0}, {"A": 0.0}])[2].exclusive


def test_exclusive_labels_that_contradict_each_other_are_an_error():
    for y in ([[1, 0], [1, 1]], [{"A": 1.0}, {"A": 1.0, "B": 1.0}]):
        with pytest.raises(ValueError, match=r"Row 1 of y.*exclusive.*_classes = [Ff]alse"):
            read_labels(y, exclusive=True)
    with pytest.raises(ValueError, match=r"exclusive_classes = False.*Give a matrix"):
        read_labels(["a", "b"], exclusive=False)
    with pytest.raises(ValueError, match="exclusive_classes is 'yes': give True, False or None"):
        read_labels(["a", "b"], exclusive="yes")


@pytest.mark.slow
@given(st.data())
def test_a_matrix_says_the_same_as_cats(data):
    n_labels = data.draw(st.integers(2, 4))
    value = st.sampled_from([0.0, 0.25, 1.0, None])
    rows = data.draw(st.lists(st.lists(value, min_size=n_labels, max_size=n_labels), min_size=1))
    labels = [f"L{j}" for j in range(n_labels)]
    cats = [{k: v for k, v in zip(labels, row, strict=True) if v is not None} for row in rows]
    exclusive = data.draw(st.sampled_from([None, False]))
    made = [
        read_labels(y, classes=labels, exclusive=exclusive).targets
        for y in (rows, pandas.DataFrame(rows, columns=labels, dtype=float), cats)
    ]
    for one in made[:2]:
        assert_array_equal(one.known, made[2].known)
        assert_array_equal(one.values, made[2].values)
        assert one.exclusive == made[2].exclusive


# cats


@pytest.mark.parametrize("container", [list, tuple, pandas.Series, iter], ids=str)
def test_cats_are_read_as_from_documents(container):
    cats = [{"B": 1.0, "A": 0.0}, {"A": 1}, {}, {"B": True}]
    labels = read_labels(container(cats))
    expected = make_targets(cats, ["A", "B"], exclusive=True)
    assert (labels.kind, labels.classes.tolist()) == ("cats", ["A", "B"])
    assert_array_equal(labels.targets.values, expected.values)
    assert_array_equal(labels.targets.known, expected.known)


def test_a_document_without_cats_is_unknown():
    for nothing in (None, NAN, NA, {}):
        targets = read([{"A": 1.0, "B": 1.0}, nothing, {"B": 0.0}])[2]
        assert_array_equal(filled(targets), [[1, 1], [NAN, NAN], [NAN, 0]])
    column = np.empty(2, dtype=object)
    column[:] = [{"A": 1.0}, {"A": 0.0}]
    assert_array_equal(filled(read(column)[2]), [[1], [0]])


def test_reading_gives_no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for y in (["a", NAN], [1, NA, 0], pandas.Series([1, None]), [[1, None], [0, 1]]):
            read_labels(y)


# something to tell apart


@pytest.mark.parametrize(
    "y",
    [
        ["a", "b", None],
        [0, 1],
        [[1, 0], [0, 0]],
        [[0.3], [0.4]] * 2,
        [{"A": 1.0}, {"A": 0.0}],
        [{"A": 0.0}, {"B": 0.0}, {"A": 1.0, "B": 1.0}],
        [[0.25, 0.75], [0.75, 0.25]],
    ],
    ids=str,
)
@pytest.mark.filterwarnings("ignore:A column-vector")
def test_two_classes_can_be_told_apart(y):
    exclusive = False if y == [[0.3], [0.4]] * 2 else None
    if exclusive is False:
        y = [[0.3, 0.0], [0.4, 0.0]]
    labels = read_labels(y, exclusive=exclusive)
    require_contrast(labels.targets, labels.classes)


@pytest.mark.parametrize(
    ("y", "match"),
    [
        (["a", "a", None], "one class only, 'a'.*Give rows of two"),
        ([0, 0], "one class only, 0"),
        ([{"A": 1.0, "B": 0.0}] * 2, "one class only, 'A'"),
        ([{"A": 1.0}, {"A": 1.0, "B": 1.0}], "one class only: each label is either present in all"),
        ([{"A": 0.0}, {"A": 0.0}], "one class only"),
        ([[1, NAN], [1, NAN]], "one class only"),
        ([[NAN, NAN], [NAN, NAN]], "no known label"),
    ],
    ids=str,
)
def test_one_class_alone_is_an_error(y, match):
    labels = read_labels(y)
    with pytest.raises(ValueError, match=match):
        require_contrast(labels.targets, labels.classes)


def test_a_column_is_a_label_where_labels_are_columns():
    frame = pandas.DataFrame({"a": [1.0, 0.0], "b": [0.0, 0.0]})
    made = read_labels(frame[["a"]], classes=["a", "b"], exclusive=False)
    assert made.kind == "matrix"
    assert made.classes.tolist() == ["a", "b"]
    assert np.asarray(made.targets.values).tolist() == [[1, 0], [0, 0]]
    assert np.asarray(made.targets.known).tolist() == [[1, 0], [1, 0]]
    made = read_labels(np.asarray([[1], [0]]), classes=["a"], exclusive=False)
    assert made.kind == "matrix"
    with pytest.warns(DataConversionWarning):
        assert read_labels(frame[["a"]]).kind == "classes"


def test_a_sparse_matrix_is_a_matrix():
    made = read_labels(csr_matrix([[1, 0], [1, 1]]))
    assert made.kind == "matrix"
    assert np.asarray(made.targets.values).tolist() == [[1, 0], [1, 1]]


@pytest.mark.parametrize(
    "y",
    [
        [["b"], ["a", "b"], None, []],
        (("b",), ("b", "a"), None, ()),
        [{"b"}, {"a", "b"}, NAN, set()],
        pandas.Series([["b"], ["a", "b"], None, []]),
        [np.array(["b"]), np.array(["a", "b"]), NA, []],
        [["b", None], ["a", "b"], [], [NAN]],
    ],
    ids=lambda y: type(y).__name__,
)
def test_lists_of_names_are_the_labels_that_a_document_has(y):
    kind, classes, targets = read(y)
    assert (kind, classes, targets.exclusive) == ("cats", ["a", "b"], False)
    # A label that a list does not name is unknown, as everywhere.
    assert_array_equal(filled(targets), [[NAN, 1], [1, 1], [NAN, NAN], [NAN, NAN]])


def test_missing_values_of_cats_are_unknown():
    for missing in (None, NAN, NA, np.float32("nan")):
        targets = read([{"A": 1.0, "B": missing}, {"A": 0, "B": 1}])[2]
        assert_array_equal(filled(targets), [[1, 0], [0, 1]])


def test_texts_are_no_classes():
    texts = [f"The customer number {i} says that the parcel has not arrived." for i in range(100)]
    with pytest.raises(ValueError, match=r"y does not hold labels.*100 different labels"):
        read_labels(texts)
