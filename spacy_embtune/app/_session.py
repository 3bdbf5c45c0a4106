"""One session of labelling: the texts, the log, and what is learned in the background."""

import logging
import threading
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from .._texts import count
from ..data import LoggedText
from ..plots import project_onto
from ._clusters import Clusters, find_clusters
from ._learning import Learned, encode_names, learn, learn_positions
from ._log import LabelLog
from ._space import Space, find_near

logger = logging.getLogger(__name__)

MOST_IN_LABEL = 200
MOST_LABELS = 500
# The longest sentence to search for, and how many texts a search by meaning finds.
MOST_IN_QUERY = 2_000
MOST_NEAR = 200
# How many texts are handed out at once.
MOST_TEXTS = 1_000
# Actions that the page shows.
MOST_HISTORY = 20


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
    encoder (Any): An object with `transform(texts)` that gives vectors like `tuned`. None: there is
        no search by meaning, and names of labels do not teach.
    given (Mapping[int, Mapping[str, float]]): Labels that the texts have in DATA, by row: 1.0 or
        0.0 by label.
    """

    texts: list[LoggedText]
    base: NDArray[Any]
    tuned: NDArray[Any]
    title: str
    notes: list[str]
    encoder: Any = None
    given: Mapping[int, Mapping[str, float]] = {}


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

    pile (Pile): The texts. Labels that they have in DATA are recorded in the log, unless the log
        knows these texts already.
    log (LabelLog): The open log.
    RAISES (ValueError): If texts of DATA carry several labels, and the log is of exclusive labels.
    """

    def __init__(self, pile: Pile, log: LabelLog) -> None:
        self.pile = pile
        self.log = log
        self.n_read = log.read([(pile.texts[row], cats) for row, cats in pile.given.items()])
        self.row_of = {text.digest: row for row, text in enumerate(pile.texts)}
        self.space = Space.of(pile.tuned)
        self.base_xy = project_onto(pile.base, np.zeros((len(pile.texts), 2)))
        self._xy = self.base_xy
        self.version = 0
        self.learned_version = 0
        self.clusters: Clusters | None = None
        self._names: dict[str, NDArray[Any] | None] = {}
        self._learned: Learned | None = None
        self._learned_at = -1
        self._error: str | None = None
        self._is_over = False
        self._folded: list[str] | None = None
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

    def use_vectors(self, vectors: NDArray[Any], encoder: Any) -> None:
        """Go on with other vectors, such as those of a pipeline that was tuned meanwhile.

        vectors (ndarray): The vectors of the n texts, shape (n, k).
        encoder (Any): An object with `transform(texts)` that gives such vectors.
        RAISES (ValueError): If there are other numbers of texts, or fewer than 3 have a vector.
        """
        if len(vectors) != len(self.pile.texts) or vectors.any(axis=1).sum() < 3:
            raise ValueError("The pipeline has no vectors of these texts.")
        space = Space.of(vectors)
        with self._changed:
            self.pile = self.pile._replace(tuned=vectors, encoder=encoder)
            self.space = space
            self._names = {}
            self.version += 1
            self._changed.notify_all()

    # How a person chooses texts

    def agreement(self, rows: Sequence[int]) -> list[float]:
        """RETURNS (list[float]): For each text of a selection, its mean cosine to the others."""
        chosen = self.space.vectors[self._check_rows(rows)].astype(np.float64)
        if len(chosen) < 2:
            return [1.0] * len(chosen)
        found: list[float] = ((chosen @ chosen.sum(axis=0) - 1.0) / (len(chosen) - 1)).tolist()
        return found

    def find_words(self, query: str) -> list[int]:
        """Find the texts that contain a query, in lower or upper case.

        query (str): The query.
        RETURNS (list[int]): The rows.
        """
        if self._folded is None:
            self._folded = [_fold(text.text) for text in self.pile.texts]
        wanted = _fold(_check_query(query))
        return [row for row, text in enumerate(self._folded) if wanted in text]

    def find_meaning(self, query: str, n: int = MOST_NEAR) -> tuple[list[int], list[float]]:
        """Find the texts that are nearest to a sentence.

        query (str): The sentence.
        n (int): How many to find.
        RETURNS (tuple[list[int], list[float]]): The rows, the nearest first, and the cosines.
        RAISES (ActionError): If nothing can be searched for.
        """
        query = _check_query(query)
        with self._changed:
            encoder, space = self.pile.encoder, self.space
        if encoder is None:
            raise ActionError("There is no encoder to search by meaning.")
        vector = np.asarray(encoder.transform([query]))[0]
        if not vector.any():
            raise ActionError("The encoder knows none of these words.")
        everything = np.arange(len(space.vectors))
        rows, cosines = find_near(space.vectors, vector, everything, n)
        return rows.tolist(), cosines.tolist()

    def find_neighbors(self, rows: Sequence[int], n: int = 20) -> tuple[list[int], list[float]]:
        """Find the texts without a label that are nearest to the mean of some texts.

        rows (Sequence[int]): The texts, which are not found themselves.
        n (int): How many to find, 200 at most.
        RETURNS (tuple[list[int], list[float]]): The rows, the nearest first, and the cosines.
        """
        given = self._check_rows(rows)
        is_free = np.ones(len(self.space.vectors), dtype=bool)
        with self._changed:
            known = self._cats()
        is_free[[row for row, cats in known.items() if 1.0 in cats.values()]] = False
        is_free[given] = False
        middle = self.space.vectors[given].mean(axis=0)
        free = np.flatnonzero(is_free)
        found, cosines = find_near(self.space.vectors, middle, free, min(n, MOST_NEAR))
        return found.tolist(), cosines.tolist()

    def _check_rows(self, rows: Sequence[int]) -> list[int]:
        if not rows:
            raise ActionError("No text is selected.")
        if not all(type(row) is int and 0 <= row < len(self.pile.texts) for row in rows):
            raise ActionError("There is no such text. Reload the page.")
        return list(dict.fromkeys(rows))

    # What the page shows

    def texts(self, rows: Sequence[int]) -> list[LoggedText]:
        """RETURNS (list[LoggedText]): Some texts, 1,000 at most."""
        return [self.pile.texts[row] for row in self._check_rows(rows)[:MOST_TEXTS]]

    def records(self) -> list[dict[str, Any]]:
        """RETURNS (list[dict[str, Any]]): Each text of which something is known, as a record with
        "id", "text" and "cats", as `read_records` reads the log. If labels are exclusive, a text
        with a label has the value 0 for the others."""
        with self._changed:
            state = self.log.state
            known = state.all_cats()
            carried = {label for cats in known.values() for label, value in cats.items() if value}
            zeros = {label: 0.0 for label in state.labels if label in carried}
            texts = {digest: state.texts[digest] for digest in known}
        records = []
        for digest, cats in known.items():
            if state.exclusive and 1.0 in cats.values():
                cats = {**zeros, **cats}
            text = texts[digest]
            records.append({"id": text.id, "text": text.text, "cats": cats})
        return records

    def state(self, *, learned_since: int = -1) -> dict[str, Any]:
        """Describe all that changes, but for the arrays.

        learned_since (int): The version of what was learned that the page has already.
        RETURNS (dict[str, Any]): The description, for JSON.
        """
        with self._changed:
            version, learned_version, learned = self.version, self.learned_version, self._learned
            is_learning, error = self._learned_at < version, self._error
            known, state = self._cats(), self.log.state
            labels, undoable, redoable = list(state.labels), state.undoable, state.redoable
            history = state.history(MOST_HISTORY)
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
            "history": [
                {"text": action.describe(), "is_undone": is_undone} for action, is_undone in history
            ],
        }
        if learned is not None and learned_version > learned_since:
            found["learned"] = {
                "by_names": learned.by_names,
                "predicts": bool(learned.labels),
                "quality": learned.quality.to_json() if learned.quality else None,
                "suggestions": [one._asdict() for one in learned.suggestions],
                "lists": [one._asdict() for one in learned.lists],
            }
        return found

    def arrays(self) -> tuple[int, NDArray[Any], NDArray[Any], NDArray[Any]]:
        """Give what was learned of each text.

        RETURNS (tuple): The version of what was learned; positions, float32, shape (n, 2);
            predicted labels, positions among the labels of `state`, -1 without predictions, int16,
            shape (n,); and their probabilities times 255, uint8, shape (n,).
        """
        with self._changed:
            version, learned, xy = self.learned_version, self._learned, self._xy
            position = {label: j for j, label in enumerate(self.log.state.labels)}
        n = len(self.pile.texts)
        predicted, confidence = np.full(n, -1, dtype="<i2"), np.zeros(n, dtype=np.uint8)
        if learned is not None and learned.labels:
            places = np.array([position[label] for label in learned.labels], dtype="<i2")
            predicted = places[learned.predicted]
            confidence = np.round(255 * learned.confidence).astype(np.uint8)
        return version, xy.astype("<f4"), predicted, confidence

    def is_newer(self, version: int, learned_version: int) -> bool:
        """RETURNS (bool): Whether something is newer than these versions, or the session ends."""
        newer = self.version != version or self.learned_version != learned_version
        return newer or self._is_over

    def notes(self) -> list[str]:
        """RETURNS (list[str]): What the person should know of the texts and the log."""
        gone = sum(digest not in self.row_of for digest in self.log.state.all_cats())
        notes = [*self.pile.notes, *self.log.notes]
        if self.n_read:
            notes.append(f"labels of {count(self.n_read, 'text')} read from DATA into the log")
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
        while True:
            with self._changed:
                if self._learned_at >= self.version and not self._is_over and self.clusters is None:
                    is_idle = True
                else:
                    is_idle = False
                    self._changed.wait_for(lambda: self._is_over or self._learned_at < self.version)
                if self._is_over:
                    return
            if is_idle:
                # Once, and behind the first predictions, which are more urgent.
                self._find_clusters()
            else:
                self._learn_once()

    def _learn_once(self) -> None:
        with self._changed:
            version, cats, space = self.version, self._cats(), self.space
            state = self.log.state
            labels = list(state.labels)
            confirmed = [row for row in cats if state.is_confirmed(self.pile.texts[row].digest)]
        error, xy = None, self._xy
        try:
            learned = learn(
                space,
                cats,
                exclusive=state.exclusive,
                labels=labels,
                confirmed=confirmed,
                names=self._encode_names(labels),
            )
            with self._changed:
                self._learned = learned
                self.learned_version += 1
                if self.version > version:
                    # Positions take longer, and would be old before they are shown.
                    return
            xy = learn_positions(space.vectors, cats, self._xy)
        except Exception as failure:
            # The labels are safe. The person goes on without new predictions.
            logger.exception("Learning from the labels failed.")
            error = f"Learning failed: {failure}"
        with self._changed:
            self._xy, self._learned_at, self._error = xy, version, error
            self.learned_version += 1
            self._changed.notify_all()

    def _encode_names(self, labels: Sequence[str]) -> dict[str, NDArray[Any]]:
        """RETURNS (dict[str, ndarray]): The vectors of the names of labels, where a name means
        something. Each name is encoded once."""
        new = [label for label in labels if label not in self._names]
        if self.pile.encoder is not None and new:
            found = encode_names(new, self.pile.encoder)
            self._names.update({label: found.get(label) for label in new})
        return {label: rows for label, rows in self._names.items() if rows is not None}

    def _find_clusters(self) -> None:
        try:
            found = find_clusters([text.text for text in self.pile.texts], self.space.vectors)
        except Exception:
            logger.exception("No clusters were found.")
            found = Clusters(np.zeros(len(self.pile.texts), dtype=np.intp), [])
        with self._changed:
            self.clusters = found
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


def _check_query(query: Any) -> str:
    if not isinstance(query, str) or not query.strip():
        raise ActionError("Type what to search for.")
    if len(query) > MOST_IN_QUERY:
        raise ActionError(f"A search has at most {MOST_IN_QUERY:,} characters.")
    # The encoder takes no half of a pair of surrogates.
    return query.strip().encode("utf8", "replace").decode("utf8")


def _fold(text: str) -> str:
    return unicodedata.normalize("NFC", text).lower()
