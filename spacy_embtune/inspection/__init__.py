"""What data say about themselves before training: labels, duplicates, leakage, languages.

inspect.py       inspect_records: all checks of one or two corpora
types.py         Inspection: the counts and findings, as text and JSON
_labels.py       labels: counts, exclusive or not, one class, spellings
_duplicates.py   copies, near duplicates, contradictions, leakage
_languages.py    languages by scripts and stop words
"""

from ._languages import guess_language
from .inspect import inspect_records
from .types import Finding, Inspection, LabelCount

__all__ = ["Finding", "Inspection", "LabelCount", "guess_language", "inspect_records"]
