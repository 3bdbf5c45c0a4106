"""A callback for `[training.before_to_disk]` that calibrates components before they are saved."""

import logging
from collections.abc import Callable, Iterable
from typing import Any

from spacy.language import Language
from spacy.training import Example

from .component import EmbTune

logger = logging.getLogger(__name__)


def make_calibrate(
    corpus: Callable[[Language], Iterable[Example]],
) -> Callable[[Language], Language]:
    """Create the callback `spacy-embtune.calibrate.v1`. Each time that `spacy train` saves the
    pipeline, it calibrates all components "embtune" (see `EmbTune.calibrate`), usually on the dev
    corpus:

        [training.before_to_disk]
        @callbacks = "spacy-embtune.calibrate.v1"
        corpus = ${corpora.dev}

    >>> callable(make_calibrate(lambda nlp: []))
    True

    corpus (Callable): Gives labelled examples that no component was trained on.
    RETURNS (Callable): The callback. If a component cannot be calibrated, it logs a warning, and
        the probabilities stay as they are.
    """

    def calibrate(nlp: Language) -> Language:
        pipes: list[Any] = [pipe for _, pipe in nlp.pipeline if isinstance(pipe, EmbTune)]
        if not pipes:
            return nlp
        examples = list(corpus(nlp))
        docs = nlp.pipe([example.predicted for example in examples])
        for example, doc in zip(examples, docs, strict=True):
            example.predicted = doc
        for pipe in pipes:
            if not _has_learned_labels(pipe):
                continue
            try:
                pipe.calibrate(examples)
            except ValueError as error:
                logger.warning("%s It is saved without calibration.", error)
        return nlp

    return calibrate


def _has_learned_labels(pipe: EmbTune) -> bool:
    """RETURNS (bool): Whether the output layer has changed since it was initialized to zeros. With
    a learning rate that begins at 0, `spacy train` first saves a pipeline in which it has not."""
    layer: Any = pipe.model.maybe_get_ref("output_layer")
    if layer is None or not layer.has_param("W"):
        return True
    return bool(layer.get_param("W").any() or layer.get_param("b").any())
