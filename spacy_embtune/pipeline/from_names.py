"""A pipeline that needs no labelled text: each text gets the label whose name is nearest, to it and
to texts like it."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
import spacy
from numpy.typing import NDArray
from spacy.language import Language

from ..encoder import DEFAULT_ENCODER, token_counter
from ..labels import LabelTexts, find_codes, read_label_texts
from ..semi_supervised import NeighbourGraph, propagate_names
from ..training import find_nearest_labels
from .component import EmbTune

# At most so many texts are read. They teach if there are so many in all, and so many a label.
_MOST_TEXTS, _FEWEST_TEXTS, _FEWEST_A_LABEL = 2_000, 100, 25
# If all labels were equally frequent, each would have n / L texts. The mean of this share of them,
# the surest, counts as much as the name of the label.
_SURE = 0.5
# The difference of two cosines times this is the difference of raw scores. Measured with names
# alone, probabilities are then about as high as predictions are often right (benchmarks/names.py);
# where a pile teaches, predictions are right more often than that.
_SCALE = 10.0


def pipeline_from_names(
    labels: Sequence[str],
    texts: Sequence[str],
    *,
    encoder: str | Mapping[str, Any] = DEFAULT_ENCODER,
    label_texts: LabelTexts = "names",
    lang: str = "en",
    name: str = "embtune",
    settings: Mapping[str, Any] | None = None,
) -> Language:
    """Make a pipeline that predicts the label whose name is nearest to a text, and to texts like
    it. It has learned no labelled text: all commands and reports can start from it, such as `bulk`
    and `page`.

    The tuned vector is the base vector. Probabilities are made of cosines and are rough.

    >>> pile = ["The midfielder scored.", "The soup is salty.", "A goal!", "Bread with butter."]
    >>> nlp = pipeline_from_names(["SPORT", "FOOD"], pile)
    >>> doc = nlp("They won the match.")
    >>> max(doc.cats, key=doc.cats.get)
    'SPORT'

    labels (Sequence[str]): The L labels, two or more.
    texts (Sequence[str]): Texts without labels. Their mean is subtracted from vectors. If there are
        100 or more, and 25 a label, they teach as well: texts like those that are nearest to the
        name of a label are taken for texts of the label, and their mean counts as much as the
        name. Of more than 2,000 (or 25 a label), a random choice of so many is read.
    encoder (str | Mapping): The name of a sentence-transformers model, or the settings of
        `spacy-embtune.SentenceTransformer.v1`.
    label_texts (str | Mapping): "names" for the names of the labels, or a mapping from label to a
        text or a list of texts.
    lang (str): The language of the pipeline.
    name (str): The name of the component.
    settings (Mapping | None): Other settings of the component, such as `extension`.
    RETURNS (Language): A pipeline with the component, which sets `doc.cats`.
    RAISES (ValueError): If there are fewer than two labels, if a label has no text or a name
        that means nothing, or if there is no text.
    """
    labels = list(dict.fromkeys(labels))
    given = read_label_texts(label_texts, labels)
    without = [label for label in labels if label not in given]
    there = set(labels)
    more = [label for label in given if label not in there]
    if len(labels) < 2:
        raise ValueError(f"The labels are {labels!r}: give two or more.")
    if without or more:
        raise ValueError(
            f"label_texts has no text for {without!r} and a text for {more!r}, which is no label. "
            "Give each label a text: {LABEL: TEXT}."
        )
    pile = [text for text in texts if text.strip()]
    most = max(_MOST_TEXTS, _FEWEST_A_LABEL * len(labels))
    if len(pile) > most:
        order = np.random.default_rng(0).permutation(len(pile))[:most]
        pile = [pile[i] for i in np.sort(order)]
    if not pile:
        raise ValueError("There is no text. Give texts like those that the labels are for.")
    section = {"name": encoder} if isinstance(encoder, str) else dict(encoder)
    nlp = spacy.blank(lang)
    head = {"@architectures": "spacy-embtune.Linear.v1"}
    own = {key: value for key, value in (settings or {}).items() if key != "factory"}
    config = {
        **own,
        "set_cats": True,
        "exclusive_classes": True,
        "model": {
            "@architectures": "spacy-embtune.EmbTune.v1",
            "encoder": {"@architectures": "spacy-embtune.SentenceTransformer.v1", **section},
            "head": head,
        },
    }
    pipe = cast(EmbTune, nlp.add_pipe("embtune", name=name, config=config))
    for label in labels:
        pipe.add_label(label)
    pipe.model.initialize(X=pile[:1], Y=cast(Any, np.zeros((1, len(labels)), dtype="float32")))
    assert pipe.encoder is not None
    if isinstance(label_texts, str):
        codes = find_codes(labels, token_counter(pipe.encoder.encoder))
        if codes:
            raise ValueError(
                f"The names {codes[:5]!r} look like codes. Describe the labels: "
                "label_texts={LABEL: TEXT}."
            )
    _set_output_layer(pipe, given, pile)
    pipe.cfg.update(
        label_counts=np.zeros((2, len(labels))).tolist(), is_trained=True, predicts_labels=True
    )
    return nlp


def pile_teaches(n_texts: int, n_labels: int) -> bool:
    """Tell whether there are texts enough for `pipeline_from_names` to learn from them.

    >>> pile_teaches(99, 2), pile_teaches(100, 2), pile_teaches(100, 5)
    (False, True, False)

    n_texts (int): The number of texts.
    n_labels (int): The number of labels.
    RETURNS (bool): Whether there are.
    """
    return n_texts >= max(_FEWEST_TEXTS, _FEWEST_A_LABEL * n_labels)


def _set_output_layer(pipe: EmbTune, texts: Mapping[str, list[str]], pile: list[str]) -> None:
    """Make the raw scores of the linear head the cosines with the labels, up to a factor of each
    row, which changes no prediction. Where a pile teaches, the mean of two cosines: with the name,
    and with the texts."""
    encoder = pipe.model.get_ref("encoder")
    base = _unit(_encode(encoder, pile))
    mean = base.mean(axis=0)
    names = [_unit(_encode(encoder, texts[label])) for label in pipe.labels]
    shift = np.concatenate(names).mean(axis=0)
    directions = np.stack([_unit(of_label - shift).mean(axis=0) for of_label in names])
    if pile_teaches(len(pile), len(names)):
        directions = 0.5 * (directions + _learn_directions(base, names))
    layer = pipe.model.get_ref("output_layer")
    ops: Any = layer.ops
    # The head gives rows the length sqrt(d).
    scaled = _SCALE * directions / mean.size**0.5
    layer.set_param("W", ops.asarray(np.ascontiguousarray(scaled, dtype="float32")))
    layer.set_param("b", ops.asarray((-_SCALE * directions @ mean).astype("float32")))


def _learn_directions(pile: NDArray[Any], names: list[NDArray[Any]]) -> NDArray[Any]:
    """RETURNS (ndarray): The direction of the surest texts of each label, shape (L, d)."""
    mean = pile.mean(axis=0)
    columns = np.repeat(np.arange(len(names)), [len(of_label) for of_label in names])
    found = find_nearest_labels(pile, np.concatenate(names), columns, mean=mean)
    probabilities = propagate_names(NeighbourGraph(pile), found.cosines).probabilities
    n_sure = max(1, round(_SURE * len(pile) / len(names)))
    sure = np.argsort(-probabilities, axis=0, kind="stable")[:n_sure]
    return _unit(_unit(pile - mean)[sure].mean(axis=0))


def _encode(encoder: Any, texts: list[str]) -> NDArray[Any]:
    return cast(NDArray[Any], encoder.ops.to_numpy(encoder.predict(texts)))


def _unit(rows: NDArray[Any]) -> NDArray[Any]:
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.divide(rows, lengths, out=np.zeros(rows.shape), where=lengths > 1e-9)
