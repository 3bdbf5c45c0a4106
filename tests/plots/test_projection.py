import importlib.util
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.decomposition import PCA

from spacy_embtune.plots import project, project_onto

from ..reports.cases import make_documents


def unit(x):
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def draw(n=40, d=6, k=5, seed=0):
    rng = np.random.default_rng(seed)
    scales = np.arange(d, 0, -1.0)
    base = rng.normal(size=(n, d)) * scales + 2
    return make_documents(base, rng.normal(size=(n, k)) * np.arange(1, k + 1), np.eye(2)[[0] * n])


def distances(xy):
    return np.linalg.norm(xy[:, None] - xy[None], axis=2)


def test_the_base_panel_is_the_pca_of_unit_vectors():
    documents = draw()
    pca = PCA(2, svd_solver="full").fit(unit(documents.base.astype(float)))
    panel = project(documents).base
    expected = pca.transform(unit(documents.base.astype(float)))
    signs = np.sign((expected * panel.xy).sum(axis=0))
    np.testing.assert_allclose(panel.xy, expected * signs, atol=1e-6)
    assert panel.share == pytest.approx(pca.explained_variance_ratio_.sum(), abs=1e-6)
    for name, axis, share in zip(
        ("PC 1", "PC 2"), panel.axes, pca.explained_variance_ratio_, strict=True
    ):
        assert axis == f"{name} ({100 * share:.0f} % of the variance)"


def test_axes_are_fitted_on_other_documents_and_their_shares_are_those_of_the_documents_shown():
    documents, fit = draw(30), draw(50, seed=1)
    pca = PCA(2, svd_solver="full").fit(unit(fit.base.astype(float)))
    x = unit(documents.base.astype(float))
    projection = project(documents, fit)
    expected = pca.transform(x)
    np.testing.assert_allclose(distances(projection.base.xy), distances(expected), atol=1e-6)
    shares = expected.var(axis=0) / x.var(axis=0).sum()
    assert projection.base.share == pytest.approx(shares.sum(), abs=1e-6)
    assert projection.note == "PCA fitted on 50 other documents"
    assert project(documents).note == "PCA fitted on the 30 documents shown"


def test_a_rotated_space_comes_to_lie_on_the_base_panel():
    documents = draw()
    rotation = np.linalg.qr(np.random.default_rng(3).normal(size=(6, 6)))[0]
    # A reflection as well, and another length of each vector.
    rotation[:, 0] *= -1
    lengths = np.random.default_rng(4).uniform(0.1, 9, (40, 1))
    documents = documents._replace(tuned=(lengths * documents.base @ rotation).astype("f"))
    projection = project(documents)
    centred = projection.base.xy - projection.base.xy.mean(axis=0)
    np.testing.assert_allclose(projection.tuned.xy, centred, atol=1e-5)


def test_the_tuned_panel_is_turned_but_not_stretched_and_says_what_its_axes_hold():
    documents = draw()
    x = unit(documents.tuned.astype(float))
    pca = PCA(2, svd_solver="full").fit(x)
    panel = project(documents).tuned
    np.testing.assert_allclose(distances(panel.xy), distances(pca.transform(x)), atol=1e-6)
    assert panel.share == pytest.approx(pca.explained_variance_ratio_.sum(), abs=1e-6)
    # Those of the axes as drawn, not of the principal components.
    shares = panel.xy.var(axis=0) / x.var(axis=0).sum()
    assert not np.allclose(shares, pca.explained_variance_ratio_, atol=0.01)
    for i, axis in enumerate(panel.axes):
        assert axis == f"turned axis {i + 1} ({100 * shares[i]:.0f} % of the variance)"


def test_no_other_turn_or_reflection_brings_the_panels_closer():
    projection = project(draw())
    base = projection.base.xy - projection.base.xy.mean(axis=0)
    gap = np.linalg.norm(projection.tuned.xy - base)
    for angle in np.linspace(0.1, 2 * np.pi, 20):
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        for mirror in (np.eye(2), np.diag([1, -1])):
            assert np.linalg.norm(projection.tuned.xy @ turn @ mirror - base) >= gap - 1e-9


def test_documents_without_a_vector_have_no_place_and_do_not_matter():
    documents = draw()
    missing = documents.base.copy(), documents.tuned.copy()
    for vectors in missing:
        vectors[[3, 7]] = 0
    projection = project(documents._replace(base=missing[0], tuned=missing[1]))
    kept = np.setdiff1d(np.arange(40), [3, 7])
    for panel in (projection.base, projection.tuned):
        assert np.flatnonzero(np.isnan(panel.xy).any(axis=1)).tolist() == [3, 7]
    others = documents._replace(
        texts=[documents.texts[i] for i in kept],
        base=documents.base[kept],
        tuned=documents.tuned[kept],
    )
    clean = project(others)
    np.testing.assert_array_equal(projection.base.xy[kept], clean.base.xy)
    np.testing.assert_allclose(projection.tuned.xy[kept], clean.tuned.xy, atol=1e-12)
    assert projection.note == ("PCA fitted on the 38 documents shown; 2 without text are not shown")


def test_vectors_that_are_all_alike_have_no_share_of_a_variance():
    documents = draw()._replace(base=np.full((40, 6), 0.3, "f"), tuned=np.ones((40, 5), "f"))
    projection = project(documents)
    for panel, axes in (
        (projection.base, ("PC 1", "PC 2")),
        (projection.tuned, ("turned axis 1", "turned axis 2")),
    ):
        assert panel.share is None
        assert panel.axes == axes
        np.testing.assert_allclose(panel.xy, 0, atol=1e-6)


def test_vectors_of_one_dimension_lie_on_a_line():
    documents = draw()._replace(base=np.array([[1.0], [-1.0]] * 20, "f"))
    panel = project(documents).base
    assert panel.share == pytest.approx(1.0)
    assert (panel.xy[:, 1] == 0).all()
    assert panel.axes[1] == "PC 2 (0 % of the variance)"


def test_fewer_documents_than_a_plane_takes_are_an_error():
    documents = draw(2)
    with pytest.raises(ValueError, match=r"Only 2 of 2 documents to show have a base vector"):
        project(documents)
    with pytest.raises(ValueError, match=r"Only 2 of 2 documents to fit the axes on have a base"):
        project(draw(), documents)
    with pytest.raises(ValueError, match="Only 0 of 40 documents to show have a tuned vector"):
        project(draw()._replace(tuned=np.zeros((40, 0), "f")))
    project(draw(3), draw(3, seed=1))


def test_axes_of_another_pipeline_are_an_error():
    with pytest.raises(ValueError, match="tuned vectors to fit the axes on have width 4"):
        project(draw(), draw(k=4))


def test_an_unknown_method_is_an_error():
    with pytest.raises(ValueError, match="method is 'tsne': give one of 'pca', 'umap'"):
        project(draw(), method="tsne")


@given(st.integers(3, 12), st.integers(1, 5), st.integers(1, 14), st.integers(0, 99))
@settings(deadline=None, max_examples=50)
def test_any_vectors_get_a_place_and_only_their_direction_counts(n, n_values, d, seed):
    rng = np.random.default_rng(seed)
    # Few values: many vectors that are equal, or zero.
    base = rng.integers(0, n_values, (n, d)) + 0.0
    base[:3, 0] = 1
    tuned = rng.normal(size=(n, d)) * (rng.random((n, 1)) < 0.8)
    tuned[:3, 0] = 1
    documents = make_documents(base, tuned, np.ones((n, 1)))
    projection = project(documents)
    lengths = 2.0 ** rng.integers(-20, 20, (n, 1)).astype("f")
    again = project(documents._replace(base=documents.base * lengths))
    for name in ("base", "tuned"):
        panel = getattr(projection, name)
        has_vector = getattr(documents, name).any(axis=1)
        assert np.isfinite(panel.xy[has_vector]).all()
        assert np.isnan(panel.xy[~has_vector]).all()
        assert panel.share is None or 0 <= panel.share < 1 + 1e-6
        np.testing.assert_array_equal(panel.xy, getattr(again, name).xy)


def test_umap_without_the_package_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "umap", None)
    with pytest.raises(ImportError, match=r"pip install 'spacy-embtune\[umap\]'"):
        project(draw(), method="umap")


@pytest.mark.slow
@pytest.mark.skipif(
    importlib.util.find_spec("umap") is None, reason="umap-learn, an extra, is not installed"
)
class TestUmap:
    def test_it_keeps_clusters_and_is_the_same_each_time(self):
        rng = np.random.default_rng(0)
        classes = np.arange(60) % 3
        base = 3 * np.eye(8)[classes] + 0.3 * rng.normal(size=(60, 8))
        documents = make_documents(base, 2 * base @ rng.normal(size=(8, 8)), np.eye(3)[classes])
        for fit in (None, documents._replace(base=documents.base + 0, tuned=documents.tuned + 0)):
            projection = project(documents, fit, method="umap")
            assert projection.base.axes == projection.tuned.axes == ("UMAP 1", "UMAP 2")
            assert projection.base.share is None
            for panel in (projection.base, projection.tuned):
                near = distances(panel.xy) + np.diag([np.inf] * 60)
                assert (classes[near.argmin(axis=1)] == classes).mean() > 0.95
            again = project(documents, fit, method="umap")
            np.testing.assert_array_equal(projection.tuned.xy, again.tuned.xy)
        assert projection.note == "UMAP fitted on 60 other documents"

    def test_few_documents_and_equal_vectors_have_places_too(self):
        for documents in (draw(3), draw(5)._replace(base=np.ones((5, 6), "f"))):
            projection = project(documents, method="umap")
            assert np.isfinite(projection.base.xy).all()
            assert np.isfinite(projection.tuned.xy).all()

    @pytest.mark.parametrize("case", ["3", "4", "5", "49 equal", "fitted on 3", "fitted on equal"])
    @pytest.mark.filterwarnings("error")
    def test_thin_data_have_finite_places_the_same_each_time(self, case):
        alike = draw(50)
        alike.base[1:], alike.tuned[1:] = alike.base[1], alike.tuned[1]
        fit = {"fitted on 3": draw(3, seed=1), "fitted on equal": alike}.get(case)
        documents = draw(20 if fit is not None or case == "49 equal" else int(case))
        documents = alike if case == "49 equal" else documents
        first, second = (project(documents, fit, method="umap") for _ in range(2))
        for one, other in ((first.base, second.base), (first.tuned, second.tuned)):
            assert one.xy.shape == (len(documents.base), 2)
            assert np.isfinite(one.xy).all()
            np.testing.assert_array_equal(one.xy, other.xy)


def test_many_vectors_lie_where_a_part_of_them_puts_them():
    rng = np.random.default_rng(0)
    vectors = (rng.normal(size=(6_000, 8)) * np.arange(8, 0, -1) + 1).astype("float32")
    expected = PCA(2, svd_solver="full").fit_transform(unit(vectors.astype(float)))
    found = project_onto(vectors, expected)
    # Turned to lie near them, so signs and axes agree. The mean is that of a part.
    assert np.corrcoef(found[:, 0], expected[:, 0])[0, 1] > 0.999
    assert np.corrcoef(found[:, 1], expected[:, 1])[0, 1] > 0.999


@pytest.mark.parametrize("size", [1e-30, 1.0, 1e30])
def test_lengths_do_not_count_and_zeros_have_no_place(size):
    rng = np.random.default_rng(1)
    vectors = rng.normal(size=(30, 4))
    old = rng.normal(size=(30, 2))
    expected = project_onto(vectors, old)
    scaled = (vectors * size).astype("float32")
    np.testing.assert_allclose(project_onto(scaled, old), expected, atol=1e-5)
    scaled[3] = 0
    found = project_onto(scaled, old)
    assert np.isnan(found[3]).all()
    assert np.isfinite(np.delete(found, 3, axis=0)).all()
