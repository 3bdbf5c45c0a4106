"""Functions of embetter's user guide: distances to anchors, and batches of a stream."""

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
    """Compute the distance of each input to a few anchors. With numpy.max, inputs with a small
    distance are close to all anchors; with numpy.min, they are close to at least one.

        >>> import numpy as np
        >>> from sklearn.preprocessing import FunctionTransformer
        >>> inputs, anchors = [[1.0, 0.0], [0.0, 1.0]], [[2.0, 0.0]]
        >>> calc_distances(inputs, anchors, FunctionTransformer(np.asarray)).tolist()
        [0.0, 1.0]

    inputs (Any): The n inputs for the pipeline, for example texts.
    anchors (Any): The anchors, for the pipeline or the anchor pipeline.
    pipeline (Any): A fitted transformer that makes vectors of inputs: an encoder, or a pipeline of
        an encoder and a tuner.
    anchor_pipeline (Any): A fitted transformer that makes vectors of anchors. None: `pipeline`.
    metric (str): "cosine", "euclidean", or another metric of `sklearn.metrics.pairwise_distances`.
    aggregate (Callable): Reduces the distances to all anchors to one number; called with axis=1.
    n_jobs (int | None): The number of processes; -1: one for each core.
    RETURNS (ndarray): The distances, shape (n,).
    """
    from sklearn.metrics import pairwise_distances

    vectors = pipeline.transform(inputs)
    of_anchors = (pipeline if anchor_pipeline is None else anchor_pipeline).transform(anchors)
    distances = pairwise_distances(vectors, of_anchors, metric=metric, n_jobs=n_jobs)
    return cast(NDArray[Any], aggregate(distances, axis=1))


def batched(iterable: Iterable[Item], n: int = 64) -> Iterator[tuple[Item, ...]]:
    """Split a stream into batches, for `partial_fit`.

        >>> list(batched("abcde", 2))
        [('a', 'b'), ('c', 'd'), ('e',)]

    iterable (Iterable): The stream.
    n (int): The number of items in a batch. The last batch may have fewer.
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
