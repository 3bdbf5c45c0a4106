"""How far texts are from a few anchors, and streams in batches: helpers of embetter's guide."""

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

Item = TypeVar("Item")


def calc_distances(
    inputs: Any,
    anchors: Any,
    pipeline: Any,
    anchor_pipeline: Any = None,
    metric: str = "cosine",
    aggregate: Callable[..., Any] = np.max,
    n_jobs: int | None = None,
) -> NDArray[Any]:
    """Compare inputs with a few anchors: sort by it to find what is like all of them,
    or, with numpy.min, like any of them.

    inputs (Any): n inputs, as the pipeline takes them: texts, for instance.
    anchors (Any): The anchors.
    pipeline (Any): What makes vectors of inputs, fitted: an encoder, or one with a tuner behind it.
    anchor_pipeline (Any): What makes vectors of anchors. None: the same.
    metric (str): "cosine", "euclidean", or another of `sklearn.metrics.pairwise_distances`.
    aggregate (Callable): What to make of the distances to the anchors, called with axis=1:
        numpy.max is the distance to the farthest, numpy.min to the nearest.
    n_jobs (int | None): How many processes; -1: one a core.
    RETURNS (ndarray): The distances, shape (n,).
    """
    from sklearn.metrics import pairwise_distances

    vectors = pipeline.transform(inputs)
    of_anchors = (pipeline if anchor_pipeline is None else anchor_pipeline).transform(anchors)
    distances = pairwise_distances(vectors, of_anchors, metric=metric, n_jobs=n_jobs)
    return cast(NDArray[Any], aggregate(distances, axis=1))


def batched(iterable: Iterable[Item], n: int = 64) -> Iterator[tuple[Item, ...]]:
    """Cut a stream into batches, for `partial_fit`.

    iterable (Iterable): The stream.
    n (int): How many items a batch holds; the last one may hold fewer.
    YIELDS (tuple): The batches.
    RAISES (ValueError): If n is below 1.
    """
    if n < 1:
        raise ValueError(f"n is {n}: give a size of 1 or more.")
    items = iter(iterable)

    def cut() -> Iterator[tuple[Item, ...]]:
        while batch := tuple(islice(items, n)):
            yield batch

    return cut()
