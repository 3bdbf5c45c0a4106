"""Vectors of the names of labels, for tuners with few labelled rows."""

import warnings
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._texts import is_missing
from ..encoder import TextEncoder, token_counter
from ..labels import LabelTexts, find_codes, label_name, read_label_texts

_MOST_NAMES = 5


def encode_labels(
    labels: Iterable[Any],
    encoder: Any,
    texts: LabelTexts | Mapping[Any, Any] = "names",
    *,
    keep_codes: bool = False,
) -> dict[Any, NDArray[np.float32]]:
    """Encode the names of labels, or texts that describe them, for the parameter `label_vectors` of
    a tuner. Names are tidied: "CARD_notWorking" is read as "card not working".

    >>> from sklearn.feature_extraction.text import HashingVectorizer
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import FunctionTransformer
    >>> dense = FunctionTransformer(lambda matrix: matrix.toarray())
    >>> encoder = make_pipeline(HashingVectorizer(n_features=16), dense)
    >>> vectors = encode_labels(["SPORT", "FOOD", "SPORT"], encoder)
    >>> list(vectors), vectors["SPORT"].shape
    (['SPORT', 'FOOD'], (1, 16))

    labels (Iterable): The classes; y itself, too. Missing values are ignored.
    encoder (Any): The encoder of the rows, with `transform(texts)`, such as `SentenceEncoder`.
    texts (str | Mapping): "names", or a mapping from class to a text or a list of texts. Its
        classes may be others than `labels`.
    keep_codes (bool): Whether to keep names that look like codes, such as "neg". A tuner with
        enough labelled rows finds out itself whether they mean something.
    RETURNS (dict): For each class, the vectors of its texts, float32, shape (k, d). Names that mean
        nothing, such as "LABEL_3", are left out with a warning.
    RAISES (ValueError): If `texts` has another form.
    """
    values = [label.item() if isinstance(label, np.generic) else label for label in labels]
    classes = {_name(label): label for label in values if not is_missing(label)}
    if isinstance(texts, Mapping):
        classes |= {_name(label): label for label in texts}
        texts = {_name(label): given for label, given in texts.items()}
    found = read_label_texts(texts, classes)
    if isinstance(texts, str) and not keep_codes:
        codes = find_codes(classes, _token_counter(encoder))
        if codes:
            more = "" if len(codes) <= _MOST_NAMES else f" and {len(codes) - _MOST_NAMES} others"
            warnings.warn(
                f"The names {', '.join(map(repr, codes[:_MOST_NAMES]))}{more} look like codes, so "
                "they are left out. Give texts that describe the classes: texts={class: text}.",
                stacklevel=2,
            )
        for name in codes:
            found.pop(name, None)
    if not found:
        return {}
    rows = np.asarray(
        encoder.transform([text for given in found.values() for text in given]), dtype="float32"
    )
    ends = np.cumsum([len(given) for given in found.values()])[:-1]
    return {classes[name]: part for name, part in zip(found, np.split(rows, ends), strict=True)}


def _name(label: Any) -> str:
    return label_name(label) or str(label)


def _token_counter(encoder: Any) -> Any:
    """RETURNS (Callable | None): See `token_counter`; None for encoders of other kinds."""
    # A cached encoder holds an encoder, which holds the one that has the tokenizer.
    for _ in range(3):
        if isinstance(encoder, TextEncoder):
            return token_counter(encoder)
        encoder = getattr(encoder, "encoder", None)
    return None
