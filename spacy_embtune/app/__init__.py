"""Label texts in the browser: `python -m spacy embtune label`.

The files:

    serving.py          runs the page until Ctrl-C
    _pile.py            the texts and their vectors
    _log.py             the log of labels: append-only, locked, on the disk before it is confirmed
    _session.py         texts, log, and the thread that learns
    _learning.py        labels -> predictions, positions, accuracy
    _ridge.py           the classifier
    _suggestions.py     what to label next
    _server.py, web/    the page and its four addresses; the rest of the page is in plots/web/
    _guard.py           refuses requests of strangers
"""

from ._log import LabelLog
from ._pile import make_pile, make_tuned_pile
from ._session import ActionError, Pile, Session
from .serving import serve_labelling

__all__ = [
    "ActionError",
    "LabelLog",
    "Pile",
    "Session",
    "make_pile",
    "make_tuned_pile",
    "serve_labelling",
]
