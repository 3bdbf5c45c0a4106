"""Makes fast students of a tuned pipeline.

distill.py       distill: a pipeline and texts -> the pipeline of a student; saving it
_corpus.py       the texts and what the teacher makes of them, on disk
_vocabulary.py   the tokens of a static student
_static.py       the table of a static student
_layers.py       the student of a few layers
_ridge.py        ridge regression from sums
_pipeline.py     a pipeline with students in place of encoders and heads
_fidelity.py     how well a student agrees with its teacher
comparison.py    base, teacher and student by the labels of documents
verdict.py       what that means
"""

from ._fidelity import Fidelity
from ._layers import LayersStudent
from ._static import StaticStudent
from .comparison import StudentComparison, compare_student
from .distill import (
    DEFAULT_FIDELITY,
    DEFAULT_SECONDS,
    Distillation,
    Dtype,
    distill,
    export_model2vec,
    export_student,
    find_teachers,
    parse_student,
    save_student,
)
from .verdict import Verdict, judge_student

__all__ = [
    "DEFAULT_FIDELITY",
    "DEFAULT_SECONDS",
    "Distillation",
    "Dtype",
    "Fidelity",
    "LayersStudent",
    "StaticStudent",
    "StudentComparison",
    "Verdict",
    "compare_student",
    "distill",
    "export_model2vec",
    "export_student",
    "find_teachers",
    "judge_student",
    "parse_student",
    "save_student",
]
