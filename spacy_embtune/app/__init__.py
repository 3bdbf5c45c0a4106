"""Label texts in the browser: `python -m spacy embtune label`.

The files:

    serving.py          runs the page: until Ctrl-C, or in a thread
    notebook.py         `label`: the page beside a notebook
    _pile.py            the texts and their vectors
    _log.py             the log of labels: append-only, locked, on the disk before it is confirmed
    _session.py         texts, log, and the thread that learns
    _space.py           unit vectors, with what is computed of them once
    _learning.py        labels -> predictions, positions
    _names.py           the names of labels as the first teacher
    _ridge.py           the classifier
    _quality.py         how good predictions are, and whether more labels pay
    _suggestions.py     what to label next
    _clusters.py        groups of texts, and words that name them
    _tuning.py          runs `embtune tune` for the button of the page
    _server.py, web/    the page and its addresses; the rest of the page is in plots/web/
    _guard.py           refuses requests of strangers
    _connections.py     strangers who say nothing do not shut the person out
"""

from ._log import LabelLog
from ._pile import make_pile, make_tuned_pile
from ._session import ActionError, Pile, Session
from ._tuning import make_command
from .notebook import Labelling, label
from .serving import PageServer, pipeline_beside, serve_labelling

__all__ = [
    "ActionError",
    "LabelLog",
    "Labelling",
    "PageServer",
    "Pile",
    "Session",
    "label",
    "make_command",
    "make_pile",
    "make_tuned_pile",
    "pipeline_beside",
    "serve_labelling",
]
