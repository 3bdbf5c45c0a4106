import numpy as np
import pytest
from hypothesis import given

from spacy_embtune.plots._similarities import pair_cosines

from ..metrics.made_up import corpora, cosine_steps
from ..reports.cases import make_documents


@pytest.mark.slow
@given(corpora())
def test_pairs_are_those_of_which_labels_are_known_in_both(corpus):
    vectors, values, known = corpus
    n = len(vectors)
    documents = make_documents(vectors, vectors[:, ::-1], values, known, exclusive=False)
    pairs = pair_cosines(documents)
    expected = []
    for i in range(n):
        for j in range(i + 1, n):
            both = (known[i] > 0) & (known[j] > 0)
            a, b = (both & (np.nan_to_num(values[k]) >= 0.5) for k in (i, j))
            if vectors[i].any() and vectors[j].any() and (a | b).any():
                expected.append(((a & b).any(), cosine_steps(vectors[i], vectors[j])))
    assert pairs.share_label.tolist() == [shares for shares, _ in expected]
    np.testing.assert_allclose(pairs.base, [steps / 2**30 for _, steps in expected], atol=1e-6)
    np.testing.assert_allclose(pairs.tuned, pairs.base, atol=1e-9)
    assert not pairs.is_sample


def test_separation_is_how_often_a_pair_that_shares_a_label_is_more_similar():
    rng = np.random.default_rng(0)
    documents = make_documents(
        rng.normal(size=(30, 3)), rng.normal(size=(30, 3)), np.eye(3)[np.arange(30) % 3]
    )
    pairs = pair_cosines(documents)
    same, other = pairs.base[pairs.share_label], pairs.base[~pairs.share_label]
    assert pairs.separation(pairs.base) == pytest.approx((same[:, None] > other[None]).mean())
    alike = documents._replace(base=np.ones((30, 3), "f"))
    assert pair_cosines(alike).separation(pair_cosines(alike).base) == 0.5


def test_pairs_of_one_kind_have_no_separation():
    documents = make_documents(np.eye(3), np.eye(3), np.ones((3, 1)), exclusive=False)
    pairs = pair_cosines(documents)
    assert pairs.share_label.tolist() == [True] * 3
    assert pairs.separation(pairs.base) is None


def test_of_many_documents_some_are_drawn_the_same_each_time():
    rng = np.random.default_rng(0)
    values = np.eye(2)[rng.integers(0, 2, 300)]
    base = values @ rng.normal(size=(2, 8)) + rng.normal(size=(300, 8))
    documents = make_documents(base, base, values)
    sample, everything = pair_cosines(documents, most=150), pair_cosines(documents)
    assert (sample.n_documents, sample.share_label.size) == (150, 150 * 149 // 2)
    assert sample.is_sample
    assert not everything.is_sample
    np.testing.assert_array_equal(sample.base, pair_cosines(documents, most=150).base)
    assert sample.separation(sample.base) == pytest.approx(
        everything.separation(everything.base), abs=0.05
    )


def test_without_labels_there_are_no_pairs():
    for values in (np.zeros((4, 0)), np.zeros((4, 2))):
        documents = make_documents(np.eye(4), np.eye(4), values, exclusive=False)
        assert pair_cosines(documents).share_label.size == 0
