"""Labels that are passed on to neighbours."""

import numpy as np
import pytest

from spacy_embtune.semi_supervised import NeighbourGraph, Propagation, propagate_names
from spacy_embtune.semi_supervised.propagation import _find_nearest, _unit


def test_few_labels_are_enough_where_no_line_divides_the_texts() -> None:
    rng = np.random.default_rng(0)
    quarter = np.arange(400) % 4
    angle = np.pi / 2 * (quarter + 0.15 + 0.7 * rng.random(400))
    graph = NeighbourGraph(np.stack([np.cos(angle), np.sin(angle)], axis=1))
    values = np.where(quarter[:16, None] % 2 == np.arange(2), 1.0, -1.0)
    found = Propagation(graph, np.arange(16), values, exclusive=True).scores()
    assert np.mean(found.argmax(axis=1) == quarter % 2) > 0.9


def test_a_frequent_label_does_not_win_for_being_frequent() -> None:
    rng = np.random.default_rng(1)
    topic = np.arange(200) % 2
    vectors = np.eye(2, 6)[topic] + 0.35 * rng.normal(size=(200, 6))
    rows = np.array([0, 2, 4, 6, 8, 10, 12, 14, 16, 1])
    values = np.where(topic[rows, None] == np.arange(2), 1.0, -1.0)
    found = Propagation(NeighbourGraph(vectors), rows, values, exclusive=True).scores()
    assert 0.4 < np.mean(found.argmax(axis=1) == 1) < 0.6


@pytest.mark.parametrize("exclusive", [True, False])
def test_scores_out_of_fold_are_those_without_the_text(exclusive: bool) -> None:
    rng = np.random.default_rng(2)
    graph = NeighbourGraph(rng.normal(size=(80, 5)))
    rows = np.array([3, 40, 7, 11, 60, 5])
    values = np.where(np.arange(6)[:, None] % 2 == np.arange(2), 1.0, -1.0)
    mass = graph.propagate(rng.random((80, 2))).astype(np.float64) if exclusive else None
    weights = np.array([2.0, 0.5]) if exclusive else 0.0
    together = Propagation(graph, rows, values, exclusive=exclusive, mass=mass)
    left_out = together.out_of_fold(weights)
    for i, row in enumerate(rows.tolist()):
        others = np.delete(np.arange(6), i)
        alone = Propagation(graph, rows[others], values[others], exclusive=exclusive, mass=mass)
        np.testing.assert_allclose(left_out[i], alone.scores(weights)[row], rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(
            together.from_some(others, weights)[i], left_out[i], rtol=1e-6, atol=1e-9
        )


def test_what_texts_pass_on_is_traced_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spacy_embtune.semi_supervised.propagation._MOST_TRACED", 3)
    graph = NeighbourGraph(np.random.default_rng(5).normal(size=(40, 4)))
    exact = graph.propagate(np.eye(40))
    for rows in ([7, 3, 9, 1], [3, 20, 1, 39, 8, 7, 0]):
        found = graph.between(np.array(rows))
        np.testing.assert_allclose(found, exact[np.ix_(rows, rows)], rtol=1e-5, atol=1e-7)


def test_of_many_labelled_texts_some_of_each_label_pass_it_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rng = np.random.default_rng(6)
    topic = np.minimum(np.arange(300) % 20, 3)
    vectors = np.eye(4, 8)[topic] + 0.1 * rng.normal(size=(300, 8))
    rows = np.arange(200)
    values = np.where(topic[rows, None] == np.arange(4), 1.0, -1.0)
    graph = NeighbourGraph(vectors)
    whole = Propagation(graph, rows, values, exclusive=True)
    monkeypatch.setattr("spacy_embtune.semi_supervised.propagation.MOST_SEEDS", 24)
    found = Propagation(graph, rows, values, exclusive=True)
    assert len(found._seeds) == 24
    assert (values[found._seeds] == 1.0).sum(axis=0).min() >= 5
    for some in (found, whole):
        assert np.mean(some.scores().argmax(axis=1) == topic) > 0.9
        assert np.mean(some.out_of_fold().argmax(axis=1) == topic[rows]) > 0.9
        half = some.from_some(rows[::2])
        assert np.mean(half.argmax(axis=1) == topic[rows]) > 0.9
    # More labels leave most of the choice as it was.
    fewer = Propagation(graph, rows[:180], values[:180], exclusive=True)
    assert len(set(fewer._seeds) & set(found._seeds)) >= 18


def test_texts_nearer_to_another_name_follow_their_neighbours() -> None:
    rng = np.random.default_rng(0)
    topic = np.arange(400) % 2
    vectors = np.eye(2, 12)[topic] + 0.25 * rng.normal(size=(400, 12))
    # The second name is near to texts of both topics.
    cosines = 0.2 * vectors[:, :2] + [0.0, 0.15]
    assert np.mean(cosines.argmax(axis=1) == topic) < 0.9
    graph = NeighbourGraph(vectors)
    found = propagate_names(graph, cosines)
    assert np.mean(found.probabilities.argmax(axis=1) == topic) > 0.97
    np.testing.assert_allclose(found.probabilities.sum(axis=1), 1.0)


def test_what_is_known_from_before_counts_less_beside_labels() -> None:
    rng = np.random.default_rng(3)
    graph = NeighbourGraph(rng.normal(size=(50, 4)))
    mass = graph.propagate(np.eye(2)[np.arange(50) % 2]).astype(np.float64)
    rows, values = np.array([0, 1]), np.array([[-1.0, 1.0], [1.0, -1.0]])
    found = Propagation(graph, rows, values, exclusive=True, mass=mass)
    by_mass, by_labels = found.scores(1e6).argmax(axis=1), found.scores(0.0).argmax(axis=1)
    assert (by_mass[rows] == mass[rows].argmax(axis=1)).all()
    assert (by_labels[rows] == [1, 0]).all()


@pytest.mark.slow
def test_nearly_all_neighbours_are_found_among_many_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(4)
    centres = rng.normal(size=(30, 16))
    vectors = centres[rng.integers(30, size=900)] + 0.5 * rng.normal(size=(900, 16))
    unit = _unit(vectors)
    exact, cosines = _find_nearest(unit, 10)
    assert not (exact == np.arange(900)[:, None]).any()
    np.testing.assert_allclose(
        cosines, (unit[:, None] * unit[exact]).sum(axis=2), rtol=1e-4, atol=1e-5
    )
    monkeypatch.setattr("spacy_embtune.semi_supervised.propagation._MOST_COMPARED", 500)
    found, _ = _find_nearest(unit, 10)
    shared = [len(set(a) & set(b)) for a, b in zip(exact.tolist(), found.tolist(), strict=True)]
    assert np.mean(shared) > 9.0


@pytest.mark.parametrize(
    "vectors",
    [np.ones((1, 3)), np.ones((2, 3)), np.zeros((5, 3)), np.vstack([np.eye(3), np.zeros((2, 3))])],
    ids=["one text", "two copies", "no vectors", "some vectors"],
)
def test_few_texts_and_texts_without_a_vector(vectors: np.ndarray) -> None:
    n = len(vectors)
    values = np.array([[-1.0, 1.0]])
    found = Propagation(NeighbourGraph(vectors), np.array([0]), values, exclusive=True)
    assert np.isfinite(found.scores()).all()
    assert found.scores().shape == (n, 2)
    assert found.scores()[0].argmax() == 1
    # Nothing comes to a text without a vector.
    without = ~vectors.any(axis=1)
    without[0] = False
    assert (found.scores()[without] == 0.0).all()
    assert np.isfinite(found.out_of_fold()).all()


def test_neighbours_of_thousands_of_copies_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spacy_embtune.semi_supervised.propagation._MOST_COMPARED", 50)
    vectors = np.vstack([np.ones((300, 3)), np.eye(3)])
    found = NeighbourGraph(vectors).propagate(np.eye(303)[:, :1])
    assert np.isfinite(found).all()
    assert found.shape == (303, 1)


def test_assortativity_is_one_for_parts_that_are_apart_and_zero_by_chance() -> None:
    rng = np.random.default_rng(0)
    part = np.arange(400) % 4
    vectors = 0.1 * rng.normal(size=(400, 8))
    vectors[np.arange(400), part] += 1.0
    graph = NeighbourGraph(vectors)
    assert graph.assortativity(part) == pytest.approx(1.0)
    # Frequent classes are not assortative for being frequent.
    by_chance = (rng.random(400) < 0.1).astype(int)
    assert abs(graph.assortativity(by_chance)) < 0.1
    halves = np.where(rng.random(400) < 0.5, part, rng.integers(4, size=400))
    assert 0.2 < graph.assortativity(halves) < 0.6
    assert graph.assortativity(np.zeros(400, dtype=int)) == 0.0
    assert NeighbourGraph(np.zeros((3, 2))).assortativity(np.arange(3)) == 0.0
