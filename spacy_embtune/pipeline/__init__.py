"""What spaCy sees: the component "embtune", its model, its `doc._` attributes, its scores, and a
console logger."""

from .._files import StorageError
from .calibration import make_calibrate
from .component import EmbTune
from .corpus_units import check_unit, unit_records
from .doc_embedding import DocEmbedding
from .extensions import MissingVectorError, get_vector, register_extension, set_vector_hooks
from .factory import make_embtune
from .from_names import pile_teaches, pipeline_from_names
from .logger import console_logger
from .lookup import find_component
from .model import EmbTuneModel, Prediction
from .pseudo_labels import PseudoLabels, pseudo_label
from .rows import ComputedRows
from .scorer import EmbTuneScorer, make_embtune_scorer
from .span_extensions import get_span_vector, register_span_extension, set_span_hooks
from .steps import make_steps_by_data
from .text_inputs import prepare_texts
from .units import complete_cats

__all__ = [
    "ComputedRows",
    "DocEmbedding",
    "EmbTune",
    "EmbTuneModel",
    "EmbTuneScorer",
    "MissingVectorError",
    "Prediction",
    "PseudoLabels",
    "StorageError",
    "check_unit",
    "complete_cats",
    "console_logger",
    "find_component",
    "get_span_vector",
    "get_vector",
    "make_calibrate",
    "make_embtune",
    "make_embtune_scorer",
    "make_steps_by_data",
    "pile_teaches",
    "pipeline_from_names",
    "prepare_texts",
    "pseudo_label",
    "register_extension",
    "register_span_extension",
    "set_span_hooks",
    "set_vector_hooks",
    "unit_records",
]
