"""Labels for unlabelled documents, chosen by vectors and probabilities."""

from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from spacy_embtune.labels import make_sparse_targets, make_targets
from spacy_embtune.semi_supervised import BalancedOrder, choose_pseudo_labels, compare_with_means

LABELS = ["A", "B", "C"]
AXES = np.eye(3)
ONE_EACH = make_targets([{"A": 1.0}, {"B": 1.0}, {"C": 1.0}], LABELS, exclusive=True)


def make_pile(classes: list[int], seed: int = 0) -> Any:
    """RETURNS (ndarray): A vector near the axis of each class."""
    return AXES[classes] + 0.1 * np.random.default_rng(seed).random((len(classes), 3))


def probabilities_of(classes: list[int], sure: list[float]) -> Any:
    found = np.zeros((len(classes), 3)) + (1.0 - np.asarray(sure)[:, None]) / 2
    found[np.arange(len(classes)), classes] = sure
    return found


def test_both_views_must_agree() -> None:
    probabilities = probabilities_of([0, 1, 2, 1], [0.9, 0.9, 0.9, 0.9])
    chosen = choose_pseudo_labels(
        AXES, ONE_EACH, make_pile([0, 1, 0, 2]), probabilities, share=1.0, weight=0.5
    )
    assert_array_equal(chosen.rows, [0, 1])
    assert chosen.n_agreed == 2
    targets = chosen.targets.select([0, 1])
    assert_array_equal(targets.values, [[1, 0, 0], [0, 1, 0]])
    assert_array_equal(targets.known, 1)
    assert_array_equal(targets.weights, 0.5)


def test_the_surest_share_of_each_class_is_chosen() -> None:
    classes = [0] * 10 + [1] * 4 + [2]
    sure = [0.5 + 0.04 * i for i in range(10)] + [0.6, 0.9, 0.8, 0.7] + [0.4]
    pile = make_pile(classes)
    chosen = choose_pseudo_labels(AXES, ONE_EACH, pile, probabilities_of(classes, sure), share=0.3)
    # 3 of 10, 2 of 4 (rounded up), 1 of 1.
    assert_array_equal(chosen.rows, [7, 8, 9, 11, 12, 14])
    nothing = choose_pseudo_labels(AXES, ONE_EACH, pile, probabilities_of(classes, sure), share=0.0)
    assert nothing.rows.size == 0
    assert nothing.targets.shape == (0, 3)


def test_equal_ones_are_chosen_in_order() -> None:
    classes = [0, 1] * 5
    probabilities = probabilities_of(classes, [0.8] * 10)
    pile = AXES[classes]
    chosen = choose_pseudo_labels(AXES, ONE_EACH, pile, probabilities, share=0.4)
    assert_array_equal(chosen.rows, [0, 1, 2, 3])


def test_documents_without_a_vector_or_that_are_not_usable_get_no_label() -> None:
    pile = make_pile([0, 0, 0])
    pile[0] = 0.0
    usable = np.asarray([True, False, True])
    probabilities = probabilities_of([0, 0, 0], [0.9, 0.9, 0.9])
    chosen = choose_pseudo_labels(AXES, ONE_EACH, pile, probabilities, share=1.0, usable=usable)
    assert_array_equal(chosen.rows, [2])
    empty = choose_pseudo_labels(np.zeros((3, 3)), ONE_EACH, pile, probabilities, share=1.0)
    assert empty.rows.size == 0


def test_documents_that_only_lack_labels_are_no_neighbours_of_exclusive_labels() -> None:
    targets = make_sparse_targets([{"A": 0.0}, {"B": 1.0}], LABELS, exclusive=True)
    pile = AXES[[0]] + 0.1
    chosen = choose_pseudo_labels(AXES[:2], targets, pile, probabilities_of([1], [0.9]), share=1.0)
    assert_array_equal(chosen.targets.select([0]).values, [[0, 1, 0]])


def test_labels_that_are_not_exclusive_are_chosen_one_by_one() -> None:
    targets = make_targets(
        [{"A": 1.0, "B": 1.0}, {"A": 0.0, "B": 1.0, "C": 0.0}, {"C": 1.0}], LABELS, exclusive=False
    )
    probabilities = np.asarray([[0.9, 0.2, 0.9], [0.1, 0.8, 0.4]])
    chosen = choose_pseudo_labels(AXES, targets, AXES[[0, 1]], probabilities, share=1.0)
    found = chosen.targets.select([0, 1])
    # C is unknown of the neighbour of the first, and the views disagree about B.
    assert_array_equal(found.known, [[1, 0, 0], [1, 1, 1]])
    assert_array_equal(np.asarray(found.values) * found.known, [[1, 0, 0], [0, 1, 0]])
    assert chosen.n_agreed == 2


def test_many_labels_and_documents_stay_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spacy_embtune.semi_supervised.pseudo_labels.MOST_DENSE", 30)
    targets = make_targets([{"A": 1.0, "B": 0.0, "C": 0.0}] * 3, LABELS, exclusive=False)
    pile = np.tile(AXES[0], (40, 1))
    chosen = choose_pseudo_labels(AXES, targets, pile, np.tile([0.9, 0.1, 0.1], (40, 1)), share=1.0)
    assert_array_equal(chosen.rows, range(0, 40, 4))


@pytest.mark.parametrize(
    ("share", "probabilities", "message"),
    [(1.5, np.ones((1, 3)), "between 0 and 1"), (0.3, np.ones((2, 3)), "1 vectors of the pile")],
)
def test_bad_arguments_are_an_error(share: float, probabilities: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        choose_pseudo_labels(AXES, ONE_EACH, AXES[:1], probabilities, share=share)


def test_means_of_labels_stand_in_for_an_output_layer() -> None:
    found = compare_with_means(AXES, ONE_EACH, make_pile([2, 0]))
    assert_array_equal(found.argmax(axis=1), [2, 0])
    assert found.sum(axis=1) == pytest.approx(1.0)
    several = make_targets([{"A": 1.0, "B": 1.0}, {"B": 1.0}, {}], LABELS, exclusive=False)
    found = compare_with_means(AXES, several, make_pile([0, 1]))
    assert found[0, 0] > 0.5 > found[1, 0]
    assert_array_equal(found[:, 2], 0.0)


def test_classes_are_drawn_equally_often_and_documents_about_once() -> None:
    order = BalancedOrder([0] * 12 + [1] * 6, seed=0)
    drawn = [order.draw(6) for _ in range(4)]
    for rows in drawn:
        assert len(set(rows.tolist())) == 6
        assert_array_equal(np.bincount(order.classes[rows]), [3, 3])
    counts = np.bincount(np.concatenate(drawn))
    assert_array_equal(counts, [1] * 12 + [2] * 6)
    again = BalancedOrder([0] * 12 + [1] * 6, seed=0)
    assert_array_equal(np.concatenate([again.draw(6) for _ in range(4)]), np.concatenate(drawn))


def test_small_classes_leave_their_places_to_others() -> None:
    order = BalancedOrder([0] * 5 + [1], seed=0)
    for _ in range(3):
        rows = order.draw(4)
        assert 5 in rows
        assert len(set(rows.tolist())) == 4
    assert_array_equal(order.draw(100), range(6))
    assert BalancedOrder([], seed=0).draw(3).size == 0
