"""Make a pipeline in which the encoder and head of components are replaced by students."""

import copy
from collections.abc import Mapping
from typing import Any

import numpy as np
from spacy.language import Language
from spacy.util import load_model_from_config
from thinc.api import Config

from ..encoder import TextEncoder
from ..metrics.ranking import unit_vectors
from ..pipeline import EmbTune
from ._corpus import FIT, Corpus, head_outputs
from ._ridge import RidgeSums

# The output layer is nearly determined, so a small penalty is enough.
_PENALTY = 1e-3


def make_pipeline(nlp: Language, students: Mapping[str, TextEncoder]) -> Language:
    """Copy a pipeline, with the encoders of students in place of those of its components. Output
    layers are not set yet.

    nlp (Language): The pipeline of the teacher. It is not changed.
    students (Mapping[str, TextEncoder]): The students, by the name of the component.
    RETURNS (Language): The pipeline. All other components are copies.
    """
    config = Config(copy.deepcopy(nlp.config))
    for name, encoder in students.items():
        section = config["components"][name]
        section["bank_size"] = 0
        section["model"] = {
            "@architectures": "spacy-embtune.EmbTune.v1",
            "encoder": {
                "@architectures": "spacy-embtune.SentenceTransformer.v1",
                "name": f"{encoder.settings.name} (distilled)",
                "precision": "auto",
            },
            "head": {"@architectures": "spacy-embtune.Linear.v1"},
        }
    # What the config of a training says about where to find encoders and corpora is of no use.
    config["initialize"] = {}
    # Weights that are replaced below are drawn from numpy's random numbers.
    state = np.random.get_state()  # noqa: NPY002
    try:
        return _make(nlp, config, students)
    finally:
        np.random.set_state(state)  # noqa: NPY002


def _make(nlp: Language, config: Config, students: Mapping[str, TextEncoder]) -> Language:
    made = load_model_from_config(config, vocab=True, auto_fill=True)
    made.vocab.from_bytes(nlp.vocab.to_bytes())
    made.meta.update({key: value for key, value in nlp.meta.items() if key in _META})
    for name in config["components"]:
        source: Any = nlp.get_pipe(name)
        target: Any = made.get_pipe(name)
        if name in students:
            assert isinstance(source, EmbTune)
            assert isinstance(target, EmbTune)
            _set_up(source, target, students[name])
        elif hasattr(source, "to_bytes"):
            target.from_bytes(source.to_bytes(exclude=["vocab"]), exclude=["vocab"])
    return made


_META = ("name", "version", "description", "author", "email", "url", "license")


def _set_up(teacher: EmbTune, student: EmbTune, encoder: TextEncoder) -> None:
    shim = student.encoder
    assert shim is not None
    shim.from_files(encoder.to_files())
    for label in teacher.labels:
        student.add_label(label)
    n_labels = max(len(teacher.labels), 1)
    Y = np.zeros((1, n_labels), dtype="float32")
    student.model.initialize(X=["text"], Y=Y)  # type: ignore[arg-type]
    student.cfg.update(copy.deepcopy(teacher.cfg))
    student.seen = copy.deepcopy(teacher.seen)
    shim.caching = False
    shim.identify()


def fit_output_layer(teacher: EmbTune, corpus: Corpus, student: EmbTune) -> None:
    """Make the output layer of a student give the raw scores of its teacher, by a ridge regression
    in closed form.

    teacher (EmbTune): The teacher.
    corpus (Corpus): The texts with the teacher's base vectors.
    student (EmbTune): The student. Its output layer is set.
    """
    if not teacher.labels:
        return
    assert student.encoder is not None
    encoder, layer = student.encoder.encoder, student.model.get_ref("head").layers[0]
    sums = RidgeSums(encoder.width, len(teacher.labels), n_folds=1)
    for block in corpus.blocks(FIT):
        # As the head does: rows of the length sqrt(width).
        rows = unit_vectors(encoder.encode(block.texts)) * encoder.width**0.5
        sums.add(rows, head_outputs(teacher, block.base)[1])
    W = sums.solve(_PENALTY).astype("float32")
    ops: Any = layer.ops
    layer.set_param("W", ops.asarray(np.ascontiguousarray(W[:-1].T)))
    layer.set_param("b", ops.asarray(W[-1].copy()))
