"""A pipeline as bytes, with which another machine loads it without a network."""

import os
import tempfile
from pathlib import Path
from typing import Any

import spacy
import srsly
from spacy import util
from spacy.language import Language

from ..pipeline import EmbTune


def pack_pipeline(nlp: Language) -> bytes:
    """Write a pipeline as bytes. They hold the encoder also if the pipeline stores its name only.

    nlp (Language): The pipeline.
    RETURNS (bytes): The pipeline.
    """
    shims = [
        pipe.encoder
        for _, pipe in nlp.pipeline
        if isinstance(pipe, EmbTune) and pipe.encoder is not None
    ]
    kept = [shim.save_weights for shim in shims]
    try:
        for shim in shims:
            shim.save_weights = True
        content = {
            "config": nlp.config.to_str(interpolate=False),
            "pipeline": nlp.to_bytes(),
        }
    finally:
        for shim, saves in zip(shims, kept, strict=True):
            shim.save_weights = saves
    packed: bytes = srsly.msgpack_dumps(content)
    return packed


def unpack_pipeline(packed: bytes) -> Language:
    """Load a pipeline from bytes.

    packed (bytes): What `pack_pipeline` gave.
    RETURNS (Language): The pipeline.
    """
    content = srsly.msgpack_loads(packed)
    config = util.load_config_from_str(content["config"], interpolate=True)
    language = util.get_lang_class(config["nlp"]["lang"])
    return language.from_config(config).from_bytes(content["pipeline"])


def load_model(model: Any) -> Language:
    """Load a pipeline from what it is given as.

    model (Language | bytes | str | Path): The pipeline, what `pack_pipeline` gave, or the directory
        or the name of an installed pipeline.
    RETURNS (Language): The pipeline.
    RAISES (OSError): When there is no such pipeline.
    """
    if isinstance(model, Language):
        return model
    if isinstance(model, bytes):
        return unpack_pipeline(model)
    return spacy.load(os.fspath(model))


def run_code(code: str) -> None:
    """Run Python code that registers functions, as spaCy's option --code does.

    code (str): The code.
    """
    from spacy.cli._util import import_code

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "code.py")
        path.write_text(code, encoding="utf8")
        import_code(path)
