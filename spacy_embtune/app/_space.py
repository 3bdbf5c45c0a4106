"""The vectors of a pile, with what is computed of them once."""

import warnings
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ..metrics.ranking import Floats, Ints
from ..semi_supervised import VectorSpace

# The clusters that each give a typical text, the texts that they are found with, and how many texts
# a cluster has on average at least.
N_PARTS, PARTS_SAMPLE, LEAST_IN_PART = 40, 4_000, 5
# The texts that typicality is measured with.
SAMPLE = 1_000
# How many of them count as near.
NEAR = 10


@dataclass(frozen=True, eq=False)
class Space(VectorSpace):
    """The unit vectors of n texts, and how they lie.

    typicality (Floats): How many others each text has near it, see `measure_typicality`.
    part (Ints): The cluster of each text, one of at most 40, shape (n,).
    middles (Ints): The text that is nearest to the centre of each cluster, the one of the largest
        cluster first.
    """

    typicality: Floats
    part: Ints
    middles: Ints

    @classmethod
    def of(cls, vectors: NDArray[Any]) -> Self:
        """RETURNS (Space): The space of vectors of any length, shape (n, d)."""
        own = VectorSpace.of(vectors)
        more = measure_typicality(own.vectors), *_split(own.vectors)
        return cls(own.vectors, own.mean, own.scale, own.graph, *more)


def _split(vectors: NDArray[Any]) -> tuple[Ints, Ints]:
    """RETURNS (tuple[Ints, Ints]): The cluster of each text, and the text in the middle of each."""
    from sklearn.cluster import KMeans

    n = len(vectors)
    k = max(1, min(N_PARTS, n // LEAST_IN_PART))
    sample = np.random.default_rng(0).permutation(n)[:PARTS_SAMPLE]
    with warnings.catch_warnings():
        # There may be fewer distinct vectors than clusters.
        warnings.simplefilter("ignore")
        centres = KMeans(k, n_init=3, random_state=0).fit(vectors[sample]).cluster_centers_
    lengths = np.maximum(np.linalg.norm(centres, axis=1, keepdims=True), 1e-12)
    cosines = vectors @ (centres / lengths).T.astype(np.float32)
    part = cosines.argmax(axis=1)
    largest_first = np.argsort(-np.bincount(part, minlength=k), kind="stable")
    return part, cosines.argmax(axis=0)[largest_first]


def measure_typicality(vectors: NDArray[Any]) -> Floats:
    """Measure how many others each text has near it.

    vectors (ndarray): Unit vectors, float32, shape (n, d).
    RETURNS (Floats): The mean cosine to the 10 nearest of a sample of 1,000 texts, shape (n,).
    """
    n = len(vectors)
    chosen = np.random.default_rng(0).permutation(n)[:SAMPLE]
    sample = vectors[chosen]
    k = min(NEAR + 1, len(sample))
    found = np.empty(n)
    for start in range(0, n, SAMPLE):
        cosines = vectors[start : start + SAMPLE] @ sample.T
        found[start : start + SAMPLE] = np.partition(cosines, -k, axis=1)[:, -k:].mean(axis=1)
    return found


def find_near(
    vectors: NDArray[Any], to: NDArray[Any], candidates: NDArray[np.intp], n: int
) -> tuple[NDArray[np.intp], Floats]:
    """Find the rows that are nearest to a vector.

    vectors (ndarray): Unit vectors, shape (n, d).
    to (ndarray): A vector, shape (d,).
    candidates (ndarray): The rows to choose from.
    n (int): How many to find at most.
    RETURNS (tuple[ndarray, Floats]): The rows, the nearest first, and their cosines.
    """
    length = float(np.linalg.norm(to)) or 1.0
    everything = len(candidates) == len(vectors)
    pool = vectors if everything else vectors[candidates]
    cosines = (pool @ (to / length).astype(np.float32)).astype(np.float64)
    n = min(n, cosines.size)
    if n == 0:
        return np.zeros(0, dtype=np.intp), np.zeros(0)
    best = np.argpartition(-cosines, n - 1)[:n]
    best = best[np.argsort(-cosines[best], kind="stable")]
    return candidates[best], cosines[best]
