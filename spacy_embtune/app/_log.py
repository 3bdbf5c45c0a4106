"""The log of labels on disk: every action is on the disk before anybody hears that it is saved."""

import os
import threading
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from filelock import FileLock, Timeout

from .._files import explain_full_disk
from .._texts import count
from ..data import LabelAction, LabelState, LoggedText, header_line, parse_action, read_header
from ..data.label_log import is_cut


class LabelLog:
    """Appends actions to a file, and knows the labels that they add up to. Use it in a `with`
    block, which locks the file, so that one process writes at a time.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder, LabelLog(Path(folder, "labels.jsonl")) as log:
    ...     soup = LoggedText.of("Soup at nine.", "7")
    ...     log.give("FOOD", [soup])
    ...     log.undo()
    ...     log.redo()
    ...     log.state.cats_of(soup.digest)
    {'FOOD': 1.0}

    path (Path): The file. It is made if it does not exist.
    exclusive (bool): Whether a text carries one label at most. A file that exists has the answer
        in its first line.
    notes (list[str]): What was found in the file besides whole actions.
    """

    def __init__(self, path: Path, *, exclusive: bool = True) -> None:
        self.path = path
        self.state = LabelState(exclusive=exclusive)
        self.notes: list[str] = []
        self._exclusive = exclusive
        self._lock = FileLock(f"{path}.lock")
        self._one_at_a_time = threading.Lock()
        self._file: int | None = None

    def __enter__(self) -> Self:
        """Lock, read, and if necessary make the file.

        RAISES (ValueError): If another process uses it, or it is no log of labels. OSError: if it
            cannot be read or made.
        """
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            raise ValueError(
                f"{self.path} is used by another `embtune label`. Stop the other one, or open its "
                "address in a second tab of the browser, or give another file."
            ) from None
        try:
            self._open()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close and unlock the file."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
        self._lock.release()

    def _open(self) -> None:
        content = self.path.read_bytes() if self.path.exists() else b""
        lines = content.decode("utf8", "replace").split("\n")
        tail = lines.pop()
        is_log = read_header(lines[0]) is not None if lines else is_cut(tail)
        if content and not is_log:
            raise ValueError(
                f"{self.path} is no log of `embtune label`, and is not changed. Give the name of a "
                "new file."
            )
        # Windows would otherwise write other line breaks.
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0)
        self._file = os.open(self.path, flags, 0o666)
        self._mend(content, tail)
        if tail and not is_cut(tail):
            lines.append(tail)
        if not lines:
            self._write(header_line(exclusive=self._exclusive))
            self._sync_folder()
            return
        exclusive = read_header(lines[0])
        self.state = LabelState(exclusive=bool(exclusive))
        foreign = []
        for number, line in enumerate(lines[1:], start=2):
            action = parse_action(line)
            if action is not None:
                self.state.apply(action)
            elif line.strip():
                foreign.append(str(number))
        if foreign:
            shown = ", ".join(foreign[:5]) + (", ..." if len(foreign) > 5 else "")
            self.notes.append(
                f"{count(len(foreign), 'line')} of {self.path.name} that are no actions stay there "
                f"and are not shown (line {shown})."
            )

    def _mend(self, content: bytes, tail: str) -> None:
        """Remove the beginning of an action at the end of the file, which was never confirmed. End
        a last line of another kind, so that it stays."""
        assert self._file is not None
        if not tail:
            return
        if is_cut(tail):
            os.ftruncate(self._file, content.rfind(b"\n") + 1)
            os.fsync(self._file)
            self.notes.append(
                f"The last line of {self.path.name} was not whole and was removed. It had not been "
                "confirmed as saved."
            )
        else:
            self._write("\n")

    def _write(self, line: str) -> None:
        """Append a line. It is on the disk when this returns, or the file is as before.

        RAISES (OSError): If the line cannot be written, for example because the disk is full.
        """
        if self._file is None:
            raise OSError("The log is not open. Use it in a `with` block.")
        size = os.fstat(self._file).st_size
        data = line.encode("ascii")
        try:
            with explain_full_disk(self.path):
                while data:
                    data = data[os.write(self._file, data) :]
                os.fsync(self._file)
        except BaseException:
            os.ftruncate(self._file, size)
            raise

    def _sync_folder(self) -> None:
        """Make sure that a new file is found after a crash. Windows cannot and need not do it."""
        if os.name == "nt":
            return
        folder = os.open(self.path.resolve().parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def give(self, label: str, texts: Sequence[LoggedText]) -> None:
        """Record that texts carry a label.

        RAISES (OSError): If it cannot be written. Then nothing has changed.
        """
        self._add(do="give", label=label, texts=texts)

    def deny(self, label: str, texts: Sequence[LoggedText]) -> None:
        """Record that texts do not carry a label.

        RAISES (OSError): If it cannot be written. Then nothing has changed.
        """
        self._add(do="deny", label=label, texts=texts)

    def read(self, known: Sequence[tuple[LoggedText, Mapping[str, float]]]) -> int:
        """Record the labels that DATA has, of texts on which no action is. So the log alone holds
        all labels, also when DATA changes.

        known (Sequence): Texts with what is known of each: 1.0 or 0.0 by label.
        RETURNS (int): The number of texts that were recorded.
        RAISES (OSError): If it cannot be written. Then nothing has changed. ValueError: if texts
            carry several labels, and the log is of exclusive labels.
        """
        new = [
            (text, cats) for text, cats in known if cats and not self.state.is_known(text.digest)
        ]
        if self.state.exclusive:
            new = [(text, _only(cats)) for text, cats in new]
        if new:
            texts, cats = zip(*new, strict=True)
            self._add(do="read", texts=texts, cats=cats)
        return len(new)

    def undo(self) -> None:
        """Take back the latest action that counts. Without one, nothing happens.

        RAISES (OSError): If it cannot be written. Then nothing has changed.
        """
        with self._one_at_a_time:
            if self.state.undoable is not None:
                self._append(LabelAction(self._next, "undo", of=self.state.undoable.number))

    def redo(self) -> None:
        """Bring back the action that was undone last, unless there was an action since. Without
        one, nothing happens.

        RAISES (OSError): If it cannot be written. Then nothing has changed.
        """
        with self._one_at_a_time:
            if self.state.redoable is not None:
                self._append(LabelAction(self._next, "redo", of=self.state.redoable.number))

    def name(self, labels: Sequence[str]) -> None:
        """Record that labels are offered, so that they are offered after a restart as well.

        RAISES (OSError): If it cannot be written. Then nothing has changed.
        """
        new = [label for label in dict.fromkeys(labels) if label not in self.state.labels]
        if new:
            self._add(do="name", labels=new)

    @property
    def _next(self) -> int:
        return self.state.n_actions + 1

    def _add(
        self,
        *,
        do: str,
        label: str = "",
        texts: Sequence[LoggedText] = (),
        labels: Sequence[str] = (),
        cats: Sequence[Mapping[str, float]] = (),
    ) -> None:
        with self._one_at_a_time:
            self._append(LabelAction(self._next, do, label, texts, labels=labels, cats=cats))

    def _append(self, action: LabelAction) -> None:
        self._write(action.to_line(datetime.now(UTC).isoformat(timespec="seconds")))
        self.state.apply(action)


def _only(cats: Mapping[str, float]) -> Mapping[str, float]:
    """RETURNS (Mapping[str, float]): What is known of a text with one label at most. The other
    labels follow from the one that it carries."""
    carried = [label for label, value in cats.items() if value == 1.0]
    if len(carried) > 1:
        raise ValueError(
            f"Texts of DATA carry several labels ({', '.join(carried[:3])}), but the log is of one "
            "label a text. Begin a new log for several labels (--several)."
        )
    return {carried[0]: 1.0} if carried else cats
