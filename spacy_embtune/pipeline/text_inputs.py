"""Texts as the input of a component's encoder."""

from collections.abc import Sequence
from typing import Any

from spacy.language import Language

from .component import EmbTune


def prepare_texts(nlp: Language, pipe: EmbTune, texts: Sequence[str]) -> list[Any]:
    """Make what the encoder of a component reads.

    >>> import spacy
    >>> nlp = spacy.blank("en")
    >>> prepare_texts(nlp, nlp.add_pipe("embtune"), ["Good soup."])
    ['Good soup.']

    nlp (Language): The pipeline.
    pipe (EmbTune): Its component.
    texts (Sequence[str]): The n texts.
    RETURNS (list[Doc | str]): The texts, or the Docs that earlier components annotate.
    """
    if pipe.model.get_ref("encoder").attrs.get("reads_texts", False):
        return list(texts)
    names = nlp.pipe_names
    before = names[: names.index(pipe.name)]
    with nlp.select_pipes(enable=before):
        return list(nlp.pipe(texts))
