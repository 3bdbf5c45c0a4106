"""Label texts in the browser: `python -m spacy embtune label`.

The files:

    _log.py   the log of labels: append-only, locked, on the disk before it is confirmed
"""

from ._log import LabelLog

__all__ = ["LabelLog"]
