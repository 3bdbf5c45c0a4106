"""The result of an inspection."""

import textwrap
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from .._texts import count
from ._languages import UNKNOWN

WIDTH = 80

# The number of labels in the text. JSON has all of them.
MOST_LABELS = 30


class LabelCount(NamedTuple):
    """What is known of one label.

    label (str): The label.
    present, absent, unknown (int): The number of documents that are known to carry it, that are
        known to lack it, and of which neither is known.
    """

    label: str
    present: int
    absent: int
    unknown: int


class Finding(NamedTuple):
    """One observation about the data.

    key (str): Its name in JSON, such as "contradicting_copies".
    is_grave (bool): Whether training or evaluation on these data would mislead.
    n (int): How many documents, labels or texts it is about.
    text (str): A sentence, with the cure.
    examples (list[str]): Some of them, with their lines.
    """

    key: str
    is_grave: bool
    n: int
    text: str
    examples: list[str]


@dataclass(frozen=True)
class Inspection:
    """What was found in a corpus.

    n_documents, n_labelled (int): The number of documents, and of documents with a known label.
    exclusive (bool): Whether each document carries exactly one label.
    why_exclusive (str): The reason, in a sentence.
    labels (list[LabelCount]): The labels, the most frequent ones first.
    languages (dict[str, int]): The number of texts by ISO 639-1 code of the language, the most
        frequent ones first. "?" are texts that are too short to tell.
    n_characters (dict[str, int]): The median and the largest length of a text, in characters.
    encoder (str | None): The encoder for near duplicates, suspects and the window; None if texts
        were not encoded.
    findings (list[Finding]): The observations, the grave ones first.
    """

    n_documents: int
    n_labelled: int
    exclusive: bool
    why_exclusive: str
    labels: list[LabelCount]
    languages: dict[str, int]
    n_characters: dict[str, int]
    encoder: str | None
    findings: list[Finding]

    def find(self, key: str) -> Finding | None:
        """Find an observation by its name.

        key (str): Its name in JSON.
        RETURNS (Finding | None): The finding; None if the data gave no reason for it.
        """
        return next((finding for finding in self.findings if finding.key == key), None)

    def to_dict(self) -> dict[str, Any]:
        """RETURNS (dict[str, Any]): Everything, for JSON."""
        return {
            **asdict(self),
            "labels": [count._asdict() for count in self.labels],
            "findings": [finding._asdict() for finding in self.findings],
        }

    def to_text(self) -> str:
        """RETURNS (str): The counts and findings in lines of 80 characters."""
        lines = [
            f"{count(self.n_documents, 'document')}, {self.n_labelled} of them labelled; "
            f"{count(len(self.labels), 'label')}",
            *_wrap(self.why_exclusive),
            f"Characters a text: median {self.n_characters['median']}, "
            f"most {self.n_characters['most']}",
        ]
        known = find_known_languages(self.languages)
        if known:
            n = sum(known.values())
            shown = [f"{name} {number / n:.0%}" for name, number in known.items()]
            n_unknown = sum(self.languages.values()) - n
            unknown = f"; {count(n_unknown, 'text')} too short to tell" if n_unknown else ""
            lines += _wrap(f"Languages (a guess{unknown}): {', '.join(shown[:8])}")
        if self.labels:
            lines += ["", *self._table()]
        for is_grave, title in ((True, "Grave"), (False, "Worth a look")):
            found = [finding for finding in self.findings if finding.is_grave == is_grave]
            if found:
                lines += ["", title]
                for finding in found:
                    lines += _wrap(f"- {finding.text}", indent=2)
                    for example in finding.examples:
                        lines += _wrap(example, indent=8, first=6)
        if not self.findings:
            lines += ["", "Nothing else was found."]
        return "\n".join(lines)

    def _table(self) -> list[str]:
        shown = self.labels[:MOST_LABELS]
        width = min(40, max(len("label"), *(len(one.label) for one in shown)))
        lines = [f"{'label':<{width}}  {'present':>8}  {'absent':>8}  {'unknown':>8}"]
        for label, *counts in shown:
            name = label if len(label) <= width else f"{label[: width - 3]}..."
            lines.append(f"{name:<{width}}" + "".join(f"  {count:>8}" for count in counts))
        if len(self.labels) > MOST_LABELS:
            lines.append(f"and {len(self.labels) - MOST_LABELS} more labels")
        return lines


def find_known_languages(languages: dict[str, int]) -> dict[str, int]:
    """Find the languages of texts, if they are known of most texts.

    >>> find_known_languages({"en": 8, "?": 2}), find_known_languages({"?": 8, "de": 2})
    ({'en': 8}, {})

    languages (dict[str, int]): The number of texts by language.
    RETURNS (dict[str, int]): The same without texts whose language is not known. Empty if these are
        more than half, because the others may be chance finds then.
    """
    known = {name: n for name, n in languages.items() if name != UNKNOWN}
    return known if 2 * sum(known.values()) >= sum(languages.values()) else {}


def _wrap(text: str, *, indent: int = 0, first: int = 0) -> list[str]:
    return textwrap.wrap(
        text, WIDTH, initial_indent=" " * first, subsequent_indent=" " * indent
    ) or [""]
