import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from spacy_embtune.finetune import FeedForwardTuner, SentenceEncoder, batched, calc_distances

from ..conftest import TOPICS, make_texts

AS_IT_IS = FunctionTransformer()
INPUTS = np.array([[1.0, 0.0], [0.0, 2.0], [-1.0, 0.0]])
ANCHORS = np.array([[3.0, 0.0], [0.0, 1.0]])


def test_the_distance_is_to_the_farthest_anchor_or_the_nearest():
    assert_allclose(calc_distances(INPUTS, ANCHORS, AS_IT_IS), [1.0, 1.0, 2.0])
    nearest = calc_distances(INPUTS, ANCHORS, AS_IT_IS, aggregate=np.min)
    assert_allclose(nearest, [0.0, 0.0, 1.0], atol=1e-12)
    assert_allclose(
        calc_distances(INPUTS, ANCHORS, AS_IT_IS, metric="euclidean", aggregate=np.mean),
        [(2 + 2**0.5) / 2, (13**0.5 + 1) / 2, (4 + 2**0.5) / 2],
    )


def test_anchors_may_have_a_pipeline_of_their_own():
    turned = FunctionTransformer(lambda rows: rows[:, ::-1])
    found = calc_distances(INPUTS, ANCHORS, AS_IT_IS, anchor_pipeline=turned)
    assert_allclose(found, calc_distances(INPUTS, ANCHORS[:, ::-1], AS_IT_IS))


@pytest.mark.slow
def test_texts_like_the_anchors_come_first(tiny_encoder):
    texts, topics = zip(*make_texts(120), strict=True)
    pipeline = make_pipeline(SentenceEncoder(str(tiny_encoder)), FeedForwardTuner(random_state=0))
    pipeline.fit(texts[:60], topics[:60])
    anchors = [TOPICS["FOOD"], TOPICS["SPORT"]]
    distances = calc_distances(list(texts[60:]), anchors, pipeline, aggregate=np.min)
    nearest = [topics[60:][i] for i in distances.argsort()[:30]]
    assert nearest.count("MUSIC") <= 3


@given(st.lists(st.integers()), st.integers(1, 7))
def test_batches_are_the_stream_cut(items, n):
    batches = list(batched(iter(items), n))
    assert [item for batch in batches for item in batch] == items
    assert all(len(batch) == n for batch in batches[:-1])
    assert all(0 < len(batch) <= n for batch in batches)


def test_a_stream_without_end_can_be_cut():
    from itertools import count

    batches = batched(count())
    assert len(next(batches)) == 64
    assert next(batches)[0] == 64


def test_a_batch_of_nothing_is_an_error_at_once():
    with pytest.raises(ValueError, match="n is 0: give a size of 1 or more"):
        batched([1, 2], 0)
