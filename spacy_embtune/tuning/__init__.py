"""Tuning: the best pipeline that some labels, a pile of texts and a time can give.

tune        climbs the ladder: tries one method after the other, and keeps what is expected to be
            better, by held-out documents and by what it was worth on other data
Tuned       what it found: the pipeline, its config, the receipt and the model card
Attempt     a rung that was tried

    tune.py         reads what is given, and makes the result
    _ladder.py      which rung comes next, for how long, and whether it is kept
    _rungs.py       what each rung changes in a config, and what it was worth elsewhere
    _evidence.py    folds, metrics of held-out documents, and their errors
    _frozen.py      heads on vectors that are computed once
    _fitting.py     pipelines trained from a config in this process
    _names.py       the pipeline that predicts the label with the nearest name
    _pile.py        unlabelled texts and their pseudo-labels
    _card.py        the model card
"""

from ._evidence import Estimate
from ._ladder import Attempt
from .tune import Tuned, tune

__all__ = ["Attempt", "Estimate", "Tuned", "tune"]
