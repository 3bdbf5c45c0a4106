"""Documents made up of arrays, of which it is known what a comparison should say."""

from itertools import count

import numpy as np

from spacy_embtune.reports import Documents, compare
from spacy_embtune.types import Targets

N_LABELS = 4
WIDTH = 24
NUMBERS = count()
# What a label may be called, too.
HOSTILE = "<script>alert(1)</script> | *x* _y_ [z](http://w) `c` \n# h"


def make_documents(base, tuned, values, known=None, *, exclusive=True, texts=None, labels=None):
    """RETURNS (Documents): Documents with these vectors; all labels are known without `known`."""
    values = np.asarray(values, dtype="f")
    known = np.ones_like(values) if known is None else np.asarray(known, dtype="f")
    n, n_labels = values.shape
    labels = list(labels or "ABCDEFGH"[:n_labels])
    return Documents(
        ids=[str(i) for i in range(n)],
        texts=texts or [f"text {next(NUMBERS)}" for _ in range(n)],
        labels=labels,
        targets=Targets(values, known, exclusive),
        base=np.asarray(base, dtype="f"),
        tuned=np.asarray(tuned, dtype="f"),
        probabilities=np.zeros((n, n_labels), dtype="f"),
        predicted_labels=labels,
    )


def draw_base(rng, n, *, strength=1.0):
    """RETURNS (tuple): Base vectors in which classes are to be seen so well, and the classes."""
    classes = rng.integers(0, N_LABELS, n)
    return strength * np.eye(N_LABELS, WIDTH)[classes] + 0.5 * rng.normal(size=(n, WIDTH)), classes


def a_gain(rng, n):
    """The dimensions in which the classes lie count three times as much."""
    base, classes = draw_base(rng, n)
    return base, base * np.where(np.arange(WIDTH) < N_LABELS, 3.0, 1.0), np.eye(N_LABELS)[classes]


def no_gain(rng, n):
    """Both kinds of vectors know as much of the classes, each with noise of its own."""
    base, classes = draw_base(rng, n)
    noise = 0.3 * rng.normal(size=(2, n, WIDTH))
    return base + noise[0], base + noise[1], np.eye(N_LABELS)[classes]


def a_projection(rng, n):
    """A random projection, which can only lose something."""
    base, classes = draw_base(rng, n)
    projection = np.random.default_rng(0).normal(size=(WIDTH, 20))
    return base, base @ projection, np.eye(N_LABELS)[classes]


def a_harm(rng, n):
    """The dimensions in which the classes lie hardly count."""
    base, classes = draw_base(rng, n)
    return base, base * np.where(np.arange(WIDTH) < N_LABELS, 0.1, 1.0), np.eye(N_LABELS)[classes]


def a_collapse(rng, n):
    """Everything lands within a hair's breadth of one point."""
    base, classes = draw_base(rng, n)
    tuned = np.ones((n, 8)) + 0.01 * rng.normal(size=(n, 8))
    return base, tuned, np.eye(N_LABELS)[classes]


def an_overfit(rng, n, *, learned):
    """Dimensions in which training documents lie at their class, and all others nowhere."""
    base, classes = draw_base(rng, n)
    memorized = 0.1 * rng.normal(size=(n, N_LABELS))
    if learned:
        memorized += 3 * np.eye(N_LABELS)[classes]
    return base, np.hstack([base, memorized]), np.eye(N_LABELS)[classes]


def hostile_report():
    """RETURNS (Report): One with names of labels, which anybody may have given, in its notes."""
    rng = np.random.default_rng(1)
    base, tuned, values = a_gain(rng, 40)
    values = np.hstack([values, np.zeros((40, 2))])
    values[0, 4], values[1, 5] = 1, 1
    labels = ["A", "B", "C", "D", HOSTILE, "x" * 200]
    data = make_documents(base, tuned, values, exclusive=False, labels=labels)
    return compare(data, unknown_labels=[HOSTILE])
