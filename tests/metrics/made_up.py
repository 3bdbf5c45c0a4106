"""Made-up corpora with many ties, and cosines computed by the book."""

import math

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

# Entries from which cosines come out in few distinct values: many ties, zero rows, duplicates.
COARSE = st.sampled_from([0.0, 0.0, 1.0, -1.0, 2.0])


@st.composite
def corpora(draw):
    """Vectors with many ties and zero rows; multi-label values, graded, with labels missing."""
    n = draw(st.integers(1, 14))
    d = draw(st.integers(1, 3))
    n_labels = draw(st.integers(1, 4))
    vectors = draw(hnp.arrays(np.float32, (n, d), elements=COARSE))
    graded = st.sampled_from([0.0, 0.49, 0.5, 1.0])
    values = draw(hnp.arrays(np.float32, (n, n_labels), elements=graded))
    if draw(st.booleans()):
        known = np.ones_like(values)
    else:
        known = draw(hnp.arrays(np.float32, (n, n_labels), elements=st.sampled_from([0.0, 1.0])))
    # What stands where nothing is known must not matter.
    values[known == 0] = draw(st.sampled_from([0.0, 1.0, np.nan]))
    return vectors, values, known


def dot(u, v):
    return math.fsum(float(x) * float(y) for x, y in zip(u, v, strict=True))


def cosine_steps(u, v):
    return round(dot(u, v) / math.sqrt(dot(u, u) * dot(v, v)) * 2**30)
