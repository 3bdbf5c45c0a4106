"""Order texts by their nearness to the names of labels, before any text is labelled."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..labels import LabelTexts
from ..training import find_nearest_labels


class NameMatches(NamedTuple):
    """The nearness of n texts to the names of L labels.

    names (list[str]): The labels, in the order of the columns of `cosines`.
    labels (list[str | None]): The nearest label of each text; None for a text without a vector.
    scores (ndarray): The cosine of each text with its nearest label, -1..1, shape (n,).
    margins (ndarray): The difference of the two largest cosines of each text, 0..2, shape (n,).
    cosines (ndarray): The cosine of each text with each label, -1..1, shape (n, L).
    """

    names: list[str]
    labels: list[str | None]
    scores: NDArray[np.float64]
    margins: NDArray[np.float64]
    cosines: NDArray[np.float64]

    def order(self, label: str | None = None) -> NDArray[np.intp]:
        """Order the texts.

        label (str | None): The label whose name the first texts are nearest to. None: the first
            texts are the surest ones, those with the largest margin.
        RETURNS (ndarray of int): The positions of the texts, shape (n,).
        RAISES (ValueError): If there is no such label.
        """
        if label is None:
            return np.argsort(-self.margins, kind="stable")
        if label not in self.names:
            raise ValueError(f"There is no label {label!r}. The labels are {self.names!r}.")
        return np.argsort(-self.cosines[:, self.names.index(label)], kind="stable")


def match_names(
    texts: Sequence[str],
    labels: Iterable[str],
    encoder: Any = None,
    *,
    label_texts: LabelTexts = "names",
) -> NameMatches:
    """Find the label whose name is nearest to each text. No labelled text is needed. Where texts
    may have several labels, use `cosines`.

    The mean of the texts is subtracted from texts, and that of the names from names, because
    names and texts differ in length and form.

    >>> pile = ["The midfielder scored.", "The soup is salty.", "A goal!", "Bread with butter."]
    >>> matches = match_names(pile, ["SPORT", "FOOD"])
    >>> matches.labels
    ['SPORT', 'FOOD', 'SPORT', 'FOOD']
    >>> pile[matches.order("FOOD")[0]]
    'Bread with butter.'

    texts (Sequence[str]): The n texts.
    labels (Iterable[str]): The labels.
    encoder (Any): An encoder with `transform(texts)`. None: `SentenceEncoder()`.
    label_texts (str | Mapping): "names" for the names of the labels, or a mapping from label to a
        text or a list of texts.
    RETURNS (NameMatches): The nearest labels and the cosines. Labels whose names mean nothing are
        left out, with a warning.
    RAISES (ValueError): If no label is left.
    """
    from ..finetune import SentenceEncoder, encode_labels

    if encoder is None:
        encoder = SentenceEncoder()
    vectors = encode_labels(labels, encoder, label_texts)
    if not vectors:
        raise ValueError("No label has a text. Describe the labels: label_texts={LABEL: TEXT}.")
    names = list(vectors)
    columns = np.repeat(np.arange(len(names)), [len(vectors[name]) for name in names])
    rows = np.concatenate(list(vectors.values()))
    base = np.asarray(encoder.transform(list(texts))).reshape(len(texts), rows.shape[1])
    cosines, nearest = find_nearest_labels(base, rows, columns)
    ordered = np.sort(cosines, axis=1)
    runner_up = ordered[:, -2] if len(names) > 1 else np.zeros(len(texts))
    return NameMatches(
        names,
        [names[column] if column >= 0 else None for column in nearest.tolist()],
        ordered[:, -1],
        ordered[:, -1] - runner_up,
        cosines,
    )
