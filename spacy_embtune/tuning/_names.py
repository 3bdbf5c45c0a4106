"""The pipeline that predicts the label with the nearest name, with the settings of a config."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

from spacy.language import Language
from thinc.api import Config

from ..pipeline import pipeline_from_names


def make_from_names(
    config: Config,
    name: str,
    labels: Sequence[str],
    texts: Sequence[str],
    *,
    label_texts: str | Mapping[str, Any] | None,
) -> Language:
    """Make the pipeline. It has learned no label.

    config (Config): A config with the component.
    name (str): The name of the component.
    labels (Sequence[str]): The labels.
    texts (Sequence[str]): Texts like those that the labels are for.
    label_texts (str | Mapping | None): Texts of labels. None: their names.
    RETURNS (Language): The pipeline.
    RAISES (ValueError): As `pipeline_from_names`.
    """
    section = config.interpolate()["components"][name]
    encoder = section["model"]["encoder"]
    return pipeline_from_names(
        labels,
        texts,
        encoder={key: value for key, value in encoder.items() if not key.startswith("@")},
        label_texts="names" if label_texts is None else cast(Any, label_texts),
        lang=config["nlp"]["lang"],
        name=name,
        settings={key: value for key, value in section.items() if key not in ("model", "loss")},
    )
