import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats

from spacy_embtune.metrics import correlation_scores


@given(st.integers(0, 2**32 - 1), st.integers(3, 50), st.sampled_from([1, 3, 1000]))
def test_correlations_are_scipys(seed, n, n_values):
    rng = np.random.default_rng(seed)
    cosines = rng.uniform(-1, 1, n).astype("f")
    scores = np.append(rng.integers(0, n_values + 1, n - 2) / n_values, [0.0, 1.0])
    got = correlation_scores(cosines, scores)
    assert got.spearman == pytest.approx(stats.spearmanr(cosines, scores).statistic, abs=1e-9)
    assert got.pearson == pytest.approx(stats.pearsonr(cosines, scores).statistic, abs=1e-6)
    assert got.n == n


def test_spearman_asks_for_the_order_and_pearson_for_the_distances():
    got = correlation_scores([0.1, 0.2, 0.3, 0.9], [0.0, 0.5, 0.6, 0.7])
    assert got.spearman == pytest.approx(1.0)
    assert 0.5 < got.pearson < 0.9
    turned = correlation_scores([0.1, 0.2, 0.3], [3, 2, 1])
    assert turned[:2] == pytest.approx((-1.0, -1.0))


@pytest.mark.parametrize(
    ("cosines", "scores"),
    [([], []), ([0.5], [1.0]), ([0.5, 0.5], [0.0, 1.0]), ([0.1, 0.5], [1.0, 1.0])],
)
def test_undefined_correlations_are_none_without_a_warning(cosines, scores):
    assert correlation_scores(cosines, scores) == (None, None, len(cosines))


@given(hnp.arrays(np.float64, 5, elements=st.floats(-1e300, 1e300)), st.booleans())
def test_any_finite_numbers_give_a_correlation_or_none(values, up):
    got = correlation_scores(values, np.arange(5) if up else values[::-1])
    assert all(value is None or -1.0 <= value <= 1.0 for value in got[:2])


def test_numbers_that_do_not_fit_or_are_not_finite_are_errors():
    with pytest.raises(ValueError, match=r"\(2,\) and \(3,\)"):
        correlation_scores([1, 2], [1, 2, 3])
    with pytest.raises(ValueError, match="finite"):
        correlation_scores([1, np.nan], [1, 2])
