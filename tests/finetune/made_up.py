"""Vectors with classes that are not easy to tell apart."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

TOPICS = ("FOOD", "MUSIC", "SPORT")


def make_vectors(
    n: int, *, n_classes: int = 3, width: int = 24, seed: int = 0
) -> tuple[NDArray[Any], NDArray[Any]]:
    """RETURNS (tuple[ndarray, ndarray]): Vectors as of a sentence encoder, float32, shape (n, d):
    in a narrow cone, of unit length, what they are about strong, the class weak. And the classes,
    0..n_classes-1, in turn."""
    # The same world for each seed: other documents of it.
    world = np.random.RandomState(7)
    of_class = world.normal(size=(n_classes, width))
    about = world.normal(size=(10, width))
    cone = 2.0 * world.normal(size=width)
    rng = np.random.RandomState(seed)
    y = np.arange(n) % n_classes
    noise = rng.normal(size=(n, width))
    X = cone + 0.35 * of_class[y] + 1.5 * about[rng.randint(10, size=n)] + 0.8 * noise
    return (X / np.linalg.norm(X, axis=1, keepdims=True)).astype("float32"), y


def names(y: NDArray[Any]) -> NDArray[Any]:
    """RETURNS (ndarray): The classes by name."""
    return np.asarray(TOPICS)[y]


def nearest_accuracy(train: Any, y: Any, test: Any, y_test: Any) -> float:
    """RETURNS (float): How often the nearest training vector has the right class."""
    from sklearn.neighbors import KNeighborsClassifier

    found = KNeighborsClassifier(1, metric="cosine").fit(train, y)
    return float(found.score(test, y_test))
