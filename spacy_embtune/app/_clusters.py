"""Groups of texts that lie together, named by the words that set them apart."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..metrics.ranking import Ints

# With fewer texts there are no clusters.
FEWEST = 30
FEWEST_CLUSTERS, MOST_CLUSTERS = 4, 16
# The texts whose words are counted, and the words that are kept.
SAMPLE, MOST_WORDS = 20_000, 20_000
# Words of a name, and the share of the texts of a cluster that have each of them.
N_WORDS, LEAST_SHARE = 3, 0.04
WORD = r"(?u)[^\W\d_]{3,}"


class Clusters(NamedTuple):
    """Clusters of n texts.

    of (Ints): The cluster of each text, shape (n,).
    names (list[str]): The name of each cluster; empty if no word sets it apart.
    """

    of: Ints
    names: list[str]


def find_clusters(texts: Sequence[str], vectors: NDArray[Any]) -> Clusters:
    """Find clusters by k-means, and name them by class-based tf-idf: the words with the largest
    product of the share of the cluster's texts that have the word, and the logarithm of how much
    larger it is than among all texts.

    texts (Sequence[str]): The n texts.
    vectors (ndarray): Their unit vectors, float32, shape (n, d).
    RETURNS (Clusters): The clusters; none with fewer than 30 texts.
    """
    n = len(texts)
    if n < FEWEST:
        return Clusters(np.zeros(n, dtype=np.intp), [])
    from sklearn.cluster import MiniBatchKMeans

    k = int(np.clip(np.sqrt(n) / 6, FEWEST_CLUSTERS, MOST_CLUSTERS))
    model = MiniBatchKMeans(k, n_init=3, batch_size=2_048, random_state=0).fit(vectors)
    found = np.asarray(model.labels_, dtype=np.intp)
    return Clusters(found, _name(texts, found, k))


def _name(texts: Sequence[str], of: Ints, k: int) -> list[str]:
    from scipy.sparse import csr_array
    from sklearn.feature_extraction.text import CountVectorizer

    rows = np.random.default_rng(0).permutation(len(texts))[:SAMPLE]
    counter = CountVectorizer(binary=True, token_pattern=WORD, max_features=MOST_WORDS)
    try:
        has_word = counter.fit_transform([texts[row] for row in rows.tolist()])
    except ValueError:
        return [""] * k  # no text has a word
    words = counter.get_feature_names_out()
    ones = np.ones(rows.size), (of[rows], np.arange(rows.size))
    n_texts = np.maximum(np.bincount(of[rows], minlength=k), 1)[:, None]
    n_with_word = (csr_array(ones, shape=(k, rows.size)) @ has_word).toarray()
    shares = n_with_word / n_texts
    overall = n_with_word.sum(axis=0) / rows.size
    with np.errstate(divide="ignore", invalid="ignore"):
        worth = np.where(shares > 0, shares * np.log(shares / overall), 0.0)
    worth[(shares < LEAST_SHARE) | (n_with_word < 2)] = 0.0
    names = []
    for row in worth:
        best = np.argsort(-row, kind="stable")[:N_WORDS]
        names.append(", ".join(words[best[row[best] > 0]].tolist()))
    return names
