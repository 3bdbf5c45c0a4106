import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_mutual_info_score, silhouette_score

from spacy_embtune.metrics import cluster_scores

from .test_classification import blobs, make_targets, one_hot


@pytest.mark.slow
@given(st.integers(0, 2**32 - 1), st.integers(2, 5), st.booleans())
def test_silhouettes_are_sklearns(seed, n_classes, with_loner):
    rng = np.random.default_rng(seed)
    classes = np.arange(30) % n_classes
    if with_loner:
        classes[-1] = n_classes
    x = np.eye(6)[classes] + rng.normal(size=(30, 6))
    scores = cluster_scores(x, one_hot(classes, 6))
    assert scores.silhouette == pytest.approx(silhouette_score(x, classes, metric="cosine"))
    assert scores.n_classes == len(np.unique(classes))
    assert scores.n_documents == 30


def test_agreement_is_that_of_classes_with_as_many_clusters():
    x, classes = blobs(90, 3, spread=0.5)
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    clusters = KMeans(3, n_init=10, random_state=1).fit_predict(unit)
    scores = cluster_scores(7 * x, one_hot(classes, 3))
    assert 0.3 < scores.agreement < 1.0
    assert scores.agreement == pytest.approx(adjusted_mutual_info_score(classes, clusters), abs=0.1)


def test_classes_that_are_clusters_and_classes_that_are_not():
    x, classes = blobs(60, 3, spread=0.05)
    good = cluster_scores(x, one_hot(classes, 3))
    assert good.silhouette > 0.9
    assert good.agreement == pytest.approx(1.0)
    shuffled = np.random.default_rng(0).permutation(classes)
    bad = cluster_scores(x, one_hot(shuffled, 3))
    assert bad.silhouette < 0.1
    assert abs(bad.agreement) < 0.1


def test_a_class_is_the_one_label_that_a_document_carries_or_that_it_carries_none():
    x, classes = blobs(60, 3, spread=0.2)
    expected = cluster_scores(x, one_hot(classes, 3))
    # Labels A and B on their own; the third class is to carry neither.
    values = np.eye(3)[classes][:, :2]
    assert cluster_scores(x, make_targets(values)) == expected
    junk = np.array([[0, 0, 0], [1, 1, 0], [0, 1, 1], [1, 0, 1]], dtype=float)
    more = np.vstack([values, [[1, 0], [1, 1], [1, 1], [0, 0]]])
    known = np.vstack([np.ones_like(values), [[1, 1], [1, 1], [1, 1], [0, 0]]])
    # No vector, two labels, two labels, nothing known: they take no part.
    assert cluster_scores(np.vstack([x, junk]), make_targets(more, known)) == expected


def test_of_exclusive_labels_none_is_no_class():
    x, classes = blobs(40, 2, spread=0.2)
    expected = cluster_scores(x, one_hot(classes, 2))
    values = np.vstack([np.eye(2)[classes], np.zeros((5, 2))])
    targets = make_targets(values, exclusive=True)
    assert cluster_scores(np.vstack([x, np.ones((5, 2))]), targets) == expected


@pytest.mark.parametrize(
    ("x", "values"),
    [
        (np.zeros((0, 2)), np.zeros((0, 3))),
        (np.ones((4, 2)), np.zeros((4, 0))),
        (np.ones((4, 2)), np.ones((4, 1))),
        (np.zeros((4, 2)), np.eye(4)),
    ],
)
def test_with_fewer_than_two_classes_there_is_no_score(x, values):
    scores = cluster_scores(x, make_targets(values))
    assert scores.silhouette is None
    assert scores.agreement is None
    assert scores.n_classes < 2


def test_equal_vectors_give_scores_without_a_warning():
    targets = one_hot([0, 1, 2, 0, 1, 2], 3)
    scores = cluster_scores(np.ones((6, 2)), targets)
    assert scores[:2] == (pytest.approx(0.0), pytest.approx(0.0))
