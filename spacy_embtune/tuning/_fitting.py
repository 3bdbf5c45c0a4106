"""Trains the pipeline of a config in this process, as `spacy train` does."""

import contextlib
import copy
import io
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from spacy.language import Language
from thinc.api import Config

from .._files import atomic_path
from ..data import Record


def change(config: Config, settings: Mapping[str, Any], **names: str) -> Config:
    """Change settings in a copy of a config.

    config (Config): The config. Its variables stay.
    settings (Mapping[str, Any]): Dotted name -> value.
    names: What stands in braces in the names.
    RETURNS (Config): The changed copy.
    RAISES (ValueError): If a name leads through a value.
    """
    changed = Config(copy.deepcopy(dict(config)))
    for dotted, value in settings.items():
        for name, replacement in names.items():
            dotted = dotted.replace("{" + name + "}", replacement)
        *sections, key = dotted.split(".")
        section: Any = changed
        for name in sections:
            section = section.setdefault(name, {})
            if not isinstance(section, dict):
                raise ValueError(f"{dotted}: {name} is a value of the config, not a section.")
        section[key] = copy.deepcopy(value)
    return changed


def write_documents(path: Path, records: Sequence[Record]) -> None:
    """Write the texts and labels of documents as JSON lines.

    path (Path): The file.
    records (Sequence[Record]): The documents.
    """
    with atomic_path(path) as unfinished, unfinished.open("w", encoding="utf8") as file:
        for record in records:
            fields = {"id": record.id, "text": record.text, "cats": record.cats}
            file.write(f"{json.dumps(fields, ensure_ascii=True)}\n")


def fit(config: Config) -> Language:
    """Train the pipeline of a config, as `spacy train` does, without writing anything.

    config (Config): A complete config for `spacy train`.
    RETURNS (Language): The pipeline after the last step.
    """
    from spacy.training.initialize import init_nlp
    from spacy.training.loop import train

    nlp = init_nlp(config)
    silence = io.StringIO()
    train(nlp, None, stdout=silence, stderr=silence)
    return nlp


@contextlib.contextmanager
def quiet(level: int = logging.ERROR) -> Iterator[None]:
    """Keep the log silent: a trial would repeat what the final training says."""
    loggers = [logging.getLogger(name) for name in ("spacy_embtune", "spacy")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(level)
    try:
        yield
    finally:
        for logger, before in zip(loggers, levels, strict=True):
            logger.setLevel(before)
