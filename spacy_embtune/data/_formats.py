"""The file formats: a table of them, and the readers of plain lines and of .spacy files.

JSON, CSV, TSV and plain lines are read line by line, and Parquet and Arrow in batches. A .spacy
file and a spreadsheet can only be read as a whole.
"""

import logging
import re
import zlib
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from operator import truediv
from typing import Any, NamedTuple

from .._texts import shorten
from ._columns import import_pyarrow, read_arrow, read_parquet
from ._delimited import read_csv, read_tsv
from ._encodings import DecodedText
from ._excel import import_calamine, read_excel
from ._json import read_json, read_jsonl
from ._rows import InvalidRowError, ReadSettings, Row
from ._sources import Source
from .spans import SPANS_FIELD, describe_spans

logger = logging.getLogger(__name__)


class Format(NamedTuple):
    """One file format.

    suffixes (tuple[str, ...]): The suffixes of file names, in lower case.
    read (Callable[[Source, ReadSettings], Iterator[Row]]): Reads a file of this format. Raises a
        ValueError if the file is damaged, and yields the error of a row that is invalid.
    has_field_names (bool): Whether the file names the field that holds the text. If not, each row
        has one text, which gets the name `ReadSettings.text_field`.
    has_string_cells (bool): Whether all values are strings.
    reads_stdin (bool): Whether standard input can be read.
    check_installed (Callable[[], object] | None): Raises an ImportError if an optional package is
        missing.
    """

    suffixes: tuple[str, ...]
    read: Callable[[Source, ReadSettings], Iterator[Row]]
    has_field_names: bool = True
    has_string_cells: bool = False
    reads_stdin: bool = True
    check_installed: Callable[[], object] | None = None


# Labels before or behind a text, as fastText reads them and as doccano exports them.
FASTTEXT_LABEL = "__label__"
FASTTEXT_LABELS = re.compile(r"^\s*(?:__label__\S+(?:\s+|$))+|(?:(?:^|\s+)__label__\S+)+\s*$")


def read_lines(source: Source, settings: ReadSettings) -> Iterator[Row]:
    """Read a file that has a text per line. Blank lines are ignored. Words such as `__label__SPORT`
    at the beginning or the end of a line are labels, as in the files of fastText."""
    with source.open_text(settings.encoding) as text:
        for number, line in enumerate(text.file):
            if number == 0:
                _notice_table(source.name, line, settings.text_field)
            if line.strip():
                yield Row(_parse_line(line, text, settings.text_field), number, number + 1)


def _notice_table(name: str, line: str, text_field: str) -> None:
    """Warn if a file looks like the table that Excel saves as "Unicode Text (*.txt)"."""
    for delimiter, kind in (("\t", "tsv"), (",", "csv"), (";", "csv")):
        cells = [cell.strip(' "') for cell in line.rstrip("\r\n").split(delimiter)]
        if len(cells) > 1 and text_field in cells:
            logger.warning(
                "%s: looks like a table, but is read as one text per line. Name its format to read "
                "the column %r (kind='%s', --format %s).",
                name,
                text_field,
                kind,
                kind,
            )
            return


def _parse_line(
    line: str, text: DecodedText, text_field: str
) -> Mapping[str, Any] | InvalidRowError:
    try:
        text.check(line)
    except InvalidRowError as error:
        return error
    if "\0" in line:
        return InvalidRowError(
            "the line is not text",
            "holds a NUL character, so the file is not plain text. Give a file of plain text.",
        )
    line = line.rstrip("\r\n")
    if FASTTEXT_LABEL in line:
        labels = [
            word.removeprefix(FASTTEXT_LABEL)
            for words in FASTTEXT_LABELS.findall(line)
            for word in words.split()
        ]
        if labels:
            return {text_field: FASTTEXT_LABELS.sub("", line).strip(), "label": labels}
    return {text_field: line}


def read_spacy(source: Source, settings: ReadSettings) -> Iterator[Row]:
    """Read a file that `DocBin` wrote. The fields are the text, "cats", the entries of
    `Doc.user_data` whose keys are strings, and "spans" if the Doc has any."""
    from spacy.tokens import DocBin
    from spacy.vocab import Vocab

    with source.open() as file:
        data = file.read()
        try:
            docs = DocBin().from_bytes(data)
        except (zlib.error, ValueError, LookupError, TypeError) as error:
            raise ValueError(
                f"{source.name}: is not a .spacy file ({shorten(str(error), 80)}). Give a file "
                "that DocBin wrote."
            ) from error
        for number, doc in enumerate(docs.get_docs(Vocab())):
            source.position.follow(partial(truediv, number + 1, len(docs)))
            fields = {key: value for key, value in doc.user_data.items() if isinstance(key, str)}
            spans = describe_spans(doc)
            if any(spans.values()):
                fields[SPANS_FIELD] = spans
            fields |= {settings.text_field: doc.text, "cats": dict(doc.cats)}
            yield Row(fields, number, number + 1, "document")


FORMATS: dict[str, Format] = {
    "jsonl": Format((".jsonl", ".ndjson"), read_jsonl),
    "csv": Format((".csv",), read_csv, has_string_cells=True),
    "tsv": Format((".tsv", ".tab"), read_tsv, has_string_cells=True),
    "text": Format((".txt",), read_lines, has_field_names=False),
    "spacy": Format((".spacy",), read_spacy, has_field_names=False),
    "parquet": Format(
        (".parquet",), read_parquet, reads_stdin=False, check_installed=import_pyarrow
    ),
    "json": Format((".json",), read_json),
    "arrow": Format((".arrow", ".feather"), read_arrow, check_installed=import_pyarrow),
    "excel": Format(
        (".xlsx", ".xlsm", ".xlsb", ".xls", ".ods"), read_excel, check_installed=import_calamine
    ),
}
