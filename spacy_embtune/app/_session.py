"""One session of labelling: the texts, the log, and what is learned in the background."""

import logging
import threading
import unicodedata
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from .._texts import count
from ..data import LoggedText
from ..metrics.ranking import unit_rows
from ..plots import project_onto, to_steps
from ._learning import Learned, learn, learn_positions
from ._log import LabelLog
from ._suggestions import measure_typicality

logger = logging.getLogger(__name__)

MOST_IN_LABEL = 200
MOST_LABELS = 500


class ActionError(ValueError):
    """What the page asked for is not possible. The message is for the person.

    >>> raise ActionError("No text is selected.")
    Traceback (most recent call last):
    spacy_embtune.app._session.ActionError: No text is selected.
    """


class Pile(NamedTuple):
    """The n texts to label. They are distinct and have vectors.

    >>> texts = [LoggedText.of(text, text) for text in ("Soup.", "Ball.")]
    >>> pile = Pile(texts, np.eye(2), np.eye(2), title="Two texts", notes=[])
    >>> pile.texts[0].text
    'Soup.'

    texts (list[LoggedText]): The texts.
    base, tuned (ndarray): Their vectors, float32, shapes (n, d) and (n, k). They are the same array
        if there is no tuned pipeline.
    title (str): The title of the page.
    notes (list[str]): What was left out, for the person.
    """

    texts: list[LoggedText]
    base: NDArray[Any]
    tuned: NDArray[Any]
    title: str
    notes: list[str]


class Session:
    """What the page shows and does. Use it in a `with` block, which runs the thread that learns.

    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> texts = [LoggedText.of(text, text) for text in ("Soup.", "Ball.", "Goal.")]
    >>> vectors = np.asarray([[1.0, 0.0], [0.0, 1.0], [0.1, 1.0]])
    >>> pile = Pile(texts, vectors, vectors, title="Three texts", notes=[])
    >>> with TemporaryDirectory() as folder, LabelLog(Path(folder, "labels.jsonl")) as log:
    ...     with Session(pile, log) as session:
    ...         session.act("give", "SPORT", [1, 2])
    ...         state = session.state()
    >>> state["labels"], state["counts"], state["undo"]
    (['SPORT'], [2], 'SPORT for 2 texts')

    pile (Pile): The texts.
    log (LabelLog): The open log.
    """

    def __init__(self, pile: Pile, log: LabelLog) -> None:
        self.pile = pile
        self.log = log
        self.row_of = {text.digest: row for row, text in enumerate(pile.texts)}
        unit, _ = unit_rows(pile.tuned)
        self.vectors = unit.astype(np.float32)
        self.base_xy = project_onto(pile.base, np.zeros((len(pile.texts), 2)))
        self._xy = self.base_xy
        self.version = 0
        self.learned_version = 0
        self._learned: Learned | None = None
        self._learned_at = -1
        self._error: str | None = None
        self._is_over = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._keep_learning, name="learning", daemon=True)

    def __enter__(self) -> Self:
        """Begin to learn."""
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        """Stop to learn, after the step in progress."""
        with self._changed:
            self._is_over = True
            self._changed.notify_all()
        self._thread.join()

    # What a person does

    def act(self, do: str, label: str = "", rows: Sequence[int] = ()) -> None:
        """Do and record one action. When this returns, it is on the disk.

        do (str): "give", "deny", "undo" or "redo".
        label (str): The label of "give" and "deny".
        rows (Sequence[int]): The texts of "give" and "deny".
        RAISES (ActionError): If it is not possible. OSError: if it cannot be written.
        """
        with self._changed:
            if do in ("give", "deny"):
                label = check_label(label)
                known = self.log.state.labels
                if label not in known and len(known) >= MOST_LABELS:
                    raise ActionError(f"There are {MOST_LABELS} labels already. Use one of them.")
                texts = [self.pile.texts[row] for row in self._check_rows(rows)]
                (self.log.give if do == "give" else self.log.deny)(label, texts)
            elif do == "undo":
                self.log.undo()
            elif do == "redo":
                self.log.redo()
            else:
                raise ActionError(f"{do!r} is no action.")
            self.version += 1
            self._changed.notify_all()

    def agreement(self, rows: Sequence[int]) -> list[float]:
        """RETURNS (list[float]): For each text of a selection, its mean cosine to the others."""
        chosen = self.vectors[self._check_rows(rows)].astype(np.float64)
        if len(chosen) < 2:
            return [1.0] * len(chosen)
        found: list[float] = ((chosen @ chosen.sum(axis=0) - 1.0) / (len(chosen) - 1)).tolist()
        return found

    def _check_rows(self, rows: Sequence[int]) -> list[int]:
        if not rows:
            raise ActionError("No text is selected.")
        if not all(type(row) is int and 0 <= row < len(self.pile.texts) for row in rows):
            raise ActionError("There is no such text. Reload the page.")
        return list(dict.fromkeys(rows))

    # What the page shows

    def state(self, *, learned_since: int = -1) -> dict[str, Any]:
        """Describe all that changes.

        learned_since (int): The version of what was learned that the page has already.
        RETURNS (dict[str, Any]): The description, for JSON.
        """
        with self._changed:
            version, learned_version, learned = self.version, self.learned_version, self._learned
            is_learning, error, xy = self._learned_at < version, self._error, self._xy
            known, state = self._cats(), self.log.state
            labels, undoable, redoable = list(state.labels), state.undoable, state.redoable
        position = {label: j for j, label in enumerate(labels)}
        labelled = [row for row, cats in known.items() if 1.0 in cats.values()]
        counts = Counter(
            label for row in labelled for label, value in known[row].items() if value == 1.0
        )
        found: dict[str, Any] = {
            "version": version,
            "learned_version": learned_version,
            "is_learning": is_learning,
            "error": error,
            "exclusive": state.exclusive,
            "labels": labels,
            "counts": [counts[label] for label in labels],
            "cats": [
                [row, [part for k, v in cats.items() for part in (position[k], v)]]
                for row, cats in known.items()
            ],
            "n_labelled": len(labelled),
            "undo": undoable.describe() if undoable else None,
            "redo": redoable.describe() if redoable else None,
        }
        if learned is not None and learned_version > learned_since:
            found["learned"] = {
                "xy": to_steps(xy),
                "predicted": [position[learned.labels[j]] for j in learned.predicted.tolist()],
                "confidence": np.round(learned.confidence, 3).tolist(),
                "accuracy": learned.accuracy._asdict() if learned.accuracy else None,
                "suggestions": [one._asdict() for one in learned.suggestions],
            }
        return found

    def is_newer(self, version: int, learned_version: int) -> bool:
        """RETURNS (bool): Whether something is newer than these versions, or the session ends."""
        newer = self.version != version or self.learned_version != learned_version
        return newer or self._is_over

    def notes(self) -> list[str]:
        """RETURNS (list[str]): What the person should know of the texts and the log."""
        gone = sum(digest not in self.row_of for digest in self.log.state.all_cats())
        notes = [*self.pile.notes, *self.log.notes]
        if gone:
            notes.append(
                f"{count(gone, 'labelled text')} of {self.log.path.name} "
                f"{'is' if gone == 1 else 'are'} not among the texts any more. The labels are kept."
            )
        return notes

    def _cats(self) -> dict[int, dict[str, float]]:
        """RETURNS (dict[int, dict[str, float]]): What is known of the texts, by row."""
        found = self.log.state.all_cats()
        return {self.row_of[key]: cats for key, cats in found.items() if key in self.row_of}

    # The thread that learns

    def _keep_learning(self) -> None:
        typicality = measure_typicality(self.vectors)
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._is_over or self._learned_at < self.version)
                if self._is_over:
                    return
                version, cats = self.version, self._cats()
                state = self.log.state
                labels = list(state.labels)
                confirmed = [row for row in cats if state.is_confirmed(self.pile.texts[row].digest)]
            error = None
            try:
                learned = learn(
                    self.vectors,
                    cats,
                    exclusive=self.log.state.exclusive,
                    typicality=typicality,
                    labels=labels,
                    confirmed=confirmed,
                )
                with self._changed:
                    self._learned = learned
                    self.learned_version += 1
                    if self.version > version:
                        # Positions take longer, and would be old before they are shown.
                        continue
                xy = learn_positions(self.vectors, cats, self._xy)
            except Exception as failure:
                # The labels are safe. The person goes on without new predictions.
                logger.exception("Learning from the labels failed.")
                error, xy = f"Learning failed: {failure}", self._xy
            with self._changed:
                self._xy, self._learned_at, self._error = xy, version, error
                self.learned_version += 1
                self._changed.notify_all()


def check_label(label: Any) -> str:
    """Check the name of a label, and remove the space around it.

    label (Any): The name.
    RETURNS (str): The name.
    RAISES (ActionError): If it is none.
    """
    name = label.strip() if isinstance(label, str) else ""
    if not name:
        raise ActionError("Give the label a name.")
    if len(name) > MOST_IN_LABEL:
        raise ActionError(f"The name of a label has at most {MOST_IN_LABEL} characters.")
    if any(unicodedata.category(mark) in ("Cc", "Cs") for mark in name):
        raise ActionError("The name of a label has no line breaks or control characters.")
    return name
