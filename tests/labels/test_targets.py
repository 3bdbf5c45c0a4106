import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_allclose, assert_array_equal

from spacy_embtune.labels import (
    balance_documents,
    count_labels,
    is_exclusive,
    labels_in,
    make_targets,
    pair_similarity,
    pairs_of,
    relative_weights,
    validate_cats,
)
from spacy_embtune.types import PairTargets, Targets


def targets(values, known=None, exclusive=False):
    values = np.asarray(values, dtype="float32")
    known = np.ones_like(values) if known is None else np.asarray(known, dtype="float32")
    return Targets(values, known, exclusive)


# labels_in


def test_labels_are_distinct_and_sorted_whatever_their_values():
    assert labels_in([{"b": 1.0, "c": 0.0}, {}, {"a": 0.0, "b": 0.5}]) == ["a", "b", "c"]
    assert labels_in([]) == []


# validate_cats


@pytest.mark.parametrize(
    "value", [0, 1, True, False, 0.25, np.float32(0.5), np.int64(1), np.bool_(True)]
)
def test_numbers_of_every_kind_in_0_to_1_are_valid(value):
    validate_cats({"A": value}, where="x")


@pytest.mark.parametrize(
    ("cats", "parts"),
    [
        ({1: 1.0}, ["1", "string"]),
        ({"": 1.0}, ["''", "string"]),
        ({"A": "1"}, ["'A'", "'1'", "str"]),
        ({"A": None}, ["'A'", "None", "leave the label out"]),
        ({"A": 1j}, ["'A'", "1j"]),
        ({"A": math.nan}, ["'A'", "nan", "Leave the label out"]),
        ({"A": math.inf}, ["'A'", "inf"]),
        ({"A": np.float32("nan")}, ["'A'", "nan"]),
        ({"A": 1.5}, ["'A'", "1.5", "0..1"]),
        ({"A": -0.1}, ["'A'", "-0.1", "0..1"]),
        (["A"], ["['A']", "mapping"]),
    ],
)
def test_an_invalid_value_is_reported_with_place_label_value_and_cure(cats, parts):
    with pytest.raises(ValueError) as error:
        validate_cats(cats, where="document 7 ('some text')")
    for part in ["document 7 ('some text')", *parts]:
        assert part in str(error.value)


# is_exclusive


@pytest.mark.parametrize(
    ("cats", "expected"),
    [
        ([], False),
        ([{}, {}], False),
        ([{"A": 1.0}, {"A": 1.0}], False),
        ([{"A": 1.0}, {"B": 1.0}], True),
        ([{"A": 1.0, "B": 0.0}], True),
        ([{"A": 1.0, "B": 0.0}, {}], True),
        ([{"A": 0.3, "B": 0.7}], True),
        ([{"A": 1 / 3, "B": 1 / 3, "C": 1 / 3}], True),
        ([{"A": 1.0, "B": 0.0}, {"A": 1.0, "B": 1.0}], False),
        ([{"A": 1.0, "B": 0.0}, {"A": 0.0, "B": 0.0}], False),
        ([{"A": 1.0, "B": 0.0}, {"A": 0.0}], False),
    ],
)
def test_classes_are_exclusive_iff_the_values_of_every_labelled_document_sum_to_1(cats, expected):
    assert is_exclusive(iter(cats)) is expected


# make_targets


def test_a_missing_label_is_unknown_and_a_foreign_one_is_ignored():
    made = make_targets(
        iter([{"B": 1, "X": 1.0}, {}, {"A": 0.0, "B": 0.25}]), ["A", "B"], exclusive=False
    )
    assert_array_equal(made.values, [[0, 1], [0, 0], [0, 0.25]])
    assert_array_equal(made.known, [[0, 1], [0, 0], [1, 1]])
    assert made.values.dtype == made.known.dtype == np.float32
    assert made.exclusive is False
    assert made.counts is None


def test_targets_of_no_documents_and_of_no_labels_have_the_right_shape():
    assert make_targets([], ["A", "B"], exclusive=True).values.shape == (0, 2)
    assert make_targets([{"A": 1.0}], [], exclusive=True).known.shape == (1, 0)


def test_an_exclusive_document_whose_values_sum_to_1_is_known_entirely():
    made = make_targets(
        [{"B": 1.0}, {"A": 0.5, "B": 0.5}, {"A": 0.0}, {"A": 0.4}, {}, {"X": 1.0}],
        ["A", "B", "C"],
        exclusive=True,
    )
    assert_array_equal(
        made.known, [[1, 1, 1], [1, 1, 1], [1, 0, 0], [1, 0, 0], [0, 0, 0], [0, 0, 0]]
    )
    assert made.exclusive is True


def test_two_labels_for_one_exclusive_document_are_an_error_that_names_it_and_the_cure():
    cats = [{"A": 1.0}, {"A": 1.0, "B": 1.0}]
    with pytest.raises(ValueError, match=r"the 1st.*exclusive_classes = false"):
        make_targets(cats, ["A", "B"], exclusive=True, where=lambda i: f"the {i}st")
    with pytest.raises(ValueError, match="document 1"):
        make_targets(cats, ["A", "B"], exclusive=True)
    make_targets(cats, ["A", "B"], exclusive=False)


@pytest.mark.parametrize("value", [math.nan, math.inf, 1.5, -1.0, None, "much"])
def test_no_invalid_value_gets_into_the_arrays(value):
    with pytest.raises(ValueError, match=r"document 1: the label 'B'"):
        make_targets([{"A": 1.0}, {"B": value}], ["A", "B"], exclusive=False)


def test_counts_are_handed_on():
    counts = np.ones((2, 2), dtype="float32")
    assert make_targets([], ["A", "B"], exclusive=False, counts=counts).counts is counts


# weights of documents


def test_weights_are_arranged_in_an_array():
    weights = make_targets([{"A": 1.0}] * 4, ["A"], exclusive=False, weights=[2, 0.0, True, 0.5])[
        -1
    ]
    assert weights.dtype == np.float32
    assert_array_equal(weights, [2, 0, 1, 0.5])
    given = np.array([0.25, 3], dtype="float16")
    made = make_targets([{}] * 2, ["A"], exclusive=True, weights=given)
    assert_array_equal(made.weights, given)
    assert make_targets([{}], ["A"], exclusive=True).weights is None
    assert make_targets([], ["A"], exclusive=True, weights=[]).weights.shape == (0,)


@pytest.mark.parametrize("weight", [-1.0, math.nan, math.inf, 1e39, "1", None, [1.0], 1j])
def test_a_weight_out_of_range_is_an_error_that_names_the_document(weight):
    with pytest.raises(ValueError, match=r"the 1st: the weight is .* 0 leaves it out"):
        make_targets(
            [{}] * 2, ["A"], exclusive=True, weights=[1.0, weight], where=lambda i: f"the {i}st"
        )


@pytest.mark.parametrize("weights", [[], [1.0], np.ones(3)])
def test_weights_of_other_documents_are_an_error(weights):
    with pytest.raises(ValueError, match=rf"{len(weights)} weights for 2 documents.*each"):
        make_targets([{}] * 2, ["A"], exclusive=True, weights=weights)


@pytest.mark.parametrize(
    "use",
    [
        count_labels,
        pairs_of,
        relative_weights,
        lambda made: balance_documents(made, np.ones(2, dtype=bool)),
    ],
)
@pytest.mark.parametrize(
    ("weights", "match"),
    [
        (np.ones(3), r"shape \(3,\).*2 documents.*\(2,\)"),
        (np.ones((2, 1)), r"shape \(2, 1\).*2 documents"),
        (np.array([1.0, -1.0]), "negative or not finite.*Give 0"),
        (np.array([1.0, math.nan]), "negative or not finite"),
        (np.array([1.0, math.inf]), "negative or not finite"),
    ],
)
def test_weights_that_are_not_valid_are_an_error_wherever_they_are_used(use, weights, match):
    with pytest.raises(ValueError, match=match):
        use(make_targets([{"A": 1.0}] * 2, ["A"], exclusive=False)._replace(weights=weights))


def test_relative_weights_are_divided_by_the_largest():
    documents = make_targets([{}] * 3, ["A"], exclusive=False)
    assert relative_weights(documents) is None
    for weights in ([1.0, 2.0, 0.5], [1e38, 2e38, 5e37], [1e-38, 2e-38, 5e-39]):
        given = documents._replace(weights=np.array(weights, dtype="float32"))
        assert_allclose(relative_weights(given), [0.5, 1, 0.25], rtol=1e-6)
    assert_array_equal(relative_weights(documents._replace(weights=np.zeros(3))), np.zeros(3))
    for constant in (1e-40, 0.1, 3.0, 3e38):
        given = documents._replace(weights=np.full(3, constant, dtype="float32"))
        assert_array_equal(relative_weights(given), np.ones(3))


@st.composite
def weighted_targets(draw):
    """Targets with whole numbers as weights, and without them, but each document so often."""
    n = draw(st.integers(1, 6))
    unit = st.sampled_from([0.0, 0.25, 1.0])
    made = targets(
        draw(arrays("float32", (n, 3), elements=unit)),
        draw(arrays("float32", (n, 3), elements=st.sampled_from([0.0, 1.0]))),
    )
    counts = draw(arrays("int64", n, elements=st.integers(0, 3)))
    rows = np.repeat(np.arange(n), counts)
    repeated = made._replace(values=made.values[rows], known=made.known[rows])
    return made._replace(weights=counts), repeated, rows


@pytest.mark.slow
@given(weighted_targets())
def test_labels_are_counted_by_weight(both):
    weighted, repeated, _ = both
    assert_allclose(count_labels(weighted), count_labels(repeated), rtol=1e-6)


@pytest.mark.slow
@given(weighted_targets(), st.sampled_from(["ignore", "class"]), st.data())
def test_documents_are_balanced_by_weight(both, negatives, data):
    weighted, repeated, rows = both
    among = data.draw(arrays("bool", len(weighted.values)))
    balanced = balance_documents(weighted, among, negatives=negatives)
    assert balanced.dtype == np.float32
    expected = np.zeros(len(among))
    np.add.at(expected, rows, balance_documents(repeated, among[rows], negatives=negatives))
    # A common factor is left: documents are weighed in proportion to each other.
    if expected.any():
        expected *= balanced.sum() / expected.sum()
    assert_allclose(balanced, expected, rtol=1e-5)


def test_balanced_documents_of_weights_give_each_class_the_same_weight_in_total():
    documents = make_targets(
        [{"A": 1.0}, {"A": 1.0}, {"B": 1.0}, {"B": 1.0}, {"B": 1.0}],
        ["A", "B"],
        exclusive=True,
        weights=[3.0, 1.0, 0.0, 0.2, 0.3],
    )
    balanced = balance_documents(documents, np.ones(5, dtype=bool))
    assert_allclose(balanced, [0.75, 0.25, 0, 0.4, 0.6], rtol=1e-6)


def test_pairs_weigh_as_much_as_both_documents():
    documents = make_targets(
        [{"A": 1.0}, {"A": 1.0}, {"B": 1.0}, {"B": 1.0}], ["A", "B"], exclusive=True
    )
    pairs = PairTargets(np.full((4, 4), 0.5), np.zeros((4, 4)))
    pairs.weight[0, 1] = pairs.weight[1, 0] = 10.0
    weights = np.array([2.0, 3.0, 0.0, 0.5])
    for explicit, of_first_pair in [(None, (1.0, 6.0)), (pairs, (0.5, 60.0))]:
        similarity, weight = pairs_of(documents._replace(pairs=explicit, weights=weights))
        assert similarity.dtype == weight.dtype == np.float32
        expected = np.outer(weights, weights) * (1 - np.eye(4))
        expected[0, 1] = expected[1, 0] = of_first_pair[1]
        assert_array_equal(weight, expected)
        expected = np.zeros((4, 4))
        expected[0, 1] = expected[1, 0] = of_first_pair[0]
        assert_array_equal(similarity, expected)


# count_labels


def test_counts_are_of_known_presence_and_known_absence():
    made = make_targets([{"A": 1.0, "B": 0.0}, {"A": 0.25}, {}], ["A", "B"], exclusive=False)
    assert_allclose(count_labels(made), [[1.25, 0], [0.75, 1]])
    assert count_labels(made).dtype == np.float32


def test_counts_take_a_known_positive_to_exclude_the_other_classes():
    by_hand = targets([[1, np.nan], [0, np.nan]], [[1, 0], [1, 0]], exclusive=True)
    assert_array_equal(count_labels(by_hand), [[1, 0], [1, 1]])


# pair_similarity


def naive_similarity(a, b, negatives):
    """One pair and one label at a time."""
    n, m, n_labels = len(a.values), len(b.values), a.values.shape[1]
    similarity, weight = np.zeros((n, m)), np.zeros((n, m))
    for i in range(n):
        for j in range(m):
            common = [k for k in range(n_labels) if a.known[i, k] and b.known[j, k]]
            x = [float(a.values[i, k]) for k in common]
            y = [float(b.values[j, k]) for k in common]
            if negatives == "class":
                x += [1 - value for value in x]
                y += [1 - value for value in y]
            union = sum(map(max, zip(x, y, strict=True)))
            if union > 0:
                similarity[i, j] = sum(map(min, zip(x, y, strict=True))) / union
                weight[i, j] = len(common) / n_labels
    return similarity, weight


@pytest.mark.parametrize(
    ("x", "y", "expected"),
    [
        ({"A": 1.0}, {"A": 1.0}, (1.0, 0.5)),
        ({"A": 1.0}, {"A": 0.0}, (0.0, 0.5)),
        ({"A": 1.0, "B": 0.0}, {"A": 1.0, "B": 0.0}, (1.0, 1.0)),
        ({"A": 1.0, "B": 1.0}, {"A": 1.0, "B": 0.0}, (0.5, 1.0)),
        ({"A": 0.5, "B": 0.0}, {"A": 1.0, "B": 0.0}, (0.5, 1.0)),
        ({"A": 1.0}, {"B": 1.0}, (0.0, 0.0)),
        ({}, {"B": 1.0}, (0.0, 0.0)),
        ({"A": 0.0, "B": 0.0}, {"A": 0.0, "B": 0.0}, (0.0, 0.0)),
        ({"A": 0.0, "B": 1.0}, {"A": 0.0}, (0.0, 0.0)),
    ],
)
def test_similarity_is_the_graded_jaccard_of_what_both_are_known_to_carry(x, y, expected):
    a, b = (make_targets([cats], ["A", "B"], exclusive=False) for cats in (x, y))
    similarity, weight = pair_similarity(a, b)
    assert (float(similarity[0, 0]), float(weight[0, 0])) == expected


def test_a_shared_absent_label_makes_documents_alike_only_as_a_class():
    a = make_targets([{"A": 0.0}], ["A", "B"], exclusive=False)
    assert float(pair_similarity(a, a)[1][0, 0]) == 0.0
    similarity, weight = pair_similarity(a, a, negatives="class")
    assert (float(similarity[0, 0]), float(weight[0, 0])) == (1.0, 0.5)


def test_exclusive_documents_of_different_classes_are_dissimilar_though_no_label_is_shared():
    a = targets([[1, np.nan], [np.nan, 1]], [[1, 0], [0, 1]], exclusive=True)
    similarity, weight = pair_similarity(a, a)
    assert_array_equal(similarity, np.eye(2))
    assert_array_equal(weight, np.ones((2, 2)))


def test_targets_of_different_labels_and_unknown_options_are_refused():
    with pytest.raises(ValueError, match="3 and 2 labels"):
        pair_similarity(targets(np.ones((1, 3))), targets(np.ones((1, 2))))
    with pytest.raises(ValueError, match="negatives"):
        pair_similarity(targets([[1]]), targets([[1]]), negatives="both")


@pytest.mark.parametrize("shape", [(0, 3), (2, 0), (0, 0)])
def test_pairs_of_nothing_weigh_nothing(shape):
    similarity, weight = pair_similarity(targets(np.zeros(shape)), targets(np.zeros((4, shape[1]))))
    assert similarity.shape == weight.shape == (shape[0], 4)
    assert not weight.any()


def known_and_values(n_labels):
    shape = st.tuples(st.integers(0, 4), st.just(n_labels))
    value = st.sampled_from([0.0, 0.0, 1.0, 1.0, 0.5, 0.25, 0.8])
    return shape.flatmap(
        lambda s: st.tuples(
            arrays("float32", s, elements=value.map(np.float32)),
            arrays("float32", s, elements=st.sampled_from([0.0, 1.0])),
            arrays("float32", s, elements=st.sampled_from([math.nan, -7.0, math.inf, 0.3])),
        )
    )


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(st.data(), st.sampled_from(["ignore", "class"]))
def test_similarity_agrees_with_the_naive_one_whatever_stands_where_nothing_is_known(
    data, negatives
):
    n_labels = data.draw(st.integers(1, 5))
    both = []
    for _ in range(2):
        values, known, garbage = data.draw(known_and_values(n_labels))
        both.append(Targets(np.where(known > 0, values, garbage), known, False))
    similarity, weight = pair_similarity(*both, negatives=negatives)
    expected_similarity, expected_weight = naive_similarity(*both, negatives)
    assert similarity.dtype == weight.dtype == np.float32
    assert_allclose(similarity, expected_similarity, atol=1e-5)
    assert_allclose(weight, expected_weight, atol=1e-6)


@pytest.mark.slow
@settings(max_examples=50, deadline=None)
@given(st.data())
def test_similarity_is_symmetric_within_0_to_1_and_1_with_itself_where_it_counts(data):
    values, known, _ = data.draw(known_and_values(3))
    a = Targets(values, known, False)
    similarity, weight = pair_similarity(a, a)
    assert_array_equal(similarity, similarity.T)
    assert_array_equal(weight, weight.T)
    assert ((similarity >= 0) & (similarity <= 1)).all()
    assert_allclose(np.diag(similarity)[np.diag(weight) > 0], 1.0, atol=1e-6)


# Pairs of documents


def test_pairs_come_from_the_labels_unless_they_are_given():
    documents = make_targets([{"A": 1.0}, {"A": 1.0}, {"B": 1.0}, {}], ["A", "B"], exclusive=True)
    similarity, weight = pairs_of(documents)
    assert_array_equal(similarity, np.array([[0, 1, 0, 0], [1, 0, 0, 0]] + [[0] * 4] * 2))
    assert_array_equal(weight, np.array([[0, 1, 1, 0], [1, 0, 1, 0], [1, 1, 0, 0], [0] * 4]))
    pairs = PairTargets(np.full((4, 4), 0.5), np.full((4, 4), 2.0))
    similarity, weight = pairs_of(documents._replace(pairs=pairs))
    assert_array_equal(similarity, 0.5 * (1 - np.eye(4)))
    assert_array_equal(weight, 2.0 * (1 - np.eye(4)))
    assert similarity.dtype == weight.dtype == np.float32


def test_absent_labels_make_pairs_if_asked():
    documents = make_targets([{"A": 0.0}, {"A": 0.0}], ["A"], exclusive=False)
    assert not pairs_of(documents)[1].any()
    assert_array_equal(pairs_of(documents, negatives="class")[0], [[0, 1], [1, 0]])


def test_what_stands_beside_known_pairs_does_not_matter():
    nan, inf = np.nan, np.inf
    pairs = PairTargets(np.array([[nan, 1, nan], [1, -9, 0.5], [inf, 0.5, 7]]), np.eye(3) * nan)
    pairs.weight[:] = [[nan, 1, 0], [1, -1, 2], [0, 2, inf]]
    documents = make_targets([{}] * 3, ["A"], exclusive=False)._replace(pairs=pairs)
    similarity, weight = pairs_of(documents)
    assert_array_equal(similarity, [[0, 1, 0], [1, 0, 0.5], [0, 0.5, 0]])
    assert_array_equal(weight, [[0, 1, 0], [1, 0, 2], [0, 2, 0]])


@pytest.mark.parametrize(
    ("similarity", "weight", "match"),
    [
        (0.5, -1.0, "weight.*negative"),
        (0.5, np.nan, "weight.*not finite"),
        (0.5, np.inf, "weight.*not finite"),
        (1.5, 1.0, "outside 0..1.*Rescale"),
        (-0.1, 1.0, "outside 0..1"),
        (np.nan, 1.0, "outside 0..1"),
    ],
)
def test_pairs_out_of_range_are_an_error(similarity, weight, match):
    pairs = PairTargets(np.full((2, 2), similarity), np.full((2, 2), weight))
    documents = make_targets([{}] * 2, ["A"], exclusive=False)._replace(pairs=pairs)
    with pytest.raises(ValueError, match=match):
        pairs_of(documents)


@pytest.mark.parametrize("shapes", [((2, 2), (3, 3)), ((3, 3), (2, 2)), ((3, 2), (3, 2))])
def test_pairs_of_other_documents_are_an_error(shapes):
    pairs = PairTargets(*(np.zeros(shape, "float32") for shape in shapes))
    documents = make_targets([{}] * 3, ["A"], exclusive=False)._replace(pairs=pairs)
    with pytest.raises(ValueError, match=r"3 documents.*\(3, 3\)"):
        pairs_of(documents)


def test_balanced_documents_give_each_class_the_same_weight_in_total():
    cats = [{"A": 1.0}] * 4 + [{"B": 1.0}] * 2 + [{}]
    documents = make_targets(cats, ["A", "B", "C"], exclusive=True)
    among = np.array([True, True, True, False, True, True, True])
    third = 1 / 3
    assert_allclose(balance_documents(documents, among), [third] * 3 + [0, 0.5, 0.5, 0], rtol=1e-6)


def test_a_document_of_several_labels_weighs_the_mean_of_theirs():
    cats = [{"A": 1.0, "B": 1.0}, {"A": 1.0, "B": 0.0}, {"A": 0.5}, {"B": 0.0}]
    documents = make_targets(cats, ["A", "B"], exclusive=False)
    among = np.ones(4, dtype=bool)
    assert_allclose(balance_documents(documents, among), [(0.4 + 1) / 2, 0.4, 0.4, 0], rtol=1e-6)
    # A: 2.5 present, 0.5 absent; B: 1 present, 2 absent.
    balanced = balance_documents(documents, among, negatives="class")
    expected = [(0.4 + 1) / 2, (0.4 + 0.5) / 2, 0.5 * 0.4 + 0.5 * 2, 0.5]
    assert_allclose(balanced, expected, rtol=1e-6)
