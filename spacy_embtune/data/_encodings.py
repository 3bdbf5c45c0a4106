"""Encodings of text files: which one a file has, and what to say if it has another."""

import codecs
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import TextIO

from ._rows import InvalidRowError

# Byte order marks with the encodings they stand for. That of UTF-16 begins that of UTF-32.
MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# The first bytes of files that are not text, and what they are.
NOT_TEXT = (
    (b"PK\x03\x04", "a zip file or a spreadsheet"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "a document of an old Microsoft Office"),
    (b"PAR1", "a Parquet file"),
    (b"ARROW1\0\0", "an Arrow file"),
    (b"SQLite format 3\0", "an SQLite database"),
    (b"%PDF-", "a PDF"),
)
# Bytes of lines that the encoding is guessed from, and bytes that are searched for such lines.
SAMPLE_SIZE = 1 << 15
MOST_SEARCHED = 1 << 24
# Encodings that differ from that of Western Europe in few letters.
CENTRAL_EUROPEAN = ("cp1250", "cp1254", "cp1257", "mac_roman")
# Bytes beyond ASCII that are too few for a guess.
SHORT = 8
# The encodings that a guess considers: those in which programs of today still write tables.
LIKELY = (
    *("cp1252", "cp1250", "cp1251", "cp1253", "cp1254", "cp1255", "cp1256", "cp1257", "koi8_r"),
    *("mac_roman", "cp932", "euc_jp", "gb18030", "big5", "cp949"),
)


def choose_encoding(name: str, head: bytes, encoding: str | None) -> tuple[str, int]:
    """Choose the encoding of a text file.

    >>> choose_encoding("data.csv", codecs.BOM_UTF16_LE + b"a\\0", None)
    ('utf-16', 0)

    name (str): The name of the file, for errors.
    head (bytes): The first bytes of the file.
    encoding (str | None): The encoding that the user named. None: UTF-8, or that of the byte order
        mark.
    RETURNS (tuple[str, int]): The encoding, and the number of bytes to skip.
    RAISES (ValueError): If there is no such encoding, the file has the mark of another one, or the
        file is not text.
    """
    for start, what in NOT_TEXT:
        if head.startswith(start) and (b"\0" in head or start == b"%PDF-"):
            raise ValueError(
                f"{name}: is {what}, not a file of text. Give the file a name with the right "
                "suffix, or name its format (--format)."
            )
    mark, marked = next(((m, e) for m, e in MARKS if head.startswith(m)), (b"", "utf-8-sig"))
    if encoding is None:
        if not mark:
            _check_no_utf16(name, head)
        return marked, 0
    try:
        named = codecs.lookup(encoding).name
        "".encode(encoding)
    except LookupError as error:
        raise ValueError(
            f"There is no text encoding {encoding!r}. Give one that Python knows, such as 'cp1252' "
            "(encoding, --encoding)."
        ) from error
    family = named.split("-")[0:2]
    if mark and family != marked.split("-")[0:2]:
        raise ValueError(
            f"{name}: begins with the byte order mark of {marked.removesuffix('-sig').upper()}, so "
            f"it is not {encoding}. Leave the encoding out (encoding, --encoding)."
        )
    if named == "utf-8":
        return "utf-8-sig", 0
    # utf-16 and utf-32 need the mark; utf-16-le and its like take it for a part of the text.
    return named, len(mark) if len(named.split("-")) > 2 else 0


def _check_no_utf16(name: str, head: bytes) -> None:
    pairs = len(head) // 2
    first, second = (head[start : 2 * pairs : 2].count(0) for start in (0, 1))
    if pairs > 3 and max(first, second) > 0.4 * pairs and min(first, second) < 0.05 * pairs:
        likely = "utf-16-le" if second > first else "utf-16-be"
        raise ValueError(
            f"{name}: looks like UTF-16 without a byte order mark. Name the encoding (encoding, "
            f"--encoding {likely})."
        )


class DecodedText:
    """The text of a file, in which bytes that cannot be decoded are lone surrogates.

    file (TextIO): The text. Line ends are as in the file: LF, CR LF or CR.
    encoding (str): The encoding.
    """

    def __init__(
        self, name: str, file: TextIO, encoding: str, read_again: Callable[[], Iterator[bytes]]
    ) -> None:
        """Initialize the text.

        name (str): The name of the file.
        file (TextIO): Decodes with the error handler "surrogateescape".
        encoding (str): The encoding.
        read_again (Callable[[], Iterator[bytes]]): Yields the lines of the file once more; none if
            it is a pipe.
        """
        self.name = name
        self.file = file
        self.encoding = encoding.removesuffix("-sig")
        self._read_again = read_again

    def check(self, text: str) -> None:
        """Check that a part of the text was decoded.

        text (str): A line, or a cell.
        RAISES (InvalidRowError): If it was not. The message names the likely encoding.
        """
        if text.isascii():
            return
        try:
            text.encode()
        except UnicodeEncodeError as error:
            byte = ord(text[error.start]) & 0xFF
            name = self.encoding.upper() if self.encoding.startswith("utf") else self.encoding
            raise InvalidRowError(
                f"the line is not {name}",
                f"is not {name} (byte 0x{byte:02x} behind "
                f"{text[max(error.start - 20, 0) : error.start]!r}). {self._cure(text)}",
            ) from None

    def _cure(self, text: str) -> str:
        if self.encoding != "utf-8":
            return "Name the right encoding (encoding, --encoding)."
        n_utf8, guess = self._other_lines
        guess = guess or guess_encoding(text.encode(errors="surrogateescape"))
        likely = f"may be {guess}" if guess else "is another one"
        option = guess.split(" ")[0] if guess else "cp1252"
        if n_utf8:
            return (
                f"The file is in two encodings: {n_utf8:,} lines are in UTF-8, and the encoding of "
                f"the others {likely}. Save each part as UTF-8 before you put them together."
            )
        return (
            f"The encoding {likely}: name it (encoding='{option}', --encoding {option}), or save "
            "the file as UTF-8."
        )

    @cached_property
    def _other_lines(self) -> tuple[int, str | None]:
        """RETURNS (tuple[int, str | None]): The number of lines that are in UTF-8 and have a
        character beyond ASCII, and the encoding that the other lines may have."""
        n_utf8, sample, n_searched = 0, b"", 0
        for line in self._read_again():
            n_searched += len(line)
            if len(sample) > SAMPLE_SIZE or n_searched > MOST_SEARCHED:
                break
            if not line.isascii():
                try:
                    line.decode()
                    n_utf8 += 1
                except UnicodeDecodeError:
                    sample += line
        return n_utf8, guess_encoding(sample)


def guess_encoding(sample: bytes) -> str | None:
    """Guess the encoding of a text that is not UTF-8.

    >>> guess_encoding("Это хороший день для прогулки".encode("cp1251"))
    'cp1251'

    sample (bytes): Some lines.
    RETURNS (str | None): The likely encodings, with " or " between them; None if there is none.
    """
    from charset_normalizer import from_bytes

    best = from_bytes(sample, cp_isolation=list(LIKELY)).best()
    if best is None:
        return None
    # Languages of Western Europe are most common, and short texts look like those of others.
    western = "cp1252"
    if western in best.could_be_from_charset:
        return western
    is_short = len(sample) - len(sample.decode("ascii", "ignore")) < SHORT
    if best.encoding not in CENTRAL_EUROPEAN and not is_short:
        return best.encoding
    try:
        sample.decode(western)
    except UnicodeDecodeError:
        return best.encoding
    return f"{western} or {best.encoding}"
