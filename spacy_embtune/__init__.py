"""Sentence embeddings in spaCy, tuned to your own labels.

The names below are the public surface. Each is loaded when it is first used, so that importing the
package costs nothing. More lives in the rooms: `spacy_embtune.finetune` has all estimators,
`spacy_embtune.losses` and `spacy_embtune.heads` what a config names.

    EmbTune               the pipeline component, `nlp.add_pipe("embtune")`
    SentenceEncoder       texts -> vectors
    FeedForwardTuner      vectors and labels -> tuned vectors, by a classifier's hidden layer
    ContrastiveTuner      vectors and labels -> tuned vectors, by comparing documents
    ContrastiveLearner    pairs of vectors, also of two kinds -> tuned vectors
    SbertLearner          pairs of texts with scores -> a finetuned encoder
    read_records          files -> records (texts, labels, other fields)
    inspect_records       records -> what is odd about them before training
    tune                  labels, a pile of texts and a time -> the best pipeline, with proof
    documents             a pipeline and records -> documents with base and tuned vectors
    report                base against tuned vectors: a table with intervals, and a verdict
    plot, page            pictures of documents; an interactive page
    label                 texts -> a page to label them, beside a notebook
    bulk_table            documents -> a table for labelling many at once
    distill               a pipeline and texts -> a pipeline a hundred times as fast
    embed_corpus          a pipeline and records of any number -> a file of vectors

>>> from spacy_embtune import FeedForwardTuner
>>> vectors, labels = [[1.0, 0.0], [0.9, 0.1], [0.0, 1.0], [0.1, 0.9]], ["A", "A", "B", "B"]
>>> FeedForwardTuner(n_epochs=5, random_state=0).fit(vectors, labels).transform(vectors).shape
(4, 200)
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .about import __version__

if TYPE_CHECKING:
    from .app import label
    from .data import read_records
    from .distillation import distill
    from .embed import embed_corpus
    from .finetune import (
        ContrastiveLearner,
        ContrastiveTuner,
        FeedForwardTuner,
        SbertLearner,
        SentenceEncoder,
    )
    from .inspection import inspect_records
    from .labelling import bulk_table
    from .pipeline import EmbTune
    from .plots import page, plot
    from .reports import documents, report
    from .tuning import tune

# Where each name lives.
_ROOMS = {
    "ContrastiveLearner": "finetune",
    "ContrastiveTuner": "finetune",
    "EmbTune": "pipeline",
    "FeedForwardTuner": "finetune",
    "SbertLearner": "finetune",
    "SentenceEncoder": "finetune",
    "bulk_table": "labelling",
    "distill": "distillation",
    "documents": "reports",
    "embed_corpus": "embed",
    "inspect_records": "inspection",
    "label": "app",
    "page": "plots",
    "plot": "plots",
    "read_records": "data",
    "report": "reports",
    "tune": "tuning",
}

__all__ = [
    "ContrastiveLearner",
    "ContrastiveTuner",
    "EmbTune",
    "FeedForwardTuner",
    "SbertLearner",
    "SentenceEncoder",
    "__version__",
    "bulk_table",
    "distill",
    "documents",
    "embed_corpus",
    "inspect_records",
    "label",
    "page",
    "plot",
    "read_records",
    "report",
    "tune",
]


def __getattr__(name: str) -> Any:
    if name not in _ROOMS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_ROOMS[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
