import numpy as np
import pytest

from spacy_embtune.labelling._predictions import predict_labels

from ..reports.cases import make_documents


def make(probabilities, *, exclusive, n_labels=None):
    probabilities = np.asarray(probabilities, dtype="f")
    n, m = probabilities.shape
    documents = make_documents(np.eye(n), np.eye(n), np.zeros((n, m)), np.zeros((n, m)))
    documents = documents._replace(targets=documents.targets._replace(exclusive=exclusive))
    return documents._replace(probabilities=probabilities)


def test_exclusive_labels_the_most_probable_and_its_margin_to_the_second():
    found = predict_labels(make([[0.7, 0.2, 0.1], [0.25, 0.35, 0.4]], exclusive=True))
    assert found.source == "component"
    assert found.labels == [["A"], ["C"]]
    np.testing.assert_allclose(found.probability, [0.7, 0.4], atol=1e-6)
    np.testing.assert_allclose(found.margin, [0.5, 0.05], atol=1e-6)


def test_labels_that_may_come_together_all_that_are_probable_and_the_least_sure_answer():
    found = predict_labels(make([[0.9, 0.6, 0.1], [0.2, 0.1, 0.45]], exclusive=False))
    assert found.labels == [["A", "B"], []]
    np.testing.assert_allclose(found.probability, [0.9, 0.45], atol=1e-6)
    np.testing.assert_allclose(found.margin, [0.2, 0.1], atol=1e-6)


@pytest.mark.parametrize(
    ("threshold", "labels", "margin"),
    [
        (0.3, [["A", "B", "C"], ["C"]], [1 / 7, 0.15 / 0.7]),
        (0.7, [["A"], []], [1 / 7, 0.25 / 0.7]),
        (0.0, [["A", "B", "C"], ["C", "A", "B"]], [0.4, 0.1]),
        (1.0, [[], []], [0.1, 0.55]),
    ],
)
def test_the_threshold_of_the_component_is_followed(threshold, labels, margin):
    documents = make([[0.9, 0.6, 0.4], [0.2, 0.1, 0.45]], exclusive=False)
    found = predict_labels(documents._replace(threshold=threshold))
    assert found.labels == labels
    np.testing.assert_allclose(found.margin, margin, atol=1e-6)


def test_exclusive_labels_have_no_threshold():
    documents = make([[0.7, 0.2, 0.1], [0.25, 0.35, 0.4]], exclusive=True)
    assert predict_labels(documents._replace(threshold=0.9)).labels == [["A"], ["C"]]


def test_a_lone_label_has_the_margin_to_its_absence():
    found = predict_labels(make([[0.9], [0.3]], exclusive=False))
    assert found.labels == [["A"], []]
    np.testing.assert_allclose(found.margin, [0.8, 0.4], atol=1e-6)


def test_a_document_without_a_vector_has_no_prediction():
    documents = make([[0.9, 0.1], [0.5, 0.5], [0.2, 0.8]], exclusive=True)
    documents.base[1] = documents.tuned[1] = 0
    found = predict_labels(documents)
    assert found.labels == [["A"], [], ["B"]]
    assert np.isnan([found.probability[1], found.margin[1]]).all()


def test_the_components_own_labels_need_not_exclude_each_other_where_the_documents_do():
    documents = make([[0.9, 0.8, 0.1]] * 2, exclusive=True)
    documents = documents._replace(predicted_labels=["X", "Y", "Z"])
    assert predict_labels(documents).labels == [["X", "Y"]] * 2


@pytest.mark.parametrize("exclusive", [True, False])
def test_where_no_loss_taught_the_output_layer_a_classifier_takes_its_place(exclusive):
    rng = np.random.default_rng(0)
    classes = np.arange(60) % 3
    tuned = np.eye(3)[classes] + 0.1 * rng.normal(size=(60, 3))
    known = np.ones((60, 3))
    known[::2] = 0
    documents = make_documents(
        rng.normal(size=(60, 4)), tuned, np.eye(3)[classes], known, exclusive=exclusive
    )
    neutral = 1 / 3 if exclusive else 0.5
    documents = documents._replace(probabilities=np.full((60, 3), neutral, "f"))
    found = predict_labels(documents)
    assert found.source == "probe"
    assert found.labels == [["ABC"[label]] for label in classes]
    nothing = documents._replace(targets=documents.targets._replace(known=np.zeros((60, 3), "f")))
    found = predict_labels(nothing)
    assert found.source == "none"
    assert found.labels == [[]] * 60
    assert np.isnan(found.margin).all()


def test_a_component_without_labels_predicts_nothing_of_its_own():
    documents = make(np.zeros((4, 0)), exclusive=False)._replace(predicted_labels=[])
    assert predict_labels(documents).source == "none"
