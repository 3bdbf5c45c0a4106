"""Tuning of settings: the search for the head, loss and optimizer settings that suit some labels.

sweep_config       searches with the encoder and the settings of a config for `spacy train`
write_candidate    writes what it found into the config
sweep              the search itself, on base vectors and targets
summarize          the best trials as rows of a table
"""

from ._candidates import Candidate
from .config import sweep_config, write_candidate
from .sweep import Sweep, Trial, make_folds, standard_error, summarize, sweep

__all__ = [
    "Candidate",
    "Sweep",
    "Trial",
    "make_folds",
    "standard_error",
    "summarize",
    "sweep",
    "sweep_config",
    "write_candidate",
]
