"""Tuning: the best pipeline that some labels, a pile of texts and a time can give.

tune               climbs the ladder of methods, and keeps what held-out documents speak for
Tuned, Attempt     what it found, and each rung that it tried
sweep_config       searches with the encoder and the settings of a config for `spacy train`
write_candidate    writes what it found into the config
sweep              the search itself, on base vectors and targets
summarize          the best trials as rows of a table
"""

from ._candidates import Candidate
from ._evidence import Estimate
from ._ladder import Attempt
from .config import sweep_config, write_candidate
from .sweep import Sweep, Trial, make_folds, standard_error, summarize, sweep
from .tune import Tuned, tune

__all__ = [
    "Attempt",
    "Candidate",
    "Estimate",
    "Sweep",
    "Trial",
    "Tuned",
    "make_folds",
    "standard_error",
    "summarize",
    "sweep",
    "sweep_config",
    "tune",
    "write_candidate",
]
