"""The log of `embtune label`: one action a line, and the labels that the actions add up to.

The first line says that the file is such a log, and whether labels are exclusive. Each other line
is one action on one or many texts. Lines are only ever added. An undone action stays in the file,
and a later line says that it is undone.
"""

import hashlib
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from .._texts import count
from ._rows import InvalidRowError, Row

logger = logging.getLogger(__name__)

# The key of the first line. Its value is the version of the format.
HEADER = "embtune_label_log"
VERSION = 1
# The key of an action. Its value is the number of the action in the log, from 1.
NUMBER = "action"
# How each line of this program begins.
BEGINNINGS = (f'{{"{NUMBER}"', f'{{"{HEADER}"')
# Hexadecimal digits of a digest.
DIGITS = 32


class LoggedText(NamedTuple):
    """A text as the log holds it.

    >>> LoggedText.of("Soup.", "7").digest == digest_text("Soup.")
    True

    digest (str): The result of `digest_text`, by which the text is found again in DATA.
    id (str): Its id in DATA at that time.
    text (str): The text itself.
    """

    digest: str
    id: str
    text: str

    @classmethod
    def of(cls, text: str, id: str) -> "LoggedText":
        """RETURNS (LoggedText): A text with its digest."""
        return cls(digest_text(text), id, text)


class LabelAction(NamedTuple):
    """One action of a person.

    >>> LabelAction(1, "give", "FOOD", [LoggedText.of("Soup.", "7")]).describe()
    'FOOD for 1 text'

    number (int): Its number in the log, from 1.
    do (str): "give": the texts carry the label. "deny": they do not carry it. "undo", "redo": the
        action number `of` counts no more, or counts again. "name": labels are offered. "read": DATA
        had labels, which count as long as no other action is on the text. It cannot be undone.
    label (str): The label of "give" and "deny".
    texts (Sequence[LoggedText]): The texts of "give", "deny" and "read".
    of (int): The number of the action that is undone or redone.
    labels (Sequence[str]): The labels of "name".
    cats (Sequence[Mapping[str, float]]): What is known of each text of "read": 1.0 or 0.0 by label.
    """

    number: int
    do: str
    label: str = ""
    texts: Sequence[LoggedText] = ()
    of: int = 0
    labels: Sequence[str] = ()
    cats: Sequence[Mapping[str, float]] = ()

    def describe(self) -> str:
        """RETURNS (str): The action in a few words, for a person who may undo it."""
        what = self.label if self.do == "give" else f"not {self.label}"
        return f"{what} for {count(len(self.texts), 'text')}"

    def to_line(self, time: str) -> str:
        """Write the action as a line of the log.

        time (str): The time, as ISO 8601.
        RETURNS (str): The line with its line break, in ASCII.
        """
        fields: dict[str, Any] = {NUMBER: self.number, "time": time, "do": self.do}
        if self.do == "name":
            fields["labels"] = list(self.labels)
        elif self.do in ("undo", "redo"):
            fields["of"] = self.of
        elif self.do == "read":
            both = zip(self.texts, self.cats, strict=True)
            fields["texts"] = [{**text._asdict(), "cats": dict(cats)} for text, cats in both]
        else:
            fields |= {"label": self.label, "texts": [text._asdict() for text in self.texts]}
        # ASCII, because half of a pair of surrogates cannot be written in UTF-8.
        return json.dumps(fields) + "\n"


def digest_text(text: str) -> str:
    """Compute the digest by which a text is found again.

    >>> len(digest_text("Soup."))
    32

    text (str): The text. Each of its characters matters.
    RETURNS (str): 16 bytes of its SHA-256 digest, in hexadecimal digits.
    """
    return hashlib.sha256(text.encode("utf8", "surrogatepass")).hexdigest()[:DIGITS]


def header_line(*, exclusive: bool) -> str:
    """RETURNS (str): The first line of a log, with its line break."""
    return json.dumps({HEADER: VERSION, "exclusive": exclusive}) + "\n"


def read_header(line: str) -> bool | None:
    """Find out whether a line is the first line of a log.

    >>> read_header(header_line(exclusive=True)), read_header('{"text": "Soup."}')
    (True, None)

    line (str): The first line of a file.
    RETURNS (bool | None): Whether the labels of the log are exclusive. None if it is no log.
    RAISES (ValueError): If a newer version wrote the log.
    """
    if HEADER not in line:
        return None
    try:
        header = json.loads(line.lstrip("\ufeff"))
    except (ValueError, RecursionError):
        return None
    if not isinstance(header, dict) or not isinstance(header.get(HEADER), int):
        return None
    if header[HEADER] > VERSION:
        raise ValueError(
            f"The log has version {header[HEADER]}, and this program reads version {VERSION}. "
            "Install a newer spacy-embtune."
        )
    return bool(header.get("exclusive", True))


def is_cut(line: str) -> bool:
    """Find out whether a line without a line break is the beginning of a line of this program.

    >>> is_cut('{"act'), is_cut('{"action": 3, "ti'), is_cut('{"text": "Soup')
    (True, True, False)

    line (str): The last line of a file.
    RETURNS (bool): Whether it is such a beginning. False if the line is a whole action.
    """
    begins = any(line.startswith(b) or b.startswith(line) for b in BEGINNINGS)
    return begins and parse_action(line) is None


def parse_action(line: str) -> LabelAction | None:
    """Read a line of a log.

    >>> parse_action('{"action": 3, "time": "", "do": "undo", "of": 2}').of
    2

    line (str): The line.
    RETURNS (LabelAction | None): The action. None if the line is none.
    """
    try:
        fields = json.loads(line)
        number, do = fields[NUMBER], fields["do"]
        if not isinstance(number, int):
            return None
        if do == "name":
            return LabelAction(number, do, labels=[_string(name) for name in fields["labels"]])
        if do in ("undo", "redo"):
            return LabelAction(number, do, of=int(fields["of"]))
        if do not in ("give", "deny", "read"):
            return None
        texts = [
            LoggedText(_string(one["digest"]), _string(one["id"]), _string(one["text"]))
            for one in fields["texts"]
        ]
        if do == "read":
            cats = [
                {_string(label): float(bool(value)) for label, value in one["cats"].items()}
                for one in fields["texts"]
            ]
            return LabelAction(number, do, texts=texts, cats=cats)
        return LabelAction(number, do, _string(fields["label"]), texts)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _string(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is not a string.")
    return value


class LabelState:
    """The labels that the actions of a log add up to. The latest action on a text wins.

    >>> state = LabelState(exclusive=True)
    >>> soup = LoggedText.of("Soup.", "7")
    >>> state.apply(LabelAction(1, "give", "SPORT", [soup]))
    >>> state.apply(LabelAction(2, "give", "FOOD", [soup]))
    >>> state.cats_of(soup.digest)
    {'FOOD': 1.0}
    >>> state.apply(LabelAction(3, "undo", of=2))
    >>> state.cats_of(soup.digest)
    {'SPORT': 1.0}

    exclusive (bool): Whether a text carries one label at most.
    """

    def __init__(self, *, exclusive: bool) -> None:
        self.exclusive = exclusive
        self.labels: list[str] = []
        self.texts: dict[str, LoggedText] = {}
        self.n_actions = 0
        self._actions: dict[int, LabelAction] = {}
        self._on_text: dict[str, list[int]] = {}
        self._read: dict[str, dict[str, float]] = {}
        self._undone: set[int] = set()
        self._done: list[int] = []
        self._to_redo: list[int] = []

    def apply(self, action: LabelAction) -> None:
        """Add the next action of the log. An undo or redo of an unknown action changes nothing."""
        self.n_actions = max(self.n_actions, action.number)
        if action.do == "name":
            self._offer(action.labels)
        elif action.do == "undo":
            if action.of in self._done:
                self._done.remove(action.of)
                self._undone.add(action.of)
                self._to_redo.append(action.of)
        elif action.do == "redo":
            if action.of in self._to_redo:
                self._to_redo.remove(action.of)
                self._undone.discard(action.of)
                self._done.append(action.of)
        elif action.do == "read":
            for text, cats in zip(action.texts, action.cats, strict=True):
                self._offer(list(cats))
                self.texts[text.digest] = text
                self._read[text.digest] = dict(cats)
                self._on_text.setdefault(text.digest, [])
        else:
            self._offer([action.label])
            self._actions[action.number] = action
            self._done.append(action.number)
            self._to_redo.clear()
            for text in action.texts:
                self.texts[text.digest] = text
                self._on_text.setdefault(text.digest, []).append(action.number)

    def _offer(self, labels: Sequence[str]) -> None:
        self.labels += [label for label in dict.fromkeys(labels) if label not in self.labels]

    @property
    def undoable(self) -> LabelAction | None:
        """RETURNS (LabelAction | None): The action that an undo would take back."""
        return self._actions[self._done[-1]] if self._done else None

    @property
    def redoable(self) -> LabelAction | None:
        """RETURNS (LabelAction | None): The action that a redo would bring back."""
        return self._actions[self._to_redo[-1]] if self._to_redo else None

    def history(self, n: int) -> list[tuple[LabelAction, bool]]:
        """RETURNS (list[tuple[LabelAction, bool]]): The last n actions on texts, the latest first,
        and whether each is undone."""
        latest = sorted(self._actions, reverse=True)[:n]
        return [(self._actions[number], number in self._undone) for number in latest]

    def cats_of(self, digest: str) -> dict[str, float]:
        """RETURNS (dict[str, float]): What is known of a text: 1.0 for a label that it carries, 0.0
        for one that it does not carry. Empty if nothing is known."""
        cats = dict(self._read.get(digest, {}))
        for number in self._on_text.get(digest, ()):
            if number in self._undone:
                continue
            action = self._actions[number]
            if action.do == "give":
                cats = {action.label: 1.0} if self.exclusive else {**cats, action.label: 1.0}
            elif cats.get(action.label) == 1.0 or not (self.exclusive and 1.0 in cats.values()):
                # A text with another exclusive label is known not to carry this one.
                cats[action.label] = 0.0
        return cats

    def is_known(self, digest: str) -> bool:
        """RETURNS (bool): Whether an action was ever on a text, also if it was undone."""
        return digest in self._on_text

    def is_confirmed(self, digest: str) -> bool:
        """RETURNS (bool): Whether a text got a label that it carries more than once, so that a
        person has looked at it again."""
        given = [self._actions[n] for n in self._on_text.get(digest, ()) if n not in self._undone]
        labels = [action.label for action in given if action.do == "give"]
        cats = self.cats_of(digest)
        return any(cats.get(label) == 1.0 and labels.count(label) > 1 for label in labels)

    def all_cats(self) -> dict[str, dict[str, float]]:
        """RETURNS (dict[str, dict[str, float]]): The cats of each text of which something is known,
        by digest, in the order in which the texts were first labelled."""
        found = {digest: self.cats_of(digest) for digest in self._on_text}
        return {digest: cats for digest, cats in found.items() if cats}


def read_log(
    lines: Iterator[tuple[int, str]], *, exclusive: bool, text_field: str, name: str
) -> Iterator[Row]:
    """Read a log as labelled data: a row for each text of which something is known. If labels are
    exclusive, a text with a label has the value 0 for the others. Lines that are no actions are
    read as rows of their own, behind the others.

    lines (Iterator[tuple[int, str]]): The lines behind the first one, with their numbers.
    exclusive (bool): The result of `read_header`.
    text_field (str): The field of the text.
    name (str): The name of the file, for messages.
    RETURNS (Iterator[Row]): The rows.
    """
    state = LabelState(exclusive=exclusive)
    places: dict[str, int] = {}
    foreign: list[tuple[int, str]] = []
    for line_number, line in lines:
        action = parse_action(line)
        if action is not None:
            state.apply(action)
            places.update({t.digest: line_number for t in action.texts if t.digest not in places})
        elif not line.endswith("\n") and is_cut(line):
            logger.warning("%s: the last line is not whole and is left out.", name)
        elif line.strip():
            foreign.append((line_number, line))
    known = state.all_cats()
    carried = {label for cats in known.values() for label, value in cats.items() if value}
    zeros = {label: 0.0 for label in state.labels if label in carried}
    number = 0
    for digest, cats in known.items():
        text = state.texts[digest]
        if exclusive and 1.0 in cats.values():
            cats = {**zeros, **cats}
        fields = {text_field: text.text, "cats": cats, "id": text.id}
        yield Row(fields, number, places[digest])
        number += 1
    for line_number, line in foreign:
        yield Row(_foreign_fields(line), number, line_number)
        number += 1


def _foreign_fields(line: str) -> Mapping[str, Any] | InvalidRowError:
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError):
        fields = None
    if isinstance(fields, dict) and NUMBER not in fields:
        return fields
    return InvalidRowError(
        "the line is no action of the log",
        "is no action of `embtune label`. Remove the line, or leave it out (--on-error skip).",
    )
