"""Readers of JSON: an object per line, an array of objects, and a table as one object."""

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any, NoReturn

from .._texts import shorten
from ._encodings import DecodedText
from ._json_tables import find_rows, is_record
from ._names import fold_name
from ._rows import InvalidRowError, ReadSettings, Row
from ._sources import Source
from .label_log import read_header, read_log

# Characters of an array that are read at a time.
CHUNK_SIZE = 1 << 16
BLANK = " \t\r\n\ufeff"
SPACE = re.compile(r"[ \t\n\r\ufeff]*")
ARRAY_OF_OBJECTS = re.compile(r"\s*\[\s*(\{|$)")
# Characters of the longest part of JSON that is not a string or a number: "false", with some more.
LONGEST_TOKEN = 16
NOT_WHOLE = "The file is cut off, or another program is still writing it. Create it again."


def read_jsonl(source: Source, settings: ReadSettings) -> Iterator[Row]:
    """Read a file that has a JSON object per line. Blank lines are ignored. An array of objects,
    which many programs write under the same suffix, is read as `read_json` does. Of the log of
    `embtune label`, a row is a text with its latest labels."""
    with source.open_text(settings.encoding) as text:
        start = _Start(text)
        if not start.lines:
            return
        first = start.lines[0]
        exclusive = read_header(first)
        if exclusive is not None:
            lines = enumerate(start.text.file, start=start.numbers[-1] + 1)
            yield from read_log(
                lines, exclusive=exclusive, text_field=settings.text_field, name=source.name
            )
        elif ARRAY_OF_OBJECTS.match(first):
            yield from _read_array(source, start, settings)
        elif _is_table(first, settings) and not start.read_line():
            yield from _read_objects(source, start, settings)
        else:
            yield from _read_lines(start, settings)


def read_json(source: Source, settings: ReadSettings) -> Iterator[Row]:
    """Read a file of JSON: an array of objects, objects behind each other, or one object that holds
    a table, as pandas writes it ({"text": {"0": ...}} or {"columns": ..., "data": ...}), or a list
    of objects ({"data": [{...}, ...]}). Only a single object is in memory as a whole."""
    with source.open_text(settings.encoding) as text:
        start = _Start(text)
        if not start.lines:
            return
        first = start.lines[0]
        if first.lstrip(BLANK).startswith("["):
            yield from _read_array(source, start, settings)
        elif _is_value(first) and start.read_line():
            yield from _read_lines(start, settings)
        else:
            # An object that spans several lines, or is the only one.
            yield from _read_objects(source, start, settings)


def _is_value(line: str) -> bool:
    """RETURNS (bool): Whether a line is a whole value of JSON."""
    try:
        json.loads(line.lstrip("\ufeff"))
    except (ValueError, RecursionError):
        return False
    return True


def _is_table(line: str, settings: ReadSettings) -> bool:
    """RETURNS (bool): Whether a line is an object that holds a column in the place of a text."""
    try:
        value = json.loads(line.lstrip("\ufeff"))
    except (ValueError, RecursionError):
        return False
    if not isinstance(value, dict):
        return False
    return any(
        fold_name(key) == fold_name(settings.text_field) and isinstance(column, list | dict)
        for key, column in value.items()
    )


class _Start:
    """The first lines of a text that are not blank.

    text (DecodedText): The text, of which these lines were read.
    lines (list[str]): The lines.
    numbers (list[int]): Their numbers in the file.
    """

    def __init__(self, text: DecodedText) -> None:
        """Read the first line."""
        self.text = text
        self.lines: list[str] = []
        self.numbers: list[int] = []
        self._number = 0
        self.read_line()

    def read_line(self) -> bool:
        """RETURNS (bool): Whether there is a further line. Of an array, which may be a single line
        of any length, only the beginning is read."""
        file = self.text.file
        while line := file.readline(CHUNK_SIZE):
            self._number += 1
            if not line.endswith(("\n", "\r")) and not line.lstrip(BLANK).startswith("["):
                line += file.readline()
            if line.strip(BLANK):
                self.lines.append(line)
                self.numbers.append(self._number)
                return True
        return False


def _read_lines(start: _Start, settings: ReadSettings) -> Iterator[Row]:
    text, example = start.text, settings.example
    numbered = chain(
        zip(start.numbers, start.lines, strict=True),
        enumerate(text.file, start=start.numbers[-1] + 1),
    )
    number = 0
    decoder = _Decoder()
    for line_number, line in numbered:
        if line.strip():
            yield Row(_parse_json(line, text, example, decoder), number, line_number)
            number += 1


def _parse_json(
    line: str, text: DecodedText, example: str, decoder: "_Decoder"
) -> Mapping[str, Any] | InvalidRowError:
    try:
        if not line.isascii():
            text.check(line)
            # Files that were put together have byte order marks in their middle.
            line = line.lstrip("\ufeff")
        fields = decoder.decode(line)
        if decoder.double is not None:
            return decoder.explain()
    except InvalidRowError as error:
        return error
    except (ValueError, RecursionError) as error:
        if not line.endswith(("\n", "\r")) and isinstance(error, ValueError):
            return InvalidRowError(
                "the line is not whole", f"is the last and is not whole ({error}). {NOT_WHOLE}"
            )
        return InvalidRowError(
            "the line is not JSON",
            f"is not JSON ({error}). Write one object a line, strings in double quotes, line "
            "breaks in strings as \\n. If an object spans several lines, say --format json.",
        )
    return _check_object(fields, "the line", "Write an object a line", example)


def _check_object(
    value: Any, what: str, cure: str, example: str
) -> Mapping[str, Any] | InvalidRowError:
    if isinstance(value, dict | InvalidRowError):
        return value
    written = shorten(json.dumps(value, ensure_ascii=False))
    return InvalidRowError(
        f"{what} is not an object",
        f"is {written}, a {type(value).__name__}. {cure}, such as {example}.",
    )


class _Decoder:
    """Reads JSON, and notices keys that an object has twice. Others read only the last of them.

    double (str | None): A key that an object of the last value has twice.
    """

    def __init__(self) -> None:
        self.double: str | None = None
        self._decode = json.JSONDecoder(object_pairs_hook=self._to_mapping).raw_decode

    def decode(self, text: str) -> Any:
        """RETURNS (Any): The value that a text holds. RAISES (ValueError): If it is not JSON."""
        value, end = self.raw_decode(text, SPACE.match(text, 0).end())  # type: ignore[union-attr]
        end = SPACE.match(text, end).end()  # type: ignore[union-attr]
        if end < len(text):
            raise json.JSONDecodeError("Extra data", text, end)
        return value

    def raw_decode(self, text: str, start: int) -> tuple[Any, int]:
        """RETURNS (tuple[Any, int]): The value that begins at a place, and the place behind it."""
        self.double = None
        return self._decode(text, start)

    def explain(self) -> InvalidRowError:
        """RETURNS (InvalidRowError): The error of a key that is there twice."""
        return InvalidRowError(
            "a key is there twice",
            f"has the key {shorten(str(self.double))!r} twice in one object. Give each key of an "
            "object once. Several labels are a list.",
        )

    def _to_mapping(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        mapping = dict(pairs)
        if len(mapping) < len(pairs):
            self.double = next(key for key, n in Counter(key for key, _ in pairs).items() if n > 1)
        return mapping


class _Values:
    """The JSON values of a text, one by one.

    line (int): The line of the next value.
    """

    def __init__(self, source: Source, start: _Start) -> None:
        self._name = source.name
        self._text = start.text
        self._buffer = "".join(start.lines)
        self._at = 0
        self._is_end = False
        self._decoder = _Decoder()
        self.line = start.numbers[0]

    def skip(self, characters: str = "") -> str:
        """Skip space.

        characters (str): Characters of which one is skipped as well, with the space behind it.
        RETURNS (str): The character that was skipped, or the next one; empty at the end.
        """
        skipped = ""
        while True:
            end = SPACE.match(self._buffer, self._at).end()  # type: ignore[union-attr]
            self._move(end)
            following = self._buffer[self._at : self._at + 1]
            if not following and not self._is_end:
                self._read(CHUNK_SIZE)
            elif not skipped and following and following in characters:
                skipped = following
                self._move(self._at + 1)
            else:
                return skipped or following

    def next(self) -> Any:
        """RETURNS (Any): The next value, which is behind no space; the error if it has a key twice.
        RAISES (ValueError): If it is not JSON, or the text ends within it."""
        size = CHUNK_SIZE
        while True:
            try:
                value, end = self._decoder.raw_decode(self._buffer, self._at)
            except json.JSONDecodeError as error:
                is_near_end = error.pos > len(self._buffer.rstrip()) - LONGEST_TOKEN
                is_cut = error.msg.startswith("Unterminated") or (
                    is_near_end and (error.pos > self._at or not self._is_end)
                )
                if not is_cut:
                    found = shorten(self._buffer[error.pos :], 20)
                    self.fail(f"what begins here is not JSON ({error.msg}: {found!r}). Correct it.")
                if self._is_end:
                    self.fail(f"the file ends within the object that begins here. {NOT_WHOLE}")
            except (ValueError, RecursionError) as error:
                self.fail(f"what begins here cannot be read ({error}).")
            else:
                # A number may go on in the part that is not read yet.
                if end < len(self._buffer) or self._is_end:
                    self._check(self._buffer[self._at : end])
                    self._move(end)
                    return value if self._decoder.double is None else self._decoder.explain()
            self._read(size)
            size *= 2

    def fail(self, fault: str) -> NoReturn:
        """RAISES (ValueError): Always, with the line of the next value."""
        raise ValueError(f"{self._name}, line {self.line}: {fault}")

    def show_next(self) -> str:
        """RETURNS (str): The next characters, for messages."""
        return repr(shorten(self._buffer[self._at :], 20))

    def _move(self, end: int) -> None:
        self.line += self._buffer.count("\n", self._at, end)
        self._at = end

    def _read(self, size: int) -> None:
        chunk = self._text.file.read(size)
        self._buffer = self._buffer[self._at :] + chunk
        self._at = 0
        self._is_end = not chunk

    def _check(self, part: str) -> None:
        try:
            self._text.check(part)
        except InvalidRowError as error:
            self.fail(error.detail)


def _read_array(source: Source, start: _Start, settings: ReadSettings) -> Iterator[Row]:
    values = _Values(source, start)
    values.skip("[")
    number = 0
    closing = values.skip()
    while closing != "]":
        line = values.line
        if not closing:
            values.fail(f"the file ends within the array. {NOT_WHOLE}")
        value = values.next()
        fields = _check_object(value, "the entry", "Give objects", settings.example)
        yield Row(fields, number, line)
        number += 1
        separator = values.skip(",")
        if separator == ",":
            closing = values.skip()
            if closing == "]":
                values.fail("there is a comma before the end of the array. Remove it.")
        elif separator == "]":
            break
        elif separator:
            values.fail(f"there is {values.show_next()} in place of a comma. Correct it.")
        else:
            values.fail(f"the file ends within the array. {NOT_WHOLE}")
    values.skip("]")
    if values.skip():
        values.fail(f"there is {values.show_next()} behind the end of the array. Remove it.")


def _read_objects(source: Source, start: _Start, settings: ReadSettings) -> Iterator[Row]:
    values = _Values(source, start)
    number = 0
    first: tuple[Any, int] | None = None
    while values.skip():
        line = values.line
        value = values.next()
        if number == 0:
            first = value, line
        else:
            if first is not None:
                yield Row(_check_object(first[0], "it", "Give objects", settings.example), 0, 1)
                first = None
            fields = _check_object(value, "it", "Give objects", settings.example)
            yield Row(fields, number, line)
        number += 1
    if first is not None:
        yield from _read_table(source.name, *first, settings)


def _read_table(name: str, value: Any, line: int, settings: ReadSettings) -> Iterator[Row]:
    """Read the only value of a file: a record, or a table in one of the forms of pandas and
    others."""
    if not isinstance(value, dict) or is_record(value, settings):
        yield Row(_check_object(value, "it", "Give objects", settings.example), 0, line)
        return
    for number, row in enumerate(find_rows(name, value, settings)):
        yield Row(
            _check_object(row, "the entry", "Give objects", settings.example),
            number,
            number + 1,
            "row",
        )
