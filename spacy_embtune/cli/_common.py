"""Functions that all commands use: loading the pipeline, checking OUT, messages, exit codes."""

import logging
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import typer
from wasabi.printer import Printer
from wasabi.util import wrap

if TYPE_CHECKING:
    from spacy.language import Language

    from ..pipeline import EmbTune

# The number of invalid records whose messages are printed.
MOST_MESSAGES = 5

# The exit code of shells after Ctrl-C.
INTERRUPTED = 130


class OnError(StrEnum):
    """What to do with an invalid record."""

    fail = "fail"
    skip = "skip"


def fail(title: str, text: str = "", *, code: int = 1) -> NoReturn:
    """End the command with a message on standard error.

    title (str): What happened.
    text (str): The cause and the cure; line breaks are kept.
    code (int): The exit code.
    RAISES (typer.Exit): Always.
    """
    _say("fail", title, text)
    raise typer.Exit(code)


def warn(title: str, text: str = "") -> None:
    """Print a warning on standard error.

    title (str): What happened.
    text (str): The cause and the cure; line breaks are kept.
    """
    _say("warn", title, text)


def good(title: str, text: str = "") -> None:
    """Print a success message on standard output.

    title (str): What was done.
    text (str): Details. Line breaks are kept.
    """
    _say("good", title, text, err=False)


def _say(style: str, title: str, text: str, *, err: bool = True) -> None:
    heading = getattr(Printer(no_print=True), style)(title)
    lines = [wrap(line, indent=0) for line in text.splitlines()]
    # Unlike wasabi, typer removes colours when the output is no terminal.
    typer.echo("\n".join([heading, *lines]), err=err)


def load_pipeline(
    model: str, name: str | None, *, code: Path | None = None, gpu_id: int = -1
) -> "tuple[Language, EmbTune]":
    """Load a pipeline and find its component, or end the command with an error message.

    model (str): The directory of a pipeline, or the name of an installed pipeline.
    name (str | None): The name of the component. None: there must be exactly one.
    code (Path | None): A Python file with functions that the config names. It is imported first.
    gpu_id (int): The GPU, or -1 for the CPU.
    RETURNS (tuple[Language, EmbTune]): The pipeline and its component.
    RAISES (typer.Exit): When the pipeline or the component cannot be found.
    """
    from ..pipeline import find_component

    nlp = load_any_pipeline(model, code=code, gpu_id=gpu_id)
    try:
        return nlp, find_component(nlp, name, where=model)
    except ValueError as error:
        fail("The pipeline cannot be used", str(error))


def load_any_pipeline(model: str, *, code: Path | None = None, gpu_id: int = -1) -> "Language":
    """Load a pipeline, whatever its components are, or end the command with an error message.

    model, code, gpu_id: As for `load_pipeline`.
    RETURNS (Language): The pipeline.
    RAISES (typer.Exit): When the pipeline cannot be found.
    """
    import spacy
    from spacy.cli._util import import_code, setup_gpu

    try:
        import_code(code)
        if gpu_id >= 0:
            setup_gpu(gpu_id, silent=True)
        return spacy.load(model)
    except (OSError, ValueError, ImportError) as error:
        fail("The pipeline cannot be used", str(error))


def check_output(
    path: Path, *, force: bool, suffixes: Sequence[str], inputs: Sequence[str | Path | None] = ()
) -> None:
    """Check that a file can be written, before the work for it begins.

    path (Path): The file.
    force (bool): Whether an existing file may be replaced.
    suffixes (Sequence[str]): The allowed suffixes, such as ".png".
    inputs (Sequence[str | Path | None]): The input files, which must not be replaced.
    RAISES (typer.Exit): When the file exists, has another suffix, or cannot be written.
    """
    if not path.name.lower().endswith(tuple(suffixes)):
        fail(
            f"{path} cannot be written",
            f"The format is not known: give a name that ends in {_either(suffixes)}.",
        )
    if path.is_dir():
        fail(f"{path} cannot be written", "It is a directory. Give the name of a file.")
    if path.exists() and any(
        source is not None and Path(source).exists() and path.samefile(source) for source in inputs
    ):
        fail(f"{path} cannot be written", "It is an input file. Give another name.")
    if path.exists() and not force:
        fail(f"{path} exists already", "Give another name, or replace it: --force.")
    if not path.parent.is_dir():
        fail(
            f"{path} cannot be written",
            f"There is no directory {path.parent}. Make it, or give another name.",
        )
    _try_to_write(path)


def _try_to_write(path: Path) -> None:
    """End the command if no file can be made beside a path."""
    try:
        # A trial, because permissions do not tell of a file system that is read-only.
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        fail(
            f"{path} cannot be written",
            f"No file can be made in the directory {path.parent} ({error.strerror}). Give another "
            "directory.",
        )


def check_directory(
    path: Path, *, force: bool, kind: str, own: str, inputs: Mapping[str, str | Path | None]
) -> None:
    """Check that a directory can be written, before the work for it begins.

    path (Path): The directory.
    force (bool): Whether an existing directory may be replaced.
    kind (str): What is written, such as "an encoder". Nothing else is replaced.
    own (str): A file that is in each directory of this kind.
    inputs (Mapping[str, str | Path | None]): The inputs by name, which must not be replaced.
    RAISES (typer.Exit): When the directory exists, holds something else, or cannot be written.
    """
    if path.exists() and not force:
        fail(f"{path} exists already", "Give another name, or replace it: --force.")
    if path.is_file():
        fail(f"{path} cannot be written", "It is a file. Give the name of a directory.")
    place = path.resolve()
    if not place.parent.is_dir():
        fail(f"{path} cannot be written", f"There is no directory {place.parent}. Make it.")
    if place.is_dir() and any(place.iterdir()) and not (place / own).is_file():
        fail(
            f"{path} cannot be written",
            f"It holds something else than {kind} and is not replaced. Give another name.",
        )
    for name, source in inputs.items():
        if source is None:
            continue
        there = Path(source).resolve()
        if place == there or place in there.parents:
            fail(f"{path} cannot be written", f"{name} is in it. Give another name.")
    _try_to_write(path)


def _either(names: Sequence[str]) -> str:
    *others, last = names
    return f"{', '.join(others)} or {last}" if others else last


@contextmanager
def reporting_errors(title: str = "Nothing was written") -> Iterator[None]:
    """End the command with a message instead of a traceback after an error that the user can fix.
    The exit code is 1, or 130 after Ctrl-C. Until then, print log messages of this package above a
    progress bar.

    title (str): What did not happen.
    RAISES (typer.Exit): After a ValueError, OSError, ImportError or KeyboardInterrupt.
    """
    logger, handler = logging.getLogger("spacy_embtune"), _LineHandler()
    logger.addHandler(handler)
    try:
        yield
    except BrokenPipeError:
        # The reader of the output has closed it, as `head` does, so there is no message.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(1) from None
    except (ValueError, OSError, ImportError) as error:
        fail(title, "\n".join([_describe(error), *_notes(error)]))
    except KeyboardInterrupt as error:
        fail("Interrupted", "\n".join(_notes(error) or [f"{title}."]), code=INTERRUPTED)
    finally:
        logger.removeHandler(handler)


class _LineHandler(logging.Handler):
    """Prints log messages on standard error."""

    def emit(self, record: logging.LogRecord) -> None:
        _write_line(self.format(record))


def _write_line(text: str) -> None:
    """Print on standard error, above a progress bar if there is one."""
    from tqdm import tqdm

    tqdm.write(wrap(text, indent=0), file=sys.stderr)


def _describe(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror and error.filename:
        return f"{error.filename}: {error.strerror}."
    return str(error)


def _notes(error: BaseException) -> list[str]:
    return list(getattr(error, "__notes__", []))


class SkippedRecords:
    """Prints messages about the first invalid records, and counts the others. Pass it to
    `read_records` as `report`, and call `conclude` at the end.

    n (int): The number of records that were skipped so far.
    """

    def __init__(self) -> None:
        self.n = 0

    def __call__(self, message: str) -> None:
        """Count an invalid record, and print the message if it is one of the first.

        message (str): The place of the record and its error.
        """
        self.n += 1
        if self.n <= MOST_MESSAGES:
            _write_line(f"Skipped {message}")
        elif self.n == MOST_MESSAGES + 1:
            _write_line("More records are skipped. Their number follows at the end.")

    def conclude(self) -> None:
        """Print a warning with the number of skipped records, if there are any."""
        if self.n:
            are = "s that are" if self.n > 1 else " that is"
            warn(f"Left out {self.n} record{are} invalid")
