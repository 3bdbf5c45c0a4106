"""Tune a pipeline to the labels given so far, in a process of its own, while the person goes on."""

import logging
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ._session import ActionError

logger = logging.getLogger(__name__)

# How long `tune` may take, in seconds.
SECONDS = 120
# How long a process that was asked to stop may take to write the best so far, in seconds.
PATIENCE = 20.0
# Lines of its output that are kept, and characters of a line that are shown.
N_LINES, MOST_SHOWN = 40, 300
# Colours, and marks that redraw a line.
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|[\x00-\x09\x0b-\x1f\x7f]")


class TuningState(NamedTuple):
    """How far tuning is.

    phase (str): "idle", "running", "encoding" (the texts, with the result), "done" or "failed".
    said (str): The last line that it printed, or the reason of a failure.
    seconds (float): How long it has been running.
    out (str): The directory of the result.
    """

    phase: str
    said: str
    seconds: float
    out: str


def make_command(
    log: Path,
    out: Path,
    data: str | Path,
    *,
    encoder: str | None = None,
    seconds: int = SECONDS,
    options: Mapping[str, str | None] | None = None,
) -> list[str]:
    """Make the command that the button of the page runs.

    >>> command = make_command(Path("labels.jsonl"), Path("labels.tuned"), "data.jsonl")
    >>> " ".join(command[1:8])
    '-m spacy embtune tune labels.jsonl labels.tuned --unlabelled=data.jsonl'

    log (Path): The log of labels.
    out (Path): The directory of the result.
    data (str | Path): The texts.
    encoder (str | None): The name of the encoder. None: that of the command.
    seconds (int): How long it may take.
    options (Mapping[str, str | None] | None): Options that say how the texts are read, such as
        "text-field", with their values. None as a value: the option is not given.
    RETURNS (list[str]): The command.
    """
    command = [sys.executable, "-m", "spacy", "embtune", "tune", str(log), str(out)]
    given = {
        "unlabelled": str(data),
        "seconds": str(seconds),
        "encoder": encoder,
        **(options or {}),
    }
    # A value may begin with a hyphen, so it stands behind "=".
    command += [f"--{name}={value}" for name, value in given.items() if value is not None]
    # The result takes the place of an earlier result, but of nothing else.
    return [*command, "--force", "--end-with-stdin"]


class Tuning:
    """Runs the command, one at a time, and hands over its result.

    command (Sequence[str]): The command.
    out (Path): The directory that it writes.
    """

    def __init__(self, command: Sequence[str], out: Path) -> None:
        self.command = list(command)
        self.out = out
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None
        self._phase, self._said, self._began, self._ended = "idle", "", 0.0, 0.0
        self._is_stopped = False

    def start(self, done: Callable[[Path], Any]) -> None:
        """Start the command.

        done (Callable): Is called with the directory of the result, in another thread.
        RAISES (ActionError): If it runs already, or cannot be started.
        """
        with self._lock:
            if self._phase in ("running", "encoding"):
                raise ActionError("Tuning is running already.")
            try:
                self._process = subprocess.Popen(
                    self.command,
                    # It ends when this process does, see `cli/_parent.py`.
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    # Otherwise its lines come in blocks.
                    env={**os.environ, "PYTHONUNBUFFERED": "1"},
                    text=True,
                    encoding="utf8",
                    errors="replace",
                )
            except OSError as error:
                raise ActionError(f"Tuning did not start: {error}") from error
            self._phase, self._said, self._is_stopped = "running", "", False
            self._began = time.monotonic()
            thread = threading.Thread(target=self._follow, args=(self._process, done), daemon=True)
            thread.start()

    def stop(self) -> None:
        """Ask the command to end with the best that it has so far."""
        with self._lock:
            process, self._is_stopped = self._process, True
        if process is not None and process.poll() is None:
            # Windows sends no other process a Ctrl-C of its own.
            process.send_signal(signal.SIGTERM if os.name == "nt" else signal.SIGINT)

    def close(self) -> None:
        """End the command, and wait until it has ended."""
        self.stop()
        with self._lock:
            process = self._process
        if process is not None:
            try:
                process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def state(self) -> TuningState:
        """RETURNS (TuningState): How far it is."""
        with self._lock:
            ends = self._ended if self._phase in ("done", "failed") else time.monotonic()
            seconds = ends - self._began if self._phase != "idle" else 0.0
            return TuningState(self._phase, self._said, seconds, str(self.out))

    def _follow(self, process: "subprocess.Popen[str]", done: Callable[[Path], Any]) -> None:
        lines: deque[str] = deque(maxlen=N_LINES)
        assert process.stdout is not None
        with process.stdout:
            for line in process.stdout:
                said = _CONTROL.sub("", line).strip()
                if said:
                    lines.append(said)
                    with self._lock:
                        self._said = said[:MOST_SHOWN]
        code = process.wait()
        assert process.stdin is not None
        process.stdin.close()
        if code != 0:
            # The first line of an error is what happened, the last what to do.
            last = " ".join(list(lines)[-2:])[:MOST_SHOWN]
            why = "It was stopped." if self._is_stopped else last or f"It ended with code {code}."
            logger.warning("Tuning failed:\n%s", "\n".join(lines))
            self._conclude("failed", why)
            return
        with self._lock:
            self._phase = "encoding"
        try:
            done(self.out)
        except Exception as error:
            logger.exception("The result of tuning could not be used.")
            self._conclude("failed", f"The result could not be used: {error}")
            return
        self._conclude("done", "The map shows its vectors.")

    def _conclude(self, phase: str, said: str) -> None:
        with self._lock:
            self._phase, self._said, self._ended = phase, said, time.monotonic()
